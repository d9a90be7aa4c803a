"""What happens to the task and to the calls, whatever ends a wait: the same for each kind of task in each mode."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ConfigurationError,
    TaskKilledError,
    WaitError,
    WaitTimeoutError,
)
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.watching.graine_stop import stop_calls
from airflow_provider_graine.watching.graine_watch import decide
from tests.compat import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout, TaskDeferred
from tests.waits import INTERVAL, MODES, START, VirtualClock, Waiting, clock, waiting

__all__ = ["clock", "waiting"]

ACTIONS = ["none", "pause", "cancel"]
STATES = {"none": "in_progress", "pause": "paused", "cancel": "cancelled"}
HOUR = 3600.0

DEFERRABLE = [mode for mode in MODES if "deferrable" in mode]
RESCHEDULED = [mode for mode in MODES if "reschedule" in mode]
SLEEPING = [mode for mode in MODES if mode not in DEFERRABLE + RESCHEDULED]
SENSORS = [mode for mode in MODES if "sensor" in mode]
OPERATORS = [mode for mode in MODES if "operator" in mode]


def only(modes: list[str]) -> Any:
    """Test these modes."""
    return pytest.mark.parametrize("waiting", modes, indirect=True)


def timeouts(waiting: Waiting) -> type[Exception]:
    return WaitTimeoutError if waiting.is_operator else AirflowSensorTimeout


# -- the calls end -----------------------------------------------------------------------------------------------------


def test_completed_calls_succeed(waiting: Waiting) -> None:
    result = waiting.run(on_kill="cancel", on_timeout="cancel")
    assert result == ([waiting.batch_id] if waiting.is_operator else None)
    assert waiting.sandbox.batches[waiting.batch_id]["status"] == "completed"
    assert waiting.stops == []
    assert waiting.clock.passed > HOUR


def test_calls_that_somebody_cancels_fail_and_nothing_is_sent(waiting: Waiting, hook: GraineHook) -> None:
    if "campaign" in waiting.mode:
        waiting.clock.after(1000, lambda: hook.cancel_campaign(waiting.campaign_id))
    else:
        waiting.clock.after(1000, lambda: hook.cancel_batch(waiting.batch_id))
    with pytest.raises(WaitError, match="is cancelled"):
        waiting.run(on_timeout="pause", on_kill="pause")
    assert "pause batch" not in waiting.stops

    waiting.task.tries = 1
    with pytest.raises(WaitError, match="is cancelled"):
        waiting.run()
    assert waiting.creates == 1


def test_too_few_completed_calls_fail(waiting: Waiting) -> None:
    with pytest.raises(WaitError, match="min_completed_share"):
        waiting.run(min_completed_share=1.0, on_timeout="cancel", on_kill="cancel")
    assert waiting.stops == []


def test_an_error_that_waiting_does_not_help_is_raised_as_it_is(waiting: Waiting, sandbox: Sandbox) -> None:
    waiting.clock.after(1000, lambda: sandbox.rotate_token("gat_another"))
    try:
        with pytest.raises(AuthenticationError):
            waiting.run(on_timeout="cancel", on_kill="cancel")
    finally:
        sandbox.rotate_token("gat_sandbox")
    assert waiting.stops == []


# -- the time is over --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_longest_wait(waiting: Waiting, action: Any) -> None:
    error = timeouts(waiting)
    with pytest.raises(error, match=r"^The time to wait is over and the calls are not done") as raised:
        waiting.run(limit=1000, on_timeout=action, on_kill="cancel" if action == "pause" else "pause")
    assert waiting.stops == waiting.stop(action)
    assert waiting.sandbox.batches[waiting.batch_id]["status"] == STATES[action]
    assert 1000 <= waiting.clock.passed <= 1000 + INTERVAL
    told = {"none": "Nothing was done to the calls", "pause": "Paused", "cancel": "Cancelled"}
    assert told[action] in str(raised.value)


@pytest.mark.parametrize("action", ACTIONS)
def test_execution_timeout(waiting: Waiting, action: Any) -> None:
    timeout = timedelta(seconds=1000)
    with pytest.raises(AirflowTaskTimeout, match="The time to wait is over"):
        waiting.run(execution_timeout=timeout, on_timeout=action, on_kill="cancel" if action == "pause" else "pause")
    assert 1000 <= waiting.clock.passed <= 1000 + INTERVAL

    waiting.operator.on_kill()  # as Airflow does then
    assert waiting.stops == waiting.stop(action)


@only(SLEEPING + DEFERRABLE)
def test_execution_timeout_counts_from_the_start_of_the_try(waiting: Waiting) -> None:
    waiting.clock.sleep(600)  # reading, screening, sending
    with pytest.raises(AirflowTaskTimeout):
        waiting.run(execution_timeout=timedelta(seconds=1000), limit=5000)
    assert waiting.clock.passed <= 1000 + INTERVAL


def test_the_earlier_of_two_limits_counts(waiting: Waiting) -> None:
    with pytest.raises(timeouts(waiting)):
        waiting.run(execution_timeout=timedelta(seconds=5000), limit=1000, on_timeout="pause")
    assert waiting.stops == waiting.stop("pause")


@only(SLEEPING)
def test_airflows_own_alarm_in_the_middle_of_a_nap(waiting: Waiting) -> None:

    def alarm() -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    waiting.clock.after(1000, alarm)
    with pytest.raises(AirflowTaskTimeout):
        waiting.run(on_timeout="pause", on_kill="cancel")
    waiting.operator.on_kill()
    assert waiting.stops == waiting.stop("pause")


@only(SLEEPING)
def test_airflows_own_alarm_while_the_calls_are_stopped(waiting: Waiting, sandbox: Sandbox) -> None:
    """It comes a moment after our own deadline, and must not break off what the deadline has begun."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("broken off"))
    on = "POST /campaigns/{campaign_id}/pause" if "campaign" in waiting.mode else "POST /batches/{batch_id}/pause"
    sandbox.fault(on, "hang", seconds=0.6, when="before")
    try:
        waiting.clock.after(990, lambda: signal.setitimer(signal.ITIMER_REAL, 0.3))
        with pytest.raises(AirflowTaskTimeout, match="Paused"):
            waiting.run(execution_timeout=timedelta(seconds=1000), on_timeout="pause")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert waiting.stops == waiting.stop("pause")


