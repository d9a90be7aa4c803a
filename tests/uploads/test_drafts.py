"""Services whose batches are drafts first: what becomes of the drafts of earlier tries, and of late ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ConfigurationError, UploadError
from airflow_provider_graine.uploads.protocol import Uploaded
from tests.uploads.strands import strands
from tests.uploads.world import LONGEST_LAG, Died, Fate, Person, Stored, Try, World, people

SIX = people(*range(6))


def attempt(world: World, number: int, contacts: list[Person] = SIX, **options: Any) -> Uploaded | BaseException:
    return Try(number=number, contacts=contacts, **options).attempt(world)


def die_at(world: World, step: str, *, times: int = 1) -> None:
    """Let the process be killed at the n-th step of this name from here."""

    def on_step(name: str) -> None:
        nonlocal times
        times -= name == step
        if name == step and not times:
            world.on_step = lambda name: None
            raise Died(name)

    world.on_step = on_step


def all_once(world: World, contacts: list[Person] = SIX) -> bool:
    world.pass_time(1000.0)  # what is late is stored
    return not world.wrong and sorted(world.dialled) == sorted(number for number, _ in contacts)


def ids(batches: list[Stored]) -> list[str]:
    return [batch.batch_id for batch in batches]


def test_drafts_of_an_earlier_try_are_used() -> None:
    world = World(has_drafts=True)
    die_at(world, "before a start")
    assert isinstance(attempt(world, 1), Died)
    drafts = ids(world.drafts)
    assert len(drafts) == 2
    again = attempt(world, 2)
    assert isinstance(again, Uploaded)
    assert [batch.batch_id for batch in again.batches] == drafts
    assert world.creates == 2
    assert all_once(world)


def test_with_some_started_the_other_drafts_are_used() -> None:
    world = World(has_drafts=True, author_limit=10)
    die_at(world, "before a start", times=2)
    attempt(world, 1, batch_size=2)
    assert (len(world.ours), len(world.drafts)) == (1, 2)
    assert isinstance(attempt(world, 2, batch_size=2), Uploaded)
    assert world.creates == 3
    assert [batch.limit for batch in world.ours] == [4, 3, 3]
    assert all_once(world)


def test_drafts_of_another_list_are_deleted() -> None:
    world = World(has_drafts=True)
    die_at(world, "before a start")
    attempt(world, 1)
    changed = people(*range(2, 9))
    assert isinstance(attempt(world, 2, changed), Uploaded)
    assert world.drafts == []
    assert all_once(world, changed)


def test_who_is_on_a_started_one_is_on_no_new_draft() -> None:
    world = World(has_drafts=True)
    die_at(world, "before a start", times=2)
    attempt(world, 1)
    changed = people(8, 2, 7, 1, 5, 9)
    assert isinstance(attempt(world, 2, changed), Uploaded)
    assert world.drafts == []
    assert all_once(world, people(0, 1, 2, 5, 7, 8, 9))


def test_twin_that_is_listed_in_time_is_deleted_before_anything_is_started() -> None:
    world = World(has_drafts=True, fates=[Fate(what="answer lost", lag=70.0), Fate(lag=15.0)])
    assert isinstance(attempt(world, 1, SIX[:3]), Uploaded)
    assert world.creates == 2
    assert ids(world.batches) == ["btc_1"]  # the oldest stays
    assert all_once(world, SIX[:3])


def test_twin_that_comes_later_is_deleted_by_whoever_comes_by() -> None:
    world = World(has_drafts=True, fates=[Fate(what="late", late=100.0, lag=100.0)])
    assert isinstance(attempt(world, 1), Uploaded)
    world.pass_time(1000.0)
    assert (len(world.ours), len(world.drafts)) == (2, 1)
    again = attempt(world, 2)
    assert isinstance(again, Uploaded)
    assert not world.drafts
    assert all_once(world)


def test_what_is_not_listed_is_not_started() -> None:
    """Or a try that remembers nothing would not find it, and call its people again."""
    world = World(has_drafts=True, fates=[Fate(), Fate(lag=LONGEST_LAG)])
    error = attempt(world, 1, memory="none")
    assert isinstance(error, UploadError)
    assert "btc_2 exists, but the service does not list it" in str(error)
    assert world.dialled == []
    world.pass_time(LONGEST_LAG)
    assert isinstance(attempt(world, 2, memory="none"), Uploaded)
    assert world.creates == 2
    assert all_once(world)


@pytest.mark.parametrize("memory", ["none", "state"])
@pytest.mark.parametrize("patience", [None, 5.0])
def test_listed_a_little_later_is_waited_for(memory: str, patience: float | None) -> None:
    world = World(has_drafts=True, fates=[Fate(lag=20.0)] * 2)
    assert isinstance(attempt(world, 1, memory=memory, patience=patience), Uploaded)
    assert world.creates == 2
    assert all_once(world)


def test_never_listed_does_not_suspend_a_deferrable_task_for_ever() -> None:
    world = World(has_drafts=True, fates=[Fate(lag=1e9)] * 2)
    assert isinstance(attempt(world, 1, patience=5.0), UploadError)
    assert world.steps.count("suspended") == 1
    assert world.dialled == []


def test_half_a_list_is_told_with_both_numbers_and_replaced_by_the_retry() -> None:
    world = World(has_drafts=True, fates=[Fate(), Fate(what="partial")])
    error = attempt(world, 1)
    assert isinstance(error, UploadError)
    assert "btc_2 holds 2 contacts where 3 were sent" in str(error)
    assert "nothing was started" in str(error)
    assert world.dialled == []
    assert isinstance(attempt(world, 2), Uploaded)
    assert world.creates == 3
    assert all_once(world)


def test_more_parts_than_parallel_calls_deletes_nothing() -> None:
    world = World(has_drafts=True, author_limit=3)
    die_at(world, "before a start")
    attempt(world, 1, batch_size=2)
    error = attempt(world, 2, batch_size=1)
    assert isinstance(error, ConfigurationError)
    assert len(world.drafts) == 3
    assert isinstance(attempt(world, 3, batch_size=2), Uploaded)
    assert world.creates == 3
    assert all_once(world)


def test_drafts_with_another_share_of_the_parallel_calls_are_made_anew() -> None:
    world = World(has_drafts=True, author_limit=6)
    die_at(world, "before a start")
    attempt(world, 1)
    world.author_limit = 4
    assert isinstance(attempt(world, 2), Uploaded)
    assert [batch.limit for batch in world.ours] == [2, 2]
    assert all_once(world)


def test_killed_between_forgetting_a_draft_and_deleting_it() -> None:
    for step in ("before a deletion", "deleted"):
        world = World(has_drafts=True)
        die_at(world, "before a start")
        attempt(world, 1)
        die_at(world, step)
        assert isinstance(attempt(world, 2, people(*range(1, 7))), Died)
        assert isinstance(attempt(world, 3, people(*range(1, 7))), Uploaded)
        assert world.drafts == []
        assert all_once(world, people(*range(1, 7)))


def test_draft_that_somebody_has_deleted_is_not_taken_for_one_that_called_people() -> None:
    """While this try is at it; one that an earlier try made and that is gone is in doubt, and nothing is sent."""
    world = World(has_drafts=True, fates=[Fate(), Fate(lag=9.0)])

    def on_step(name: str) -> None:
        if name == "awake" and len(world.batches) == 2:
            world.on_step = lambda name: None
            world.batches.pop(0)

    world.on_step = on_step
    assert isinstance(attempt(world, 1), Uploaded)
    assert world.creates == 3
    assert all_once(world)
    world.batches.pop()
    error = attempt(world, 2)
    assert isinstance(error, UploadError)
    assert "is gone from the service" in str(error)


def test_draft_that_is_started_while_it_is_to_be_deleted_stays_and_its_people_with_it() -> None:
    world = World(has_drafts=True)
    die_at(world, "before a start")
    attempt(world, 1)

    def on_step(name: str) -> None:
        if name == "before a deletion":
            world.on_step = lambda name: None
            world.start("btc_2")

    world.on_step = on_step
    changed = people(*range(1, 8))
    assert isinstance(attempt(world, 2, changed), Uploaded)
    assert world.drafts == []
    assert all_once(world, people(*range(1, 8)))
    assert isinstance(attempt(world, 3, changed), Uploaded)
    assert all_once(world, people(*range(1, 8)))


# -- two tries at once ------------------------------------------------------------------------------------------------


@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1, 1, 3, 12, 40])), max_size=60),
    fates=st.lists(
        st.builds(
            Fate,
            what=st.sampled_from(["answered", "answered", "answer lost", "not processed", "late"]),
            late=st.sampled_from([0.0, 40.0]),
        ),
        max_size=6,
    ),
    memory=st.sampled_from(["state", "none", "none"]),
    changed=st.booleans(),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 20.0, 400.0]), min_size=1, max_size=8),
)
@settings(max_examples=400, derandomize=True, database=None)
def test_nobody_is_called_twice_by_tries_that_know_nothing_of_each_other(
    turns: list[tuple[int, int]], fates: list[Fate], memory: str, changed: bool, pauses: list[float]
) -> None:
    """However long each stands still wherever it likes, and without any memory: a listing shows what there is."""
    world = World(has_drafts=True, fates=fates)
    lists = [SIX, SIX[::-1] if changed else SIX, SIX]
    tries = [Try(number=number, contacts=lists[number - 1], memory=memory, batch_size=2) for number in (1, 2, 3)]
    with strands(*[lambda each=each: each.attempt(world) for each in tries]) as live:
        for at, (who, steps) in enumerate(turns):
            world.pass_time(pauses[at % len(pauses)])
            for _ in range(steps):
                if not live[who].is_done:
                    live[who].turn(world)
        for strand in live:
            event(f"ends: {type(strand.finish(world)).__name__}")
    for line in world.said:
        note(line)
    assert not world.wrong, world.wrong
    last = Try(number=4, contacts=SIX, memory=memory, batch_size=2).attempt(world)
    assert isinstance(last, Uploaded), last
    assert all_once(world), world.wrong


def test_of_two_that_see_each_others_drafts_both_keep_the_same() -> None:
    world = World(has_drafts=True)
    tries = [Try(number=number, contacts=SIX, memory="none") for number in (1, 2)]
    with strands(*[lambda each=each: each.attempt(world) for each in tries]) as (one, other):
        other.until(world, "check")
        one.until(world, "before a start")
        assert ids(world.drafts) == ["btc_1", "btc_2"]
        other.until(world, "before a start")
        assert ids(world.drafts) == ["btc_1", "btc_2"]
        assert world.creates == 4
        assert isinstance(one.finish(world), Uploaded)
        assert isinstance(other.finish(world), Uploaded)
    assert all_once(world)


def test_zombie_deletes_nothing_that_its_successor_is_about_to_start() -> None:
    world = World(has_drafts=True)
    die_at(world, "before a start")
    attempt(world, 1)
    changed = Try(number=2, contacts=people(*range(1, 7)))
    with strands(lambda: changed.attempt(world), lambda: Try(number=3, contacts=SIX).attempt(world)) as (zombie, other):
        zombie.until(world, "find")
        other.until(world, "before a start")
        end = zombie.finish(world)
        assert isinstance(end, UploadError)
        assert "later try of this task has taken over" in str(end)
        assert isinstance(other.finish(world), Uploaded)
    assert world.creates == 2
    assert all_once(world)
