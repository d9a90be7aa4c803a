"""What holds for every wait, whatever is seen and whenever."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import CallingError, NotFoundError, ServiceUnavailableError
from airflow_provider_graine.waiting.decision import Closer, Decision, Step, Wait, jittered
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.rules import WaitRules
from tests.waiting.simulation import KOLKATA, MONDAY_NOON, Dialler, batch, decide, moment, office_hours

STATES = ("pending", "dispatched", "in_flight", "retrying", "completed", "failed", "busy", "no_answer", "skipped")
STATUSES = ("pending", "in_progress", "paused", "completed", "cancelled", "expired", "draft", "active", "archived")
ERRORS = [ServiceUnavailableError("down", retry_after=90.0), ServiceUnavailableError("down"), NotFoundError("gone")]

parts = st.builds(
    Progress,
    status=st.sampled_from(STATUSES),
    total=st.none() | st.integers(0, 40),
    counts=st.dictionaries(st.sampled_from(STATES), st.integers(0, 20), max_size=4),
    id=st.none() | st.sampled_from(["b1", "b2", "b3"]),
    starts_at=st.none() | st.floats(MONDAY_NOON, MONDAY_NOON + 3 * 86400),
)
running = st.builds(
    Progress,
    status=st.sampled_from(["in_progress", "in_progress", "paused", "pending"]),
    total=st.just(40),
    counts=st.fixed_dictionaries({"pending": st.integers(0, 2), "completed": st.integers(0, 2)}),
    id=st.just("b1"),
    starts_at=st.none() | st.floats(MONDAY_NOON, MONDAY_NOON + 3 * 86400),
)
events = st.lists(
    st.tuples(
        st.sampled_from([1.0, 30.0, 30.0, 60.0, 700.0, 2000.0]) | st.floats(0.5, 40000),
        st.lists(parts, min_size=1, max_size=3) | st.lists(running, min_size=1, max_size=1) | st.sampled_from(ERRORS),
    ),
    min_size=1,
    max_size=25,
)
weeks = st.sampled_from([None, office_hours(), office_hours(start="11:00", end="13:00")])


def step(wait: Wait, seen: Any, *, now: float, hours: CallingHours | None) -> Decision | str:
    if not isinstance(seen, Exception):
        return decide(wait, *seen, now=now, hours=hours, debug=Closer(stuck=True, oldest_pending_at=MONDAY_NOON))
    try:
        return wait.could_not_see(seen, now=now)
    except CallingError as raised:
        return repr(raised)


@given(events=events, hours=weeks, kept_after=st.integers(0, 24), share=st.none() | st.just(0.3))
def test_a_later_process_decides_the_same(
    events: list[tuple[float, Any]], hours: CallingHours | None, kept_after: int, share: float | None
) -> None:
    arguments: dict[str, Any] = {"rules": WaitRules(min_completed_share=share), "deadline": MONDAY_NOON + 3 * 86400}
    wait, other, now = Wait(**arguments), None, MONDAY_NOON
    for number, (passed, seen) in enumerate(events):
        now += passed
        decision = step(wait, seen, now=now, hours=hours)
        if other is not None:
            assert step(other, seen, now=now, hours=hours) == decision
            assert other.remembered() == wait.remembered()
        if number == kept_after:
            other = Wait(**arguments, memory=json.loads(json.dumps(wait.remembered())))
            assert other.remembered() == wait.remembered()


def test_calls_that_stood_still_while_nobody_looked_have_stood_still() -> None:
    """A triggerer that was away for an hour does not start to count anew."""
    wait = Wait()
    decide(wait, batch(pending=9), now=MONDAY_NOON)
    later = Wait(memory=wait.remembered())
    warning = decide(later, batch(pending=9), now=MONDAY_NOON + 3600).warning
    assert "Nothing has changed for 60 minutes" in str(warning)


def test_what_was_not_told_yet_is_told_by_the_later_process() -> None:
    wait = Wait()
    decide(wait, batch(pending=9), now=MONDAY_NOON)
    wait.could_not_see(ERRORS[1], now=MONDAY_NOON + 30)
    assert wait.saw([batch(pending=9)], now=MONDAY_NOON + 60).step is Step.LOOK_CLOSER
    later = decide(Wait(memory=wait.remembered()), batch(pending=9), now=MONDAY_NOON + 90)
    assert later.worth_telling
    assert later.message.startswith("The calls can be seen again after 1 failed look in 30 seconds.")


@given(events=events, hours=weeks)
def test_the_same_looks_lead_to_the_same_decisions(events: list[tuple[float, Any]], hours: CallingHours | None) -> None:
    def decisions() -> list[Any]:
        wait, now, made = Wait(), MONDAY_NOON, []
        for passed, seen in events:
            now += passed
            made.append(step(wait, seen, now=now, hours=hours))
        return made

    assert decisions() == decisions()


@given(
    events=events,
    hours=weeks,
    poll_interval=st.sampled_from([0.1, 1.0, 30.0, 900.0]),
    deadline=st.none() | st.floats(MONDAY_NOON, MONDAY_NOON + 90000),
)
def test_a_pause_is_neither_a_hot_loop_nor_beyond_the_deadline(
    events: list[tuple[float, Any]], hours: CallingHours | None, poll_interval: float, deadline: float | None
) -> None:
    wait, now = Wait(poll_interval=poll_interval, deadline=deadline), MONDAY_NOON
    for passed, seen in events:
        now += passed
        decision = step(wait, seen, now=now, hours=hours)
        if isinstance(decision, str) or decision.step is not Step.WAIT:
            continue
        least = min(1.0, poll_interval)
        assert decision.pause >= least
        assert decision.pause <= max(600.0, 5 * poll_interval)
        if deadline is not None:
            assert now < deadline
            assert decision.pause <= max(deadline - now, least)
            assert decision.pause >= min(poll_interval, deadline - now)
        else:
            assert decision.pause >= poll_interval


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999999])
@pytest.mark.parametrize("poll_interval", [1.0, 7.0, 30.0])
@pytest.mark.parametrize(
    "look",
    [
        lambda wait, now: decide(wait, batch(pending=9), now=now),
        lambda wait, now: wait.could_not_see(ERRORS[1], now=now),
    ],
)
def test_looks_do_not_crowd_before_the_deadline(
    look: Callable[[Wait, float], Decision], poll_interval: float, draw: float
) -> None:
    wait, now, looks = Wait(poll_interval=poll_interval, deadline=1000.0), 0.0, 0
    while (decision := look(wait, now)).step is Step.WAIT:
        now += jittered(decision.pause, draw)
        looks += 1
    assert decision.step is Step.TIMED_OUT
    assert 1000 <= now <= 1000 + max(0.1 * 5 * poll_interval, 1.1)
    assert looks <= 1000 / (0.9 * poll_interval) + 4


def test_an_end_is_seen_within_one_pause() -> None:
    for began in (MONDAY_NOON, moment("2026-05-18 17:50", KOLKATA)):
        world = Dialler(total=30, per_minute=1, hours=office_hours(), began=began)
        wait, now = Wait(), began
        while (decision := decide(wait, *world(now), now=now, hours=world.hours)).step is Step.WAIT:
            now += decision.pause
        end = office_hours().after(began, 1800)
        assert end is not None
        assert 0 <= now - end <= 31


@given(pause=st.floats(0, 1e6), draw=st.floats(0, 1, exclude_max=True))
def test_jitter_is_a_tenth(pause: float, draw: float) -> None:
    assert 0.9 * pause <= jittered(pause, draw) <= 1.1 * pause


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SECTIONS: dict[str, tuple[str, ...]] = {
    "last": ("seen", "at", "line", "news"),
    "hours": ("learned_at", "timezone", "week"),
    "outage": ("failures", "not_found", "began"),
    "pace": ("contacts", "seconds", "done"),
    "still": ("seconds", "warned"),
    "told": ("at", "step", "statuses", "reason", "changed"),
    "warned": ("said",),
}
memories = st.fixed_dictionaries(
    {},
    optional={
        section: json_values | st.fixed_dictionaries({}, optional=dict.fromkeys(names, json_values))
        for section, names in SECTIONS.items()
    },
)


def test_the_odd_memories_are_about_what_is_remembered() -> None:
    wait = Wait()
    for number in range(40):
        decide(
            wait, batch("in_progress", pending=9), batch("paused"), now=MONDAY_NOON + 60 * number, hours=office_hours()
        )
    assert wait.could_not_see(ERRORS[1], now=MONDAY_NOON + 2400).step is Step.WAIT
    remembered = wait.remembered()
    assert {section: tuple(names) for section, names in remembered.items()} == SECTIONS
    assert len(json.dumps(remembered)) < 1000


@given(memory=st.none() | json_values | memories)
def test_an_odd_memory_is_none(memory: Any) -> None:
    wait = Wait(memory=memory)
    json.dumps(wait.remembered())
    for number in range(4):
        decision = decide(wait, batch(pending=9), now=MONDAY_NOON + 30 * number, hours=office_hours())
        assert decision.step is Step.WAIT
        assert decision.pause >= 1
    assert decide(wait, batch("completed"), now=MONDAY_NOON + 200).step is Step.DONE


odd_counts = st.dictionaries(
    st.sampled_from(STATES) | st.text(max_size=8), st.integers() | st.just(10**400), max_size=4
)
odd_parts = st.builds(
    Progress,
    status=st.sampled_from(STATUSES) | st.text(max_size=50),
    total=st.none() | st.integers() | st.just(10**400),
    counts=odd_counts,
    id=st.none() | st.text(max_size=8),
    starts_at=st.none() | st.floats(),
)


@given(
    looks=st.lists(st.lists(odd_parts, max_size=3), min_size=1, max_size=6),
    seconds=st.floats(0, 1e5),
    rules=st.sampled_from([WaitRules(), WaitRules(min_completed_share=0.5, max_failed_share=0.5, stalled_after=1)]),
    closer=st.builds(
        Closer, tip=json_values, stuck=st.none() | st.booleans(), oldest_pending_at=st.none() | st.floats()
    ),
)
def test_nothing_that_a_service_says_raises(
    looks: list[list[Progress]], seconds: float, rules: WaitRules, closer: Closer
) -> None:
    wait, now = Wait(rules=rules), MONDAY_NOON
    for seen in looks:
        for _ in range(2):
            now += seconds
            assert decide(wait, *seen, now=now, hours=office_hours(), debug=closer).message
            json.dumps(wait.remembered())


@given(events=events, hours=weeks, back=st.floats(0, 1e6))
def test_a_clock_that_is_set_back_does_no_harm(
    events: list[tuple[float, Any]], hours: CallingHours | None, back: float
) -> None:
    wait, now = Wait(deadline=MONDAY_NOON + 1e6), MONDAY_NOON
    for number, (passed, seen) in enumerate(events):
        now += -back if number % 3 == 2 else passed
        decision = step(wait, seen, now=now, hours=hours)
        assert isinstance(decision, str) or decision.step is not Step.LOOK_CLOSER


def test_a_wait_is_small() -> None:
    """Thousands of them live in one triggerer; what their batches look like is not theirs alone."""
    import tracemalloc

    seen = [[batch(pending=9, completed=1, batch_id=f"btc_{number}")] for number in range(500)]
    hours = office_hours()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        waits = [Wait(deadline=MONDAY_NOON + 86400) for _ in seen]
        for wait, look in zip(waits, seen, strict=True):
            for number in range(3):
                decide(wait, *look, now=MONDAY_NOON + 30 * number, hours=hours)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken / len(waits) < 3000
