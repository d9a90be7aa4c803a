"""The notifier against a real server: one call for each failure, whatever goes wrong and however often it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.notifications import one_call
from airflow_provider_graine.notifications.graine import GraineCallNotifier
from airflow_provider_graine.sandbox import Sandbox
from tests.notifications.conftest import NAME, NUMBER, dag_context, deadline_context, task_context

Notify = Callable[[GraineCallNotifier, Any], None]


def notify(notifier: GraineCallNotifier, context: Any) -> None:
    notifier(context)


def notify_async(notifier: GraineCallNotifier, context: Any) -> None:
    async def await_it() -> None:
        notifier.context = context
        await notifier

    asyncio.run(await_it())


both = pytest.mark.parametrize("tell", [notify, notify_async])


def calls(sandbox: Sandbox) -> dict[str, int]:
    """Let the time for the calls come, and count them."""
    sandbox.advance(300)
    return dict(sandbox.attempts)


def notifier(campaign_id: str, **arguments: Any) -> GraineCallNotifier:
    return GraineCallNotifier(campaign_id=campaign_id, callee_conn_id="on_call", **arguments)


@both
def test_the_person_is_phoned_and_told_what_failed(
    sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture, tell: Notify
) -> None:
    tell(notifier(campaign_id, variables={"team": "{{ ti.task_id }}-team"}), task_context(map_index=3))

    [batch_id] = sandbox.batches
    assert sandbox.batches[batch_id]["status"] == "pending"
    assert not sandbox.attempts, "the time to notice another callback is not over"
    [contact] = sandbox.contacts(batch_id)
    assert contact["phone_number"] == NUMBER
    assert contact["call_variables"] == {
        "callee_name": NAME,
        "failure": "task",
        "dag_id": "sales",
        "run_id": "scheduled__1",
        "task_id": "load",
        "map_index": 3,
        "try_number": 1,
        "exception_type": "ValueError",
        "team": "load-team",
    }
    assert calls(sandbox) == {NUMBER: 1}
    assert f"Batch {batch_id} phones somebody about the failure of task load[3], try 1" in said.text
    assert NUMBER[2:] not in said.text
    assert NAME not in said.text


@both
@pytest.mark.parametrize("context", [task_context, dag_context, deadline_context])
def test_however_often_it_is_told(sandbox: Sandbox, campaign_id: str, tell: Notify, context: Callable[[], Any]) -> None:
    for _ in range(5):
        tell(notifier(campaign_id), context())
    assert len(sandbox.batches) == 1
    assert calls(sandbox) == {NUMBER: 1}
    tell(notifier(campaign_id), context())  # and once it is over
    assert len(sandbox.batches) == 1


def test_the_next_failure_is_another(sandbox: Sandbox, campaign_id: str) -> None:
    shared = notifier(campaign_id, variables={"task": "{{ ti.task_id }}"})
    for task_id in ("load", "clean"):
        shared(task_context(task_id=task_id))
    told = [sandbox.contacts(batch_id)[0]["call_variables"]["task"] for batch_id in sandbox.batches]
    assert told == ["load", "clean"], "the notifier was rendered for the first failure, and for good"
    assert calls(sandbox) == {NUMBER: 2}


def test_ten_at_the_same_moment(sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture) -> None:
    sandbox.fault("POST /batches/", "hang", when="before", seconds=0.4, times=10)  # all have searched by then

    async def five() -> None:
        one = [notifier(campaign_id).async_notify(task_context()) for _ in range(5)]
        await asyncio.gather(*one)

    with ThreadPoolExecutor(6) as pool:
        at_work = [pool.submit(notifier(campaign_id), task_context(in_worker=False)) for _ in range(5)]
        at_work.append(pool.submit(asyncio.run, five()))
    for each in at_work:
        each.result()

    assert len(sandbox.batches) == 10, "they did not meet"
    assert calls(sandbox) == {NUMBER: 1}
    assert sorted(batch["status"] for batch in sandbox.batches.values()) == ["cancelled"] * 9 + ["completed"]
    assert "one too many" in said.text


@both
@pytest.mark.parametrize(
    "fault",
    [
        {"what": "drop", "when": "after"},
        {"what": "drop", "when": "after", "reset": True},
        {"what": "status", "when": "after", "status": 503},
        {"what": "status", "when": "after", "status": 429},
        {"what": "hang", "when": "after", "seconds": 1.5},
        {"what": "html", "when": "after"},
        {"what": "truncate"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_a_lost_answer_costs_no_second_call(
    sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture, tell: Notify, fault: dict[str, Any]
) -> None:
    sandbox.fault("POST /batches/", **fault)
    for _ in range(2):
        tell(notifier(campaign_id, resend_after=0.2), task_context())
    assert calls(sandbox) == {NUMBER: 1}
    assert "Searching the service for the batch" in said.text


@both
def test_what_was_not_created_is_not_sent_again_unasked(
    sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture, tell: Notify
) -> None:
    sandbox.fault("POST /batches/", "status", when="before", status=503)
    tell(notifier(campaign_id), task_context())
    assert calls(sandbox) == {}
    assert "Whether somebody is phoned about the failure of task load, try 1" in said.text
    assert "is not known" in said.text
    sandbox.fault("POST /batches/", "status", when="before", status=503)
    tell(notifier(campaign_id, resend_after=0.2), task_context())
    assert calls(sandbox) == {NUMBER: 1}


def test_it_is_not_sent_again_when_the_search_was_not_complete(
    sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture
) -> None:
    sandbox.fault("POST /batches/", "drop", when="after")
    sandbox.fault("GET /batches/", "status", status=500, after=1, times=None)
    notifier(campaign_id, resend_after=0.2)(task_context())
    assert len(sandbox.batches) == 1
    assert "is not known" in said.text


def test_a_batch_that_is_listed_late_is_noticed_before_its_call(
    sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture
) -> None:
    sandbox.fault("POST /batches/", "late", list_calls=4)  # an empty page ends each search
    sandbox.fault("POST /batches/", "drop", when="after")
    notifier(campaign_id, resend_after=0.0)(task_context())
    assert len(sandbox.batches) == 2, "nothing was late"
    assert calls(sandbox) == {NUMBER: 1}


def test_a_service_that_returns_no_metadata(sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture) -> None:
    sandbox.fault("GET /batches/{batch_id}", "no_metadata", times=None)
    GraineCallNotifier(campaign_id=campaign_id, phone_number="+14155550199")(task_context())
    for _ in range(2):
        notifier(campaign_id)(task_context())
    assert calls(sandbox) == {NUMBER: 1, "+14155550199": 1}
    assert "nobody is phoned again" in said.text


def test_others_batches_are_not_its_own(sandbox: Sandbox, campaign_id: str) -> None:
    someone_else = GraineCallNotifier(campaign_id=campaign_id, phone_number="+1 (415) 555-0199")
    someone_else(task_context())
    notifier(campaign_id)(task_context())
    notifier(campaign_id)(task_context(try_number=2))
    assert calls(sandbox) == {NUMBER: 2, "+14155550199": 1}


@both
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"callee_conn_id": "nobody"}, "To phone somebody failed: look at the campaign (AirflowNotFoundException in "),
        ({"callee_conn_id": None}, "Nobody was phoned: There is no phone number"),
        (
            {"phone_number": "12 34"},
            "Nobody was phoned: The call is not as the service takes it. phone_number: must be",
        ),
        ({"phone_number": "{{ var.value.nobody }}"}, "To phone somebody failed: look at the campaign ("),
        ({"campaign_id": "cmp_none"}, "Nobody was phoned: "),
        ({"graine_conn_id": "none"}, "To phone somebody failed: look at the campaign (AirflowNotFoundException in "),
    ],
)
def test_what_is_wrong_is_said_and_fails_nothing(
    sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture, tell: Notify, arguments: Any, reason: str
) -> None:
    tell(GraineCallNotifier(**{"campaign_id": campaign_id, "callee_conn_id": "on_call"} | arguments), task_context())
    assert not sandbox.batches
    assert reason in said.text
    assert NUMBER[2:] not in said.text


@pytest.mark.parametrize(
    "arguments", [{"delay": 29}, {"delay": -1}, {"resend_after": 60}, {"resend_after": -1}, {"delay": float("nan")}]
)
def test_callbacks_have_time_to_find_each_other(arguments: Any) -> None:
    """Said when the DAG is read, not when it fails."""
    with pytest.raises(ConfigurationError, match="find each other"):
        GraineCallNotifier(campaign_id="cmp_1", callee_conn_id="on_call", **arguments)
    GraineCallNotifier(campaign_id="cmp_1", callee_conn_id="on_call", delay=30, resend_after=0)


@pytest.mark.parametrize("status", ["pause", "cancel"])
def test_a_stopped_campaign_phones_nobody(
    sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture, status: str
) -> None:
    from airflow_provider_graine.hooks.graine import GraineHook

    hook = GraineHook()
    notifier(campaign_id)(task_context())
    getattr(hook, f"{status}_campaign")(campaign_id)
    hook.close()
    notifier(campaign_id)(task_context(try_number=2))
    assert len(sandbox.batches) == 1
    assert "Nobody was phoned: Campaign" in said.text


def test_a_service_out_of_reach_fails_nothing(
    sandbox: Sandbox, campaign_id: str, said: pytest.LogCaptureFixture
) -> None:
    sandbox.fault("*", "status", status=503, when="before", times=None)
    notifier(campaign_id)(task_context())
    sandbox.clear_faults()
    assert not sandbox.batches
    assert "Nobody was phoned: " in said.text


def test_variables_and_connections_can_be_read_where_airflow_brings_no_templates(
    sandbox: Sandbox, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_ON_CALL_NUMBER", NUMBER)
    monkeypatch.setenv("AIRFLOW_VAR_ON_CALL_CAMPAIGN", campaign_id)
    by_template = GraineCallNotifier(
        campaign_id="{{ var.value.on_call_campaign }}",
        phone_number="{{ var.value.on_call_number }}",
        callee_name="{{ conn.on_call.login }}",
    )
    notify_async(by_template, deadline_context())
    [batch_id] = sandbox.batches
    assert sandbox.contacts(batch_id)[0]["call_variables"] == {
        "callee_name": NAME,
        "failure": "deadline",
        "dag_id": "sales",
        "run_id": "scheduled__1",
    }
    assert calls(sandbox) == {NUMBER: 1}


def test_the_event_loop_is_free_meanwhile(sandbox: Sandbox, campaign_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_call, "_LOOKS", (0.0, 0.3))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    async def main() -> None:
        heart = asyncio.create_task(beat())
        await notifier(campaign_id).async_notify(task_context())
        heart.cancel()

    before = threading.active_count()
    asyncio.run(main())
    assert beats > 20
    assert threading.active_count() <= before + 1
