"""What tasks report to Airflow's own collector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.lineage.collector import has_readers
from airflow_provider_graine.lineage.data import TaskLineage
from airflow_provider_graine.lineage.telling import TellsLineage
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator
from airflow_provider_graine.transfers.sql_to_graine import SqlToGraineOperator
from tests.lineage.conftest import NUMBERS, run
from tests.task import Task

Collected = Callable[[], Any]


def uris(collected: list[Any]) -> list[str]:
    return [each.asset.uri for each in collected]


def test_an_upload_reports_its_files_and_its_batches_and_a_landing_goes_on_from_there(
    sandbox: Sandbox, host: str, people: Path, campaign_id: str, task: Task, collector: Collected
) -> None:
    upload = ObjectStorageToGraineOperator(
        task_id="call",
        campaign_id=campaign_id,
        path=f"{people}/people/*.csv",
        suppress=f"file://{people}/do_not_call.csv",
        rejects_path=f"{people}/rejected.csv",
        on_invalid="skip",
        batch_size=5,
    )
    run(upload, task)

    campaign = f"graine://{host}/campaigns/{campaign_id}"
    batches = [f"graine://{host}/batches/{batch_id}" for batch_id in sandbox.batches]
    told = collector()
    assert uris(told.inputs) == [f"file://{people}/people", f"file://{people}/do_not_call.csv"]
    assert uris(told.outputs) == [campaign, *batches, f"file://{people}/rejected.csv"]
    assert len(batches) == 2
    assert not any(number[1:] in repr(told) or "Asha" in repr(told) for number in NUMBERS)

    before = len(sandbox.requests)
    landing = GraineToObjectStorageOperator(
        task_id="land", batch_ids=list(sandbox.batches), path=f"{people}/results", kind="contacts"
    )
    run(landing, Task(task_id="land"))
    assert len(sandbox.requests) - before == 4, "two batches, each with its contacts: nothing is asked for lineage"
    told = collector()
    assert set(uris(told.inputs)[2:]) == {campaign, *batches}
    assert uris(told.outputs)[-2:] == [f"file://{people}/results/{batch_id}.jsonl" for batch_id in sandbox.batches]


def test_queries_are_reported_without_the_values_in_them(
    sandbox: Sandbox, people: Path, campaign_id: str, task: Task, collector: Collected, warehouse: str
) -> None:
    upload = SqlToGraineOperator(
        task_id="call",
        campaign_id=campaign_id,
        sql=f"SELECT * FROM policies WHERE phone_number <> '{NUMBERS[0]}' AND callee_name <> ?",
        parameters=["Asha 1"],
        sql_conn_id=warehouse,
        suppress=f"SELECT phone_number FROM policies WHERE phone_number = '{NUMBERS[2]}'",
        on_invalid="skip",
    )
    run(upload, task)

    assert len(sandbox.dialled) == 5
    told = collector()
    assert [(each.key, each.value, each.context.conn_type) for each in told.extra] == [
        ("sql_job", {"sql": "SELECT * FROM policies WHERE phone_number <> '' AND callee_name <> NULL"}, "duckdb"),
        ("sql_job", {"sql": "SELECT phone_number FROM policies WHERE phone_number = ''"}, "duckdb"),
    ]


def test_of_very_many_batches_the_campaign_is_reported(
    sandbox: Sandbox, host: str, campaign_id: str, task: Task, collector: Collected
) -> None:
    contacts = [{"phone_number": f"+9198764{number:05}", "callee_name": "Asha"} for number in range(51)]
    run(GraineCreateBatchOperator(task_id="call", campaign_id=campaign_id, contacts=contacts, batch_size=1), task)
    assert len(sandbox.batches) == 51
    assert uris(collector().outputs) == [f"graine://{host}/campaigns/{campaign_id}"]


def test_an_error_of_the_collector_is_none_of_the_task(
    sandbox: Sandbox,
    people: Path,
    campaign_id: str,
    task: Task,
    collector: Collected,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airflow_provider_graine.lineage.uploads.read_files", lambda paths: 1 / 0)
    operator = ObjectStorageToGraineOperator(task_id="call", campaign_id=campaign_id, path=f"{people}/people/0.csv")
    run(operator, task)
    assert len(sandbox.dialled) == 4
    assert operator.get_openlineage_facets_on_complete(task.context()["ti"]) is None


def test_a_store_that_dislikes_a_name_leaves_the_others(
    sandbox: Sandbox, people: Path, campaign_id: str, task: Task, collector: Collected
) -> None:
    operator = ObjectStorageToGraineOperator(task_id="call", campaign_id=campaign_id, path=f"{people}/people/0.csv")
    operator._sources = lambda: (["airflow://reserved", f"{people}/people/0.csv"], [])  # type: ignore[method-assign]
    run(operator, task)
    assert uris(collector().inputs) == [f"file://{people}/people/0.csv"]


class Told(TellsLineage):
    """An operator that must not be asked."""

    asked = 0

    def lineage(self, ti: Any) -> TaskLineage:
        self.asked += 1
        return TaskLineage(hook=GraineHook())


def test_where_nobody_listens_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_graine.lineage.collector.has_readers", lambda: False)
    made: list[Any] = []
    monkeypatch.setattr(
        "airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: made.append("collector")
    )
    operator = Told(task_id="told")
    operator.post_execute({})
    assert (operator.asked, made) == (0, [])


def test_readers_are_those_of_the_plugins(collector: Collected) -> None:
    assert has_readers()
    operator = Told(task_id="told")
    operator.post_execute({"ti": None, "outlet_events": {}})
    assert operator.asked == 1
