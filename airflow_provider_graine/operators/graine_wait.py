"""What tasks share that wait for Graine's calls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_graine.operators.calls_wait import CallsWait
from airflow_provider_graine.operators.links import GraineCallsLink
from airflow_provider_graine.watching.graine_stop import Action, stop_calls

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.settings import ServiceSettings
    from airflow_provider_graine.watching.stop import Stopped


class GraineCallsWait(CallsWait):
    """
    Base of the tasks that wait for Graine's calls.

    :param graine_conn_id: the connection (templated)
    """

    operator_extra_links = (GraineCallsLink(),)
    _actions = get_args(Action)
    #: Whether :meth:`_calls` gives a campaign.
    _waits_for_campaign = False

    def __init__(self, *, graine_conn_id: str = "graine_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.graine_conn_id = graine_conn_id

    @cached_property
    def hook(self) -> GraineHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.graine import GraineHook

        return GraineHook(self.graine_conn_id)

    def _stop_calls(
        self, settings: ServiceSettings, calls: Mapping[str, str], action: Any, *, within: float
    ) -> Stopped:
        return stop_calls(
            settings,
            batch_ids=None if self._waits_for_campaign else list(calls),
            campaign_id=next(iter(calls)) if self._waits_for_campaign else None,
            known=calls,
            action=action,
            within=within,
            tell=self.log.warning,
        )