def test_calls_that_are_done_at_the_last_moment_are_done(waiting: Waiting) -> None:
    waiting.clock.after(990, waiting.sandbox.run_until_idle)
    waiting.run(limit=1000, on_timeout="cancel")
    assert waiting.stops == []


# -- Airflow ends the deferral by itself -------------------------------------------------------------------------------


def deferred(waiting: Waiting, **arguments: Any) -> TaskDeferred:
    waiting.operator = waiting.make(**arguments)
    with pytest.raises(TaskDeferred) as raised:
        waiting.operator.execute(waiting.context())
    return raised.value


def fail_deferral(waiting: Waiting, reason: str, **arguments: Any) -> Any:
    """Resume as Airflow does when there will be no event."""
    pushed = dict(waiting.task.xcom)
    waiting.operator = waiting.make(**arguments)
    context = waiting.context()
    waiting.task.xcom |= pushed
    return waiting.operator.resume_execution(TRIGGER_FAIL_REPR, {"error": reason}, context)


@only(DEFERRABLE)
@pytest.mark.parametrize("action", ACTIONS)
def test_no_triggerer_answers(waiting: Waiting, action: Any) -> None:
    timeout = deferred(waiting, limit=1000, on_timeout=action, on_kill="pause").timeout
    assert timeout == timedelta(seconds=1000 + 2 * INTERVAL + 60)
    waiting.clock.sleep(timeout.total_seconds())
    with pytest.raises(timeouts(waiting), match="no triggerer has said how the calls are"):
        fail_deferral(waiting, "Trigger timeout", limit=1000, on_timeout=action, on_kill="pause")
    assert waiting.stops == waiting.stop(action)


