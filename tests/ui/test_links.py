"""The links on a task's page: there before anybody is called, and about nothing but what the task is about."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import ContactsRejectedError
from airflow_provider_graine.operators.graine import (
    GraineCancelBatchOperator,
    GraineCreateBatchOperator,
    GraineCreateCampaignOperator,
    GrainePauseCampaignOperator,
)
from airflow_provider_graine.operators.kataven import KatavenCreateCampaignOperator, KatavenStartCampaignOperator
from airflow_provider_graine.operators.links import PAGE, GraineCallsLink, GraineReportLink, KatavenCallsLink
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sensors.graine import GraineBatchSensor, GraineCampaignSensor
from airflow_provider_graine.sensors.kataven import KatavenCampaignSensor
from airflow_provider_graine.ui.app import _MOST_CHOSEN
from tests.task import Task

PEOPLE = [{"phone_number": "+919876543210", "callee_name": "Canarina Calleedotter"}]
OF_TASK = {"dag_id": "calls", "run_id": "manual__2026-05-10", "task_id": "call_people", "map_index": "2"}
OF_RUN = {"dag_id": "calls", "run_id": "manual__2026-05-10"}


def question(url: str) -> dict[str, Any]:
    assert urlsplit(url).path == f"/plugin/{PAGE}"
    return {name: each[0] if len(each) == 1 else each for name, each in parse_qs(urlsplit(url).query).items()}


def link_of(operator: BaseOperator) -> dict[str, Any]:
    [link] = operator.operator_extra_links
    assert link.name == "Calls"
    return question(link.get_link(operator, ti_key=Task(map_index=2).context()["ti"]))


@pytest.mark.parametrize(
    ("operator", "about"),
    [
        (
            GraineCreateBatchOperator(task_id="t", campaign_id="cmp_1", contacts=PEOPLE, graine_conn_id="emea"),
            {"conn_id": "emea", **OF_TASK},
        ),
        (
            KatavenCreateCampaignOperator(
                task_id="t", name="n", agent_id="a", phone_number_id="p", contacts=PEOPLE, kataven_conn_id="trial"
            ),
            {"conn_id": "trial", **OF_TASK},
        ),
        (GraineCampaignSensor(task_id="t", campaign_id="cmp_1"), {"conn_id": "graine_default", "campaign_id": "cmp_1"}),
        (GraineBatchSensor(task_id="t", batch_ids="btc_1"), {"conn_id": "graine_default", "batch_id": "btc_1"}),
        (
            GraineBatchSensor(task_id="t", batch_ids=[["btc_1"], ["btc_2"]]),
            {"conn_id": "graine_default", "batch_id": ["btc_1", "btc_2"]},
        ),
        (
            GraineBatchSensor(task_id="t", batch_ids=[f"btc_{each}" for each in range(_MOST_CHOSEN)]),
            {"conn_id": "graine_default", "batch_id": [f"btc_{each}" for each in range(_MOST_CHOSEN)]},
        ),
        (
            GraineBatchSensor(task_id="t", batch_ids=[f"btc_{each}" for each in range(_MOST_CHOSEN + 1)]),
            {"conn_id": "graine_default", **OF_RUN},
        ),
        (GraineBatchSensor(task_id="t", batch_ids="{{ failed.to_render }}"), {"conn_id": "graine_default"}),
        (
            KatavenCampaignSensor(task_id="t", campaign_ids=["1", "2"]),
            {"conn_id": "kataven_default", "batch_id": ["1", "2"]},
        ),
        (
            KatavenStartCampaignOperator(task_id="t", campaign_id="7"),
            {"conn_id": "kataven_default", "campaign_id": "7"},
        ),
        (GraineCancelBatchOperator(task_id="t", batch_id="btc_1"), {"conn_id": "graine_default", "batch_id": "btc_1"}),
        (
            GrainePauseCampaignOperator(task_id="t", campaign_id="cmp_1"),
            {"conn_id": "graine_default", "campaign_id": "cmp_1"},
        ),
        (
            GraineCreateCampaignOperator(task_id="t", name="n", agent_id="a", phone_numbers=["+918045678900"]),
            {"conn_id": "graine_default"},
        ),
    ],
)
def test_each_leads_to_what_the_task_is_about(operator: BaseOperator, about: dict[str, Any]) -> None:
    assert link_of(operator) == about


def test_an_upload_has_its_link_before_anybody_is_called(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    operator = GraineCreateBatchOperator(
        task_id="call_people", campaign_id=campaign_id, contacts=[{"phone_number": ""}]
    )
    with pytest.raises(ContactsRejectedError):
        task.run(operator)
    assert not sandbox.batches
    assert question(task.xcom[GraineCallsLink.xcom_key]) == {"conn_id": "graine_default", **OF_TASK, "map_index": "-1"}


def test_a_sensor_has_its_link_while_it_waits(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    sensor = GraineCampaignSensor(task_id="wait", campaign_id=campaign_id, deferrable=True)
    with pytest.raises(TaskDeferred):
        task.run(sensor)
    assert question(task.xcom[GraineCallsLink.xcom_key]) == {"conn_id": "graine_default", "campaign_id": campaign_id}


def test_a_link_that_cannot_be_set_keeps_nobody_from_being_called(
    sandbox: Sandbox, campaign_id: str, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    context = task.context()
    push = context["ti"].xcom_push

    def refuse_links(key: str, value: Any) -> None:
        if key == GraineCallsLink.xcom_key:
            raise RuntimeError("+919876543210")
        push(key, value)

    context["ti"].xcom_push = refuse_links
    GraineCreateBatchOperator(task_id="call_people", campaign_id=campaign_id, contacts=PEOPLE).execute(context)
    assert list(sandbox.dialled) == ["+919876543210"]
    assert "The link Calls could not be set (RuntimeError)" in caplog.text
    assert "98765" not in caplog.text


def test_addresses_begin_as_airflows_own_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ti = Task(run_id="manual__2026-05-10T09:00:00+00:00", task_id="report").context()["ti"]
    report = "graine/report/calls/manual__2026-05-10T09%3A00%3A00%2B00%3A00/report/-1"
    sensor = GraineCampaignSensor(task_id="wait", campaign_id="cmp_1")
    for base_url in ("https://example.org/airflow", "https://example.org/airflow/"):
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
        assert GraineReportLink().get_link(sensor, ti_key=ti) == f"https://example.org/airflow/{report}"
        link = GraineCallsLink().get_link(sensor, ti_key=ti)
        assert link == f"https://example.org/airflow/plugin/{PAGE}?conn_id=graine_default&campaign_id=cmp_1"


def test_links_survive_serialisation_under_their_keys() -> None:
    keys = {GraineCallsLink.xcom_key, KatavenCallsLink.xcom_key, GraineReportLink.xcom_key}
    assert keys == {"graine_calls_link", "kataven_calls_link", "graine_report_link"}
    try:
        from airflow.serialization.serialized_objects import OperatorSerialization
    except ImportError:  # Airflow 3.1
        from airflow.serialization.serialized_objects import SerializedBaseOperator as OperatorSerialization

    sensor = GraineCampaignSensor(task_id="wait", campaign_id="cmp_1")
    told = OperatorSerialization.serialize(sensor)["__var"]["_operator_extra_links"]
    assert told == {"Calls": "graine_calls_link"}
