"""A rescheduled sensor is a new process with each look: what it must not forget, Airflow keeps for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_graine.exceptions import TaskKilledError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sensors.graine import GraineBatchSensor
from tests.compat import AirflowRescheduleException, AirflowSensorTimeout, AirflowSkipException
from tests.waits import VirtualClock, Waiting, clock

__all__ = ["clock"]


@pytest.fixture
def waiting(clock: VirtualClock, sandbox: Sandbox, hook: GraineHook, campaign_id: str) -> Waiting:
    return Waiting("batch sensor, reschedule", clock, sandbox, hook, campaign_id)


def look(waiting: Waiting, **arguments: Any) -> None:
    sensor = waiting.make(**arguments)
    with pytest.raises(AirflowRescheduleException):
        sensor.execute(waiting.context(first=waiting.clock.now))
    waiting.clock.sleep(300)


def test_a_stall_is_noticed_over_many_processes(
    waiting: Waiting, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.fault("GET /batches/{batch_id}", "fields", times=None, fields={"counters": {"pending": 20}})
    for _ in range(10):
        look(waiting, stalled_after=1800.0, timeout=1e6)
    assert capsys.readouterr().out.count("Nothing has changed for") == 1
    debugs = [request for request in sandbox.requests if request.path.endswith("/debug")]
    assert len(debugs) == 1


def test_without_a_store_the_wait_goes_on(waiting: Waiting) -> None:
    waiting.task.store = None
    look(waiting)
    waiting.run()


def test_an_earlier_try_is_forgotten(waiting: Waiting) -> None:
    look(waiting)
    assert waiting.task.store is not None
    kept = waiting.task.store.values["wait"]
    assert kept["try_number"] == 1
    sensor, context = waiting.make(), waiting.context()
    context["ti"].try_number = 2
    assert sensor._remembered(context) is None
    context["ti"].try_number = 1
    assert sensor._remembered(context) == kept["memory"]


def test_a_store_that_breaks_ends_no_wait(waiting: Waiting, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no store")

    sensor, context = waiting.make(), waiting.context()
    context["task_state_store"] = SimpleNamespace(get=lambda _: None, set=broken)
    with pytest.raises(AirflowRescheduleException):
        sensor.execute(context)
    assert "could not be kept for the next (RuntimeError)" in capsys.readouterr().out


@pytest.mark.parametrize("soft", [False, True])
def test_the_base_class_times_out_by_its_own_clock(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch, soft: bool
) -> None:
    """The wall clock was set back: then the base class is the first to notice. The calls are treated all the same."""
    waiting.mode = "batch sensor, poke"
    assert waiting.batch_id
    passing = iter(range(0, 10_000_000, 1000))
    monkeypatch.setattr(
        "airflow.sdk.bases.sensor.time", SimpleNamespace(monotonic=lambda: next(passing), sleep=lambda _: None)
    )
    with pytest.raises(AirflowSkipException if soft else AirflowSensorTimeout):
        waiting.run(limit=5000, on_timeout="pause", on_kill="cancel", soft_fail=soft)
    assert waiting.stops == ["pause batch"]


def test_exponential_backoff_goes_on_working(waiting: Waiting) -> None:
    waiting.mode = "batch sensor, poke"
    assert waiting.batch_id
    waiting.run(exponential_backoff=True, poke_interval=60, max_wait=600)
    assert waiting.clock.naps[0] < waiting.clock.naps[2] <= 600


def test_silent_fail_goes_on_after_an_error(waiting: Waiting, sandbox: Sandbox) -> None:
    waiting.mode = "batch sensor, poke"
    assert waiting.batch_id
    sandbox.fault("GET /batches/{batch_id}", "status", status=422, times=3)
    waiting.run(silent_fail=True)


def test_a_kill_after_a_silent_failure_is_noticed(waiting: Waiting, sandbox: Sandbox) -> None:
    waiting.mode = "batch sensor, poke"
    assert waiting.batch_id
    sandbox.fault("GET /batches/{batch_id}", "status", status=422, times=1)
    waiting.clock.after(100, lambda: waiting.operator.on_kill())
    with pytest.raises(TaskKilledError):
        waiting.run(silent_fail=True, on_kill="pause")
    assert waiting.clock.passed == 100
    assert waiting.stops == ["pause batch"]


def test_the_interval_given_by_default_args() -> None:
    sensor = GraineBatchSensor(task_id="wait", batch_ids=[], default_args={"poke_interval": 77})
    assert sensor.poke_interval == 77
