"""
Waits and uploads that are stopped from outside: SIGTERM, timeouts, a user's click.

Each try is what Airflow makes of it; see :mod:`tests.crash.test_killed_uploads`.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable

import pytest

from tests.crash.requests import is_change, is_create, is_look
from tests.crash.run import PEOPLE, Run
from tests.crash.wire import Ambush, Request

pytestmark = pytest.mark.crash

STATES = {"none": "in_progress", "pause": "paused", "cancel": "cancelled"}
SOON = 15.0  # seconds in which a stopped task has ended; its interval is 30


def states(run: Run) -> list[str]:
    return [batch["status"] for batch in run.sandbox.batches.values()]


def create_batch(run: Run) -> None:
    """Put the people on a batch of the campaign, for sensors."""
    body = {"campaign_id": run.conf["campaign_id"], "contacts": [{"phone_number": number} for number in PEOPLE]}
    request = urllib.request.Request(
        f"{run.sandbox.url}/batches/",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {run.sandbox.token}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()


def when(run: Run, at: Callable[[Request], bool], strike: Callable[[], None], *, nth: int = 1) -> Ambush:
    ambush = Ambush(at=at, nth=nth, strike=strike)
    run.service.lie_in_wait(ambush)
    return ambush


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_so()


def stopped_while_it_sleeps(run: Run, *, looks: int) -> str:
    """Begin a try, and send SIGTERM when it has looked so often and sleeps."""
    ambush = when(run, is_look, lambda: None, nth=looks)
    worker = run.begin()
    assert ambush.struck.wait(60), run.log()
    time.sleep(1.0)
    began = time.monotonic()
    run.terminate_task()
    state = worker.end()
    assert time.monotonic() - began < SOON
    return state


@pytest.mark.parametrize("action", STATES)
def test_upload_stopped_while_it_sleeps(start: Callable[[str], Run], action: str) -> None:
    run = start(f"upload_{action}")
    assert stopped_while_it_sleeps(run, looks=3) == "up_for_retry", run.log()
    assert states(run) == [STATES[action]] * 3
    assert run.changes == ([] if action == "none" else [action] * 3)
    assert "The task was stopped from outside" in run.log()
    assert run.sandbox.dialled == dict.fromkeys(PEOPLE, 1)


def test_without_retries_it_has_failed(start: Callable[[str], Run]) -> None:
    run = start("upload_without_retries")
    assert stopped_while_it_sleeps(run, looks=3) == "failed", run.log()
    assert states(run) == ["paused"] * 3


@pytest.mark.parametrize("action", STATES)
def test_sensor_stopped_while_it_sleeps(start: Callable[[str], Run], action: str) -> None:
    run = start(f"poke_{action}")
    create_batch(run)
    assert stopped_while_it_sleeps(run, looks=1) == "up_for_retry", run.log()
    assert states(run) == [STATES[action]]
    assert run.changes == ([] if action == "none" else [action])


@pytest.mark.parametrize("dag_id", ["upload_pause", "deferred_pause", "poke_pause", "reschedule", "poke_lenient"])
def test_stopped_in_the_middle_of_a_look(start: Callable[[str], Run], dag_id: str) -> None:
    """Also on its way to a deferral, and with ``never_fail``."""
    run = start(dag_id)
    if "upload" not in dag_id and "deferred" not in dag_id:
        create_batch(run)

    def strike() -> None:
        run.terminate_task()
        time.sleep(1.5)  # its answer is late

    ambush = when(run, is_look, strike)
    assert run.begin().end() == "up_for_retry", run.log()
    assert ambush.struck.is_set()
    assert set(states(run)) == {"paused"}
    assert len(run.changes) == (1 if len(states(run)) == 1 else 3)


@pytest.mark.parametrize("action", STATES)
@pytest.mark.parametrize("mode", ["upload", "deferred"])
def test_stopped_in_the_middle_of_the_upload(start: Callable[[str], Run], mode: str, action: str) -> None:
    """The batch that is on its way comes to be, and is treated as the others; the third is not sent."""
    run = start(f"{mode}_{action}")

    def strike() -> None:
        run.terminate_task()
        time.sleep(0.5)

    when(run, is_create, strike, nth=2)
    assert run.begin().end() == "up_for_retry", run.log()
    assert states(run) == [STATES[action]] * 2
    assert run.changes == ([] if action == "none" else [action] * 2)
    assert len(run.sandbox.batches) == 2


def test_the_next_try_sends_the_rest_and_nobody_twice(start: Callable[[str], Run]) -> None:
    run = start("upload_none")
    when(run, is_create, run.terminate_task, nth=2)
    assert run.begin().end() == "up_for_retry", run.log()
    run.service.clear()

    # The search looks at the two there are, and the wait at all three.
    assert stopped_while_it_sleeps(run, looks=5) == "failed", run.log()
    assert len(run.sandbox.batches) == 3
    assert run.sandbox.dialled == dict.fromkeys(PEOPLE, 1)


def test_a_cancelled_run_is_not_sent_again(start: Callable[[str], Run]) -> None:
    run = start("upload_cancel")
    assert stopped_while_it_sleeps(run, looks=3) == "up_for_retry", run.log()
    run.service.clear()
    assert run.try_once() == "failed"
    assert "is cancelled" in run.log()
    assert run.changes == ["cancel"] * 3
    assert len(run.sandbox.batches) == 3


def test_a_service_that_does_not_answer_holds_nobody_up(start: Callable[[str], Run]) -> None:
    run = start("upload_pause")
    run.sandbox.fault("POST /batches/{batch_id}/pause", "hang", seconds=3.5, when="before", times=None)
    assert stopped_while_it_sleeps(run, looks=3) == "up_for_retry"
    assert "is not known: look at it" in run.log()
    eventually(lambda: states(run) == ["paused"] * 3)


@pytest.mark.parametrize("dag_id", ["upload_cancel", "poke_cancel"])
def test_a_user_marks_the_running_task_failed(start: Callable[[str], Run], dag_id: str) -> None:
    """Airflow notices with the next heartbeat, sends SIGTERM, and 5 s later SIGKILL."""
    run = start(dag_id)
    if "poke" in dag_id:
        create_batch(run)
    ambush = when(run, is_look, lambda: None, nth=3 if "upload" in dag_id else 1)
    worker = run.begin()
    assert ambush.struck.wait(60), run.log()
    time.sleep(0.5)
    run.mark_failed()
    assert worker.end() == "failed", run.log()
    assert set(states(run)) == {"cancelled"}
    assert set(run.changes) == {"cancel"}
    assert len(run.changes) == len(states(run)) or "poke" in dag_id


# -- the time is over --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dag_id", ["upload_execution_timeout", "upload_wait_timeout"])
def test_upload_that_takes_too_long(start: Callable[[str], Run], dag_id: str) -> None:
    run = start(dag_id)
    assert run.begin().end() == "up_for_retry", run.log()
    assert states(run) == ["paused"] * 3
    assert run.changes == ["pause"] * 3
    assert "The time to wait is over" in run.log()


@pytest.mark.parametrize("dag_id", ["deferred_execution_timeout", "deferred_wait_timeout"])
def test_deferred_upload_that_takes_too_long(start: Callable[[str], Run], dag_id: str) -> None:
    run = start(dag_id)
    assert run.try_once() == "up_for_retry", run.log()
    assert [event["status"] for event in run.events] == ["timed_out"]
    assert states(run) == ["paused"] * 3
    assert run.changes == ["pause"] * 3


@pytest.mark.parametrize(
    ("dag_id", "state"),
    [
        ("poke_execution_timeout", "up_for_retry"),
        ("poke_timeout", "failed"),
        ("poke_soft_execution_timeout", "skipped"),
        ("deferred_soft_timeout", "skipped"),
    ],
)
def test_sensor_that_takes_too_long(start: Callable[[str], Run], dag_id: str, state: str) -> None:
    run = start(dag_id)
    create_batch(run)
    assert run.try_once() == state, run.log()
    assert states(run) == ["paused"]
    assert run.changes == ["pause"]


@pytest.mark.parametrize(
    ("dag_id", "state"), [("poke_execution_timeout", "up_for_retry"), ("poke_soft_execution_timeout", "skipped")]
)
def test_execution_timeout_in_the_middle_of_a_look(start: Callable[[str], Run], dag_id: str, state: str) -> None:
    """Airflow's own alarm breaks the request off."""
    run = start(dag_id)
    create_batch(run)
    when(run, is_look, lambda: time.sleep(9))
    assert run.try_once() == state, run.log()
    assert states(run) == ["paused"]
    assert run.changes == ["pause"]


# -- the task is deferred ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", STATES)
@pytest.mark.parametrize("state", ["failed", "success", None])
def test_deferred_wait_that_is_cancelled(start: Callable[[str], Run], action: str, state: str | None) -> None:
    """By a user, or (``None``) because it goes to another triggerer: then nothing is stopped."""
    run = start(f"deferred_{action}")
    assert run.begin().end() == "deferred", run.log()
    run.cancel_trigger(state, seen=lambda: True)
    is_stopped = state is not None and action != "none"
    assert states(run) == [STATES[action] if is_stopped else "in_progress"] * 3
    assert run.changes == ([action] * 3 if is_stopped else [])


def test_deferred_wait_whose_service_is_slow_to_stop(start: Callable[[str], Run]) -> None:
    """The triggerer cancels again and again; what was begun comes to its end, once."""
    run = start("deferred_pause")
    assert run.begin().end() == "deferred", run.log()
    when(run, is_change, lambda: time.sleep(2.5))
    run.cancel_trigger("failed", seen=lambda: True)
    assert states(run) == ["paused"] * 3
    assert run.changes == ["pause"] * 3
