"""A service with something to export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox


@contextmanager
def one_batch(*, contacts: int, text: str, ranges: bool) -> Iterator[tuple[Sandbox, str]]:
    """
    Run a service of its own, known to Airflow as ``graine_default``, with a batch whose calls are done.

    :param contacts: people on the batch
    :param text: a name that they all have, to make the export as long as need be
    :param ranges: whether the export can be asked for in parts
    :return: the service and the id of the batch
    """
    with (
        Sandbox(speed=0, start="2026-05-10T09:00:00Z", export_ranges=ranges) as sandbox,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", sandbox.connection_json())
        people = [
            {"phone_number": f"+9198765{number:05}", "call_variables": {"callee_name": text}}
            for number in range(contacts)
        ]
        with closing(GraineHook()) as hook:
            campaign_id = hook.create_campaign(name="A", agent_id="a", phone_numbers=["+918045678900"]).campaign_id
            batch_id = hook.create_batch(campaign_id=campaign_id, contacts=people).batch_id
        sandbox.run_until_idle()
        yield sandbox, batch_id


def statuses(sandbox: Sandbox) -> list[int | None]:
    """How each request for an export was answered."""
    return [request.status for request in sandbox.requests if request.path.endswith("export.csv")]
