"""
Uploads whose process is killed at every step, and then retried: everybody is on exactly one batch.

Each try is what Airflow makes of it: the supervisor and the task runner it forks, a DAG file, the Execution API with
its database. The requests between them and to the service are where a test lies in wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from tests.crash.requests import is_batches, is_create, is_intent, is_record, is_search
from tests.crash.run import Airflow, Run, assert_everybody_is_on_one_batch
from tests.crash.runner import HAS_TASK_STATE
from tests.crash.wire import Ambush, Request

pytestmark = pytest.mark.crash


@dataclass(frozen=True, kw_only=True)
class Step:
    """
    Where an upload gets killed.

    :param wire: the wire to the service or to Airflow
    :param at: the request that is on the wire
    :param nth: which of its kind
    :param when: before the server gets it, or when it has answered and nobody has heard
    :param lost: whether it never gets to the server, when killed before
    :param delay: seconds from the kill until it does
    :param answer: the service's answer to the second create, where it is none that says what happened
    """

    wire: Literal["service", "airflow"] = "service"
    at: Callable[[Request], bool]
    nth: int = 1
    when: Literal["before", "after"] = "before"
    lost: bool = False
    delay: float = 0.0
    answer: Literal["", "created", "not created"] = ""


#: Steps that the service can see, whatever Airflow remembers. There are three chunks.
SEEN = {
    "before the first search": Step(at=is_search, lost=True),
    "before the first create": Step(at=is_create, lost=True),
    "first create done, no answer": Step(at=is_create, when="after"),
    "second create on its way": Step(at=is_create, nth=2, delay=0.5),
    "second create done, no answer": Step(at=is_create, nth=2, when="after"),
    "between the second and the third": Step(at=is_create, nth=3, lost=True),
    "last create done, no answer": Step(at=is_create, nth=3, when="after"),
    "in doubt, created": Step(at=is_search, nth=2, when="after", answer="created"),
    "in doubt, not created": Step(at=is_search, nth=2, when="after", answer="not created"),
}

#: Steps of the upload's memory.
REMEMBERED = {
    "before the intent": Step(wire="airflow", at=is_intent, nth=2, lost=True),
    "between intent and create": Step(wire="airflow", at=is_intent, nth=2, when="after"),
    "between answer and record": Step(wire="airflow", at=is_batches, nth=2, lost=True),
    "half of the record written": Step(wire="airflow", at=is_batches, nth=2, when="after"),
    "after the last record": Step(wire="airflow", at=is_record, when="after"),
}

MODES = ["sync", "deferrable"]
WITH_TASK_STATE = [pytest.param(True, id="task state")] if HAS_TASK_STATE else []


def lie_in_wait(run: Run, airflow: Airflow, step: Step) -> Ambush:
    def strike() -> None:
        run.kill_task()
        time.sleep(step.delay)

    ambush = Ambush(at=step.at, nth=step.nth, when=step.when, lost=step.lost, strike=strike)
    (run.service if step.wire == "service" else airflow.wire).lie_in_wait(ambush)
    if step.answer:
        run.sandbox.fault("POST /batches/", "status", when="after" if step.answer == "created" else "before", after=1)
    return ambush


def killed_and_retried(run: Run, airflow: Airflow, step: Step, *, remembers: bool) -> None:
    # What is created is listed a second later.
    run.sandbox.fault("POST /batches/", "late", virtual_seconds=1.0, times=None)
    ambush = lie_in_wait(run, airflow, step)

    assert run.try_once() == "up_for_retry"
    assert ambush.struck.is_set()
    if not remembers:
        run.lose_task_state()
    assert run.try_once() == "success", run.log()

    assert run.task["try_number"] == 2
    assert_everybody_is_on_one_batch(run)


@pytest.mark.parametrize("step", SEEN.values(), ids=SEEN)
@pytest.mark.parametrize("remembers", [*WITH_TASK_STATE, pytest.param(False, id="no task state")])
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_a_step_the_service_sees(
    start: Callable[[str], Run], airflow: Airflow, mode: str, remembers: bool, step: Step
) -> None:
    killed_and_retried(start(f"{'file' if remembers else 'list'}_{mode}"), airflow, step, remembers=remembers)


if HAS_TASK_STATE:

    @pytest.mark.parametrize("step", REMEMBERED.values(), ids=REMEMBERED)
    @pytest.mark.parametrize("mode", MODES)
    def test_killed_at_a_step_of_the_memory(
        start: Callable[[str], Run], airflow: Airflow, mode: str, step: Step
    ) -> None:
        killed_and_retried(start(f"file_{mode}"), airflow, step, remembers=True)


@pytest.mark.parametrize("step", ["second create on its way", "second create done, no answer"])
@pytest.mark.parametrize("mode", MODES)
def test_killed_with_a_ledger(start: Callable[[str], Run], airflow: Airflow, mode: str, step: str) -> None:
    killed_and_retried(start(f"file_{mode}_ledger"), airflow, SEEN[step], remembers=False)


@pytest.mark.parametrize("mode", MODES)
def test_killed_twice(start: Callable[[str], Run], airflow: Airflow, mode: str) -> None:
    """The second try finds one batch, waits, sends the next, and dies of it as well."""
    run = start(f"file_{mode}")
    for step in (SEEN["first create done, no answer"], SEEN["second create done, no answer"]):
        lie_in_wait(run, airflow, replace(step, nth=1))
        assert run.try_once() == "up_for_retry"
        run.lose_task_state()
    assert run.try_once() == "success", run.log()
    assert_everybody_is_on_one_batch(run)


def test_killed_after_a_deferral(start: Callable[[str], Run], airflow: Airflow) -> None:
    """A try that has given its slot up in doubt comes back, and dies with the answer of the next create."""
    run = start("file_deferrable")
    run.sandbox.fault("POST /batches/", "status", when="before", after=1)
    ambush = lie_in_wait(run, airflow, Step(at=is_create, nth=3, when="after"))
    assert run.try_once() == "up_for_retry"
    assert ambush.struck.is_set()
    assert len(run.events) == 1
    assert run.try_once() == "success", run.log()
    assert_everybody_is_on_one_batch(run)


@pytest.mark.parametrize("mode", MODES)
def test_whole_worker_lost(start: Callable[[str], Run], airflow: Airflow, mode: str) -> None:
    """Nobody is left to report the death: the scheduler notices that heartbeats are missing."""
    run = start(f"list_{mode}")
    ambush = Ambush(at=is_create, nth=2, when="after", strike=lambda: worker.kill())
    run.service.lie_in_wait(ambush)
    worker = run.begin()
    assert worker.end() == "up_for_retry"
    assert ambush.struck.is_set()
    assert run.try_once() == "success", run.log()
    assert_everybody_is_on_one_batch(run)
