"""Uploads that are stopped from outside: nothing more is sent, and what is there is treated as asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_graine.exceptions import TaskKilledError
from airflow_provider_graine.hooks.graine_batches import GraineBatches
from airflow_provider_graine.operators import upload_memory
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.triggers.pause import PauseTrigger
from tests.compat import AirflowTaskTimeout, TaskDeferred
from tests.task import Task

PEOPLE = [{"phone_number": f"+9198765{number:05}", "callee_name": "Person"} for number in range(30)]
STATES = {"none": "in_progress", "pause": "paused", "cancel": "cancelled"}


@pytest.fixture
def make(sandbox: Sandbox, campaign_id: str) -> Callable[..., GraineCreateBatchOperator]:
    """Make an operator that uploads three batches."""

    def make(**arguments: Any) -> GraineCreateBatchOperator:
        arguments = {"batch_size": 10, "resend_after": 2.0, "contacts": PEOPLE, **arguments}
        return GraineCreateBatchOperator(task_id="call", campaign_id=campaign_id, **arguments)

    return make


def on_create(monkeypatch: pytest.MonkeyPatch, nth: int, happens: Callable[[], None], *, after: bool = False) -> None:
    """Let something happen when a batch is about to be created, or when it was and nobody knows yet."""
    original, seen = GraineBatches.create, []

    def create(self: GraineBatches, chunk: Any, **arguments: Any) -> Any:
        seen.append(chunk)
        if len(seen) == nth and not after:
            happens()
        batch = original(self, chunk, **arguments)
        if len(seen) == nth and after:
            happens()
        return batch

    monkeypatch.setattr(GraineBatches, "create", create)


def states(sandbox: Sandbox) -> list[str]:
    return [batch["status"] for batch in sandbox.batches.values()]


def changes(sandbox: Sandbox) -> list[str]:
    paths = [request.path.rpartition("/")[2] for request in sandbox.requests if request.method == "POST"]
    return [path for path in paths if path in ("pause", "cancel", "resume", "dispatch")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("action", ["none", "pause", "cancel"])
@pytest.mark.parametrize("waits", [False, True], ids=["", "waits"])
def test_killed_while_it_creates_a_batch(
    sandbox: Sandbox,
    task: Task,
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
    after: bool,
    action: Any,
    waits: bool,
) -> None:
    """What is on its way comes to be, and is treated too."""
    operator = make(on_kill=action, on_timeout="cancel", wait_for_completion=waits)
    on_create(monkeypatch, nth, operator.on_kill, after=after)

    with pytest.raises(TaskKilledError, match="was stopped from outside"):
        task.run(operator)

    assert states(sandbox) == [STATES[action]] * nth
    assert changes(sandbox) == ([] if action == "none" else [action] * nth)


def test_the_retry_sends_the_rest_at_once(
    sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopping leaves no doubt behind: there is nothing to wait for."""
    operator = make()
    with monkeypatch.context() as first:
        on_create(first, 2, operator.on_kill)
        with pytest.raises(TaskKilledError):
            task.run(operator)
    assert len(sandbox.batches) == 2

    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    assert len(task.run(make(resend_after=300.0))) == 3
    assert naps == []
    assert sandbox.dialled == dict.fromkeys((person["phone_number"] for person in PEOPLE), 1)


def test_killed_while_it_reads_the_source(
    sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = make(on_kill="cancel")
    load = operator.load

    def load_and_be_killed(*arguments: Any) -> None:
        load(*arguments)
        operator.on_kill()

    monkeypatch.setattr(operator, "load", load_and_be_killed)
    with pytest.raises(TaskKilledError, match="Nothing was done to the calls"):
        task.run(operator)
    assert not sandbox.batches


def test_killed_while_it_waits_out_a_doubt(
    sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = make(on_kill="pause", resend_after=300.0)
    sandbox.fault("POST /batches/", "status", status=503, when="before", after=1)
    monkeypatch.setattr("time.sleep", lambda _: operator.on_kill())
    began = time.monotonic()
    with pytest.raises(TaskKilledError):
        task.run(operator)
    assert time.monotonic() - began < 10
    assert states(sandbox) == ["paused"]


def test_a_retry_killed_before_it_has_searched_knows_the_batches_it_remembers(
    sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make()
    on_create(monkeypatch, 2, first.on_kill, after=True)
    with pytest.raises(TaskKilledError):
        task.run(first)

    operator = make(on_kill="cancel")
    monkeypatch.setattr(GraineBatches, "find", lambda _: operator.on_kill() or [])
    with pytest.raises(TaskKilledError):
        task.run(operator)
    assert states(sandbox) == ["cancelled", "cancelled"]


def test_execution_timeout_while_it_sends(
    sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alarm() -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    operator = make(on_timeout="pause", on_kill="cancel")
    on_create(monkeypatch, 3, alarm)
    with pytest.raises(AirflowTaskTimeout):
        task.run(operator)
    operator.on_kill()  # as Airflow does then
    assert states(sandbox) == ["paused", "paused"]
    assert changes(sandbox) == ["pause", "pause"]


def test_a_doubt_that_is_waited_out_elsewhere_knows_what_to_stop(
    sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_memory, "_PATIENCE", 0.0)
    sandbox.fault("POST /batches/", "status", status=503, when="before", after=1)
    with pytest.raises(TaskDeferred) as deferred:
        task.run(make(deferrable=True, on_kill="pause", resend_after=300.0))
    trigger = deferred.value.trigger
    assert isinstance(trigger, PauseTrigger)
    path, kwargs = trigger.serialize()
    assert kwargs["batch_ids"] == list(sandbox.batches)
    assert kwargs["on_kill"] == "pause"
    assert PauseTrigger(**kwargs).serialize() == (path, kwargs)


def test_killed_on_its_way_to_the_triggerer(
    sandbox: Sandbox, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_memory, "_PATIENCE", 0.0)
    operator = make(deferrable=True, on_kill="pause", resend_after=300.0)
    sandbox.fault("POST /batches/", "status", status=503, when="before", after=1)
    defer = operator.defer

    def killed_and_deferred(**arguments: Any) -> None:
        operator.on_kill()
        defer(**arguments)

    monkeypatch.setattr(operator, "defer", killed_and_deferred)
    with pytest.raises(TaskKilledError):
        task.run(operator)
    assert states(sandbox) == ["paused"]
