from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_graine.exceptions import ConfigurationError, NotFoundError, WaitError
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.sensors.kataven import KatavenCampaignSensor
from airflow_provider_graine.triggers.kataven import KatavenCampaignTrigger
from tests.compat import AirflowRescheduleException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from tests.kataven_service import Draft, changes, draft, kataven
from tests.task import Task

__all__ = ["draft", "kataven"]


@pytest.fixture
def hook(kataven: KatavenAccount) -> Iterator[KatavenHook]:
    hook = KatavenHook()
    yield hook
    hook.close()


@pytest.fixture
def campaign_id(hook: KatavenHook, draft: Draft) -> str:
    campaign_id = draft(20)
    hook.start_campaign(campaign_id)
    return campaign_id


@pytest.fixture(params=["campaign_id", "campaign_ids"])
def make(request: pytest.FixtureRequest, campaign_id: str) -> Callable[..., Any]:
    """Make a sensor in either way."""
    ids: Any = campaign_id if request.param == "campaign_id" else [[campaign_id]]
    return lambda **arguments: KatavenCampaignSensor(task_id="wait", **{request.param: ids, **arguments})


def test_pokes_until_the_calls_are_done(
    sandbox: Sandbox, make: Any, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        sandbox.advance(3600)

    monkeypatch.setattr("time.sleep", sleep)
    task.run(make())
    assert set(pauses) == {60}


def test_failed_fails(kataven: KatavenAccount, make: Any, campaign_id: str) -> None:
    kataven.fail_campaign(campaign_id)
    for leniency in ({}, {"soft_fail": True}):
        with pytest.raises(WaitError, match=f"Not everybody was called: {campaign_id} is failed"):
            Task().run(make(**leniency))


def test_many_campaigns_are_one_request_a_look(
    sandbox: Sandbox, kataven: KatavenAccount, draft: Draft, task: Task
) -> None:
    ids = [draft(1) for _ in range(40)]
    before = len(kataven.requests)
    sensor = KatavenCampaignSensor(task_id="wait", campaign_ids=ids)
    assert sensor.poke(task.context()) is False
    assert [each.path for each in kataven.requests[before:]] == ["/v1/campaigns"]


def test_a_list_that_does_not_show_all_is_no_witness(
    sandbox: Sandbox, kataven: KatavenAccount, draft: Draft, task: Task
) -> None:
    ids = [draft(1) for _ in range(6)]
    kataven.settings.campaigns_page = 4
    before = len(kataven.requests)
    sensor = KatavenCampaignSensor(task_id="wait", campaign_ids=ids)
    assert sensor.poke(task.context()) is False
    assert len(kataven.requests) - before == 3


def test_a_list_that_cannot_be_read_is_no_matter(
    sandbox: Sandbox, kataven: KatavenAccount, draft: Draft, task: Task
) -> None:
    ids = [draft(1) for _ in range(3)]
    kataven.fault("GET /campaigns", "html", times=None)
    assert KatavenCampaignSensor(task_id="wait", campaign_ids=ids).poke(task.context()) is False


def test_a_draft_keeps_waiting_and_is_not_started(
    kataven: KatavenAccount, draft: Draft, task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = KatavenCampaignSensor(task_id="wait", campaign_id=draft(3))
    context = task.context()
    assert [sensor.poke(context) for _ in range(3)] == [False] * 3
    assert capsys.readouterr().out.count("is not started: nobody is called until it is") == 1
    assert changes(kataven) == []


def test_a_scheduled_one_says_when(
    kataven: KatavenAccount, draft: Draft, task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = KatavenCampaignSensor(task_id="wait", campaign_id=draft(3, scheduled_at="2099-05-12T09:30:00Z"))
    assert sensor.poke(task.context()) is False
    assert "dialling starts Tue 12 May 09:30 UTC" in capsys.readouterr().out


def test_unknown_status_keeps_waiting(
    kataven: KatavenAccount, make: Any, task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    kataven.fault("GET /campaigns/{campaign_id}", "fields", fields={"status": "archived"}, times=2)
    sensor, context = make(), task.context()
    assert [sensor.poke(context) for _ in range(2)] == [False] * 2
    assert capsys.readouterr().out.count("does not know (archived)") == 1


@pytest.mark.parametrize("soft", [False, True])
def test_timeout_in_poke_mode(make: Any, task: Task, soft: bool) -> None:
    with pytest.raises(AirflowSkipException if soft else AirflowSensorTimeout):
        task.run(make(poke_interval=0.1, timeout=0.3, soft_fail=soft))


def test_reschedule_gives_the_slot_back(sandbox: Sandbox, make: Any, task: Task) -> None:
    sensor = make(mode="reschedule")
    context = task.context()
    context["ti"].get_first_reschedule_date = lambda _: None
    with pytest.raises(AirflowRescheduleException):
        sensor.execute(context)
    sandbox.run_until_idle()
    sensor.execute(context)


def test_deferred_wait_has_interval_and_deadline(make: Any, task: Task, campaign_id: str) -> None:
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        task.run(make(deferrable=True, poke_interval=17, timeout=500, on_kill="stop", min_completed_share=0.5))
    trigger = deferred.value.trigger
    assert isinstance(trigger, KatavenCampaignTrigger)
    _, kwargs = trigger.serialize()
    assert kwargs.pop("deadline") == pytest.approx(before + 500, abs=5)
    assert kwargs == {
        "campaign_ids": [campaign_id],
        "kataven_conn_id": "kataven_default",
        "poll_interval": 17,
        "on_kill": "stop",
        "min_completed_share": 0.5,
        "max_failed_share": None,
        "stalled_after": 1800.0,
    }
    assert deferred.value.method_name == "execute_complete"


def test_done_before_the_first_look_does_not_defer(sandbox: Sandbox, make: Any, task: Task) -> None:
    sandbox.run_until_idle()
    assert task.run(make(deferrable=True)) is None


def test_resumption(make: Any, task: Task) -> None:
    sensor = make(deferrable=True)
    event = {"status": "done", "message": "All calls are done.", "counts": {}}
    sensor.execute_complete(task.context(), event)
    with pytest.raises(WaitError):
        sensor.execute_complete(task.context(), {**event, "status": "failed"})
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute_complete(task.context(), {**event, "status": "timed_out"})
    with pytest.raises(NotFoundError):
        sensor.execute_complete(task.context(), {**event, "status": "error", "error": "NotFoundError"})


def test_a_campaign_that_does_not_exist(kataven: KatavenAccount, task: Task) -> None:
    nowhere = "33333333-3333-4333-8333-333333333333"
    with pytest.raises(NotFoundError):
        task.run(KatavenCampaignSensor(task_id="wait", campaign_id=nowhere, poke_interval=0.1))


def test_no_campaigns_is_done(kataven: KatavenAccount, task: Task) -> None:
    task.run(KatavenCampaignSensor(task_id="wait", campaign_ids=[]))
    assert kataven.requests == []


@pytest.mark.parametrize("ids", [{}, {"campaign_id": "a", "campaign_ids": ["b"]}, {"campaign_ids": [3]}], ids=str)
def test_one_of_both_is_to_be_given(kataven: KatavenAccount, task: Task, ids: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        task.run(KatavenCampaignSensor(task_id="wait", **ids))
    assert kataven.requests == []
