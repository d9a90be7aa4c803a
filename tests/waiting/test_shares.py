"""min_completed_share and max_failed_share: at the end, and as soon as the end is certain."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from airflow_provider_graine.waiting.decision import Decision, Step, Wait
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.rules import WaitRules
from airflow_provider_graine.waiting.vocabulary import GRAINE
from tests.waiting.simulation import batch

AT_LEAST_80 = WaitRules(min_completed_share=0.8)
AT_MOST_10 = WaitRules(max_failed_share=0.1)


def saw(rules: WaitRules, *parts: Progress, deadline: float | None = None) -> Decision:
    return Wait(rules=rules, deadline=deadline).saw(parts, now=0.0)


@pytest.mark.parametrize(
    ("rules", "counts", "step"),
    [
        (AT_LEAST_80, {"completed": 8, "no_answer": 2}, Step.DONE),
        (AT_LEAST_80, {"completed": 7, "no_answer": 3}, Step.FAILED),
        (AT_LEAST_80, {"completed": 8}, Step.DONE),
        (AT_LEAST_80, {"completed": 7}, Step.FAILED),
        (AT_LEAST_80, {}, Step.FAILED),
        (AT_MOST_10, {"failed": 1, "busy": 9}, Step.DONE),
        (AT_MOST_10, {"failed": 1, "max_retries_reached": 1}, Step.FAILED),
        (AT_MOST_10, {"failed": 2}, Step.FAILED),
        (AT_MOST_10, {}, Step.DONE),
        (WaitRules(), {"failed": 10}, Step.DONE),
        (WaitRules(min_completed_share=0), {}, Step.DONE),
        (WaitRules(min_completed_share=1), {"completed": 10}, Step.DONE),
        (WaitRules(max_failed_share=0), {"failed": 1}, Step.FAILED),
    ],
)
def test_at_the_end(rules: WaitRules, counts: dict[str, int], step: Step) -> None:
    assert saw(rules, batch("completed", **counts)).step is step


@pytest.mark.parametrize(
    ("rules", "counts", "certain"),
    [
        (AT_LEAST_80, {"skipped": 3}, True),
        (AT_LEAST_80, {"max_retries_reached": 3}, True),
        (AT_LEAST_80, {"skipped": 2}, False),
        (AT_LEAST_80, {"failed": 4, "busy": 3, "no_answer": 3}, False),
        (AT_LEAST_80, {"retrying": 10}, False),
        (AT_MOST_10, {"max_retries_reached": 2}, True),
        (AT_MOST_10, {"failed": 10}, False),
        (AT_MOST_10, {"skipped": 10}, False),
        (WaitRules(), {"max_retries_reached": 10}, False),
    ],
)
@pytest.mark.parametrize("status", ["in_progress", "paused", "pending"])
def test_early(rules: WaitRules, counts: dict[str, int], certain: bool, status: str) -> None:
    assert (saw(rules, batch(status, **counts)).step is Step.FAILED) == certain


def test_a_batch_that_has_ended_counts_with_all_it_has_not_completed() -> None:
    ended = batch("completed", completed=5)
    assert saw(AT_LEAST_80, ended, batch("in_progress", batch_id="btc_2")).step is Step.FAILED
    assert saw(AT_LEAST_80, ended, batch("in_progress", total=40, batch_id="btc_2")).step is Step.WAIT
    assert saw(AT_MOST_10, batch("completed", failed=3), batch("in_progress", batch_id="btc_2")).step is Step.FAILED
    assert saw(AT_LEAST_80, batch("expired", completed=5), batch("in_progress", batch_id="btc_2")).step is Step.FAILED


def test_nothing_is_certain_while_a_total_is_not_known() -> None:
    parts = batch(skipped=10), batch(batch_id="btc_2", total=None)
    assert saw(AT_LEAST_80, *parts).step is Step.WAIT


def test_nothing_is_certain_of_a_campaign_which_people_can_be_added_to() -> None:
    counts = {"skipped": 5, "completed": 5}
    assert saw(AT_LEAST_80, batch("active", batch_id=None, **counts)).step is Step.WAIT
    assert saw(AT_LEAST_80, batch("completed", batch_id=None, **counts)).step is Step.FAILED


def test_a_share_that_cannot_be_checked_is_not_taken_for_good() -> None:
    decision = saw(AT_LEAST_80, batch("completed", total=None, completed=10))
    assert decision.step is Step.FAILED
    assert "does not say how many contacts" in decision.message
    assert saw(WaitRules(), batch("completed", total=None, completed=10)).step is Step.DONE


def test_nobody_to_call_breaks_no_rule() -> None:
    assert saw(WaitRules(min_completed_share=1, max_failed_share=0), batch("completed", total=0)).step is Step.DONE
    assert saw(WaitRules(min_completed_share=1)).step is Step.DONE


def test_a_stopped_batch_fails_as_ever() -> None:
    decision = saw(AT_LEAST_80, batch("cancelled", completed=1))
    assert decision.step is Step.FAILED
    assert "btc_1 is cancelled" in decision.message


def test_what_is_certain_is_said_before_the_time_is_over() -> None:
    assert saw(AT_LEAST_80, batch(skipped=9), deadline=0.0).step is Step.FAILED
    assert saw(AT_LEAST_80, batch(skipped=1), deadline=0.0).step is Step.TIMED_OUT


def test_the_message_at_the_end() -> None:
    assert saw(AT_LEAST_80, batch("completed", completed=6, no_answer=4)).message == (
        "Too few calls completed: 6 of 10 contacts (60%), and min_completed_share asks for 80%. All calls are over: a "
        "retry looks again and changes nothing, and nobody is called again by itself. "
        "10 of 10 contacts have an outcome (100%): 6 completed, 4 no answer."
    )


def test_the_message_of_a_certain_end() -> None:
    assert saw(AT_LEAST_80, batch(completed=2, skipped=4, pending=4)).message == (
        "Too few calls can still end as completed: 6 of 10 contacts (60%), and min_completed_share asks for 80%. The "
        "calls that are still running go on; a retry waits for them and fails in the same way. "
        "6 of 10 contacts have an outcome (60%): 2 completed, 4 skipped, 4 pending [in_progress]."
    )
    assert "Too many calls failed: 2 of 10 contacts (20%), and max_failed_share allows 10%." in (
        saw(AT_MOST_10, batch(max_retries_reached=2)).message
    )


STATES = ("completed", "failed", "busy", "no_answer", "skipped", "max_retries_reached", "retrying", "pending")
FINAL = frozenset({"skipped", "max_retries_reached", "completed"})
shares = st.none() | st.integers(0, 20).map(lambda number: number / 20)
rules = st.builds(WaitRules, min_completed_share=shares, max_failed_share=shares)
counts = st.dictionaries(st.sampled_from(STATES), st.integers(0, 12), min_size=1)


@st.composite
def batches(draw: Any, statuses: Sequence[str]) -> Progress:
    of_states = draw(counts)
    missing = draw(st.integers(0, 3))
    return Progress(
        status=draw(st.sampled_from(statuses)),
        total=sum(of_states.values()) + missing,
        counts=of_states,
        id=draw(st.uuids().map(str)),
    )


def continued(part: Progress, draw: Any, end: str | None = None) -> Progress:
    """Let what is not over come to some end, and let what is over stay."""
    if part.has_ended:
        return part
    after = {state: number for state, number in part.counts.items() if state in FINAL}
    for _ in range(part.total - sum(after.values())):
        state = end or draw(st.sampled_from([*STATES, "missing"]))
        after[state] = after.get(state, 0) + 1
    status = "completed" if end else draw(st.sampled_from(["completed", "cancelled", "expired"]))
    return Progress(
        status=status,
        total=part.total,
        counts={state: number for state, number in after.items() if state != "missing"},
        id=part.id,
    )


@given(
    rules=rules,
    parts=st.lists(batches(["in_progress", "paused", "completed", "cancelled"]), min_size=1, max_size=3),
    data=st.data(),
)
def test_an_early_end_would_have_come_whatever_happened(
    rules: WaitRules, parts: list[Progress], data: st.DataObject
) -> None:
    assume(not all(part.has_ended for part in parts))
    if saw(rules, *parts).step is not Step.FAILED:
        event("not certain")
        return
    event("certain")
    for _ in range(3):
        assert saw(rules, *(continued(part, data.draw) for part in parts)).step is Step.FAILED


@given(rules=rules, parts=st.lists(batches(["in_progress", "paused", "completed"]), min_size=1, max_size=3))
def test_the_end_is_certain_exactly_when_the_best_one_fails(rules: WaitRules, parts: list[Progress]) -> None:
    best = saw(rules, *(continued(part, None, end="completed") for part in parts)).step
    now = saw(rules, *parts).step
    if all(part.status in GRAINE.succeeded for part in parts):
        assert now is best
    else:
        assert (now is Step.FAILED) == (best is Step.FAILED)


@given(total=st.integers(1, 10**6), share=st.integers(0, 1000).map(lambda number: number / 1000), data=st.data())
def test_shares_are_compared_as_they_are_written(total: int, share: float, data: st.DataObject) -> None:
    """0.7 of 10 are 7, although 0.7 * 10 is more than 7 for a computer."""
    exact = Fraction(str(share))
    completed = data.draw(st.integers(0, total) | st.just(int(exact * total)))
    ended = batch("completed", total=total, completed=completed, failed=total - completed)
    at_least = saw(WaitRules(min_completed_share=share), ended).step
    assert (at_least is Step.DONE) == (Fraction(completed, total) >= exact)
    at_most = saw(WaitRules(max_failed_share=share), ended).step
    assert (at_most is Step.DONE) == (Fraction(total - completed, total) <= exact)
