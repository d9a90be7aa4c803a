"""
Uploads to a service whose campaigns are drafts first, killed at every step and retried; see
:mod:`.test_killed_uploads`.

Starting is where it can hurt here. Without a memory nothing but the service tells the retry what was started.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash import requests as sent
from tests.crash.run import PEOPLE, Run, assert_everybody_is_on_one_campaign
from tests.crash.test_killed_uploads import MODES, WITH_TASK_STATE, Step
from tests.crash.wire import Ambush

pytestmark = pytest.mark.crash

#: There are three campaigns.
STEPS = {
    "before the first search": Step(at=sent.is_campaign_search, lost=True),
    "before the first create": Step(at=sent.is_campaign_create, lost=True),
    "first create done, no answer": Step(at=sent.is_campaign_create, when="after"),
    "second create on its way": Step(at=sent.is_campaign_create, nth=2, delay=0.5),
    "last create done, no answer": Step(at=sent.is_campaign_create, nth=3, when="after"),
    "in doubt, created": Step(at=sent.is_campaign_search, nth=2, when="after", answer="created"),
    "in doubt, not created": Step(at=sent.is_campaign_search, nth=2, when="after", answer="not created"),
    "while it counts": Step(at=sent.is_headcount, nth=2, when="after"),
    "before the first start": Step(at=sent.is_start, lost=True),
    "first start on its way": Step(at=sent.is_start, delay=0.5),
    "first start done, no answer": Step(at=sent.is_start, when="after"),
    "second start done, no answer": Step(at=sent.is_start, nth=2, when="after"),
    "last start on its way": Step(at=sent.is_start, nth=3, delay=0.5),
}


def lie_in_wait(run: Run, step: Step) -> Ambush:
    def strike() -> None:
        run.kill_task()
        time.sleep(step.delay)

    ambush = Ambush(at=step.at, nth=step.nth, when=step.when, lost=step.lost, strike=strike)
    run.service.lie_in_wait(ambush)
    if step.answer:
        when = "after" if step.answer == "created" else "before"
        run.sandbox.kataven.fault("POST /campaigns", "status", when=when, after=1)
    return ambush


def killed_and_retried(run: Run, step: Step, *, remembers: bool) -> None:
    # What is created is listed a second later.
    run.sandbox.kataven.fault("POST /campaigns", "late", virtual_seconds=1.0, times=None)
    ambush = lie_in_wait(run, step)
    assert run.try_once() == "up_for_retry"
    assert ambush.struck.is_set()
    if not remembers:
        run.lose_task_state()
    assert run.try_once() == "success", run.log()
    assert_everybody_is_on_one_campaign(run)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("remembers", [*WITH_TASK_STATE, pytest.param(False, id="no task state")])
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_a_step(start: Callable[[str], Run], mode: str, remembers: bool, step: Step) -> None:
    killed_and_retried(start(f"kataven_{mode}"), step, remembers=remembers)


@pytest.mark.parametrize("step", ["second create on its way", "first start done, no answer"])
@pytest.mark.parametrize("mode", MODES)
def test_killed_with_a_ledger(start: Callable[[str], Run], mode: str, step: str) -> None:
    killed_and_retried(start(f"kataven_{mode}_ledger"), STEPS[step], remembers=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("remembers", [*WITH_TASK_STATE, pytest.param(False, id="no task state")])
def test_killed_while_drafts_of_another_list_are_deleted(
    start: Callable[[str], Run], mode: str, remembers: bool
) -> None:
    run = start(f"kataven_{mode}")
    lie_in_wait(run, STEPS["before the first start"])
    assert run.try_once() == "up_for_retry"
    people = Path(run.conf["path"])
    people.write_text("phone_number,callee_name\n" + "".join(f"{number},Someone\n" for number in PEOPLE))
    ambush = lie_in_wait(run, Step(at=sent.is_deletion, nth=2, when="after"))
    assert run.try_once() == "up_for_retry"
    assert ambush.struck.is_set()
    if not remembers:
        run.lose_task_state()
    assert run.try_once() == "success", run.log()
    assert len(run.sandbox.kataven.campaigns) == 3
    assert_everybody_is_on_one_campaign(run)


@pytest.mark.parametrize("mode", MODES)
def test_clear_of_a_finished_upload_dials_nobody(start: Callable[[str], Run], mode: str) -> None:
    run = start(f"kataven_{mode}")
    assert run.try_once() == "success"
    run.clear()
    run.lose_task_state()
    assert run.try_once() == "success"
    assert_everybody_is_on_one_campaign(run)


@pytest.mark.parametrize("mode", MODES)
def test_redial_calls_again_once_per_clear(start: Callable[[str], Run], mode: str) -> None:
    run = start(f"kataven_redial_{mode}")
    for times in (1, 2):
        lie_in_wait(run, STEPS["first start done, no answer"])
        assert run.try_once() == "up_for_retry"
        assert run.try_once() == "success", run.log()
        assert run.sandbox.kataven.dialled == dict.fromkeys(PEOPLE, times)
        assert len(run.xcom("return_value")) == 3
        run.clear()


@pytest.mark.parametrize("at", [sent.is_campaign_create, sent.is_start], ids=["creates", "starts"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("mode", MODES)
def test_zombie_and_its_successor(start: Callable[[str], Run], mode: str, when: str, at: Callable[..., bool]) -> None:
    """Also where they share no memory: the service is what both look at."""
    run = start(f"kataven_{mode}")
    thawed = threading.Event()

    def freeze() -> None:
        zombie.signal(signal.SIGSTOP)
        assert thawed.wait(60)

    ambush = Ambush(at=at, when=when, strike=freeze)  # type: ignore[arg-type]
    run.service.lie_in_wait(ambush)
    zombie = run.begin()
    assert ambush.struck.wait(60)
    run.notice_loss()
    run.lose_task_state()
    assert run.try_once() == "success", run.log()
    assert_everybody_is_on_one_campaign(run)

    thawed.set()
    zombie.signal(signal.SIGCONT)
    zombie.join()
    assert run.task["state"] == "success"
    assert run.task["try_number"] == 2
    assert_everybody_is_on_one_campaign(run)
