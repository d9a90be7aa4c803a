"""
Nobody on two batches, nobody lost: random faults, deaths, suspensions, memories and source changes.

``pytest --hypothesis-show-statistics`` tells what the schedules are made of.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from typing import Any

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.local_time import LocalTime, Zones
from airflow_provider_graine.exceptions import CallingError, ConfigurationError, UploadError
from airflow_provider_graine.uploads.protocol import Uploaded
from tests.uploads.world import (
    LONGEST_LAG,
    LONGEST_LATE,
    PLACES,
    RESEND_AFTER,
    Died,
    Fate,
    Person,
    Stored,
    Try,
    World,
    people,
)

STABLE = settings(max_examples=500, derandomize=True, database=None)


def same(contacts: list[Person]) -> list[Person]:
    return contacts


def shuffled(contacts: list[Person]) -> list[Person]:
    return random.Random(1).sample(contacts, len(contacts))


def grown(contacts: list[Person]) -> list[Person]:
    new = 1 + max(int(number[-5:]) for number, _ in contacts)
    return [*people(new, new + 1), *contacts, *people(new + 2, new + 3)]


def shrunk(contacts: list[Person]) -> list[Person]:
    return contacts[1:-1] or contacts


def halved(contacts: list[Person]) -> list[Person]:
    return contacts[: len(contacts) // 2 + 1]


def reworded(contacts: list[Person]) -> list[Person]:
    return [(number, f"{name}!") for number, name in contacts]


CHANGES = [same, same, same, shuffled, grown, shrunk, halved, reworded]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens to one try, and before it."""

    change: Callable[[list[Person]], list[Person]] = same
    dies_at: int | None = None
    is_forgotten: bool = False
    pause: float = 0.0
    patience: float | None = None
    forgets: bool = False
    max_parallel: int = 1


@dataclass(frozen=True, kw_only=True)
class Schedule:
    count: int = 1
    batch_size: int = 3
    memory: str = "state"
    has_metadata: bool = True
    has_drafts: bool = False
    hidden_limit: int | None = None
    author_limit: int | None = None
    read_takes: float = 0.2
    local_time: LocalTime | None = None
    now: float = 1_000_000.0
    fates: list[Fate] = field(default_factory=list)
    unreadable: frozenset[int] = frozenset()
    foreign: list[frozenset[int]] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)


FATES = st.builds(
    Fate,
    what=st.sampled_from(
        [
            "answered",
            "answered",
            "answer lost",
            "not processed",
            "late",
            "refused",
            "unknown",
            "not sent",
            "partial",
            "too large",
        ]
    ),
    late=st.sampled_from([0.0, 40.0, LONGEST_LATE]),
    lag=st.sampled_from([0.0, 3.0, 60.0, LONGEST_LAG]),
    takes=st.sampled_from([1.0, 0.2, 5.0, 20.0]),
)
PLANS = st.builds(
    Plan,
    change=st.sampled_from(CHANGES),
    dies_at=st.none() | st.integers(0, 50),
    is_forgotten=st.sampled_from([False, False, True]),
    pause=st.sampled_from([0.0, 10.0, 120.0, 400.0]),
    patience=st.sampled_from([None, 15.0]),
    forgets=st.sampled_from([False, False, True]),
    max_parallel=st.sampled_from([1, 2, 8]),
)
SCHEDULES = st.builds(
    Schedule,
    count=st.integers(1, 10),
    batch_size=st.integers(1, 5),
    memory=st.sampled_from(["state", "state", "none", "state and ledger"]),
    has_metadata=st.sampled_from([True, True, False]),
    hidden_limit=st.sampled_from([None, None, 1, 2, 4]),
    author_limit=st.sampled_from([None, 10, 3]),
    read_takes=st.sampled_from([0.2, 5.0, 30.0]),
    fates=st.lists(FATES, max_size=8),
    unreadable=st.frozensets(st.integers(1, 40), max_size=2),
    foreign=st.lists(st.frozensets(st.integers(0, 12), min_size=1, max_size=5), max_size=2),
    plans=st.lists(PLANS, min_size=1, max_size=4),
)


