from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_graine.exceptions import NotFoundError, WaitError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sensors.graine import GraineBatchSensor, GraineCampaignSensor
from tests.compat import AirflowRescheduleException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from tests.task import Task


@pytest.fixture
def batch_id(hook: GraineHook, campaign_id: str) -> str:
    people = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": "A"}} for i in range(20)]
    return hook.create_batch(campaign_id=campaign_id, contacts=people).batch_id


@pytest.fixture(params=["batch", "campaign"])
def make(request: pytest.FixtureRequest, batch_id: str, campaign_id: str) -> Any:
    """Make a sensor of either kind."""

    def make(**arguments: Any) -> Any:
        if request.param == "batch":
            return GraineBatchSensor(task_id="wait", batch_ids=[batch_id], **arguments)
        return GraineCampaignSensor(task_id="wait", campaign_id=campaign_id, **arguments)

    return make


def test_pokes_until_the_calls_are_done(
    sandbox: Sandbox, make: Any, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        sandbox.advance(3600)

    monkeypatch.setattr("time.sleep", sleep)
    task.run(make(poke_interval=13))
    assert pauses
    assert set(pauses) == {13}


def test_cancelled_fails_with_the_counts(sandbox: Sandbox, hook: GraineHook, make: Any, campaign_id: str) -> None:
    hook.cancel_campaign(campaign_id)
    with pytest.raises(WaitError, match=r"is cancelled.* of 20 contacts"):
        Task().run(make())
    with pytest.raises(WaitError, match=r"is cancelled"):
        Task().run(make(soft_fail=True))


def test_expired_batch_fails(sandbox: Sandbox, batch_id: str, task: Task) -> None:
    sandbox.expire_batch(batch_id)
    with pytest.raises(WaitError, match="is expired"):
        task.run(GraineBatchSensor(task_id="wait", batch_ids=batch_id))


def test_paused_keeps_waiting_and_says_so_once(
    sandbox: Sandbox,
    hook: GraineHook,
    make: Any,
    campaign_id: str,
    task: Task,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook.pause_campaign(campaign_id)
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            hook.resume_campaign(campaign_id)
        sandbox.advance(3600)

    monkeypatch.setattr("time.sleep", sleep)
    task.run(make())
    assert looks >= 3
    assert capsys.readouterr().out.count("paused: nobody new is called") == 1


def test_unknown_status_keeps_waiting(sandbox: Sandbox, batch_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox.fault("GET /batches/{batch_id}", "fields", fields={"status": "archived"}, times=2)
    sensor = GraineBatchSensor(task_id="wait", batch_ids=[batch_id])
    context = Task().context()
    assert sensor.poke(context) is False
    assert sensor.poke(context) is False
    assert capsys.readouterr().out.count("does not know (archived)") == 1


def test_timeout_in_poke_mode(sandbox: Sandbox, make: Any, task: Task) -> None:
    with pytest.raises(AirflowSensorTimeout):
        task.run(make(poke_interval=0.1, timeout=0.3))


def test_timeout_in_poke_mode_with_soft_fail_skips(sandbox: Sandbox, make: Any, task: Task) -> None:
    with pytest.raises(AirflowSkipException):
        task.run(make(poke_interval=0.1, timeout=0.3, soft_fail=True))


def test_reschedule_gives_the_slot_back(
    sandbox: Sandbox, make: Any, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = make(mode="reschedule", poke_interval=60)
    context = task.context()
    context["ti"].get_first_reschedule_date = lambda _: None
    with pytest.raises(AirflowRescheduleException):
        sensor.execute(context)
    sandbox.run_until_idle()
    sensor.execute(context)


def test_deferred_wait_has_interval_and_deadline(sandbox: Sandbox, make: Any, task: Task) -> None:
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        task.run(make(deferrable=True, poke_interval=17, timeout=500))
    _, kwargs = deferred.value.trigger.serialize()
    assert kwargs["poll_interval"] == 17
    assert before + 500 <= kwargs["deadline"] <= time.time() + 500
    assert deferred.value.method_name == "execute_complete"


def test_done_before_the_first_look_does_not_defer(sandbox: Sandbox, make: Any, task: Task) -> None:
    sandbox.run_until_idle()
    assert task.run(make(deferrable=True)) is None


def test_resumption(sandbox: Sandbox, make: Any, task: Task) -> None:
    sensor = make(deferrable=True)
    event = {"status": "done", "message": "All calls are done.", "counts": {"completed": 1}}
    sensor.execute_complete(task.context(), event)
    with pytest.raises(WaitError):
        sensor.execute_complete(task.context(), {**event, "status": "failed"})
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute_complete(task.context(), {**event, "status": "timed_out"})
    with pytest.raises(NotFoundError):
        sensor.execute_complete(task.context(), {**event, "status": "error", "error": "NotFoundError"})


def test_soft_fail_skips_a_deferred_timeout(sandbox: Sandbox, make: Any, task: Task) -> None:
    sensor = make(deferrable=True, soft_fail=True)
    event = {"status": "timed_out", "message": "late", "counts": {}}
    with pytest.raises(AirflowSkipException):
        sensor.resume_execution("execute_complete", {"event": event}, task.context())
    with pytest.raises(WaitError):
        sensor.resume_execution("execute_complete", {"event": {**event, "status": "failed"}}, task.context())


def test_batch_that_does_not_exist(sandbox: Sandbox, task: Task) -> None:
    with pytest.raises(NotFoundError):
        task.run(GraineBatchSensor(task_id="wait", batch_ids=["btc_none"], poke_interval=0.1))


def test_no_batches_is_done(sandbox: Sandbox, task: Task) -> None:
    task.run(GraineBatchSensor(task_id="wait", batch_ids=[]))
    assert not sandbox.requests
