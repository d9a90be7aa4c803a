"""The upload operators against a service whose time stands still: who gets onto which batch."""

from __future__ import annotations

import csv
import json
import logging
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ConfigurationError,
    ContactsRejectedError,
    NotFoundError,
    SourceError,
    UploadError,
    WaitError,
)
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.sandbox import Sandbox
from tests.compat import TaskDeferred
from tests.task import StateStore, Task

BAD = [
    {"phone_number": "+919876500001", "callee_name": "Good"},
    {"phone_number": "12345", "callee_name": "Malformed"},
    {"phone_number": "+919876500002", "callee_name": "  "},
    {"phone_number": "+91 98765 00001", "callee_name": "Duplicate"},
    {"phone_number": "+919876500003", "callee_name": "Opted out"},
]


def people(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    return [{"phone_number": f"+9198765{i:05}", "callee_name": f"Person {i}"} for i in range(start, start + count)]


def upload(contacts: Any, campaign_id: str, **arguments: Any) -> GraineCreateBatchOperator:
    arguments = {"resend_after": 2.0, **arguments}
    return GraineCreateBatchOperator(task_id="call", contacts=contacts, campaign_id=campaign_id, **arguments)


def creates(sandbox: Sandbox) -> list[Any]:
    return [request for request in sandbox.requests if (request.method, request.path) == ("POST", "/api/v1/batches/")]


def everybody_once(sandbox: Sandbox, contacts: list[dict[str, Any]]) -> bool:
    return sandbox.dialled == dict.fromkeys((contact["phone_number"] for contact in contacts), 1)


def test_batch_is_sent_as_documented(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    contacts = [
        {
            "phone_number": "+91 98765 43210",
            "callee_name": "Rajesh Sharma",
            "premium": Decimal("12000.50"),
            "renewal_date": datetime(2026, 7, 1, tzinfo=UTC).date(),
            "visits": 3,
            "smoker": False,
            "agent": None,
            "tags": ["a", {"b": 1}],
        },
        {"phone_number": "+919876543211", "call_variables": {"callee_name": "Priya Mehta", "current_plan": "Family"}},
    ]
    (batch_id,) = task.run(
        upload(
            contacts,
            campaign_id,
            concurrency_limit=10,
            max_retries_override=0,
            call_context={"queue": "renewals"},
            metadata={"team": "retention"},
            scheduled_start="2026-05-12T09:00:00",
        )
    )

    (request,) = creates(sandbox)
    body = request.json()
    metadata = body.pop("metadata")
    assert body == {
        "campaign_id": campaign_id,
        "contacts": [
            {
                "phone_number": "+919876543210",
                "call_variables": {
                    "agent": None,
                    "callee_name": "Rajesh Sharma",
                    "premium": "12000.50",
                    "renewal_date": "2026-07-01",
                    "smoker": False,
                    "tags": ["a", {"b": 1}],
                    "visits": 3,
                },
            },
            {
                "phone_number": "+919876543211",
                "call_variables": {"callee_name": "Priya Mehta", "current_plan": "Family"},
            },
        ],
        "scheduled_start": "2026-05-12T09:00:00",
        "concurrency_limit": 10,
        "max_retries_override": 0,
        "call_context": {"queue": "renewals"},
    }
    assert metadata["team"] == "retention"
    assert metadata["airflow_run_id"] == task.run_id
    assert request.headers["authorization"] == f"Bearer {sandbox.token}"
    assert request.headers["content-type"] == "application/json"
    assert sandbox.batches[batch_id]["total_contacts"] == 2
    assert task.xcom["summary"] == {"read": 2, "accepted": 2, "rejected": {}, "batches": 1}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (datetime(2026, 5, 12, 9, 0, tzinfo=UTC), "2026-05-12T09:00:00Z"),
        (datetime(2026, 5, 12, 9, 0, 1, 500, tzinfo=timezone(timedelta(hours=5.5))), "2026-05-12T03:30:01Z"),
        (datetime(2026, 5, 12, 9, 0), "2026-05-12T09:00:00"),
        ("2026-05-12T09:00:00Z", "2026-05-12T09:00:00Z"),
        ("2026-05-12 09:00:00+05:30", "2026-05-12T03:30:00Z"),
        ("2026-05-12T09:00", "2026-05-12T09:00:00"),
    ],
)
def test_start_time_goes_out_as_utc_or_as_it_is(
    sandbox: Sandbox, campaign_id: str, task: Task, given: Any, sent: str
) -> None:
    (batch_id,) = task.run(upload(people(1), campaign_id, scheduled_start=given))

    assert creates(sandbox)[0].json()["scheduled_start"] == sent
    assert sandbox.batches[batch_id]["status"] == "pending"


