"""What OpenLineage's own provider takes from the tasks."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.openlineage.extractors.base import OperatorLineage
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.sdk import AssetAlias, TaskInstanceState
from openlineage.client.serde import Serde

from airflow_provider_graine.exceptions import ContactsRejectedError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.operators.graine_report import GraineReportOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.kataven_to_object_storage import KatavenToObjectStorageOperator
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator
from airflow_provider_graine.transfers.object_storage_to_kataven import ObjectStorageToKatavenOperator
from tests.kataven_service import AGENT, NUMBER, kataven
from tests.lineage.conftest import NUMBERS, resume, run
from tests.task import Task

__all__ = ["kataven"]


def extracted(operator: Any, task: Task, state: TaskInstanceState = TaskInstanceState.SUCCESS) -> OperatorLineage:
    """Have the provider ask the operator as its listener does; the facet is as its schema says."""
    ti = SimpleNamespace(
        task_id=operator.task_id,
        map_index=-1,
        xcom_pull=lambda *, task_ids, key, map_indexes: task.xcom.get(key),
    )
    dag_run = SimpleNamespace(run_id=task.run_id)
    lineage = ExtractorManager().extract_metadata(
        dagrun=dag_run, task=operator, task_instance_state=state, task_instance=ti
    )
    schema = json.loads((files("airflow_provider_graine.lineage") / "graine_calls_run_facet.json").read_text())
    facet = lineage.run_facets["graine_calls"]
    assert facet._schemaURL == f"{schema['$id']}#/$defs/GraineCallsRunFacet"
    jsonschema.validate(json.loads(Serde.to_json(facet)), schema["$defs"]["GraineCallsRunFacet"])
    assert not any(number[1:] in repr(lineage) or "Asha" in repr(lineage) for number in NUMBERS)
    return lineage


def names(datasets: list[Any]) -> list[tuple[str, str]]:
    return [(dataset.namespace, dataset.name) for dataset in datasets]


def said(lineage: OperatorLineage) -> dict[str, Any]:
    facet = json.loads(Serde.to_json(lineage.run_facets["graine_calls"]))
    return {name: value for name, value in facet.items() if not name.startswith("_")}


def statistics(dataset: Any) -> tuple[int | None, int | None]:
    facet = dataset.outputFacets["outputStatistics"]
    return facet.rowCount, facet.size


def test_an_upload_and_a_landing(sandbox: Sandbox, host: str, people: Path, campaign_id: str, task: Task) -> None:
    upload = ObjectStorageToGraineOperator(
        task_id="call",
        campaign_id=campaign_id,
        path=f"{people}/people/*.csv",
        suppress=f"{people}/do_not_call.csv",
        rejects_path=f"{people}/rejected.csv",
        on_invalid="skip",
        batch_size=5,
    )
    run(upload, task)
    lineage = extracted(upload, task)
    assert names(lineage.inputs) == [("file", f"{people}/people"), ("file", f"{people}/do_not_call.csv")]
    campaign = (f"graine://{host}", f"campaigns/{campaign_id}")
    assert names(lineage.outputs) == [campaign, ("file", f"{people}/rejected.csv")]
    assert [statistics(output) for output in lineage.outputs] == [(7, None), (1, None)]
    assert said(lineage) == {
        "service": "graine",
        "campaignIds": [campaign_id],
        "batchIds": list(sandbox.batches),
        "batches": 2,
        "read": 8,
        "accepted": 7,
        "rejected": 1,
        "rejectedByReason": {"suppressed": 1},
    }

    landing = GraineToObjectStorageOperator(
        task_id="land", batch_ids=list(sandbox.batches), path=f"{people}/all.jsonl", kind="contacts", merge=True
    )
    run(landing, Task(task_id="land"))
    lineage = extracted(landing, task)
    size = (people / "all.jsonl").stat().st_size
    assert names(lineage.inputs) == [campaign]
    assert names(lineage.outputs) == [("file", f"{people}/all.jsonl")]
    assert statistics(lineage.outputs[0]) == (7, size)
    assert said(lineage) == {
        "service": "graine",
        "campaignIds": [campaign_id],
        "batchIds": list(sandbox.batches),
        "files": 1,
        "rows": 7,
        "bytes": size,
    }


def test_a_task_that_has_failed_says_what_it_had_read_and_written(
    sandbox: Sandbox, people: Path, campaign_id: str, task: Task
) -> None:
    upload = ObjectStorageToGraineOperator(
        task_id="call",
        campaign_id=campaign_id,
        path=f"{people}/people/*.csv",
        suppress=f"{people}/do_not_call.csv",
        rejects_path=f"{people}/rejected.csv",
    )
    with pytest.raises(ContactsRejectedError):
        run(upload, task)
    lineage = extracted(upload, task, TaskInstanceState.FAILED)
    assert names(lineage.outputs) == [("file", f"{people}/rejected.csv")]
    assert said(lineage) == {
        "service": "graine",
        "batches": 0,
        "read": 8,
        "accepted": 7,
        "rejected": 1,
        "rejectedByReason": {"suppressed": 1},
    }
    assert not sandbox.batches


def test_a_list_in_the_dag_is_not_told(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    contacts = [{"phone_number": number, "callee_name": "Asha"} for number in NUMBERS]
    operator = GraineCreateBatchOperator(task_id="call", campaign_id=campaign_id, contacts=contacts)
    run(operator, task)
    lineage = extracted(operator, task)
    assert names(lineage.inputs) == []
    assert set(lineage.run_facets) == {"graine_calls"}


def test_after_a_deferral_the_counts_are_those_of_the_process_before(
    sandbox: Sandbox, people: Path, campaign_id: str, task: Task
) -> None:
    arguments: dict[str, Any] = {
        "campaign_id": campaign_id,
        "path": f"{people}/people/*.csv",
        "wait_for_completion": True,
        "poll_interval": 0.05,
        "deferrable": True,
        "outlets": [AssetAlias("renewals")],
    }
    with pytest.raises(TaskDeferred) as deferred:
        run(ObjectStorageToGraineOperator(task_id="call", **arguments), task)
    sandbox.run_until_idle()
    event = asyncio.run(anext(deferred.value.trigger.run()))
    xcom = task.xcom

    resumed = ObjectStorageToGraineOperator(task_id="call", **arguments)
    events = resume(resumed, task, event.payload, xcom=xcom)
    task.xcom = xcom
    lineage = extracted(resumed, task)
    assert said(lineage)["accepted"] == 8
    assert statistics(lineage.outputs[0]) == (8, None)
    [told] = events[AssetAlias("renewals")].asset_alias_events
    assert (told.extra["accepted"], told.extra["batch_ids"]) == (8, list(sandbox.batches))


def test_of_kataven_the_campaigns_are_what_people_are_put_on(kataven: KatavenAccount, people: Path, task: Task) -> None:
    upload = ObjectStorageToKatavenOperator(
        task_id="call",
        name="Renewals",
        agent_id=AGENT,
        phone_number_id=NUMBER,
        path=f"{people}/people/*.csv",
        batch_size=5,
        start=False,
    )
    run(upload, task)
    ids = list(kataven.campaigns)
    lineage = extracted(upload, task)
    [namespace] = {output.namespace for output in lineage.outputs}
    assert namespace.startswith("kataven://127.0.0.1:")
    campaigns = [(namespace, f"campaigns/{campaign_id}") for campaign_id in ids]
    assert len(campaigns) == 2
    assert sorted(names(lineage.outputs)) == sorted(campaigns)
    assert (said(lineage)["accepted"], sorted(said(lineage)["campaignIds"])) == (8, sorted(ids))

    landing = KatavenToObjectStorageOperator(task_id="land", campaign_ids=ids, path=f"{people}/results")
    run(landing, Task(task_id="land"))
    lineage = extracted(landing, task)
    assert names(lineage.inputs) == campaigns
    assert names(lineage.outputs) == [("file", f"{people}/results/{campaign_id}.csv") for campaign_id in ids]


def test_a_report_reads_the_campaign_and_is_a_file(
    sandbox: Sandbox, host: str, hook: GraineHook, people: Path, campaign_id: str, task: Task
) -> None:
    contacts = [{"phone_number": number, "call_variables": {"callee_name": "Asha"}} for number in NUMBERS]
    batch_id = hook.create_batch(campaign_id=campaign_id, contacts=contacts).batch_id
    report = GraineReportOperator(
        task_id="report", batch_ids=[batch_id], path=f"{people}/report.html", outlets=[AssetAlias("reports")]
    )
    events = run(report, task)
    lineage = extracted(report, task)
    assert names(lineage.inputs) == [(f"graine://{host}", f"campaigns/{campaign_id}")]
    assert names(lineage.outputs) == [("file", f"{people}/report.html")]
    [told] = events[AssetAlias("reports")].asset_alias_events
    assert (told.extra["people"], told.extra["batch_ids"]) == (8, [batch_id])
