"""Somebody is phoned about failures and deadlines, on a real Airflow: by whichever of its parts is to see to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from tests.e2e.standalone import DagRun, Standalone

pytestmark = pytest.mark.e2e

DAGS = Path(__file__).parent / "phoned"
NUMBER, NAME = "+14155550123", "Testina On-Call"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=60, scripts={NUMBER: "completed"}) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", sandbox.connection_json())
        hook = GraineHook()
        campaign = hook.create_campaign(name="On call", agent_id="agent_1", phone_numbers=["+918045678900"])
        hook.close()
    environment = {
        "AIRFLOW_CONN_GRAINE_DEFAULT": sandbox.connection_json(),
        "AIRFLOW_CONN_ON_CALL": json.dumps({"conn_type": "generic", "login": NAME, "password": NUMBER}),
        "AIRFLOW_VAR_ON_CALL_CAMPAIGN": campaign.campaign_id,
        "AIRFLOW_VAR_ON_CALL_NUMBER": NUMBER,
    }
    with Standalone(tmp_path_factory.mktemp("phoned"), dags=DAGS, environment=environment) as airflow:
        yield airflow


def told(sandbox: Sandbox, run: DagRun) -> list[str]:
    """Give what somebody was phoned about."""
    contacts = [contact for batch_id in sandbox.batches for contact in sandbox.contacts(batch_id)]
    assert {contact["call_variables"]["run_id"] for contact in contacts} <= {run.run_id}
    return sorted(contact["call_variables"]["failure"] for contact in contacts)


def test_a_missed_deadline_and_a_failure_are_phoned_once_each(
    airflow: Standalone, sandbox: Sandbox, tmp_path: Path
) -> None:
    until = tmp_path / "now"
    run = airflow.trigger("phoned", {"until": str(until)})
    airflow.wait_until(
        lambda: told(sandbox, run) == ["deadline"] * 2, "somebody is phoned about both deadlines", timeout=90
    )
    until.touch()
    airflow.wait_until(
        lambda: told(sandbox, run) == ["dag", "deadline", "deadline", "task"], "and about the failures", timeout=90
    )
    airflow.wait_until(lambda: sandbox.attempts == {NUMBER: 4}, "the calls are made", timeout=30)
    assert run.state() == "failed"

    variables: list[dict[str, Any]] = [sandbox.contacts(batch_id)[0]["call_variables"] for batch_id in sandbox.batches]
    assert {each["callee_name"] for each in variables} == {NAME}
    [of_task] = [each for each in variables if each["failure"] == "task"]
    assert (of_task["task_id"], of_task["try_number"], of_task["exception_type"]) == ("fail_late", 1, "LookupError")
    logs = [file for file in airflow.home.rglob("*.log") if "phones somebody about" in file.read_text(errors="replace")]
    assert len(logs) >= 2, "who looks for the number has to know where"
    assert [file.name for file in airflow.home.rglob("*.log") if NUMBER[2:] in file.read_text(errors="replace")] == []
