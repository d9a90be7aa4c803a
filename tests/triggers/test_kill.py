"""A trigger is cancelled: by a user, or because it goes elsewhere. Only a user's doing stops the calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.triggers import kill
from airflow_provider_graine.triggers.graine import GraineBatchTrigger, GraineCampaignTrigger
from airflow_provider_graine.triggers.pause import PauseTrigger
from tests.compat import AIRFLOW_VERSION, USER_ACTION

KINDS = ["batches", "campaign", "doubt"]
STATES = {"pause": "paused", "cancel": "cancelled"}


class TaskStates:
    """What Airflow says about the task, in place of its API."""

    def __init__(self) -> None:
        self.state: Any = "deferred"
        self.error: Exception | None = None
        self.asked: list[dict[str, Any]] = []
        self.pause = 0.0

    def __call__(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        time.sleep(self.pause)
        if self.error is not None:
            raise self.error
        (task_id,), (run_id,), map_index = asked["task_ids"], asked["run_ids"], asked["map_index"]
        return {run_id: {task_id if map_index < 0 else f"{task_id}_{map_index}": self.state}}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> TaskStates:
    states = TaskStates()
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(states))
    monkeypatch.setattr(kill, "_OVERTAKEN", 0.6)
    return states


@pytest.fixture(params=["3.3", "3.2"] if AIRFLOW_VERSION >= (3, 3) else ["3.2"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With ``on_kill()`` called by Airflow, and as it was before."""
    if request.param == "3.2":
        monkeypatch.setattr(kill, "CALLS_ON_KILL", False)
    return str(request.param)


@pytest.fixture
def batch_id(hook: GraineHook, campaign_id: str) -> str:
    people = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": "A"}} for i in range(20)]
    return hook.create_batch(campaign_id=campaign_id, contacts=people).batch_id


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, batch_id: str, campaign_id: str) -> Callable[..., Any]:
    """Make a trigger of each kind, for one task instance."""

    def make(*, map_index: int = -1, attempt: int = 1, deadline: float | None = None, **arguments: Any) -> Any:
        trigger: Any
        if request.param == "batches":
            trigger = GraineBatchTrigger(batch_ids=[batch_id], poll_interval=30, deadline=deadline, **arguments)
        elif request.param == "campaign":
            trigger = GraineCampaignTrigger(campaign_id=campaign_id, poll_interval=30, deadline=deadline, **arguments)
        else:
            trigger = PauseTrigger(time.time() + 60, batch_ids=[batch_id], **arguments)
        task_instance = SimpleNamespace(
            id="ti",
            dag_id="calls",
            run_id="run",
            task_id="wait",
            map_index=map_index,
            try_number=attempt,
            context_carrier=None,
        )
        # Assigned to the property, it would be looked at more closely.
        setattr(trigger, "_task_instance" if AIRFLOW_VERSION >= (3, 3) else "task_instance", task_instance)
        return trigger

    return make


async def run_and_cancel(
    trigger: Any, version: str, *, times: int = 1, until: Callable[[], bool] | None = None
) -> None:
    """Run a trigger in Airflow's own runner and cancel it, as a triggerer does: every second, until it is gone."""
    runner = TriggerRunner()
    runner.log = SimpleNamespace(  # type: ignore[assignment]
        info=lambda *_, **__: None, ainfo=_say_nothing, awarning=_say_nothing, aerror=_say_nothing
    )
    runner.triggers = {1: {"task": None, "is_watcher": False, "name": "trigger", "events": 0}}  # type: ignore[typeddict-item]
    trigger.timeout_after = None  # where the first releases of Airflow 3.1 have it
    task = asyncio.create_task(runner.run_trigger(1, trigger))
    await asyncio.sleep(0.3)
    message = USER_ACTION if version == "3.3" else ()
    for _ in range(times):
        task.cancel(*message)
        await asyncio.sleep(0.15)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not runner.events
    assert all(stopping.done() for stopping in kill._at_work)  # else the task's log ends before it says what was done


async def _say_nothing(*_: Any, **__: Any) -> None:
    """Take the place of Airflow's logger."""


def cancelled(trigger: Any, version: str, **how: Any) -> None:
    asyncio.run(asyncio.wait_for(run_and_cancel(trigger, version, **how), 30))


def changes(sandbox: Sandbox) -> list[str]:
    paths = [request.path.rpartition("/")[2] for request in sandbox.requests if request.method == "POST"]
    return [path for path in paths if path in ("pause", "cancel", "resume", "dispatch")]


@pytest.mark.parametrize("state", ["failed", "success", None, "scheduled", "running"])
def test_a_user_ends_the_task(
    sandbox: Sandbox, airflow: TaskStates, make: Any, version: str, batch_id: str, state: str | None
) -> None:
    airflow.state = state
    cancelled(make(on_kill="pause"), version)
    assert changes(sandbox) == ["pause"]
    assert sandbox.batches[batch_id]["status"] == "paused"


def test_the_log_says_so(
    airflow: TaskStates, make: Any, version: str, capsys: pytest.CaptureFixture[str], sandbox: Sandbox
) -> None:
    airflow.state = "failed"
    cancelled(make(on_kill="cancel"), version)
    assert changes(sandbox) == ["cancel"]
    assert "The task was ended by a user. Cancelled " in capsys.readouterr().out


