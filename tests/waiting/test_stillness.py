"""Calls that stand still: outside calling hours, before their start, between retries, or because something is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ServiceUnavailableError
from airflow_provider_graine.waiting.decision import Closer, Decision, Question, Step, Wait
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.rules import WaitRules
from tests.waiting.simulation import (
    KOLKATA,
    MONDAY_NOON,
    WEEKDAYS,
    Dialler,
    batch,
    decide,
    moment,
    office_hours,
    run,
    week,
)

EVENING = moment("2026-05-18 18:00", KOLKATA)
MORNING = moment("2026-05-19 09:00", KOLKATA)


def still(
    wait: Wait, *parts: Any, since: float, seconds: float, every: float = 60.0, **closer: Any
) -> tuple[list[Decision], list[Decision]]:
    """Look at the same thing for some time; return the decisions and what was asked."""
    asked: list[Decision] = []
    decisions = [
        decide(wait, *parts, now=since + every * number, asked=asked, **closer)
        for number in range(int(seconds // every) + 1)
    ]
    return decisions, asked


def questions(asked: list[Decision]) -> list[Question | None]:
    return [each.question for each in asked]


def test_the_hours_are_asked_for_at_the_first_still_look_and_when_they_are_old() -> None:
    _, asked = still(Wait(), batch(pending=9), since=MONDAY_NOON, seconds=1790, hours=office_hours())
    assert questions(asked) == [Question.HOURS, Question.HOURS]
    assert [each.step for each in asked] == [Step.LOOK_CLOSER] * 2


@pytest.mark.parametrize("status", ["paused", "pending", "draft", "archived"])
def test_nothing_is_asked_of_what_is_not_being_called(status: str) -> None:
    decisions, asked = still(Wait(), batch(status, pending=9), since=MONDAY_NOON, seconds=7200)
    assert not asked
    assert {decision.pause for decision in decisions} == {30.0}
    assert not [decision.warning for decision in decisions if "Nothing has changed" in str(decision.warning)]


def test_a_stall_is_warned_of_once_with_what_the_service_says() -> None:
    answer = Closer(
        stuck=True, tip="Check the worker, then force dispatch.", oldest_pending_at=MONDAY_NOON + 1800 - 50 * 60
    )
    decisions, asked = still(
        Wait(), batch(pending=9, dispatched=1), since=MONDAY_NOON, seconds=7200, hours=office_hours(), debug=answer
    )
    assert {decision.step for decision in decisions} == {Step.WAIT}
    assert [each.about for each in asked if each.question is Question.DEBUG] == ["btc_1"]
    warnings = [(number, decision.warning) for number, decision in enumerate(decisions) if decision.warning]
    assert warnings == [
        (
            30,
            "Nothing has changed for 30 minutes inside calling hours: 10 contacts of batch btc_1 are due. The oldest "
            "pending contact last changed 50 minutes ago. The service calls it stuck. "
            'It says: "Check the worker, then force dispatch." Nothing was done to the calls and the wait goes on. '
            "Ask the service whether its worker runs; force dispatch and resume queue every pending contact again, so "
            "use them only when it is known to have stopped.",
        )
    ]


def test_progress_ends_a_stall_and_the_next_one_is_warned_of_again() -> None:
    wait = Wait()
    first, _ = still(wait, batch(pending=9), since=MONDAY_NOON, seconds=2400)
    moved = decide(wait, batch(pending=8), now=MONDAY_NOON + 2460)
    second, _ = still(wait, batch(pending=8), since=MONDAY_NOON + 2520, seconds=1800)
    assert moved.worth_telling
    assert moved.message.startswith("The calls get on again. 0 of 10")
    assert sum(bool(decision.warning) for decision in first) == sum(bool(decision.warning) for decision in second) == 1


def test_a_look_that_shows_a_change_starts_anew() -> None:
    wait = Wait()
    for number in range(100):
        decision = decide(wait, batch(pending=100 - number, total=100), now=MONDAY_NOON + 1700 * number)
        assert not decision.warning
        decision = decide(wait, batch(pending=100 - number, total=100), now=MONDAY_NOON + 1700 * number + 1600)
        assert not decision.warning


@pytest.mark.parametrize(("stalled_after", "warnings"), [(None, 0), (600.0, 1), (1e6, 0)])
def test_patience_is_the_authors(stalled_after: float | None, warnings: int) -> None:
    wait = Wait(rules=WaitRules(stalled_after=stalled_after))
    decisions, _ = still(wait, batch(pending=9), since=MONDAY_NOON, seconds=3600)
    assert sum(bool(decision.warning) for decision in decisions) == warnings


def test_only_time_inside_calling_hours_counts() -> None:
    wait, hours = Wait(), office_hours()
    evening, _ = still(wait, batch(pending=9), since=EVENING - 1200, seconds=1200, hours=hours)
    night, asked = still(wait, batch(pending=9), since=EVENING + 60, seconds=MORNING - EVENING - 120, hours=hours)
    morning, _ = still(wait, batch(pending=9), since=MORNING, seconds=1200, hours=hours)
    assert set(questions(asked)) == {Question.HOURS}
    assert [bool(decision.warning) for decision in [*evening, *night]] == [False] * len([*evening, *night])
    assert [number for number, decision in enumerate(morning) if decision.warning] == [10]


def test_outside_calling_hours_it_is_said_once_when_dialling_resumes() -> None:
    wait, hours = Wait(), office_hours()
    decide(wait, batch(pending=9), now=EVENING - 30, hours=hours)
    decisions, _ = still(wait, batch(pending=9), since=EVENING + 30, seconds=12 * 3600, every=600, hours=hours)
    told = [decision.message for decision in decisions if decision.worth_telling]
    assert told == [
        "0 of 10 contacts have an outcome (0%): 9 pending, 1 other; outside calling hours, dialling resumes "
        "Tue 19 May 09:00 Asia/Kolkata [in_progress]"
    ]
    assert {decision.pause for decision in decisions} == {600.0}


def test_looks_are_rare_outside_calling_hours_and_the_first_one_after_them_is_in_time() -> None:
    wait, hours = Wait(), office_hours()
    looks, now = [], EVENING - 60
    while now < MORNING + 60:
        looks.append(now)
        now += decide(wait, batch(pending=9), now=now, hours=hours).pause
    assert len(looks) < 15 * 6 + 6
    assert [look for look in looks if MORNING <= look <= MORNING + 30]


def test_calls_that_end_after_hours_are_told_with_the_opening_and_looked_at_as_ever() -> None:
    wait, hours = Wait(), office_hours()
    still(wait, batch(pending=9), since=EVENING - 120, seconds=180, hours=hours)
    decision = decide(wait, batch(pending=8, completed=1), now=EVENING + 90, hours=hours)
    assert decision.pause == 30
    again = decide(wait, batch(pending=8, completed=1), now=EVENING + 120, hours=hours)
    assert not again.worth_telling
    assert "dialling resumes Tue 19 May 09:00" in again.message


def test_hours_that_an_owner_changes_are_noticed() -> None:
    wait = Wait()
    still(wait, batch(pending=9), since=EVENING - 120, seconds=300, hours=office_hours())
    decision = decide(wait, batch(pending=9), now=EVENING + 1200, hours=office_hours(end="22:00"))
    assert decision.pause == 30
    assert decision.worth_telling
    assert "outside calling hours" not in decision.message


def test_hours_without_any_opening_are_warned_of_once() -> None:
    hours = CallingHours.of(timezone=KOLKATA, working_hours=week(closed=WEEKDAYS), enforced=True)
    decisions, _ = still(Wait(), batch(pending=9), since=MONDAY_NOON, seconds=7200, every=600, hours=hours)
    warnings = [decision.warning for decision in decisions if decision.warning]
    assert len(warnings) == 1
    assert "no opening in the next 8 days" in warnings[0]
    assert decisions[-1].pause == 600


def test_a_scheduled_batch_is_awaited_at_leisure() -> None:
    starts_at = MONDAY_NOON + 3600
    wait, pauses, now, told = Wait(), [], MONDAY_NOON, []
    while now < starts_at:
        decision = decide(wait, batch("pending", pending=10, starts_at=starts_at), now=now)
        assert decision.step is Step.WAIT
        pauses.append(decision.pause)
        told += [decision.message] if decision.worth_telling else []
        now += decision.pause
    assert pauses == [30, 600, 600, 600, 600, 600, 575]
    assert told == ["0 of 10 contacts have an outcome (0%): 10 pending; dialling starts Mon 18 May 07:30 UTC [pending]"]
    begun = decide(wait, batch("pending", pending=10, starts_at=starts_at), now=now)
    assert begun.pause == 30


def test_a_scheduled_batch_slows_nothing_while_another_one_is_called() -> None:
    parts = batch("pending", pending=10, starts_at=EVENING), batch(batch_id="btc_2", pending=1)
    decisions, _ = still(Wait(), *parts, since=MONDAY_NOON, seconds=600)
    assert {decision.pause for decision in decisions} == {30.0}


def test_scheduled_retries_are_no_stall() -> None:
    decisions, asked = still(Wait(), batch(retrying=3, completed=7), since=MONDAY_NOON, seconds=7200)
    assert set(questions(asked)) == {Question.HOURS}
    assert not [decision for decision in decisions if decision.warning]
    assert "; only scheduled retries and follow-ups are left [in_progress]" in decisions[0].message


@pytest.mark.parametrize("state", ["pending", "dispatched", "in_flight", "in_progress"])
def test_contacts_that_are_due_can_stall(state: str) -> None:
    decisions, _ = still(Wait(), batch(retrying=3, **{state: 1}), since=MONDAY_NOON, seconds=1800)
    assert decisions[-1].warning


def test_of_several_batches_the_worst_is_asked_about() -> None:
    parts = [
        batch("paused", pending=50, batch_id="held"),
        batch("completed", completed=10, batch_id="over"),
        batch(pending=2, batch_id="some"),
        batch(pending=8, batch_id="most"),
    ]
    decisions, asked = still(Wait(), *parts, since=MONDAY_NOON, seconds=1800)
    assert asked[-1].about == "most"
    assert "8 contacts of batch most (and 1 more) are due" in str(decisions[-1].warning)


def test_a_campaign_stalls_without_a_debug_document() -> None:
    decisions, asked = still(Wait(), batch("active", pending=9, batch_id=None), since=MONDAY_NOON, seconds=1800)
    assert set(questions(asked)) == {Question.HOURS}
    assert "9 contacts of the campaign are due" in str(decisions[-1].warning)


def test_a_closer_look_that_fails_ends_nothing() -> None:
    wait, down = Wait(), ServiceUnavailableError("The service answers 503.")
    for number in range(31):
        decision = wait.saw([batch(pending=9)], now=MONDAY_NOON + 60 * number)
        while decision.step is Step.LOOK_CLOSER:
            decision = wait.saw_closer(Closer(error=down), now=MONDAY_NOON + 60 * number)
        assert decision.step is Step.WAIT
    assert "are due, if these are calling hours, which could not be read." in str(decision.warning)
    assert "A closer look failed: The service answers 503." in str(decision.warning)


def test_hours_that_cannot_be_read_again_are_as_they_were() -> None:
    wait, down = Wait(), ServiceUnavailableError("The service answers 503.")
    still(wait, batch(pending=9), since=EVENING - 120, seconds=120, hours=office_hours())
    asked = wait.saw([batch(pending=9)], now=EVENING + 3600)
    assert asked.question is Question.HOURS
    decision = wait.saw_closer(Closer(error=down), now=EVENING + 3600)
    assert "dialling resumes Tue 19 May 09:00" in decision.message


def test_a_stall_inside_hours_that_are_known_is_told_without_an_if() -> None:
    wait, down = Wait(), ServiceUnavailableError("The service answers 503.")
    still(wait, batch(pending=9), since=MONDAY_NOON, seconds=900, hours=office_hours())
    warnings = []
    for number in range(16, 40):
        decision = wait.saw([batch(pending=9)], now=MONDAY_NOON + 60 * number)
        while decision.step is Step.LOOK_CLOSER:
            decision = wait.saw_closer(Closer(error=down), now=MONDAY_NOON + 60 * number)
        warnings += [decision.warning] if decision.warning else []
    assert len(warnings) == 1
    assert "9 contacts of batch btc_1 are due." in warnings[0]


def test_a_count_of_zero_is_as_none() -> None:
    wait = Wait()
    first, _ = still(wait, batch(pending=9, busy=0), since=MONDAY_NOON, seconds=900)
    second, _ = still(wait, batch(pending=9), since=MONDAY_NOON + 960, seconds=840)
    assert not [decision for decision in first if decision.warning]
    assert second[-1].warning


def test_a_question_that_nobody_answers_does_no_harm() -> None:
    wait = Wait()
    decisions = [wait.saw([batch(pending=9)], now=MONDAY_NOON + 60 * number) for number in range(100)]
    assert {decision.step for decision in decisions[1:]} == {Step.LOOK_CLOSER}
    assert {decision.pause for decision in decisions} == {30.0}
    assert wait.saw([batch("completed")], now=MONDAY_NOON + 6000).step is Step.DONE


def test_an_answer_that_nobody_asked_for_is_a_mistake() -> None:
    wait = Wait()
    with pytest.raises(RuntimeError):
        wait.saw_closer(Closer(), now=0)
    decide(wait, batch(), now=0)
    with pytest.raises(RuntimeError):
        wait.saw_closer(Closer(), now=0)


@pytest.mark.parametrize(
    "tip",
    [
        "Call +91 98765 43210 again",
        "9876543210",
        "see https://example.com",
        "ask x@example.com",
        "<b>now</b>",
        "token gat_abc",
        "line\nbreak",
        "long " * 100,
        "",
        {"no": "text"},
    ],
)
def test_a_tip_that_is_not_short_plain_text_is_not_quoted(tip: Any) -> None:
    decisions, _ = still(Wait(), batch(pending=9), since=MONDAY_NOON, seconds=1800, debug=Closer(tip=tip))
    assert "Nothing has changed" in str(decisions[-1].warning)
    assert "It says" not in str(decisions[-1].warning)


@pytest.mark.parametrize("oldest", [MONDAY_NOON + 86400, -1.0, float("nan"), float("-inf")])
def test_an_odd_age_is_not_told(oldest: float) -> None:
    answer = Closer(oldest_pending_at=oldest, stuck=False)
    decisions, _ = still(Wait(), batch(pending=9), since=MONDAY_NOON, seconds=1800, debug=answer)
    assert "oldest" not in str(decisions[-1].warning)
    assert "does not call it stuck" in str(decisions[-1].warning)


def test_a_week_of_calls_in_office_hours() -> None:
    """From Thursday to Tuesday, and nobody is woken in the night."""
    hours, start = office_hours(), moment("2026-05-21 16:00", KOLKATA)
    story = run(Wait(), Dialler(total=2400, per_minute=2, hours=hours, began=start), start=start, hours=hours)
    assert story.step is Step.DONE
    assert 0 <= story.at - moment("2026-05-25 18:00", KOLKATA) <= 600 or story.at <= moment("2026-05-25 18:00", KOLKATA)
    assert not story.warnings
    assert sum("dialling resumes" in line for line in story.lines) == 2
    assert "dialling resumes Mon 25 May 09:00 Asia/Kolkata" in " ".join(story.lines)


@given(
    st.lists(
        st.tuples(st.floats(1, 4000), st.sampled_from(["paused", "in_progress"]), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_a_stall_never_ends_a_wait_and_is_never_claimed_too_early(events: list[tuple[float, str, bool]]) -> None:
    """Counted by hand: seconds inside calling hours between looks that show the same batch being called."""
    wait, hours, now, done = Wait(), office_hours(), MONDAY_NOON, 0
    seconds, before, warned = 0.0, None, False
    for passed, status, moves in events:
        done += moves
        seen = (status, done)
        if seen != before:
            seconds, warned = 0.0, False
        elif status == "in_progress":
            seconds += hours.open_seconds(now, now + passed)
        before, now = seen, now + passed
        decision = decide(wait, batch(status, total=100, pending=100 - done, completed=done), now=now, hours=hours)
        assert decision.step is Step.WAIT
        stalled = seconds >= 1800 and status == "in_progress" and hours.is_open(now) and not warned
        assert ("Nothing has changed" in str(decision.warning)) == stalled
        warned |= stalled