@only(DEFERRABLE)
def test_no_triggerer_answers_and_the_connection_is_gone(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    deferred(waiting, limit=1000, on_timeout="cancel")
    monkeypatch.delenv("AIRFLOW_CONN_GRAINE_DEFAULT")
    with pytest.raises(timeouts(waiting), match="Nothing was done to the calls"):
        fail_deferral(waiting, "Trigger timeout", limit=1000, on_timeout="cancel")
    assert waiting.stops == []


@only(DEFERRABLE)
def test_no_triggerer_answers_before_the_execution_timeout(waiting: Waiting) -> None:
    arguments: dict[str, Any] = {"execution_timeout": timedelta(seconds=1000), "on_timeout": "pause"}
    deferred(waiting, **arguments)
    with pytest.raises(AirflowTaskTimeout, match="no triggerer has said"):
        fail_deferral(waiting, "Trigger timeout", **arguments)
    assert waiting.stops == waiting.stop("pause")


@only(DEFERRABLE)
def test_without_a_limit_the_framework_sets_none(waiting: Waiting) -> None:
    assert (deferred(waiting).timeout is None) == waiting.is_operator


@only(DEFERRABLE)
def test_a_broken_trigger_fails_and_leaves_the_calls_alone(waiting: Waiting) -> None:
    deferred(waiting, on_timeout="cancel", on_kill="cancel")
    with pytest.raises(WaitError, match="The trigger that waited for the calls broke"):
        fail_deferral(waiting, "Trigger failure", on_timeout="cancel", on_kill="cancel")
    assert waiting.stops == []


@only(DEFERRABLE)
def test_the_trigger_gets_all_that_matters(waiting: Waiting) -> None:
    trigger = deferred(
        waiting, limit=1000, on_kill="pause", min_completed_share=0.5, max_failed_share=0.25, stalled_after=60.0
    ).trigger
    _, kwargs = trigger.serialize()
    assert (
        kwargs.items()
        >= {
            "poll_interval": INTERVAL,
            "deadline": START + 1000,
            "campaign_id": waiting.campaign_id,
            "on_kill": "pause",
            "min_completed_share": 0.5,
            "max_failed_share": 0.25,
            "stalled_after": 60.0,
        }.items()
    )


# -- the task is killed ------------------------------------------------------------------------------------------------


@only(SLEEPING)
@pytest.mark.parametrize("action", ACTIONS)
def test_killed_while_it_sleeps(waiting: Waiting, action: Any) -> None:
    waiting.clock.after(1000, lambda: waiting.operator.on_kill())
    with pytest.raises(TaskKilledError, match="was stopped from outside"):
        waiting.run(on_kill=action, on_timeout="cancel")
    assert waiting.clock.passed == 1000
    assert waiting.stops == waiting.stop(action)
    assert waiting.sandbox.batches[waiting.batch_id]["status"] == STATES[action]

    waiting.operator.on_kill()
    assert waiting.stops == waiting.stop(action)


@pytest.mark.parametrize("leniency", [{}, {"never_fail": True}, {"silent_fail": True}], ids=str)
@pytest.mark.parametrize("action", ACTIONS)
def test_killed_in_the_middle_of_a_look(
    waiting: Waiting, action: Any, leniency: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a task fails that was about to be deferred or rescheduled."""
    looks = 0

    def look_and_be_killed(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == (2 if waiting.mode in SLEEPING else 1):
            waiting.operator.on_kill()
        return decide(*arguments)

    monkeypatch.setattr("airflow_provider_graine.watching.watch.decide", look_and_be_killed)
    with pytest.raises(TaskKilledError):
        waiting.run(on_kill=action, on_timeout="cancel", **({} if waiting.is_operator else leniency))
    assert waiting.stops == waiting.stop(action)
    assert len(waiting.clock.naps) == (1 if waiting.mode in SLEEPING else 0)


def test_killed_while_the_calls_are_stopped_because_the_time_is_over(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_and_be_killed(*arguments: Any, **options: Any) -> Any:
        waiting.operator.on_kill()
        return stop_calls(*arguments, **options)

    monkeypatch.setattr("airflow_provider_graine.operators.graine_wait.stop_calls", stop_and_be_killed)
    with pytest.raises(timeouts(waiting)):
        waiting.run(limit=1000, on_timeout="pause", on_kill="cancel")
    assert waiting.stops == waiting.stop("pause")


def test_killed_before_it_begins(waiting: Waiting) -> None:
    waiting.operator = operator = waiting.make(on_kill="cancel")
    creates = waiting.creates
    operator.on_kill()
    with pytest.raises(TaskKilledError):
        operator.execute(waiting.context())
    assert waiting.stops == []
    assert waiting.creates == creates


def test_killed_when_all_is_done_is_too_late(waiting: Waiting) -> None:
    waiting.run(on_kill="cancel")
    waiting.operator.on_kill()
    assert waiting.stops == []


@only(SLEEPING)
def test_killed_while_a_look_gets_no_answer(waiting: Waiting, sandbox: Sandbox) -> None:
    """What is left alone when nobody can look: nothing."""

    def kill() -> None:
        sandbox.fault("GET *", "status", status=503, times=None)
        waiting.operator.on_kill()

    waiting.clock.after(1000, kill)
    with pytest.raises(TaskKilledError):
        waiting.run(on_kill="pause")
    assert waiting.stops == waiting.stop("pause")


# -- skipping ----------------------------------------------------------------------------------------------------------


@only(SENSORS)
@pytest.mark.parametrize("leniency", ["soft_fail", "never_fail"])
def test_lenient_sensors_skip_when_the_time_is_over(waiting: Waiting, leniency: str) -> None:
    with pytest.raises(AirflowSkipException):
        waiting.run(limit=1000, **{leniency: True}, on_timeout="pause")
    assert waiting.stops == waiting.stop("pause")


@only([mode for mode in SENSORS if mode not in RESCHEDULED])
@pytest.mark.parametrize("leniency", ["soft_fail", "never_fail"])
def test_lenient_sensors_skip_at_the_execution_timeout(waiting: Waiting, leniency: str) -> None:
    with pytest.raises(AirflowSkipException):
        waiting.run(execution_timeout=timedelta(seconds=1000), **{leniency: True}, on_timeout="pause")
    assert waiting.stops == waiting.stop("pause")


@only(SENSORS)
@pytest.mark.parametrize(("leniency", "expected"), [("soft_fail", WaitError), ("never_fail", AirflowSkipException)])
def test_lenient_sensors_whose_calls_are_cancelled(
    waiting: Waiting, leniency: str, expected: type[Exception], hook: GraineHook
) -> None:
    waiting.clock.after(1000, lambda: hook.cancel_campaign(waiting.campaign_id))
    with pytest.raises(expected):
        waiting.run(**{leniency: True})


@only(SENSORS)
@pytest.mark.parametrize(("leniency", "expected"), [("soft_fail", WaitError), ("never_fail", AirflowSkipException)])
def test_lenient_sensors_whose_calls_were_cancelled_before(
    waiting: Waiting, leniency: str, expected: type[Exception], hook: GraineHook
) -> None:
    assert waiting.batch_id
    hook.cancel_campaign(waiting.campaign_id)
    with pytest.raises(expected):
        waiting.run(**{leniency: True})


@only([mode for mode in SENSORS if mode in SLEEPING])
@pytest.mark.parametrize("leniency", ["soft_fail", "never_fail", "silent_fail"])
def test_lenient_sensors_fail_when_killed(waiting: Waiting, leniency: str) -> None:
    waiting.clock.after(1000, lambda: waiting.operator.on_kill())
    with pytest.raises(TaskKilledError):
        waiting.run(**{leniency: True}, on_kill="pause")
    assert waiting.stops == waiting.stop("pause")


# -- an outage ---------------------------------------------------------------------------------------------------------


def test_an_outage_of_an_hour_ends_as_if_nothing_had_been(waiting: Waiting, sandbox: Sandbox) -> None:
    def begin() -> None:
        sandbox.fault("*", "status", status=503, times=None)

    waiting.clock.after(900, begin)
    waiting.clock.after(900 + HOUR, sandbox.clear_faults)
    waiting.run(on_timeout="cancel", on_kill="cancel")
    assert sandbox.batches[waiting.batch_id]["status"] == "completed"
    assert waiting.stops == []
    assert waiting.creates == 1


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"on_kill": "stop"}, r'on_kill must be "none", "pause" or "cancel"'),
        ({"on_timeout": None}, r'on_timeout must be "none"'),
        ({"min_completed_share": 80}, "min_completed_share"),
        ({"max_failed_share": -0.1}, "max_failed_share"),
        ({"stalled_after": 0}, "stalled_after"),
    ],
)
def test_arguments_that_make_no_sense(waiting: Waiting, arguments: dict[str, Any], said: str) -> None:
    before = waiting.make(), waiting.creates
    with pytest.raises(ConfigurationError, match=rf"{said}.*Nothing was sent"):
        waiting.run(**arguments)
    assert waiting.creates == before[1]


@only(OPERATORS)
def test_longest_wait_that_makes_no_sense(waiting: Waiting) -> None:
    with pytest.raises(ConfigurationError, match="wait_timeout must be above 0"):
        waiting.run(limit=0)
    with pytest.raises(WaitTimeoutError):
        waiting.run(limit=timedelta(minutes=10))


def test_default_args_reach_the_task(waiting: Waiting) -> None:
    operator = waiting.make(default_args={"on_kill": "pause", "on_timeout": "cancel", "stalled_after": 5.0})
    assert (operator.kill_action, operator.timeout_action, operator.stalled_after) == ("pause", "cancel", 5.0)


def test_nothing_sounds_like_a_clock(clock: VirtualClock) -> None:
    """The tests above would pass by accident if their clock did not go on."""
    clock.sleep(10)
    assert clock.now == START + 10
