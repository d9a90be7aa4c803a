"""What happens to the task and to the campaigns, whatever ends a wait: the same for each kind of task in each mode."""

from __future__ import annotations

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
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from tests.compat import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout, TaskDeferred
from tests.kataven_service import draft, kataven, status
from tests.kataven_waits import MODES, KatavenWaiting, waiting
from tests.waits import INTERVAL, clock

__all__ = ["clock", "draft", "kataven", "waiting"]

ACTIONS = ["none", "pause", "stop"]
STATES = {"none": "running", "pause": "paused", "stop": "completed"}
SLEEPING = ["operator", "sensor, poke"]
SENSORS = [mode for mode in MODES if "sensor" in mode]
DEFERRABLE = [mode for mode in MODES if "deferrable" in mode]


def only(modes: list[str]) -> Any:
    return pytest.mark.parametrize("waiting", modes, indirect=True)


def timeouts(waiting: KatavenWaiting) -> type[Exception]:
    return WaitTimeoutError if waiting.is_operator else AirflowSensorTimeout


def states(waiting: KatavenWaiting) -> list[str]:
    return [status(waiting.kataven, each) for each in waiting.campaign_ids]


def test_completed_campaigns_succeed(waiting: KatavenWaiting) -> None:
    result = waiting.run(on_kill="stop", on_timeout="stop")
    assert result == (waiting.campaign_ids if waiting.is_operator else None)
    assert states(waiting) == ["completed"] * 2
    assert waiting.stops == []
    assert waiting.clock.passed >= 2 * INTERVAL


def test_a_failed_campaign_fails(waiting: KatavenWaiting) -> None:
    failing, other = waiting.campaign_ids
    waiting.clock.after(200, lambda: waiting.kataven.fail_campaign(failing))
    with pytest.raises(WaitError, match=f"{failing} is failed"):
        waiting.run(on_timeout="pause", on_kill="pause")
    assert status(waiting.kataven, other) == "completed", "the other one was waited for"
    assert waiting.stops == []


def test_a_campaign_that_somebody_stops_fails_in_every_try(waiting: KatavenWaiting) -> None:
    stopped = waiting.campaign_ids[0]
    waiting.clock.after(200, lambda: waiting.hook.stop_campaign(stopped))
    for _ in range(2):
        with pytest.raises(WaitError, match=f"Not everybody was called: {stopped} is stopped"):
            waiting.run()
    assert waiting.stops == [f"stop {stopped}"], "the somebody"


@pytest.mark.parametrize("rule", ["min_completed_share", "max_failed_share"])
def test_shares(waiting: KatavenWaiting, rule: str) -> None:
    with pytest.raises(WaitError, match=f"of 80 contacts.*{rule}"):
        waiting.run(**{rule: float(rule == "min_completed_share")}, on_timeout="stop", on_kill="stop")
    assert waiting.run(**{rule: 0.5}, on_kill="stop") in (None, waiting.campaign_ids)
    assert waiting.stops == []


def test_an_error_that_waiting_does_not_help_is_raised_as_it_is(waiting: KatavenWaiting) -> None:
    waiting.clock.after(100, lambda: waiting.kataven.rotate_token("sk_live_sandbox_1111"))
    with pytest.raises(AuthenticationError) as caught:
        waiting.run(on_kill="stop", on_timeout="stop")
    waiting.kataven.rotate_token("sk_live_sandbox_0000")
    assert waiting.stops == []
    assert "sk_live" not in str(caught.value)


def test_an_hour_without_the_service_ends_as_if_nothing_had_been(waiting: KatavenWaiting, sandbox: Sandbox) -> None:
    def away() -> None:
        waiting.kataven.fault("GET *", "status", status=503, times=None)

    waiting.clock.after(100, away)
    waiting.clock.after(3700, sandbox.clear_faults)
    waiting.run()
    assert waiting.clock.passed > 3600
    assert waiting.stops == []


@pytest.mark.parametrize("action", ACTIONS)
def test_the_time_to_wait_is_over(waiting: KatavenWaiting, action: Any) -> None:
    with pytest.raises(timeouts(waiting)) as late:
        waiting.run(limit=400, on_timeout=action, on_kill="stop")
    assert 400 <= waiting.clock.passed <= 600, "Airflow's own sensors look at their pace"
    assert sorted(waiting.stops) == sorted(waiting.stop(action))
    assert states(waiting) == [STATES[action]] * 2
    assert {"none": "they go on", "pause": "Paused 2 campaigns", "stop": "Stopped 2 campaigns"}[action] in str(
        late.value
    )

    waiting.operator.on_kill()
    assert sorted(waiting.stops) == sorted(waiting.stop(action)), "not twice"