class Story:
    """A schedule as it is played."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.contacts = people(*range(schedule.count))
        self.world = World(
            fates=schedule.fates,
            has_metadata=schedule.has_metadata,
            has_drafts=schedule.has_drafts,
            hidden_limit=schedule.hidden_limit,
            author_limit=schedule.author_limit,
            unreadable=schedule.unreadable,
            read_takes=schedule.read_takes,
            local_time=schedule.local_time,
            now=schedule.now,
            has_forgotten=schedule.memory == "none",
        )
        for number, members in enumerate(schedule.foreign):
            # A stranger, so that no batch of another run has exactly the people of one of ours.
            numbers = [number for number, _ in people(*sorted(members), 900 + number)]
            self.world.batches.append(Stored(batch_id=f"foreign_{number}", numbers=numbers, at=0.0, is_ours=False))
        self.tries = 0

    def play(self) -> None:
        for plan in self.schedule.plans:
            self.world.pass_time(plan.pause)
            if plan.is_forgotten:
                self.world.state.clear()
                self.world.has_forgotten |= not self.world.ledger
            self.contacts = plan.change(self.contacts)
            self.attempt(plan)

    def attempt(self, plan: Plan) -> Uploaded | BaseException:
        self.tries += 1
        steps = 0

        def on_step(name: str) -> None:
            nonlocal steps
            if steps == plan.dies_at:
                raise Died(name)
            steps += 1

        self.world.on_step = on_step
        ended = Try(
            number=self.tries,
            contacts=self.contacts,
            batch_size=self.schedule.batch_size,
            memory=self.schedule.memory,
            patience=plan.patience,
            forgets=plan.forgets and self.schedule.memory != "none",
            max_parallel=plan.max_parallel,
        ).attempt(self.world)
        if not self.world.state and not self.world.ledger:
            self.world.has_forgotten = True  # it died before it could note even that nothing was sent
        note(f"try {self.tries}: {ended!r}")
        event(f"a try ends: {type(ended).__name__}")
        if isinstance(ended, Died):
            event(f"dies {ended}")
        return ended

    def calm_down(self) -> Uploaded | None:
        """Try without faults until it succeeds; return ``None`` where it rightly does not."""
        self.world.fates = self.world.fates[: self.world.creates]
        self.world.unreadable = frozenset()
        self.world.pass_time(1.0)
        ended: Any = None
        for _ in range(3):
            if self.schedule.has_drafts:
                self.world.pass_time(LONGEST_LAG)  # what is not listed is not started
            ended = self.attempt(Plan(max_parallel=self.schedule.plans[-1].max_parallel))
            if isinstance(ended, Uploaded):
                return ended
        assert isinstance(ended, CallingError), ended
        said = str(ended)
        if isinstance(ended, ConfigurationError):
            assert self.schedule.author_limit is not None, said
        elif "nobody can tell" in said:
            assert self.world.has_forgotten, said
            assert not self.schedule.has_metadata, said
            assert self.schedule.foreign or "not there when" not in said
        else:
            assert isinstance(ended, UploadError), said
            assert self.world.was_partial, said
        return None

    def judge(self) -> None:
        self.world.pass_time(2 * RESEND_AFTER)  # what is late is stored
        for line in self.world.said:
            note(line)
        assert not self.world.wrong, self.world.wrong
        assert "98765" not in "".join(self.world.said)
        assert len(self.world.dialled) == len(set(self.world.dialled))


SERVICES = pytest.mark.parametrize("has_drafts", [False, True], ids=["batches", "drafts"])


def at(schedule: Schedule, *, has_drafts: bool) -> Schedule:
    """The schedule at one of the two kinds of services; one with drafts always shows whose they are."""
    return replace(schedule, has_drafts=True, has_metadata=True) if has_drafts else schedule


@SERVICES
@given(schedule=SCHEDULES)
@STABLE
def test_everybody_is_on_exactly_one_batch_whatever_happens(has_drafts: bool, schedule: Schedule) -> None:
    play_to_the_end(at(schedule, has_drafts=has_drafts))


#: Around days on which clocks are put on or back in some places and not in others, and far from any.
TURNING_POINTS = [
    datetime(2026, 3, 28, 20, tzinfo=UTC),
    datetime(2026, 10, 24, 5, tzinfo=UTC),
    datetime(2026, 10, 31, 12, tzinfo=UTC),
    datetime(2026, 6, 10, tzinfo=UTC),
]


@given(
    schedule=SCHEDULES,
    clock=st.sampled_from([time(9, 30), time(8), time(18, 15)]),
    day=st.sampled_from(TURNING_POINTS),
    place=st.sampled_from(PLACES),
    before=st.sampled_from([310.0, 400.0, 700.0, 3600.0, 40_000.0]),
    pauses=st.lists(st.sampled_from([0.0, 240.0, 3 * 3600.0, 11 * 3600.0, 30 * 3600.0]), min_size=4, max_size=4),
)
@settings(STABLE, max_examples=200)
def test_so_it_is_where_people_are_called_by_their_own_clocks(
    schedule: Schedule, clock: time, day: datetime, place: Zones, before: float, pauses: list[float]
) -> None:
    """And every batch that is sent is for their hour, in the near future, even if it begins when the hour is near."""
    local_time = LocalTime(start=clock)
    now = local_time.start_for(place, after=day).timestamp() - before
    plans = [replace(plan, pause=plan.pause + pause) for plan, pause in zip(schedule.plans, pauses, strict=False)]
    play_to_the_end(replace(schedule, local_time=local_time, now=now, plans=plans))


def play_to_the_end(schedule: Schedule) -> None:
    has_drafts = schedule.has_drafts
    story = Story(schedule)
    story.play()
    uploaded = story.calm_down()
    story.judge()
    event(f"succeeds in the end: {uploaded is not None}")
    event(f"most in flight: {story.world.most_at_once}")
    if uploaded is None:
        return

    for number, _ in story.contacts:
        assert story.world.dialled.count(number) == 1
    batch_ids = [batch.batch_id for batch in uploaded.batches]
    is_same = all(plan.change is same for plan in schedule.plans) and not story.world.was_partial
    if is_same and schedule.local_time is None:
        order = {batch.batch_id: batch.numbers for batch in story.world.ours}
        assert [number for batch_id in batch_ids for number in order[batch_id]] == [n for n, _ in story.contacts]

    # Cleared and run again, with and without the memory of it: the same batches, and nobody is called.
    creates = story.world.creates
    for forgotten in (False, True):
        if (forgotten or story.world.has_forgotten) and not schedule.has_metadata:
            break  # nobody can tell whose the batches are; the task says so
        if forgotten:
            story.world.state.clear()
            story.world.ledger.clear()
            story.world.pass_time(LONGEST_LAG)
        again = story.attempt(Plan())
        assert isinstance(again, Uploaded)
        more = {batch.batch_id for batch in again.batches} - set(batch_ids)
        assert len(again.batches) == len(batch_ids) + len(more)
        # Without a memory nobody waited for a batch that holds only people who are no longer in the source.
        assert story.world.has_forgotten or not more
    assert story.world.creates == creates
    story.judge()
    if has_drafts:
        assert isinstance(story.attempt(Plan()), Uploaded)
        assert story.world.drafts == []  # what came to be late is deleted by whoever comes by


@SERVICES
@given(schedule=SCHEDULES)
@settings(STABLE, max_examples=150)
def test_without_faults_of_the_service_a_killed_try_never_costs_more_than_the_next(
    has_drafts: bool, schedule: Schedule
) -> None:
    """With a memory and an honest service, the first try that is not killed succeeds."""
    schedule = at(schedule, has_drafts=has_drafts)
    calm = replace(schedule, memory="state", fates=[], unreadable=frozenset(), foreign=[], author_limit=None)
    plans = [replace(plan, is_forgotten=False, forgets=False) for plan in calm.plans]
    story = Story(replace(calm, plans=plans))
    story.play()
    assert isinstance(story.attempt(Plan()), Uploaded)
    story.judge()
