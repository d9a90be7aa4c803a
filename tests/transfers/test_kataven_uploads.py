"""People onto Kataven campaigns, against a service whose time stands still."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ConfigurationError,
    ContactsRejectedError,
    RequestRejectedError,
    SourceError,
    TaskKilledError,
    UploadError,
)
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.hooks.kataven_campaigns import MOST_NAME, KatavenCampaigns
from airflow_provider_graine.operators import upload_memory
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.services import limits
from airflow_provider_graine.transfers.object_storage_to_kataven import ObjectStorageToKatavenOperator
from airflow_provider_graine.transfers.sql_to_kataven import SqlToKatavenOperator
from airflow_provider_graine.triggers.pause import KatavenPauseTrigger
from tests.compat import TaskDeferred
from tests.task import StateStore, Task

AGENT = "11111111-1111-4111-8111-111111111111"
NUMBER = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def kataven(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[KatavenAccount]:
    """An empty account whose time stands still, known to Airflow as ``kataven_default``."""
    shared_sandbox.reset()
    account = shared_sandbox.kataven
    account.settings.rate_limits = False
    account.settings.concurrent_max = 100
    connect(monkeypatch, account)
    limits._limiters.clear()
    yield account
    limits._limiters.clear()


def connect(monkeypatch: pytest.MonkeyPatch, account: KatavenAccount, **extra: Any) -> None:
    connection = json.loads(account.connection_json())
    connection["extra"] = {
        "requests_per_minute": 10_000,
        "requests_per_hour": 100_000,
        "requests_per_day": 10**6,
        **extra,
    }
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """Make an operator that uploads people, given by their numbers, from a file."""

    def make(people: Any = 25, **arguments: Any) -> ObjectStorageToKatavenOperator:
        numbers = range(people) if isinstance(people, int) else people
        file = tmp_path / "people.csv"
        file.write_text("phone_number,callee_name\n" + "".join(f"{e164(n)},Person {n}\n" for n in numbers))
        defaults = {"name": "Renewals", "agent_id": AGENT, "phone_number_id": NUMBER, "batch_size": 10}
        defaults |= {"resend_after": 2.0, "task_id": "call", "path": str(file)}
        return ObjectStorageToKatavenOperator(**{**defaults, **arguments})

    return make


def e164(number: int) -> str:
    return f"+9198765{number:05}"


def creates(kataven: KatavenAccount) -> list[Any]:
    return [request for request in kataven.requests if (request.method, request.path) == ("POST", "/v1/campaigns")]


def everybody_once(kataven: KatavenAccount, people: Any) -> bool:
    numbers = range(people) if isinstance(people, int) else people
    return kataven.dialled == dict.fromkeys(map(e164, numbers), 1)


def statuses(kataven: KatavenAccount) -> list[str]:
    return sorted(campaign["status"] for campaign in kataven.campaigns.values())


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_campaigns_are_made_as_documented_and_started(kataven: KatavenAccount, task: Task, make: Any) -> None:
    ids = task.run(make(retries_per_contact=2, retry_delay_seconds=90, max_concurrent_calls=10))

    assert ids == list(kataven.campaigns)
    assert statuses(kataven) == ["running"] * 3
    assert [campaign["max_concurrent_calls"] for campaign in kataven.campaigns.values()] == [4, 3, 3]
    first = kataven.campaigns[ids[0]]
    assert (first["agent_id"], first["phone_number_id"]) == (AGENT, NUMBER)
    assert (first["retries_per_contact"], first["retry_delay_seconds"]) == (2, 90)
    assert re.fullmatch(r"Renewals \[af [0-9a-f]{12}\.-1\.0\.0\.1\.10\.[0-9a-f]{16}\]", first["name"])
    form = creates(kataven)[0].form()
    assert "scheduled_at" not in form
    assert form["contacts"].startswith(b"phone_number,callee_name\r\n+919876500000,Person 0\r\n")
    assert everybody_once(kataven, 25)
    assert task.xcom["summary"] == {"read": 25, "accepted": 25, "rejected": {}, "batches": 3}


def test_rows_of_a_query(kataven: KatavenAccount, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = sqlite3.connect(tmp_path / "warehouse.db")
    database.execute(
        "CREATE TABLE people (phone_number TEXT, callee_name TEXT, premium REAL, note TEXT, optout INTEGER)"
    )
    rows = [(e164(n), 'O"Hara, "\n' + str(n), n + 0.5, None, n == 3) for n in range(6)]
    database.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")})
    )
    operator = SqlToKatavenOperator(
        task_id="call",
        sql="SELECT phone_number, callee_name, premium, note FROM people WHERE premium < ? ORDER BY 1",
        sql_conn_id="warehouse",
        parameters=[5],
        suppress="SELECT phone_number FROM people WHERE optout",
        on_invalid="skip",
        name="Renewals",
        agent_id=AGENT,
        phone_number_id=NUMBER,
    )
    (campaign_id,) = task.run(operator)
    contacts = kataven.contacts(campaign_id)
    assert [contact["phone_number"] for contact in contacts] == [e164(n) for n in (0, 1, 2, 4)]
    assert contacts[1]["custom_fields"] == {"callee_name": 'O"Hara, "\n1', "note": "", "premium": "1.5"}
    assert task.xcom["summary"] == {"read": 5, "accepted": 4, "rejected": {"suppressed": 1}, "batches": 1}
    assert kataven.campaigns[campaign_id]["max_concurrent_calls"] == 5
    assert {"sql", "sql_conn_id", "parameters", "name", "agent_id", "suppress"} <= set(operator.template_fields)


def test_bad_list_sends_nothing(kataven: KatavenAccount, task: Task, make: Any) -> None:
    with pytest.raises(ContactsRejectedError):
        task.run(make([1, 2, 1]))
    assert not kataven.requests


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrent_calls": 0},
        {"max_concurrent_calls": 101},
        {"retries_per_contact": 6},
        {"retry_delay_seconds": 59},
        {"name": ""},
        {"agent_id": ""},
        {"batch_size": 0},
        {"resend_after": -1},
        {"shard": [0, 6]},
        {"start": False, "wait_for_completion": True},
        {"on_kill": "cancel"},
        {"start_timeout": 0},
        {"calling_hours": {"timezone": "Mars"}},
    ],
    ids=str,
)
def test_wrong_argument_fails_before_anything_is_sent(
    kataven: KatavenAccount, task: Task, make: Any, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        task.run(make(**wrong))
    assert not kataven.requests


def test_call_variable_that_is_called_like_the_column_of_the_number(
    kataven: KatavenAccount, task: Task, make: Any, tmp_path: Path
) -> None:
    operator = make(phone_column="mobile")
    (tmp_path / "people.csv").write_text("mobile,callee_name,phone_number\n+919876500001,Asha,+919876500002\n")
    with pytest.raises(SourceError, match="rename it"):
        task.run(operator)
    assert not creates(kataven)


def test_long_names_keep_their_mark(kataven: KatavenAccount, task: Task, make: Any) -> None:
    task.run(make(name="Q" * 300))
    assert {len(campaign["name"]) for campaign in kataven.campaigns.values()} == {MOST_NAME}
    assert task.run(make(name="Q" * 300)) == list(kataven.campaigns)


def test_without_start_the_campaigns_stay_drafts(kataven: KatavenAccount, task: Task, make: Any) -> None:
    ids = task.run(make(start=False))
    assert statuses(kataven) == ["draft"] * 3
    assert task.run(make(start=False)) == ids
    assert not kataven.dialled
    assert task.run(make()) == ids
    assert len(creates(kataven)) == 3
    assert everybody_once(kataven, 25)


# -- parallel calls ---------------------------------------------------------------------------------------------------


def test_more_campaigns_than_parallel_calls(kataven: KatavenAccount, task: Task, make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"needs 3 more campaigns and only 2 .* max_concurrent_calls"):
        task.run(make(max_concurrent_calls=2))
    assert not creates(kataven)


def test_one_at_a_time_each_has_all_of_them(
    kataven: KatavenAccount, shared_sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[int] = []

    def pass_time(_: float) -> None:
        running.append(statuses(kataven).count("running"))
        shared_sandbox.advance(120)

    monkeypatch.setattr("time.sleep", pass_time)
    ids = task.run(make(max_concurrent_calls=2, one_at_a_time=True))
    assert [campaign["max_concurrent_calls"] for campaign in kataven.campaigns.values()] == [2] * 3
    assert ids == list(kataven.campaigns)
    assert max(running) == 1
    assert everybody_once(kataven, 25)


def test_shards_share_the_parallel_calls(kataven: KatavenAccount, make: Any) -> None:
    for index in range(3):
        Task(map_index=index).run(make(60, shard=[index, 3], max_concurrent_calls=20, batch_size=100))
    assert sorted(campaign["max_concurrent_calls"] for campaign in kataven.campaigns.values()) == [6, 7, 7]
    assert everybody_once(kataven, 60)
    with pytest.raises(UploadError, match=r"made from shard \d of 3 by mapped task"):
        Task(map_index=0).run(make(60, shard=[0, 4], max_concurrent_calls=20, batch_size=100))


# -- tries ------------------------------------------------------------------------------------------------------------

STORES = pytest.mark.parametrize("store", [True, False], ids=["with task state", "without task state"])


@STORES
@pytest.mark.parametrize("page", [None, 2], ids=["one page", "pages"])
@pytest.mark.parametrize("order", ["id", "newest", "oldest"])
def test_running_again_returns_the_same_campaigns_and_dials_nobody(
    kataven: KatavenAccount, make: Any, store: bool, page: int | None, order: Any
) -> None:
    kataven.settings.campaigns_page, kataven.settings.campaigns_order = page, order
    task = Task(store=StateStore() if store else None)
    ids = task.run(make())
    assert task.run(make()) == ids
    assert len(creates(kataven)) == 3
    assert everybody_once(kataven, 25)


def test_redial_is_an_upload_of_its_own(kataven: KatavenAccount, make: Any) -> None:
    task = Task()
    task.run(make(on_rerun="redial"))
    task.max_tries = 1
    task.run(make(on_rerun="redial"))
    assert set(kataven.dialled.values()) == {2}
    assert len(kataven.campaigns) == 6


UNCLEAR: list[dict[str, Any]] = [
    {"what": "drop"},
    {"what": "drop", "reset": True},
    {"what": "status", "status": 500},
    {"what": "status", "status": 503},
    {"what": "status", "status": 429, "detail": "Call rate limit"},
    {"what": "status", "status": 408},
    {"what": "html"},
    {"what": "truncate"},
    {"what": "tear"},
]


@pytest.mark.parametrize("fault", UNCLEAR, ids=str)
def test_draft_made_without_a_clear_answer_is_used(
    kataven: KatavenAccount, task: Task, make: Any, fault: dict[str, Any]
) -> None:
    kataven.fault("POST /campaigns", after=1, **fault)
    ids = task.run(make())
    assert sorted(ids) == sorted(kataven.campaigns)
    assert len(creates(kataven)) == 3
    assert everybody_once(kataven, 25)


@pytest.mark.parametrize("fault", [fault for fault in UNCLEAR if fault["what"] not in ("truncate", "tear")], ids=str)
def test_draft_that_was_not_made_is_sent_again(
    kataven: KatavenAccount, task: Task, make: Any, fault: dict[str, Any]
) -> None:
    kataven.fault("POST /campaigns", when="before", **fault)
    task.run(make(resend_after=0.5))
    assert len(creates(kataven)) == 4
    assert everybody_once(kataven, 25)


@pytest.mark.parametrize("fault", UNCLEAR, ids=str)
@pytest.mark.parametrize("nth", [0, 2])
def test_start_without_a_clear_answer_is_settled_by_reading(
    kataven: KatavenAccount, task: Task, make: Any, fault: dict[str, Any], nth: int
) -> None:
    kataven.fault("POST /campaigns/{campaign_id}/start", after=nth, **fault)
    task.run(make())
    starts = [request.path for request in kataven.requests if request.path.endswith("/start")]
    assert len(starts) == len(set(starts)) == 3
    assert everybody_once(kataven, 25)


@STORES
def test_late_twin_is_deleted_before_or_after_the_start_and_never_started(
    kataven: KatavenAccount, shared_sandbox: Sandbox, make: Any, store: bool
) -> None:
    task = Task(store=StateStore() if store else None)
    kataven.fault("POST /campaigns", "drop")
    kataven.fault("POST /campaigns", "late", virtual_seconds=100)
    ids = task.run(make(resend_after=0.5))
    assert statuses(kataven) == ["draft", *["running"] * 3]  # the orphan
    shared_sandbox.advance(101)
    assert task.run(make()) == ids
    assert "draft" not in statuses(kataven)
    assert everybody_once(kataven, 25)


def test_refusal_in_the_middle_and_a_retry(kataven: KatavenAccount, task: Task, make: Any) -> None:
    kataven.fault("POST /campaigns", "status", status=400, when="before", after=1)
    with pytest.raises(RequestRejectedError):
        task.run(make())
    assert statuses(kataven) == ["draft"]
    assert task.run(make()) == list(kataven.campaigns)
    assert len(creates(kataven)) == 4
    assert everybody_once(kataven, 25)


def test_revoked_token_and_a_retry(kataven: KatavenAccount, task: Task, make: Any) -> None:
    token = kataven.token
    kataven.rotate_token("sk_live_sandbox_new")
    with pytest.raises(AuthenticationError):
        task.run(make())
    kataven.rotate_token(token)
    task.run(make())
    assert everybody_once(kataven, 25)


@STORES
def test_changed_source_before_the_start(kataven: KatavenAccount, make: Any, store: bool) -> None:
    task = Task(store=StateStore() if store else None)
    kataven.fault("POST /campaigns/{campaign_id}/start", "status", status=400, when="before")
    with pytest.raises(RequestRejectedError):
        task.run(make(25))
    changed = [*range(30, 20, -1), *range(5, 20)]
    task.run(make(changed))
    assert everybody_once(kataven, changed)
    assert "draft" not in statuses(kataven)


@STORES
def test_changed_source_after_some_were_started(
    kataven: KatavenAccount, make: Any, store: bool, caplog: pytest.LogCaptureFixture
) -> None:
    task = Task(store=StateStore() if store else None)
    kataven.fault("POST /campaigns/{campaign_id}/start", "status", status=400, when="before", after=1)
    with pytest.raises(RequestRejectedError):
        task.run(make(25, max_concurrent_calls=20))
    assert statuses(kataven) == ["draft", "draft", "running"]
    with caplog.at_level(logging.INFO):
        task.run(make([*range(35, 4, -1)], max_concurrent_calls=20))
    assert everybody_once(kataven, 36)
    assert "draft" not in statuses(kataven)
    assert "5 people on them are no longer in the source" in caplog.text
    assert "98765" not in caplog.text


def test_other_arguments_make_the_drafts_anew(kataven: KatavenAccount, task: Task, make: Any) -> None:
    task.run(make(start=False))
    task.run(make(start=False, retries_per_contact=1))
    assert {campaign["retries_per_contact"] for campaign in kataven.campaigns.values()} == {1}
    task.run(make(max_concurrent_calls=9, retries_per_contact=1))
    assert [campaign["max_concurrent_calls"] for campaign in kataven.campaigns.values()] == [3, 3, 3]
    assert len(creates(kataven)) == 9
    assert everybody_once(kataven, 25)


def test_calls_of_ended_campaigns_are_free_again_and_no_draft_is_made_anew_for_them(
    kataven: KatavenAccount, shared_sandbox: Sandbox, task: Task, make: Any
) -> None:
    kataven.fault("POST /campaigns/{campaign_id}/start", "status", status=400, when="before", after=2)
    with pytest.raises(RequestRejectedError):
        task.run(make(max_concurrent_calls=7))
    shared_sandbox.run_until_idle()
    assert statuses(kataven) == ["completed", "completed", "draft"]
    task.run(make(max_concurrent_calls=7))
    assert len(creates(kataven)) == 3
    task.run(make(45, max_concurrent_calls=7))
    assert [campaign["max_concurrent_calls"] for campaign in kataven.campaigns.values()] == [3, 2, 2, 2, 2, 1]
    assert everybody_once(kataven, 45)


def test_half_a_list_starts_nothing_and_is_replaced(kataven: KatavenAccount, task: Task, make: Any) -> None:
    kataven.fault("POST /campaigns", "partial", keep=7, after=1)
    with pytest.raises(UploadError, match="holds 7 contacts where 10 were sent"):
        task.run(make())
    assert statuses(kataven) == ["draft"] * 3
    task.run(make())
    assert statuses(kataven) == ["running"] * 3
    assert everybody_once(kataven, 25)


def test_draft_that_the_list_never_shows_is_not_started(kataven: KatavenAccount, task: Task, make: Any) -> None:
    kataven.fault("POST /campaigns", "late", list_calls=1000)
    with pytest.raises(UploadError, match="the service does not list it"):
        task.run(make(resend_after=0.5))
    assert not kataven.dialled


def test_deletion_without_a_clear_answer(kataven: KatavenAccount, task: Task, make: Any) -> None:
    task.run(make(start=False))
    kataven.fault("DELETE /campaigns/{campaign_id}", "drop")
    kataven.fault("DELETE /campaigns/{campaign_id}", "status", status=500, when="before", after=1)
    task.run(make(24, batch_size=8))
    assert len(kataven.campaigns) == 3
    assert everybody_once(kataven, 24)


def test_foreign_drafts_are_left_alone(kataven: KatavenAccount, make: Any) -> None:
    hook = KatavenHook()
    contacts = b"phone_number\n+919876500001\n"
    own = hook.create_campaign(name="By hand", agent_id=AGENT, phone_number_id=NUMBER, contacts=contacts).campaign_id
    hook.close()
    other = Task(run_id="other").run(make(start=False))
    Task().run(make([*range(5)]))
    assert {kataven.campaigns[each]["status"] for each in [own, *other]} == {"draft"}


# -- stopped from outside ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_while_it_creates(
    kataven: KatavenAccount, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    operator = make(on_kill="stop")
    original, seen = KatavenCampaigns.create, []

    def create(self: KatavenCampaigns, chunk: Any, **arguments: Any) -> Any:
        seen.append(chunk)
        if len(seen) == nth:
            operator.on_kill()
        return original(self, chunk, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(KatavenCampaigns, "create", create)
        with pytest.raises(TaskKilledError):
            task.run(operator)
    assert statuses(kataven) == ["draft"] * nth
    task.run(make())
    assert len(creates(kataven)) == 3
    assert everybody_once(kataven, 25)


def test_doubt_gives_the_slot_up(
    kataven: KatavenAccount, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_memory, "_PATIENCE", 0.0)
    kataven.fault("POST /campaigns", "status", status=503, when="before", after=1)
    operator = make(deferrable=True, on_kill="pause", resend_after=0.5)
    with pytest.raises(TaskDeferred) as deferred:
        task.run(operator)
    trigger = deferred.value.trigger
    assert isinstance(trigger, KatavenPauseTrigger)
    path, kwargs = trigger.serialize()
    assert kwargs["campaign_ids"] == list(kataven.campaigns)
    assert KatavenPauseTrigger(**kwargs).serialize() == (path, kwargs)
    assert deferred.value.method_name == "execute_resumed"
    context = task.context()
    context["ti"].try_number = 1
    again = make(deferrable=True, resend_after=0.0)
    ids = again.resume_execution("execute_resumed", {"event": kwargs["kept"]}, context)
    assert ids == list(kataven.campaigns)
    assert everybody_once(kataven, 25)


# -- start and wait ---------------------------------------------------------------------------------------------------


def test_waits_for_the_budget_and_for_the_calls(
    kataven: KatavenAccount, shared_sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kataven.settings.concurrent_max = 4
    Task(run_id="other").run(make(range(100, 104), max_concurrent_calls=2))
    monkeypatch.setattr("time.sleep", lambda _: shared_sandbox.advance(300))
    ids = task.run(make(max_concurrent_calls=4, wait_for_completion=True))
    assert len(ids) == 3
    assert statuses(kataven) == ["completed"] * 4
    assert everybody_once(kataven, [*range(25), *range(100, 104)])


def test_deferred_start_and_wait(
    kataven: KatavenAccount, shared_sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The triggerer starts what the budget has no room for yet; then the task goes on with all its campaigns."""
    from airflow_provider_graine.operators import kataven_start

    monkeypatch.setattr(kataven_start, "_PATIENCE", 0.0)
    kataven.settings.concurrent_max = 4
    operator = make(max_concurrent_calls=6, deferrable=True, wait_for_completion=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.run(operator)
    assert statuses(kataven) == ["draft", "running", "running"]
    assert deferred.value.method_name == "execute_started"
    assert task.xcom["campaign_ids"] == list(kataven.campaigns)

    shared_sandbox.run_until_idle()  # the retry of a worker that has lost the trigger
    kataven.settings.concurrent_max = 50
    with pytest.raises(TaskDeferred) as waiting:
        task.run(make(max_concurrent_calls=6, deferrable=True, wait_for_completion=True))
    assert waiting.value.method_name == "execute_complete"
    assert len(creates(kataven)) == 3
    assert everybody_once(kataven, 25)
    event = {"status": "done", "message": "All calls are done.", "campaign_ids": list(kataven.campaigns)}
    context = task.context()
    context["ti"].xcom_pull = lambda **_: list(kataven.campaigns)
    assert operator.resume_execution("execute_complete", {"event": event}, context) == list(kataven.campaigns)


# -- size -------------------------------------------------------------------------------------------------------------


def test_100_000_people(kataven: KatavenAccount, task: Task, make: Any, tmp_path: Path) -> None:
    """Several files, never over 10 MB, the parallel calls shared out, every person exactly once."""
    operator = make(batch_size=100_000, max_concurrent_calls=7, start=False)
    with (tmp_path / "people.csv").open("w", encoding="utf-8", newline="") as file:
        file.write("phone_number,callee_name,plan,note\n")
        file.writelines(f'+9198{n:08},Person {n},Family Floater,"{"ü" * 40} ""{n}"""\n' for n in range(100_000))
    ids = task.run(operator)

    files = [request.form()["contacts"] for request in creates(kataven)]
    assert len(files) == len(ids) == 2
    assert 9_000_000 < len(files[0]) <= 10_000_000
    assert sum(campaign["max_concurrent_calls"] for campaign in kataven.campaigns.values()) == 7
    numbers = [contact["phone_number"] for each in ids for contact in kataven.contacts(each)]
    assert numbers == [f"+9198{n:08}" for n in range(100_000)]
    [header, first, *_] = csv.reader(io.StringIO(files[1].decode(), newline=""))
    assert header == ["phone_number", "callee_name", "note", "plan"]
    assert first[0] == numbers[len(kataven.contacts(ids[0]))]
    assert len(kataven.requests) < 20