@pytest.mark.parametrize("action", ACTIONS)
def test_execution_timeout(waiting: KatavenWaiting, action: Any) -> None:
    with pytest.raises(AirflowTaskTimeout):
        waiting.run(execution_timeout=timedelta(seconds=400), on_timeout=action)
    assert sorted(waiting.stops) == sorted(waiting.stop(action))


@only(SENSORS)
def test_soft_fail_skips_when_the_time_is_over(waiting: KatavenWaiting) -> None:
    with pytest.raises(AirflowSkipException):
        waiting.run(limit=400, on_timeout="pause", soft_fail=True)
    assert states(waiting) == ["paused"] * 2


@only(SLEEPING)
@pytest.mark.parametrize("action", ACTIONS)
def test_killed_while_it_sleeps(waiting: KatavenWaiting, action: Any) -> None:
    waiting.clock.after(100, lambda: waiting.operator.on_kill())
    with pytest.raises(TaskKilledError):
        waiting.run(on_kill=action)
    assert waiting.clock.passed == 100
    assert sorted(waiting.stops) == sorted(waiting.stop(action))
    assert states(waiting) == [STATES[action]] * 2

    if action == "stop":  # what was stopped is no success for the next try
        with pytest.raises(WaitError, match="Not everybody was called"):
            waiting.run(on_kill=action)


@only(SLEEPING)
def test_a_kill_with_drafts_and_paused_campaigns(waiting: KatavenWaiting, draft: Any) -> None:
    running, paused = waiting.campaign_ids
    waiting.hook.pause_campaign(paused)
    waiting.campaign_ids.append(waiting_draft := draft(3))
    waiting.clock.after(100, lambda: waiting.operator.on_kill())
    with pytest.raises(TaskKilledError) as killed:
        waiting.run(on_kill="stop")
    assert sorted(waiting.stops) == sorted([f"pause {paused}", f"stop {paused}", f"stop {running}"])
    assert states(waiting) == ["completed", "paused", "draft"]
    assert f"Stopped campaign {running}" in str(killed.value)
    assert waiting_draft in str(killed.value)


@only(DEFERRABLE)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_triggerer_that_never_answers(waiting: KatavenWaiting, action: Any) -> None:
    waiting.operator = waiting.make(limit=400, on_timeout=action)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.operator.execute(waiting.context())
    assert deferred.value.timeout is not None
    assert deferred.value.timeout > timedelta(seconds=400)
    waiting.clock.sleep(1000)
    pushed = dict(waiting.task.xcom)
    waiting.operator = waiting.make(limit=400, on_timeout=action)
    context = waiting.context()
    waiting.task.xcom |= pushed
    with pytest.raises(timeouts(waiting)):
        waiting.operator.resume_execution(TRIGGER_FAIL_REPR, {"error": "Trigger timeout", "traceback": []}, context)
    assert sorted(waiting.stops) == sorted(waiting.stop(action))


def test_a_paused_campaign_keeps_it_waiting(waiting: KatavenWaiting) -> None:
    held = waiting.campaign_ids[0]
    waiting.hook.pause_campaign(held)
    waiting.clock.after(10_000, lambda: waiting.hook.resume_campaign(held))
    waiting.run()
    assert waiting.clock.passed > 10_000
    assert waiting.stops == [f"pause {held}", f"resume {held}"], "the test's own"


def test_actions_are_katavens(waiting: KatavenWaiting) -> None:
    with pytest.raises(ConfigurationError, match=r'on_kill must be "none", "pause" or "stop"\.'):
        waiting.run(on_kill="cancel")


def test_nothing_leaves_that_is_personal(
    waiting: KatavenWaiting, kataven: KatavenAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting.run(min_completed_share=0.1)
    out = capsys.readouterr()
    kept = f"{out.out}{out.err}{waiting.task.xcom}{waiting.deferred and waiting.deferred.trigger.serialize()}"
    assert waiting.campaign_ids[0] in kept or waiting.mode in ("operator", "sensor, poke", "sensor, reschedule")
    for secret in ("+91", "Renewals", "sk_live"):
        assert secret not in kept
