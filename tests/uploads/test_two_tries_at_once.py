"""
A zombie and its successor, with a memory they share: no chunk is sent by both.

What holds: whatever the two do in turns, and however long either stands still anywhere else, nobody is on two batches,
as long as a send is listed within ``resend_after`` of its intent. What cannot be excluded: a process that stands still
*between* its last look at the memory and its send for longer than that (:func:`test_what_cannot_be_excluded`), and
tries that share no memory at all.
"""

from __future__ import annotations

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import UploadError
from airflow_provider_graine.uploads.protocol import Uploaded
from tests.uploads.strands import Strand, strands
from tests.uploads.world import LONGEST_LAG, RESEND_AFTER, Fate, Try, World, people

CONTACTS = people(*range(6))


def one(world: World, number: int, **options: object) -> Strand:
    return Strand(lambda: Try(number=number, contacts=CONTACTS, **options).attempt(world))  # type: ignore[arg-type]


def is_sending(strand: Strand, begun: set[int]) -> bool:
    """Whether it stands where only a send that is listed in time may follow."""
    if strand.at == "after remembering":
        begun.add(id(strand))
    if strand.at in {"after the answer", "find", "check", "asleep"}:
        begun.discard(id(strand))
    return id(strand) in begun and not strand.is_done


@given(
    turns=st.lists(st.sampled_from([(0, 1), (0, 3), (0, 12), (1, 1), (1, 3), (1, 12), (1, 60), (2, 4)]), max_size=40),
    fates=st.lists(
        st.builds(
            Fate,
            what=st.sampled_from(["answered", "answered", "answer lost", "not processed", "late"]),
            lag=st.sampled_from([0.0, 5.0, LONGEST_LAG]),
            late=st.sampled_from([0.0, 40.0]),
        ),
        max_size=6,
    ),
    memory=st.sampled_from(["state", "state and ledger"]),
    changed=st.booleans(),
    max_parallel=st.sampled_from([1, 2, 8]),
)
@settings(max_examples=150, derandomize=True, database=None)
def test_no_chunk_is_sent_by_two_tries(
    turns: list[tuple[int, int]], fates: list[Fate], memory: str, changed: bool, max_parallel: int
) -> None:
    world = World(fates=fates, standstill=60.0)
    lists = [CONTACTS, CONTACTS[::-1] if changed else CONTACTS, CONTACTS]
    tries = [
        Try(number=number, contacts=lists[number - 1], memory=memory, batch_size=2, max_parallel=max_parallel)
        for number in (1, 2, 3)
    ]
    with strands(*[lambda each=each: each.attempt(world) for each in tries]) as live:
        begun: set[int] = set()
        since: dict[int, float] = {}
        for who, steps in turns:
            for _ in range(steps):
                chosen = live[who]
                for other in live:  # the clock may not run away from one that is about to send
                    if is_sending(other, begun):
                        if world.now - since.setdefault(id(other), world.now) > 20:
                            chosen = other
                    else:
                        since.pop(id(other), None)
                if chosen.is_done:
                    break
                chosen.turn(world)
        ends = [strand.finish(world) for strand in (live[0], live[1], live[2])]
    for line in world.said:
        note(line)
    for end in ends:
        event(f"ends: {type(end).__name__}")
    assert not world.wrong, world.wrong
    last = Try(number=4, contacts=CONTACTS, memory=memory, batch_size=2).attempt(world)
    assert isinstance(last, Uploaded)
    assert sorted(world.dialled) == sorted(number for number, _ in CONTACTS)
    assert not world.wrong, world.wrong


@pytest.mark.parametrize("step", ["check", "before remembering"])
def test_zombie_that_stood_still_before_its_intent_sends_nothing_more(step: str) -> None:
    world = World()
    zombie, successor = one(world, 1), one(world, 2)
    zombie.until(world, "check")
    if step != "check":
        zombie.until(world, step)
    assert isinstance(successor.finish(world), Uploaded)
    end = zombie.finish(world)
    assert isinstance(end, UploadError)
    assert "later try of this task has taken over" in str(end)
    assert len(world.dialled) == len(CONTACTS)
    assert not world.wrong


def test_intent_of_a_zombie_that_is_stopped_keeps_nobody_waiting() -> None:
    world = World()
    zombie, successor = one(world, 1), one(world, 2)
    zombie.until(world, "check")
    successor.until(world, "find")
    successor.end()
    assert isinstance(zombie.finish(world), UploadError)
    began = world.now
    assert isinstance(Try(number=3, contacts=CONTACTS).attempt(world), Uploaded)
    assert world.now - began < 10


def test_send_of_a_zombie_is_waited_for_though_the_successor_looked_before_it() -> None:
    """The successor searches, which takes long; meanwhile the zombie, not yet stopped, would send and be forgotten."""
    world = World(fates=[Fate(lag=LONGEST_LAG)], read_takes=40.0)
    zombie, successor = one(world, 1), one(world, 2)
    zombie.until(world, "check")
    successor.until(world, "find")
    zombie.finish(world)
    assert isinstance(successor.finish(world), Uploaded)
    assert len(world.dialled) == len(CONTACTS)
    assert not world.wrong


def test_batch_of_a_zombie_that_is_listed_late_is_not_sent_by_its_successor() -> None:
    world = World(fates=[Fate(what="answer lost", lag=LONGEST_LAG)])
    zombie, successor = one(world, 1), one(world, 2)
    zombie.until(world, "before the answer")
    assert isinstance(successor.finish(world), Uploaded)
    assert isinstance(zombie.finish(world), UploadError | Uploaded)
    assert len(world.dialled) == len(CONTACTS)
    assert not world.wrong


def test_what_a_zombie_writes_late_does_not_wipe_out_what_its_successor_remembers() -> None:
    world = World(fates=[Fate(), Fate(what="answer lost", lag=LONGEST_LAG)])
    zombie, successor = one(world, 1), one(world, 2)
    zombie.until(world, "after the answer")  # one batch; its answer is not yet remembered
    successor.until(world, "before the answer")
    successor.end()  # killed with an intent
    zombie.finish(world)
    assert isinstance(Try(number=3, contacts=CONTACTS).attempt(world), Uploaded)
    assert len(world.dialled) == len(CONTACTS)
    assert not world.wrong


def test_what_cannot_be_excluded() -> None:
    """A process that is stopped for longer than ``resend_after`` between its last look at the memory and its send."""
    world = World()
    zombie, successor = one(world, 1), one(world, 2)
    zombie.until(world, "before the send")
    world.pass_time(RESEND_AFTER + 1)
    assert isinstance(successor.finish(world), Uploaded)
    zombie.turn(world)
    zombie.end()
    assert world.wrong == ["3 people are on a second batch"]
