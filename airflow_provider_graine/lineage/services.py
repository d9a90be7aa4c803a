"""Campaigns and batches that a task has to do with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.lineage.assets import host_of, service_uri
from airflow_provider_graine.lineage.data import MOST, Data

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.calling_service import CallingServiceHook


def campaigns(
    hook: CallingServiceHook, ids: Sequence[str], *, rows: int | None = None, extra: Mapping[str, Any] | None = None
) -> list[Data]:
    """
    Name campaigns; of very many, the first.

    :param hook: the connection, which has been used: nothing is asked
    :param ids: the campaigns
    :param rows: how many people the task has put on them, where it is one
    :param extra: what goes along with their asset events
    """
    return [Data(uri=_uri(hook, "campaigns", each), rows=rows, extra=extra or {}) for each in ids[:MOST]]


def batches(hook: CallingServiceHook, ids: Sequence[str], *, of_campaigns: bool) -> list[Data]:
    """
    Name batches; of very many, the first.

    :param hook: the connection, which has been used: nothing is asked
    :param ids: the batches
    :param of_campaigns: whether their campaigns are named as well: then there is no need to name more than a few
    """
    if of_campaigns:
        return [Data(uri=_uri(hook, "batches", each), role="part") for each in ids] if len(ids) <= MOST else []
    return [Data(uri=_uri(hook, "batches", each)) for each in ids[:MOST]]


def _uri(hook: CallingServiceHook, kind: str, id: str) -> str:
    return service_uri(hook.conn_type, host_of(hook.settings.base_url), kind, id)
