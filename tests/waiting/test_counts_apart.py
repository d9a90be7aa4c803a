"""A service that counts its contacts apart: they are asked for when the outcome hangs on them, and else are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_graine.exceptions import AuthenticationError, ServiceUnavailableError
from airflow_provider_graine.waiting.decision import Closer, Decision, Question, Step, Wait
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.rules import WaitRules
from airflow_provider_graine.waiting.vocabulary import KATAVEN

HALF = WaitRules(min_completed_share=0.5)


def campaign(status: str, total: int | None = None, counts: Mapping[str, int] = {}, **rest: Any) -> Progress:
    return Progress(status=status, total=total, counts=counts, **{"id": "c1", "vocabulary": KATAVEN, **rest})


def asked(wait: Wait, *parts: Progress) -> Decision:
    decision = wait.saw(parts, now=0.0)
    assert (decision.step, decision.question) == (Step.LOOK_CLOSER, Question.COUNTS)
    return decision


def test_without_a_rule_nothing_is_asked() -> None:
    decision = Wait().saw([campaign("completed")], now=0.0)
    assert (decision.step, decision.message) == (Step.DONE, "All calls are done.")


def test_counts_that_came_with_the_end_are_enough() -> None:
    counts = {"completed": 6, "failed": 4}
    decision = Wait(rules=HALF).saw([campaign("completed", 10, counts)], now=0.0)
    assert (decision.step, decision.counts) == (Step.DONE, counts)


@pytest.mark.parametrize("end", ["failed", "stopped"])
def test_where_it_failed_anyway_nothing_is_asked(end: str) -> None:
    decision = Wait(rules=HALF).saw([campaign("completed"), campaign(end, id="c2")], now=0.0)
    assert (decision.step, decision.message) == (
        Step.FAILED,
        f"Not everybody was called: c2 is {end}. A stopped campaign does not go on; calls that were placed are in its "
        "results, and nothing is sent again by itself.",
    )


@pytest.mark.parametrize(("completed", "step"), [(5, Step.DONE), (4, Step.FAILED)])
def test_the_answer_decides(completed: int, step: Step) -> None:
    wait = Wait(rules=HALF)
    asked(wait, campaign("completed"))
    counted = campaign("completed", 10, {"completed": completed, "failed": 10 - completed})
    decision = wait.saw_closer(Closer(parts=[counted]), now=0.0)
    assert decision.step is step
    assert f"{completed} completed" in decision.message


def test_an_answer_that_cannot_be_had_is_a_look_that_failed() -> None:
    wait = Wait(rules=HALF, deadline=100.0)
    asked(wait, campaign("completed"))
    later = wait.saw_closer(Closer(error=ServiceUnavailableError("away", retry_after=40.0)), now=0.0)
    assert (later.step, later.pause) == (Step.WAIT, 40.0)
    asked(wait, campaign("completed"))
    with pytest.raises(AuthenticationError):
        wait.saw_closer(Closer(error=AuthenticationError("no")), now=1.0)
    asked(wait, campaign("completed"))
    assert wait.saw_closer(Closer(error=ServiceUnavailableError("away")), now=100.0).step is Step.TIMED_OUT


def test_people_who_wait_for_a_retry_do_not_stand_still_so_soon() -> None:
    """The service calls them pending."""
    wait = Wait(rules=WaitRules(stalled_after=600.0))
    parts = [campaign("running", 3, {"pending": 1, "completed": 2}, patience=1200.0)]
    warned_at = None
    for now in range(0, 3600, 60):
        decision = wait.saw(parts, now=float(now))
        while decision.step is Step.LOOK_CLOSER:
            if decision.question is Question.DEBUG:
                assert decision.about == "c1"
                warned_at = warned_at or now
            decision = wait.saw_closer(Closer(), now=float(now))
    assert warned_at == 1800