@pytest.mark.parametrize(
    "wrong",
    [
        {"scheduled_start": "tomorrow"},
        {"scheduled_start": "2026-05-12"},
        {"scheduled_start": 5},
        {"concurrency_limit": 0},
        {"max_retries_override": -1},
        {"batch_size": 0},
        {"on_invalid": "ignore"},
        {"default_region": "Mars"},
        {"number_check": "strict"},
        {"campaign_id": ""},
        {"resend_after": -1},
        {"poll_interval": 0},
    ],
)
def test_wrong_argument_fails_before_anything_is_sent(
    sandbox: Sandbox, campaign_id: str, task: Task, wrong: dict[str, Any]
) -> None:
    before = len(sandbox.requests)
    with pytest.raises(ConfigurationError):
        task.run(upload(people(1), **{"campaign_id": campaign_id, **wrong}))
    assert len(sandbox.requests) == before


def test_bad_list_fails_names_the_counts_and_sends_nothing(
    sandbox: Sandbox,
    campaign_id: str,
    task: Task,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = len(sandbox.requests)
    suppress = tmp_path / "optouts.csv"
    suppress.write_text("phone_number\n+919876500003\n")
    rejects = tmp_path / "rejected.csv"

    with caplog.at_level(logging.DEBUG), pytest.raises(ContactsRejectedError) as error:
        task.run(upload(BAD, campaign_id, suppress=[str(suppress)], rejects_path=str(rejects)))

    message = str(error.value)
    assert "4 of 5 contacts were rejected" in message
    for reason in ("1 invalid_number", "1 missing_name", "1 duplicate", "1 suppressed"):
        assert reason in message
    assert str(rejects) in message
    assert len(sandbox.requests) == before
    with rejects.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["row"], row["reason"]) for row in rows] == [
        ("2", "invalid_number"),
        ("3", "missing_name"),
        ("4", "duplicate"),
        ("5", "suppressed"),
    ]
    said = message + caplog.text + "".join(capsys.readouterr())
    assert "4 rejected" in said
    assert not any(name in said for name in ("98765", "Malformed", "Opted"))


def test_bad_list_with_skip_calls_the_others(sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path) -> None:
    suppress = tmp_path / "optouts.jsonl"
    suppress.write_text('{"phone_number": "98765 00003"}\n')
    rejects = tmp_path / "deep" / "rejected.csv"
    task.run(upload(BAD, campaign_id, suppress=[str(suppress)], on_invalid="skip", rejects_path=f"file://{rejects}"))

    summary = task.xcom["summary"]
    assert summary["accepted"] + sum(summary["rejected"].values()) == summary["read"] == 5
    assert summary["rejects_path"] == f"file://{rejects}"
    assert dict(sandbox.dialled) == {"+919876500001": 1}
    assert len(rejects.read_text().splitlines()) == 5
    json.dumps(summary)


def test_missing_suppression_list_is_not_an_empty_one(
    sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path
) -> None:
    for path in (tmp_path / "gone.csv", tmp_path / "gone*.csv"):
        with pytest.raises(SourceError, match=r"[Nn]othing was sent"):
            task.run(upload(people(1), campaign_id, suppress=[str(path)]))
    assert not creates(sandbox)


