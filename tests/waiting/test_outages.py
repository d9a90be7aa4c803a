"""A service that cannot be seen for a while ends no wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    ServiceUnavailableError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.waiting.decision import Question, Step, Wait
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.rules import WaitRules
from tests.waiting.simulation import MONDAY_NOON, Dialler, batch, decide, office_hours, run

DOWN = ServiceUnavailableError("The service answers 503.")
BLIPS = [DOWN, UnexpectedAnswerError("A login page came in place of JSON.")]


def down(since: float, seconds: float, error: Exception = DOWN) -> Callable[[float], Exception | None]:
    return lambda now: error if since <= now < since + seconds else None


@pytest.mark.parametrize("error", BLIPS)
@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("poll_interval", [5.0, 30.0, 120.0])
def test_an_hour_long_outage_ends_nothing(error: Exception, draw: float, poll_interval: float) -> None:
    world, rules = Dialler(total=600), WaitRules(min_completed_share=0.5, max_failed_share=0.4)
    undisturbed = run(Wait(rules=rules, poll_interval=poll_interval), world, draw=draw)
    outage = down(MONDAY_NOON + 3600, 3600, error)
    story = run(Wait(rules=rules, poll_interval=poll_interval), world, outages=outage, draw=draw)
    assert (story.step, story.message, story.counts) == (undisturbed.step, undisturbed.message, undisturbed.counts)
    assert story.step is Step.DONE
    assert story.at - undisturbed.at <= 1.1 * poll_interval
    assert not [each for each in story.asked if each.question is Question.DEBUG]
    assert [line for line in story.lines if "can be seen again after" in line]
    assert len(story.warnings) <= 8
    assert story.looks < undisturbed.looks


def test_an_outage_over_the_end_of_the_calls_ends_well() -> None:
    story = run(Wait(), Dialler(total=600), outages=down(MONDAY_NOON + 17000, 7000))
    assert story.step is Step.DONE
    assert story.at < MONDAY_NOON + 24000 + 300


def test_an_outage_while_nobody_is_called_is_no_stall() -> None:
    """What did not change because the service was away is no sign that it has stopped calling."""
    since, seconds = MONDAY_NOON + 3600, 3600
    world = Dialler(total=600, stands_still=(since, since + seconds + 120))
    story = run(Wait(), world, outages=down(since, seconds))
    assert story.step is Step.DONE
    assert not [warning for warning in story.warnings if "Nothing has changed" in warning]


@pytest.mark.parametrize("error", BLIPS)
def test_an_outage_of_more_than_two_hours_is_told_as_it_is(error: Exception) -> None:
    story = run(Wait(), Dialler(total=6000), outages=down(MONDAY_NOON + 3600, 86400, error))
    assert story.error is error
    assert 7200 <= story.at - MONDAY_NOON - 3600 <= 7200 + 200
    assert story.looks > 120 + 40


def test_few_looks_do_not_end_a_wait_however_long_they_took() -> None:
    story = run(Wait(poll_interval=3600), Dialler(total=6000), outages=down(MONDAY_NOON + 3600, 9.5 * 3600))
    assert story.step is Step.DONE


def test_both_limits_count() -> None:
    wait = Wait(failure_budget=2, longest_outage=100)
    for now in (0, 1, 2, 99):
        assert wait.could_not_see(DOWN, now=now).step is Step.WAIT
    with pytest.raises(ServiceUnavailableError):
        wait.could_not_see(DOWN, now=100)


def test_a_look_that_succeeds_forgets_the_failed_ones() -> None:
    wait = Wait(failure_budget=2, longest_outage=0)
    for _ in range(5):
        wait.could_not_see(DOWN, now=0)
        wait.could_not_see(DOWN, now=0)
        decide(wait, batch(), now=0)
    wait.could_not_see(DOWN, now=0)
    wait.could_not_see(DOWN, now=0)
    with pytest.raises(ServiceUnavailableError):
        wait.could_not_see(DOWN, now=0)


@pytest.mark.parametrize("error", [AuthenticationError("revoked"), ConfigurationError("no token"), KeyError("a bug")])
def test_an_error_that_waiting_cannot_mend_ends_it_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        Wait().could_not_see(error, now=0)


def test_not_found_is_believed_when_it_is_said_five_times_in_a_row() -> None:
    wait, gone = Wait(), NotFoundError("The service does not know the batch.")
    for now in range(4):
        assert wait.could_not_see(gone, now=now).step is Step.WAIT
    decide(wait, batch(), now=4)
    for now in range(5, 9):
        decision = wait.could_not_see(gone, now=now)
        assert (decision.step, decision.pause) == (Step.WAIT, 30.0)
    wait.could_not_see(DOWN, now=9)
    for now in range(10, 14):
        wait.could_not_see(gone, now=now)
    with pytest.raises(NotFoundError):
        wait.could_not_see(gone, now=14)


def test_the_pause_grows_with_the_outage() -> None:
    def pauses(poll_interval: float, looks: int = 6) -> list[float]:
        wait = Wait(poll_interval=poll_interval)
        return [wait.could_not_see(DOWN, now=0).pause for _ in range(looks)]

    assert pauses(30) == [30, 60, 120, 150, 150, 150]
    assert pauses(100) == [100, 200, 300, 300, 300, 300]
    assert pauses(900) == [900] * 6


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [(None, 30), (5, 30), (600, 600), (86400, 3600), (-1, 30), (float("nan"), 30), (float("inf"), 30)],
)
def test_the_service_is_left_alone_as_long_as_it_asks(retry_after: float | None, pause: float) -> None:
    error = ServiceUnavailableError("Too many requests.", retry_after=retry_after)
    assert Wait().could_not_see(error, now=0).pause == pause
    assert Wait(deadline=100).could_not_see(error, now=0).pause == min(100, pause)


def test_failed_looks_are_told_less_and_less_often() -> None:
    wait = Wait()
    decisions = [wait.could_not_see(DOWN, now=60 * number) for number in range(40)]
    assert [number + 1 for number, decision in enumerate(decisions) if decision.warning] == [1, 2, 4, 8, 16, 32]
    assert not any(decision.worth_telling for decision in decisions)
    assert decisions[0].warning == (
        "The last look at the calls failed. The wait goes on, and the calls do not depend on it. "
        "The service answers 503."
    )
    assert "The last 4 looks at the calls failed, for 3 minutes." in str(decisions[3].warning)
    again = decide(wait, batch(), now=2400)
    assert again.worth_telling
    assert again.message.startswith("The calls can be seen again after 40 failed looks in 40 minutes. 0 of 10")


def test_the_deadline_holds_while_the_service_is_away() -> None:
    wait = Wait(deadline=100)
    decide(wait, batch(completed=4), now=0)
    assert wait.could_not_see(DOWN, now=99).step is Step.WAIT
    late = wait.could_not_see(DOWN, now=100)
    assert late.step is Step.TIMED_OUT
    assert late.message == (
        "The time to wait is over and how far the calls are is not known: the last look failed. When last seen: "
        "4 of 10 contacts have an outcome (40%): 4 completed, 6 other [in_progress]. The service answers 503."
    )
    assert "When last seen" not in Wait(deadline=0).could_not_see(DOWN, now=0).message


@st.composite
def looks(draw: Any) -> list[list[Progress]]:
    """Draw how a batch goes on until it ends."""
    done = sorted(draw(st.lists(st.integers(0, 20), min_size=1, max_size=12)))
    statuses = [draw(st.sampled_from(["in_progress", "in_progress", "paused", "pending"])) for _ in done]
    counts = [{"pending": 20 - number, "completed": number} for number in done]
    end = draw(st.sampled_from(["completed", "cancelled", "expired"]))
    return [
        *([Progress(status=s, total=20, counts=c, id="b")] for s, c in zip(statuses, counts, strict=True)),
        [Progress(status=end, total=20, counts=counts[-1], id="b")],
    ]


@given(
    seen=looks(),
    outages=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 30), st.sampled_from(BLIPS))),
    min_completed_share=st.none() | st.sampled_from([0.2, 0.5, 0.9]),
)
def test_a_wait_with_outages_ends_like_one_without(
    seen: list[list[Progress]], outages: list[tuple[int, int, Exception]], min_completed_share: float | None
) -> None:
    def end(disturbed: bool) -> tuple[Step, str, dict[str, int]]:
        wait, now = Wait(rules=WaitRules(min_completed_share=min_completed_share)), 0.0
        for number, parts in enumerate(seen):
            for _, failures, error in [each for each in outages if disturbed and each[0] == number][:1]:
                began = now
                for _ in range(failures):
                    if now - began >= 7200:
                        break
                    decision = wait.could_not_see(error, now=now)
                    assert decision.step is Step.WAIT
                    now += decision.pause
            decision = decide(wait, *parts, now=now, hours=office_hours())
            if decision.step is not Step.WAIT:
                return decision.step, decision.message, decision.counts
            now += decision.pause
        raise AssertionError("A wait for a batch that has ended did not end.")

    assert end(disturbed=True) == end(disturbed=False)
