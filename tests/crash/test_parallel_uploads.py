"""
Uploads with four requests in flight that are killed or stopped, and then retried.

Each try is what Airflow makes of it; see :mod:`tests.crash.test_killed_uploads`. There are five batches of two people.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.crash.requests import is_create
from tests.crash.run import PEOPLE, Airflow, Run, assert_everybody_is_on_one_batch
from tests.crash.runner import HAS_TASK_STATE
from tests.crash.test_killed_uploads import Step, killed_and_retried
from tests.crash.wire import Ambush

pytestmark = pytest.mark.crash

#: With four on their way, what becomes of the last one of them.
STEPS = {
    "the last one is lost": Step(at=is_create, nth=4, lost=True),
    "the last one comes late": Step(at=is_create, nth=4, delay=0.5),
    "the last one is created": Step(at=is_create, nth=4, when="after"),
    "one more is sent": Step(at=is_create, nth=5, when="after"),
}


def assert_in_the_order_of_the_list(run: Run) -> None:
    people = [
        contact["phone_number"] for batch_id in run.xcom("return_value") for contact in run.sandbox.contacts(batch_id)
    ]
    assert people == PEOPLE, run.log()


def states(run: Run) -> list[str]:
    return [batch["status"] for batch in run.sandbox.batches.values()]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_killed_with_four_in_flight(start: Callable[[str], Run], airflow: Airflow, step: Step) -> None:
    run = start("parallel_deferrable_none" if step.lost else "parallel_sync_none")
    # They are processed, and answered when it is too late.
    run.sandbox.fault("POST /batches/", "hang", when="after", seconds=0.5, times=3)
    killed_and_retried(run, airflow, step, remembers=HAS_TASK_STATE and step is not STEPS["the last one is created"])
    assert_in_the_order_of_the_list(run)


@pytest.mark.parametrize("action", ["none", "cancel"])
def test_stopped_with_four_in_flight(start: Callable[[str], Run], action: str) -> None:
    """All four come about and are treated, one of them long after the others; the retry sends the fifth."""
    run = start(f"parallel_sync_{action}")
    run.sandbox.fault("POST /batches/", "hang", when="after", seconds=0.3, times=3)
    run.sandbox.fault("POST /batches/", "hang", when="after", seconds=3.0, after=3)
    stopped = Ambush(at=is_create, nth=4, strike=run.terminate_task)
    run.service.lie_in_wait(stopped)
    worker = run.begin()
    assert stopped.struck.wait(60), run.log()
    deadline = time.monotonic() + 2.5
    while action == "cancel" and states(run).count("cancelled") < 3:
        assert time.monotonic() < deadline, "the slow one held up the others"
        time.sleep(0.02)
    assert worker.end() == "up_for_retry", run.log()
    assert states(run) == ["cancelled" if action == "cancel" else "in_progress"] * 4
    assert run.changes == ["cancel"] * 4 * (action == "cancel")
    assert "The task was stopped from outside" in run.log()

    run.service.clear()
    assert run.try_once() == "success", run.log()
    assert_everybody_is_on_one_batch(run)
    assert_in_the_order_of_the_list(run)


def test_marked_failed_with_a_request_that_does_not_end(start: Callable[[str], Run]) -> None:
    """Airflow sends SIGTERM, and SIGKILL after 5 s: by then, what was answered is cancelled and remembered."""
    run = start("parallel_sync_cancel")
    run.sandbox.fault("POST /batches/", "hang", when="after", seconds=0.2, times=3)
    run.sandbox.fault("POST /batches/", "hang", when="after", seconds=12.0, after=3)
    failed = Ambush(at=is_create, nth=4, strike=run.mark_failed)
    run.service.lie_in_wait(failed)
    began = time.monotonic()
    assert run.begin().end() == "failed", run.log()
    assert time.monotonic() - began < 12.0
    # It went on until Airflow's heartbeat said that it had failed.
    assert states(run)[:3] == ["cancelled"] * 3
    assert run.changes == ["cancel"] * states(run).count("cancelled")

    run.service.clear()
    run.clear()
    assert run.try_once() == "success", run.log()
    assert_everybody_is_on_one_batch(run)
    assert_in_the_order_of_the_list(run)