def test_query_to_suppress_needs_a_connection(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    with pytest.raises(ConfigurationError, match="suppress_conn_id"):
        task.run(upload(people(1), campaign_id, suppress="SELECT phone FROM optouts"))


def test_nobody_to_call_creates_no_batch(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    assert task.run(upload([], campaign_id, wait_for_completion=True)) == []
    assert task.xcom["summary"] == {"read": 0, "accepted": 0, "rejected": {}, "batches": 0}
    assert not creates(sandbox)


def test_list_is_split_into_batches_in_its_order(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    contacts = people(25)
    batch_ids = task.run(upload(contacts, campaign_id, batch_size=10))

    assert [sandbox.batches[batch_id]["total_contacts"] for batch_id in batch_ids] == [10, 10, 5]
    sent = [contact["phone_number"] for request in creates(sandbox) for contact in request.json()["contacts"]]
    assert sent == [contact["phone_number"] for contact in contacts]


@pytest.mark.parametrize(("count", "limits"), [(10, [10]), (30, [4, 3, 3]), (95, [1] * 10)])
def test_splitting_does_not_raise_the_concurrency(
    sandbox: Sandbox, campaign_id: str, task: Task, count: int, limits: list[int]
) -> None:
    task.run(upload(people(count), campaign_id, batch_size=10, concurrency_limit=10))
    assert [request.json()["concurrency_limit"] for request in creates(sandbox)] == limits


def test_more_batches_than_parallel_calls_fails_before_anything_is_sent(
    sandbox: Sandbox, campaign_id: str, task: Task
) -> None:
    with pytest.raises(ConfigurationError, match="needs 3 more batches and only 2"):
        task.run(upload(people(30), campaign_id, batch_size=10, concurrency_limit=2))
    assert not creates(sandbox)


def test_campaign_that_caps_its_batches_leaves_the_limit_whole(sandbox: Sandbox, hook: GraineHook, task: Task) -> None:
    capped = hook.create_campaign(
        name="c", agent_id="a", phone_numbers=["+918045678900"], metadata={"concurrency_limit": 2}
    ).campaign_id
    task.run(upload(people(30), capped, batch_size=10, concurrency_limit=2))
    assert [request.json()["concurrency_limit"] for request in creates(sandbox)] == [2, 2, 2]


@pytest.mark.parametrize("state", ["pause", "cancel"])
def test_stopped_campaign_gets_no_batch(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, task: Task, state: str
) -> None:
    Task(task_id="earlier").run(upload(people(1), campaign_id))
    getattr(hook, f"{state}_campaign")(campaign_id)
    with pytest.raises(UploadError, match="Nothing was sent"):
        task.run(upload(people(1, start=1), campaign_id))
    assert len(creates(sandbox)) == 1


def test_unknown_campaign(sandbox: Sandbox, task: Task) -> None:
    with pytest.raises(NotFoundError):
        task.run(upload(people(1), "cmp_unknown"))
    assert not sandbox.dialled


def test_revoked_token(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    sandbox.rotate_token("gat_new_token")
    with pytest.raises(AuthenticationError):
        task.run(upload(people(1), campaign_id))
    sandbox.rotate_token("gat_sandbox")
    assert not sandbox.dialled


# -- tries ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", [StateStore(), None], ids=["with task state", "without task state"])
def test_running_again_returns_the_same_batches_and_dials_nobody(
    sandbox: Sandbox, campaign_id: str, store: StateStore | None
) -> None:
    task = Task(store=store)
    contacts = people(25)
    first = task.run(upload(contacts, campaign_id, batch_size=10))

    assert task.run(upload(contacts, campaign_id, batch_size=10)) == first
    assert len(creates(sandbox)) == 3
    assert everybody_once(sandbox, contacts)
    assert task.xcom["summary"]["batches"] == 3


def test_another_run_calls_the_people_again(sandbox: Sandbox, campaign_id: str) -> None:
    Task(run_id="monday").run(upload(people(3), campaign_id))
    Task(run_id="tuesday").run(upload(people(3), campaign_id))
    assert set(sandbox.dialled.values()) == {2}


def test_mapped_tasks_are_uploads_of_their_own(sandbox: Sandbox, campaign_id: str) -> None:
    Task(map_index=0).run(upload(people(3), campaign_id))
    Task(map_index=1).run(upload(people(3, start=3), campaign_id))
    assert everybody_once(sandbox, people(6))


UNCLEAR: list[dict[str, Any]] = [
    {"what": "drop"},
    {"what": "drop", "reset": True},
    {"what": "status", "status": 500},
    {"what": "status", "status": 503},
    {"what": "status", "status": 429},
    {"what": "status", "status": 408},
    {"what": "html"},
    {"what": "truncate"},
]


@pytest.mark.parametrize("fault", UNCLEAR, ids=str)
def test_batch_created_without_a_clear_answer_is_adopted(
    sandbox: Sandbox, campaign_id: str, task: Task, fault: dict[str, Any]
) -> None:
    sandbox.fault("POST /batches/", after=1, **fault)
    contacts = people(25)

    batch_ids = task.run(upload(contacts, campaign_id, batch_size=10))

    assert sorted(batch_ids) == sorted(sandbox.batches)
    assert len(creates(sandbox)) == 3
    assert everybody_once(sandbox, contacts)


@pytest.mark.parametrize("fault", [fault for fault in UNCLEAR if fault["what"] != "truncate"], ids=str)
def test_batch_that_was_not_created_is_sent_again_after_the_time_for_doubt(
    sandbox: Sandbox, campaign_id: str, task: Task, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fault("POST /batches/", when="before", **fault)
    contacts = people(5)
    began = datetime.now(UTC)

    with caplog.at_level(logging.INFO):
        task.run(upload(contacts, campaign_id, resend_after=1.0))

    assert datetime.now(UTC) - began > timedelta(seconds=1)
    assert len(creates(sandbox)) == 2
    assert everybody_once(sandbox, contacts)
    assert "A complete search did not find it" in caplog.text


def test_hanging_service_is_given_up_and_the_batch_found(
    sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(sandbox.connection_json())
    connection["extra"] = {"timeout": 0.5}
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))
    sandbox.fault("POST /batches/", "hang", when="after", seconds=2)

    (batch_id,) = task.run(upload(people(5), campaign_id))

    assert batch_id in sandbox.batches
    assert everybody_once(sandbox, people(5))


def test_batch_that_is_listed_late_is_not_sent_twice(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    sandbox.fault("POST /batches/", "drop", when="after")
    sandbox.fault("POST /batches/", "late", list_calls=3)

    task.run(upload(people(5), campaign_id, resend_after=8.0))

    assert len(creates(sandbox)) == 1
    assert everybody_once(sandbox, people(5))


@pytest.mark.parametrize("store", [StateStore(), None], ids=["with task state", "without task state"])
def test_retry_waits_for_a_late_listing_before_it_sends(
    sandbox: Sandbox, campaign_id: str, store: StateStore | None
) -> None:
    task = Task(store=store)
    sandbox.fault("POST /batches/", "late", list_calls=2, times=None)
    sandbox.fault("POST /batches/", "status", status=401, when="before", after=1)
    contacts = people(20)
    with pytest.raises(AuthenticationError):
        task.run(upload(contacts, campaign_id, batch_size=10, resend_after=8.0))

    task.run(upload(contacts, campaign_id, batch_size=10, resend_after=8.0))

    assert everybody_once(sandbox, contacts)
    assert len(sandbox.batches) == 2


def test_changed_source_calls_the_new_people_only(
    sandbox: Sandbox, campaign_id: str, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fault("POST /batches/", "status", status=401, when="before", after=2)
    with pytest.raises(AuthenticationError):
        task.run(upload(people(30), campaign_id, batch_size=10))
    assert len(sandbox.dialled) == 20

    changed = [*reversed(people(35)[5:]), *people(2, start=100)]
    with caplog.at_level(logging.INFO):
        batch_ids = task.run(upload(changed, campaign_id, batch_size=10))

    assert set(sandbox.dialled.values()) == {1}
    assert set(sandbox.dialled) == {person["phone_number"] for person in [*people(35), *people(2, start=100)]}
    assert sorted(batch_ids) == sorted(sandbox.batches)
    assert "5 people on them are no longer in the source" in caplog.text


def test_partial_storage_fails_with_both_numbers(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    sandbox.fault("POST /batches/", "partial", keep=7)
    with pytest.raises(UploadError, match="holds 7 contacts where 10 were sent"):
        task.run(upload(people(10), campaign_id))
    with pytest.raises(UploadError, match="holds 7 contacts where 10 were sent"):
        task.run(upload(people(10), campaign_id))
    assert len(creates(sandbox)) == 1


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_waits_until_the_calls_are_done(
    sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: sandbox.advance(600))
    (batch_id,) = task.run(upload(people(20), campaign_id, wait_for_completion=True))
    assert sandbox.batches[batch_id]["status"] == "completed"


def test_wait_for_a_cancelled_batch_fails_with_the_counts(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: [hook.cancel_batch(batch_id) for batch_id in sandbox.batches])
    with pytest.raises(WaitError, match=r"btc_\w+ is cancelled.* of 20 contacts"):
        task.run(upload(people(20), campaign_id, wait_for_completion=True))


def test_deferred_wait_hands_the_batches_to_the_trigger(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    operator = upload(
        people(20), campaign_id, batch_size=10, wait_for_completion=True, deferrable=True, poll_interval=7
    )
    with pytest.raises(TaskDeferred) as deferred:
        task.run(operator)

    path, kwargs = deferred.value.trigger.serialize()
    assert path == "airflow_provider_graine.triggers.graine.GraineBatchTrigger"
    assert sorted(kwargs["batch_ids"]) == sorted(sandbox.batches)
    assert kwargs["poll_interval"] == 7
    assert task.xcom["summary"]["batches"] == 2

    event = {"status": "done", "message": "All calls are done.", "counts": {}, "batch_ids": kwargs["batch_ids"]}
    assert operator.execute_complete(task.context(), event) == kwargs["batch_ids"]
    with pytest.raises(WaitError, match="stopped"):
        operator.execute_complete(task.context(), {**event, "status": "failed", "message": "stopped"})
    with pytest.raises(AuthenticationError):
        operator.execute_complete(task.context(), {"status": "error", "error": "AuthenticationError", "message": "x"})
    with pytest.raises(WaitError):
        operator.execute_complete(task.context(), None)


def test_contacts_are_not_rendered_where_others_see_them() -> None:
    assert "contacts" not in GraineCreateBatchOperator.template_fields
