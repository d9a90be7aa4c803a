"""The line of progress: what it says, and when it is worth saying."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.waiting.decision import Decision, Question, Step, Wait
from tests.waiting.simulation import KOLKATA, MONDAY_NOON, Dialler, batch, decide, moment, office_hours, run


def lines(wait: Wait, world: Dialler, *, seconds: float, every: float = 30.0) -> list[tuple[float, Decision]]:
    """Look every so often; return what was worth telling, with the seconds since the start."""
    hours = world.hours
    decisions = [
        (
            every * number,
            decide(wait, *world(world.began + every * number), now=world.began + every * number, hours=hours),
        )
        for number in range(int(seconds // every) + 1)
    ]
    return [(passed, decision) for passed, decision in decisions if decision.worth_telling]


def test_a_campaign_of_five_hours_is_told_in_a_few_lines() -> None:
    story = run(Wait(poll_interval=10), Dialler(total=600))
    assert story.step is Step.DONE
    assert story.looks > 1700
    assert 18000 / 600 - 2 <= len(story.lines) <= 18000 / 600 + 12


def test_the_line_says_share_outcomes_in_flight_rate_and_end() -> None:
    wait = Wait()
    for number in range(21):
        parts = batch(total=1000, completed=15 * number, no_answer=5 * number, in_flight=8, pending=992 - 20 * number)
        decision = decide(wait, parts, now=MONDAY_NOON + 30 * number)
    assert decision.worth_telling
    assert decision.message == (
        "400 of 1000 contacts have an outcome (40%): 300 completed, 100 no answer, 8 in flight, 592 pending; "
        "about 2400 an hour, all by about 06:55 UTC [in_progress]"
    )


def test_little_is_no_rate() -> None:
    told = lines(Wait(), Dialler(total=600, per_minute=60), seconds=240)
    assert len(told) > 2
    assert not [decision for _, decision in told if "an hour" in decision.message]
    told = lines(Wait(), Dialler(total=600, per_minute=0.1), seconds=1200)
    assert not [decision for _, decision in told if "an hour" in decision.message]


@pytest.mark.parametrize("per_minute", [0.5, 2.0, 30.0])
@pytest.mark.parametrize("every", [5.0, 30.0, 300.0])
def test_the_rate_is_that_of_the_calls(per_minute: float, every: float) -> None:
    told = lines(Wait(), Dialler(total=100000, per_minute=per_minute), seconds=7200, every=every)
    rate = re.search(r"about (\d+) an hour", told[-1][1].message)
    assert rate is not None
    assert int(rate[1]) == pytest.approx(60 * per_minute, rel=0.15)


def test_the_rate_follows_the_calls() -> None:
    """Slow for three hours, then fast: an hour later the line speaks of now."""
    wait, done, now, message = Wait(), 0, MONDAY_NOON, ""
    for number in range(480):
        done += 1 if number < 360 else 10
        decision = decide(wait, batch(total=9000, completed=done, pending=9000 - done), now=now)
        message = decision.message if decision.worth_telling else message
        now += 30
    rate = re.search(r"about (\d+) an hour", message)
    assert rate is not None
    assert 900 < int(rate[1]) <= 1200


def test_nights_are_no_part_of_the_rate_and_calls_end_inside_hours() -> None:
    start = moment("2026-05-18 16:00", KOLKATA)
    world = Dialler(total=1200, per_minute=2, hours=office_hours(), began=start)
    story = run(Wait(), world, start=start, hours=world.hours)
    assert story.step is Step.DONE
    rated = [line for line in story.lines if "an hour" in line]
    assert all(110 <= int(re.search(r"about (\d+) an hour", line)[1]) <= 130 for line in rated)  # type: ignore[index]
    evening = [line for line in rated if "Tue 19 May" in line]
    assert evening
    for line in evening:  # two hours on Monday, eight on Tuesday: the end is 17:00 in Kolkata
        assert re.search(r"all by about Tue 19 May 11:[23]\d UTC", line)


def test_no_end_is_foretold_while_something_is_held() -> None:
    wait, held = Wait(), batch("paused", batch_id="held", pending=10)
    for number in range(60):
        running = batch(total=1000, completed=5 * number, pending=1000 - 5 * number)
        assert "an hour" not in decide(wait, running, held, now=MONDAY_NOON + 30 * number).message


def test_the_first_look_and_every_new_state_are_told_at_once() -> None:
    wait = Wait()
    statuses = ["pending", "pending", "in_progress", "in_progress", "paused", "paused", "in_progress"]
    told = [
        decide(wait, batch(status, pending=10), now=MONDAY_NOON + number).worth_telling
        for number, status in enumerate(statuses)
    ]
    assert told == [True, False, True, False, True, False, True]


def test_a_tenth_is_told_but_not_more_than_once_a_minute() -> None:
    told = lines(Wait(), Dialler(total=100, per_minute=60), seconds=99, every=3)
    assert [passed for passed, _ in told] == [0, 60]
    told = lines(Wait(), Dialler(total=100, per_minute=2), seconds=2940, every=30)
    assert [passed for passed, _ in told] == [300 * number for number in range(10)]


def test_slow_calls_are_told_every_ten_minutes() -> None:
    told = lines(Wait(), Dialler(total=10000, per_minute=1), seconds=3600, every=30)
    assert [passed for passed, _ in told] == [600 * number for number in range(7)]


def test_calls_that_do_not_move_are_told_once_an_hour() -> None:
    wait = Wait()
    told = [
        number / 120
        for number in range(120 * 5)
        if decide(wait, batch("paused", pending=10), now=MONDAY_NOON + 30 * number).worth_telling
    ]
    assert told == [0, 1, 2, 3, 4]


def test_of_many_batches_it_is_told_how_many_are_in_which_state() -> None:
    parts = [batch(batch_id=str(number)) for number in range(3)]
    assert decide(Wait(), *parts, batch("completed"), now=0).message.endswith("[batches: 3 in_progress, 1 completed]")


@given(
    looks=st.lists(
        st.tuples(st.floats(0, 700), st.integers(0, 100), st.sampled_from(["in_progress", "paused"])), max_size=80
    )
)
def test_lines_without_a_new_state_are_a_minute_apart(looks: list[tuple[float, int, str]]) -> None:
    wait, now, told_at, told_status = Wait(), MONDAY_NOON, None, ""
    for passed, done, status in looks:
        now += passed
        decision = decide(wait, batch(status, total=100, completed=done, pending=100 - done), now=now)
        assert decision.worth_telling or told_at is not None
        if told_at is not None and not decision.worth_telling:
            assert status == told_status
            assert now - told_at < 3600
        if (
            decision.worth_telling
            and told_at is not None
            and status == told_status
            and "get on" not in decision.message
        ):
            assert now - told_at >= 60
        if decision.worth_telling:
            told_at, told_status = now, status


def test_hours_are_asked_for_once_before_an_end_is_foretold() -> None:
    wait, world, asked = Wait(), Dialler(total=6000, per_minute=60), []
    for number in range(100):
        now = MONDAY_NOON + 30 * number
        decide(wait, *world(now), now=now, asked=asked)
    assert [each.question for each in asked] == [Question.HOURS]
