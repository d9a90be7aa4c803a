"""What the page is told, over the wire, of calls that really are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.operators.kataven import KatavenCreateCampaignOperator
from airflow_provider_graine.operators.links import KatavenCallsLink
from airflow_provider_graine.sandbox import Sandbox
from tests.task import Task
from tests.ui.database import stored_task

NUMBERS = [f"+9198765{number:05d}" for number in range(30)]
NAME = "Canarina Calleedotter"
TOKEN = "gat_sandbox"
AGENT, NUMBER = "5f0c6f0e-4c0f-4f57-9a7e-0a4f7f6f2a11", "0b9d2c1e-6a3f-4b58-8d21-3f5a9c7e1b22"


def ask(page: httpx.Client, **chosen: Any) -> dict[str, Any]:
    answer = page.get("/graine/api/calls", params={"conn_id": "graine_default", **chosen})
    assert answer.status_code == 200, answer.text
    assert not [each for each in (*NUMBERS, NAME, TOKEN, "98765") if each in answer.text]
    told: dict[str, Any] = answer.json()
    return told


def call(task: Task, campaign_id: str, numbers: list[str] = NUMBERS) -> list[str]:
    contacts = [{"phone_number": number, "callee_name": NAME} for number in numbers]
    operator = GraineCreateBatchOperator(
        task_id=task.task_id, campaign_id=campaign_id, contacts=contacts, batch_size=15, resend_after=60
    )
    ids: list[str] = task.run(operator)
    return ids


@pytest.fixture
def known_task() -> Iterator[None]:
    """The task instance of :class:`Task`, known to Airflow."""
    with stored_task("manual__2026-05-10", "call_people"):
        yield


def test_outcomes_retries_and_the_task_that_made_them(
    page: httpx.Client, sandbox: Sandbox, campaign_id: str, task: Task, known_task: None
) -> None:
    ids = call(task, campaign_id)
    sandbox.advance(900)
    told = ask(page)
    truth = [contact["status"] for batch_id in ids for contact in sandbox.contacts(batch_id)]
    assert told["summary"]["contacts"] == len(truth) == 30
    assert told["summary"]["groups"]["completed"] == truth.count("completed") > 0
    assert told["summary"]["groups"].get("retrying", 0) == truth.count("retrying") > 0
    [campaign] = told["campaigns"]
    assert campaign["name"] == "Renewals"
    assert campaign["attempts"] == sandbox.attempts.total()
    assert campaign["retries"] == [[1, truth.count("retrying")]]
    assert {part["id"] for part in told["parts"]} == set(ids)
    assert {json.dumps(part["task"]) for part in told["parts"]} == {
        json.dumps(
            {
                "dag_id": "calls",
                "run_id": "manual__2026-05-10",
                "task_id": "call_people",
                "map_index": -1,
                "state": "deferred",
            }
        )
    }
    created = told["created"]
    assert sum(sum(column) for column in created["values"].values()) == 30


def test_a_choice_leads_to_the_calls_of_a_task_a_campaign_or_a_batch(
    page: httpx.Client, hook: GraineHook, campaign_id: str
) -> None:
    mine = call(Task(), campaign_id, NUMBERS[:15])
    others = call(Task(run_id="scheduled__2026-05-11"), campaign_id, NUMBERS[15:])
    of_task = {"dag_id": "calls", "run_id": "manual__2026-05-10", "task_id": "call_people", "map_index": -1}
    for chosen, ids in (
        (of_task, mine),
        ({"dag_id": "calls"}, [*mine, *others]),
        ({**of_task, "map_index": 3}, []),
        ({"campaign_id": campaign_id}, [*mine, *others]),
        ({"campaign_id": "cmp_other"}, []),
        ({"batch_id": [others[0], "btc_other"]}, others),
    ):
        told = ask(page, **chosen)
        assert sorted(part["id"] for part in told["parts"]) == sorted(ids), chosen
        assert told["summary"]["parts"] == len(ids)


def test_tasks_of_dags_that_one_may_not_read_are_not_told(
    page: httpx.Client, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    call(task, campaign_id)
    asked = []

    def is_authorized_dag(*, method: str, user: Any, access_entity: Any, details: Any) -> bool:
        asked.append((method, access_entity.name, details.id))
        return False

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", is_authorized_dag)
    told = ask(page)
    assert asked == [("GET", "TASK_INSTANCE", "calls")]
    assert [part["task"] for part in told["parts"]] == [None, None]
    assert "manual__2026-05-10" not in json.dumps(told)
    assert ask(page, dag_id="calls")["parts"] == []  # not even whether there are any


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("status", {"status": 500, "detail": f"cannot call {NUMBERS[0]}, {NAME}", "times": None}),
        ("status", {"status": 422, "detail": f"{NAME} {NUMBERS[1]} {TOKEN}", "times": None}),
        ("html", {"times": None}),
        ("truncate", {"times": None}),
        ("fields", {"fields": {"status": f"{NUMBERS[2]}", "counters": {NUMBERS[3]: 7, "completed": 1}}, "times": None}),
    ],
)
def test_what_a_broken_service_says_never_gets_to_the_page(
    page: httpx.Client,
    sandbox: Sandbox,
    campaign_id: str,
    task: Task,
    caplog: pytest.LogCaptureFixture,
    what: Any,
    how: dict[str, Any],
) -> None:
    call(task, campaign_id)
    sandbox.fault("GET *", what, **how)
    ask(page)
    ask(page)
    assert not [each for each in (*NUMBERS, NAME, TOKEN) if each in caplog.text]


def test_a_refused_token_is_said_without_it(page: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.rotate_token("gat_another")
    try:
        told = ask(page)
    finally:
        sandbox.rotate_token(TOKEN)
    assert told["age"] is None
    assert told["error"] == "The service does not accept the connection's token."


def test_a_silent_service_holds_nobody_up(
    page: httpx.Client, sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_graine.ui.watched.FIRST_PATIENCE", 0.3)
    call(task, campaign_id)
    sandbox.fault("GET *", "hang", seconds=2, times=1, when="before")
    told = ask(page)
    assert (told["age"], told["error"], told["is_refreshing"]) == (None, None, True)


def test_kataven_campaigns_are_told_to_be_of_the_tasks_whose_hash_is_in_their_names(
    page: httpx.Client, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", sandbox.kataven.connection_json())
    contacts = [{"phone_number": number, "callee_name": NAME} for number in NUMBERS]
    for task in (Task(map_index=4), Task(run_id="forgotten")):
        task.run(
            KatavenCreateCampaignOperator(
                task_id="call_people", name="Renewals", agent_id=AGENT, phone_number_id=NUMBER, contacts=contacts
            )
        )
    with stored_task("manual__2026-05-10", "call_people", map_index=4, xcoms={KatavenCallsLink.xcom_key: "link"}):
        told = ask(page, conn_id="kataven_default")
        of_task = {"dag_id": "calls", "run_id": "forgotten", "task_id": "call_people"}
        by_hash = ask(page, conn_id="kataven_default", **of_task)
    assert [(part["name"], part["contacts"], part["status"]) for part in told["parts"]] == [
        ("Renewals", 30, "draft")
    ] * 2
    made = [part["task"] and (part["task"]["run_id"], part["task"]["map_index"]) for part in told["parts"]]
    assert sorted(made, key=str) == [("manual__2026-05-10", 4), None]
    assert len(by_hash["parts"]) == 1