def test_the_trigger_is_moved(sandbox: Sandbox, airflow: TaskStates, make: Any, version: str, batch_id: str) -> None:
    cancelled(make(on_kill="cancel"), version, times=3)
    assert changes(sandbox) == []
    assert sandbox.batches[batch_id]["status"] == "in_progress"


@pytest.mark.parametrize("version", ["3.3"], indirect=True)
@pytest.mark.parametrize(
    ("other", "asked"),
    [({"attempt": 3}, ["cancel"]), ({"attempt": 2}, []), ({"attempt": 3, "map_index": 1}, [])],
    ids=["the next try", "the same one", "another task"],
)
def test_the_next_try_of_a_cleared_task_waits_already(
    sandbox: Sandbox, airflow: TaskStates, make: Any, version: str, other: dict[str, int], asked: list[str]
) -> None:
    """Its state is what Airflow tells."""

    async def overtaken() -> None:
        async def comes() -> None:
            await asyncio.sleep(0.5)
            async with make(**other).noticing_a_kill():
                await asyncio.sleep(2)

        following = asyncio.create_task(comes())
        await run_and_cancel(make(on_kill="cancel", attempt=2), version)
        await following

    asyncio.run(asyncio.wait_for(overtaken(), 30))
    assert changes(sandbox) == asked


def test_the_author_wants_nothing_done(sandbox: Sandbox, airflow: TaskStates, make: Any, version: str) -> None:
    airflow.state = "failed"
    cancelled(make(), version)
    assert changes(sandbox) == []
    assert airflow.asked == []


@pytest.mark.parametrize("error", [RuntimeError("no comms"), KeyError("run"), EOFError()])
def test_airflow_does_not_tell(
    sandbox: Sandbox,
    airflow: TaskStates,
    make: Any,
    version: str,
    error: Exception,
    capsys: pytest.CaptureFixture[str],
) -> None:
    airflow.error = error
    cancelled(make(on_kill="cancel"), version)
    assert changes(sandbox) == []
    assert "Airflow does not tell whether by a user" in capsys.readouterr().out


def test_a_trigger_without_a_task(sandbox: Sandbox, airflow: TaskStates, make: Any, version: str) -> None:
    trigger = make(on_kill="cancel")
    if version == "3.2":
        trigger._task_instance = None
        asyncio.run(trigger.on_kill())
    else:
        trigger.task_instance = None
        asyncio.run(trigger.on_kill())
    assert changes(sandbox) == []


def test_a_mapped_task(sandbox: Sandbox, airflow: TaskStates, make: Any, version: str) -> None:
    airflow.state = "failed"
    cancelled(make(on_kill="pause", map_index=7), version)
    assert changes(sandbox) == ["pause"]
    assert airflow.asked == [{"dag_id": "calls", "task_ids": ["wait"], "run_ids": ["run"], "map_index": 7}]


def test_cancelled_again_and_again_while_it_stops(
    sandbox: Sandbox, airflow: TaskStates, make: Any, version: str, batch_id: str
) -> None:
    """A triggerer does so every second; what was begun comes to its end, once."""
    airflow.state, airflow.pause = "failed", 0.3
    sandbox.fault("POST *", "hang", seconds=0.4, when="before", times=None)
    cancelled(make(on_kill="pause"), version, times=4)
    assert sandbox.batches[batch_id]["status"] == "paused"
    assert changes(sandbox) == ["pause"]
    assert len(airflow.asked) == 1


def test_the_loop_is_closed_while_it_stops(
    sandbox: Sandbox, airflow: TaskStates, make: Any, version: str, batch_id: str
) -> None:
    """A triggerer that ends does not wait for it."""
    airflow.state = "failed"
    sandbox.fault("POST *", "hang", seconds=20, when="before", times=None)

    async def run() -> None:
        task = asyncio.create_task(make(on_kill="pause").on_kill())
        await asyncio.sleep(0.6)
        assert not task.done()

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 5


def test_airflow_itself_ends_a_wait_whose_time_is_over(
    sandbox: Sandbox, airflow: TaskStates, monkeypatch: pytest.MonkeyPatch, batch_id: str
) -> None:
    """Before 3.3 that looks like a user's doing; the worker carries ``on_timeout`` out."""
    monkeypatch.setattr(kill, "CALLS_ON_KILL", False)
    airflow.state = "scheduled"
    trigger = GraineBatchTrigger(batch_ids=[batch_id], deadline=time.time() - 60, on_kill="cancel")

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            async with trigger.noticing_a_kill():
                raise asyncio.CancelledError

    asyncio.run(run())
    assert changes(sandbox) == []
    assert airflow.asked == []


def test_a_wait_that_ends_by_itself_stops_nothing(
    sandbox: Sandbox, airflow: TaskStates, version: str, batch_id: str
) -> None:
    airflow.state = "failed"
    sandbox.run_until_idle()

    async def run() -> list[Any]:
        trigger = GraineBatchTrigger(batch_ids=[batch_id], poll_interval=0.1, on_kill="cancel")
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(asyncio.wait_for(run(), 20))
    assert event.payload["status"] == "done"
    assert changes(sandbox) == []
