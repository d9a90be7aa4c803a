"""Kataven's small operators, and starting within the budget and the hours, on a real server."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_graine.exceptions import (
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    StartTimeoutError,
    TaskKilledError,
    UnclearOutcomeError,
    WaitError,
    WaitTimeoutError,
)
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.operators.kataven import (
    KatavenCreateCampaignOperator,
    KatavenDeleteCampaignOperator,
    KatavenPauseCampaignOperator,
    KatavenResumeCampaignOperator,
    KatavenStartCampaignOperator,
    KatavenStopCampaignOperator,
)
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from tests.kataven_service import AGENT, NUMBER, Draft, calendar, changes, draft, kataven, status
from tests.task import Task

__all__ = ["calendar", "draft", "kataven"]

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
OFFICE: dict[str, Any] = {
    "timezone": "UTC",
    "working_hours": {day: {"start": "10:00", "end": "11:00"} for day in DAYS},
}
MONDAY = datetime(2026, 5, 11, 10, tzinfo=UTC).timestamp()
"""The sandbox begins on the Sunday before, at 9:00."""

STATES = [KatavenPauseCampaignOperator, KatavenStopCampaignOperator]


def start(campaign_ids: Any, **how: Any) -> KatavenStartCampaignOperator:
    return KatavenStartCampaignOperator(task_id="start", campaign_ids=campaign_ids, deferrable=False, **how)


def resume(campaign_id: str, **how: Any) -> KatavenResumeCampaignOperator:
    return KatavenResumeCampaignOperator(task_id="resume", campaign_id=campaign_id, deferrable=False, **how)


# -- the small ones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", STATES)
def test_a_running_campaign_is_brought_there_once(
    operator: Any, kataven: KatavenAccount, draft: Draft, task: Task
) -> None:
    campaign_id = draft()
    task.run(start(campaign_id))
    change = operator(task_id="change", campaign_id=campaign_id)
    assert task.run(change) == campaign_id
    assert status(kataven, campaign_id) in operator.target
    assert task.run(change) == campaign_id
    assert changes(kataven) == [f"start {campaign_id}", f"{operator.verb} {campaign_id}"]


@pytest.mark.parametrize("operator", STATES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_is_settled_by_reading(
    operator: Any, when: Any, kataven: KatavenAccount, draft: Draft, task: Task
) -> None:
    campaign_id = draft()
    task.run(start(campaign_id))
    kataven.fault(f"POST /campaigns/{{campaign_id}}/{operator.verb}", "drop", when=when)
    change = operator(task_id="change", campaign_id=campaign_id)
    if when == "after":
        assert task.run(change) == campaign_id
    else:
        with pytest.raises(UnclearOutcomeError):
            task.run(change)
        assert task.run(change) == campaign_id
    assert status(kataven, campaign_id) in operator.target


def test_stopping_what_has_ended_does_nothing_and_what_never_ran_is_refused(
    kataven: KatavenAccount, sandbox: Sandbox, draft: Draft, task: Task
) -> None:
    campaign_id = draft()
    with pytest.raises(RequestRejectedError):
        task.run(KatavenStopCampaignOperator(task_id="stop", campaign_id=campaign_id))
    task.run(start(campaign_id))
    sandbox.run_until_idle()
    task.run(KatavenStopCampaignOperator(task_id="stop", campaign_id=campaign_id))
    assert changes(kataven) == [f"stop {campaign_id}", f"start {campaign_id}"]


def test_delete(kataven: KatavenAccount, draft: Draft, task: Task) -> None:
    campaign_id = draft()
    delete = KatavenDeleteCampaignOperator(task_id="delete", campaign_id=campaign_id)
    task.run(delete)
    assert campaign_id not in kataven.campaigns
    task.run(delete)
    running = draft()
    task.run(start(running))
    with pytest.raises(RequestRejectedError):
        task.run(KatavenDeleteCampaignOperator(task_id="delete", campaign_id=running))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delete_without_an_answer(when: Any, kataven: KatavenAccount, draft: Draft, task: Task) -> None:
    campaign_id = draft()
    kataven.fault("DELETE /campaigns/{campaign_id}", "drop", when=when)
    delete = KatavenDeleteCampaignOperator(task_id="delete", campaign_id=campaign_id)
    if when == "before":
        with pytest.raises(UnclearOutcomeError):
            task.run(delete)
        task.run(delete)
    else:
        task.run(delete)
    assert campaign_id not in kataven.campaigns


# -- the create --------------------------------------------------------------------------------------------------------


def create(**how: Any) -> KatavenCreateCampaignOperator:
    people = [{"phone_number": f"+9198765432{number:02}", "callee_name": "A", "plan": "Basic"} for number in range(5)]
    return KatavenCreateCampaignOperator(
        task_id="create", contacts=people, name="Renewals", agent_id=AGENT, phone_number_id=NUMBER, **how
    )


def test_a_created_campaign_is_a_draft_and_a_retry_uses_it(
    kataven: KatavenAccount, task: Task, calendar: Sandbox
) -> None:
    created = task.run(create(deferrable=False))
    assert [status(kataven, each) for each in created] == ["draft"]
    assert task.run(create(deferrable=False)) == created
    assert not kataven.dialled
    assert kataven.contacts(created[0])[0]["custom_fields"] == {"callee_name": "A", "plan": "Basic"}
    task.run(start(created))
    assert set(kataven.dialled.values()) == {1}


def test_a_campaign_that_is_created_started_and_waited_for(
    kataven: KatavenAccount, task: Task, calendar: Sandbox
) -> None:
    created = task.run(create(start=True, wait_for_completion=True, deferrable=False))
    assert [status(kataven, each) for each in created] == ["completed"]
    assert sum(kataven.attempts.values()) == 5


# -- the start ---------------------------------------------------------------------------------------------------------


def test_campaigns_are_started_and_a_retry_does_nothing(kataven: KatavenAccount, draft: Draft, task: Task) -> None:
    ids = [draft(), draft()]
    assert task.run(start([ids])) == ids, "the output of a mapped upload"
    assert task.run(start(ids)) == ids
    assert changes(kataven) == [f"start {each}" for each in ids]


@pytest.mark.parametrize("fault", [{"what": "drop"}, {"what": "status", "status": 502}, {"what": "html"}])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_start_without_a_clear_answer_is_settled_by_reading(
    fault: dict[str, Any], when: Any, kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox
) -> None:
    campaign_id = draft()
    kataven.fault("POST /campaigns/{campaign_id}/start", when=when, **fault)
    assert task.run(start(campaign_id)) == [campaign_id]
    assert status(kataven, campaign_id) == "running"
    assert set(kataven.dialled.values()) == {1}
    starts = [each for each in changes(kataven) if each.startswith("start")]
    assert len(starts) == (1 if when == "after" else 2)


def test_a_yes_that_says_nothing_is_checked(kataven: KatavenAccount, draft: Draft, task: Task) -> None:
    kataven.settings.moves_answer = "nothing"
    campaign_id = draft()
    assert task.run(start(campaign_id)) == [campaign_id]
    assert changes(kataven) == [f"start {campaign_id}"]
    assert kataven.requests[-1].method == "GET"


def test_a_used_up_budget_is_waited_for(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    big = draft(people=30, max_concurrent_calls=8)
    small = draft(max_concurrent_calls=5)
    task.run(start(big))
    assert task.run(start(small)) == [small]
    assert kataven.campaigns[small]["started_at"] >= kataven.campaigns[big]["completed_at"]
    assert "budget of parallel calls is used up" in capsys.readouterr().out


def test_in_deferrable_mode_a_used_up_budget_defers(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox
) -> None:
    big, small = draft(people=300, max_concurrent_calls=8), draft(max_concurrent_calls=5)
    task.run(start(big))
    operator = KatavenStartCampaignOperator(task_id="start", campaign_ids=small, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.run(operator)
    _, kwargs = deferred.value.trigger.serialize()
    assert deferred.value.method_name == "execute_started"
    assert kwargs["campaign_ids"] == [small]
    assert kwargs["kept"]["attempts"]["refusals"] >= 1
    assert status(kataven, small) == "draft"


def test_an_over_late_budget_leaves_the_draft_and_says_so(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox
) -> None:
    big, small = draft(people=3000, max_concurrent_calls=8), draft(max_concurrent_calls=5)
    task.run(start(big))
    with pytest.raises(StartTimeoutError, match=f"Campaign {small} could not be started within 10 minutes"):
        task.run(start(small, start_timeout=600))
    assert status(kataven, small) == "draft"


def test_a_campaign_that_never_fits_is_told_at_once(kataven: KatavenAccount, draft: Draft, task: Task) -> None:
    with pytest.raises(ConfigurationError, match="has a budget of 10 in all"):
        task.run(start(draft(max_concurrent_calls=11)))


def test_one_at_a_time(kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox) -> None:
    ids = [draft(), draft(), draft()]
    assert task.run(start(ids, one_at_a_time=True)) == ids
    shown = [kataven.campaigns[each] for each in ids]
    for before, after in pairwise(shown):
        assert before["completed_at"] <= after["started_at"]


def test_an_id_that_does_not_exist(kataven: KatavenAccount, task: Task, calendar: Sandbox) -> None:
    with pytest.raises(NotFoundError, match="deleted, or not the right id"):
        task.run(start("33333333-3333-4333-8333-333333333333"))


def test_one_campaign_or_several(kataven: KatavenAccount, draft: Draft, task: Task) -> None:
    one = draft()
    assert task.run(start(None, campaign_id=one)) == [one]
    for given in ({"campaign_ids": None}, {"campaign_ids": [one], "campaign_id": one}):
        with pytest.raises(ConfigurationError, match="one of them"):
            task.run(start(**given))


def test_nothing_to_start(kataven: KatavenAccount, task: Task) -> None:
    assert task.run(start([])) == []
    assert not kataven.requests


@pytest.mark.parametrize(
    "wrong",
    [
        {"calling_hours": {"timezone": "UTC"}},
        {"start_timeout": 0},
        {"poll_interval": 0},
        {"wait_timeout": -1},
        {"on_kill": "cancel"},
        {"max_failed_share": 2},
    ],
)
def test_wrong_arguments_send_nothing(wrong: dict[str, Any], kataven: KatavenAccount, draft: Draft, task: Task) -> None:
    campaign_id = draft()
    with pytest.raises(ConfigurationError):
        task.run(start(campaign_id, **wrong))
    assert not changes(kataven)


def test_resume(kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox) -> None:
    campaign_id, other = draft(people=30), draft(people=30, max_concurrent_calls=6)
    task.run(start(campaign_id))
    task.run(resume(campaign_id))
    task.run(KatavenPauseCampaignOperator(task_id="pause", campaign_id=campaign_id))
    task.run(start(other))
    assert task.run(resume(campaign_id)) == campaign_id, "once the other one has ended"
    assert changes(kataven).count(f"resume {campaign_id}") >= 2
    calendar.run_until_idle()
    with pytest.raises(RequestRejectedError, match="only a paused one can be resumed"):
        task.run(resume(campaign_id))


# -- the calls ---------------------------------------------------------------------------------------------------------


def test_waiting_for_the_calls(kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox) -> None:
    ids = [draft(), draft()]
    assert task.run(start(ids, wait_for_completion=True)) == ids
    assert {status(kataven, each) for each in ids} == {"completed"}


def test_waiting_has_an_end(kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox) -> None:
    campaign_id = draft(people=3000)
    with pytest.raises(WaitTimeoutError, match="Paused campaign"):
        task.run(start(campaign_id, wait_for_completion=True, wait_timeout=600, on_timeout="pause"))
    assert status(kataven, campaign_id) == "paused"


# -- the hours ---------------------------------------------------------------------------------------------------------


def test_outside_the_hours_nothing_is_started(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox
) -> None:
    campaign_id = draft()
    task.run(start(campaign_id, calling_hours=OFFICE))
    assert 0 <= datetime.fromisoformat(kataven.campaigns[campaign_id]["started_at"]).timestamp() - MONDAY <= 31


def test_hours_are_kept_to_the_end(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign_id = draft(people=120, max_concurrent_calls=1)
    task.run(start(campaign_id, calling_hours=OFFICE, wait_for_completion=True))
    assert status(kataven, campaign_id) == "completed"
    moves = changes(kataven)
    nights = moves.count(f"pause {campaign_id}")
    assert nights >= 1
    assert moves == [f"start {campaign_id}", *[f"pause {campaign_id}", f"resume {campaign_id}"] * nights]
    assert set(kataven.attempts.values()) == {1}
    assert "outside of the calling hours until" in capsys.readouterr().out


def test_a_later_try_resumes_what_an_earlier_one_has_paused_and_nothing_else(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox
) -> None:
    ours, theirs = draft(people=200, max_concurrent_calls=1), draft(people=200, max_concurrent_calls=1)
    calendar.advance(MONDAY - calendar.now)
    deferrable = {"calling_hours": OFFICE, "wait_for_completion": True, "deferrable": True}
    operator = KatavenStartCampaignOperator(task_id="start", campaign_ids=[ours, theirs], **deferrable)
    with pytest.raises(TaskDeferred):
        task.run(operator)
    hook = KatavenHook()
    hook.pause_campaign(theirs)
    calendar.advance(3600)
    with pytest.raises(TaskDeferred):
        task.run(operator)
    assert status(kataven, ours) == status(kataven, theirs) == "paused"
    calendar.advance(86400 - 3600)
    with pytest.raises(TaskDeferred):
        task.run(operator)
    assert (status(kataven, ours), status(kataven, theirs)) == ("running", "paused")
    hook.close()


def test_with_hours_a_task_that_ends_early_leaves_nobody_unattended(draft: Draft) -> None:
    campaign_id = draft()
    assert (start(campaign_id).kill_action, start(campaign_id).timeout_action) == ("none", "none")
    attended = start(campaign_id, calling_hours=OFFICE)
    assert (attended.kill_action, attended.timeout_action) == ("pause", "pause")
    assert start(campaign_id, calling_hours=OFFICE, on_kill="none").kill_action == "none"


def test_a_failed_campaign_fails_the_wait_once_all_have_ended(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox
) -> None:
    bad, good = draft(people=100, max_concurrent_calls=1), draft()
    calendar.advance(MONDAY - calendar.now)
    task.run(start(bad, calling_hours=OFFICE))
    kataven.fail_campaign(bad)
    with pytest.raises(WaitError, match=bad):
        task.run(start([bad, good], calling_hours=OFFICE, wait_for_completion=True))
    assert status(kataven, good) == "completed"


# -- the end from outside ----------------------------------------------------------------------------------------------


def test_a_kill_while_the_budget_is_waited_for_leaves_the_draft(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    big, small = draft(people=300, max_concurrent_calls=8), draft(max_concurrent_calls=5)
    task.run(start(big))
    operator = start(small, on_kill="stop")
    monkeypatch.setattr("time.sleep", lambda _: operator.on_kill())
    with pytest.raises(TaskKilledError):
        task.run(operator)
    assert status(kataven, small) == "draft"
    assert status(kataven, big) == "running"


def test_a_kill_while_hours_are_kept_pauses_what_runs(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = draft(people=300, max_concurrent_calls=1)
    calendar.advance(MONDAY - calendar.now)
    operator = start(campaign_id, calling_hours=OFFICE, wait_for_completion=True)
    monkeypatch.setattr("time.sleep", lambda _: operator.on_kill())
    with pytest.raises(TaskKilledError, match=f"Paused campaign {campaign_id}"):
        task.run(operator)
    assert status(kataven, campaign_id) == "paused"
