"""Several requests in flight: in which order what is remembered, sent, settled and looked for."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_graine.exceptions import AuthenticationError, TaskKilledError, UploadError
from airflow_provider_graine.uploads.protocol import Uploaded
from tests.uploads.world import LONGEST_LAG, RESEND_AFTER, Died, Fate, PlainList, Stored, Try, World, people

TWELVE = people(*range(12))


def attempt(world: World, number: int = 1, **options: Any) -> Uploaded | BaseException:
    options = {"contacts": TWELVE, "batch_size": 2, "max_parallel": 4, **options}
    return Try(number=number, **options).attempt(world)


def all_once(world: World) -> bool:
    world.pass_time(2 * RESEND_AFTER)
    return not world.wrong and sorted(world.dialled) == sorted(number for number, _ in TWELVE)


def returned(world: World, uploaded: Uploaded | BaseException) -> list[str]:
    """The people on the batches that were returned, in that order."""
    assert isinstance(uploaded, Uploaded), uploaded
    numbers = {batch.batch_id: batch.numbers for batch in world.ours}
    return [number for batch in uploaded.batches for number in numbers[batch.batch_id]]


def written(world: World) -> list[Any]:
    """What the first try remembers now."""
    return [world.state["upload.1"]["intents"], world.state.get("upload.1.0", {})]


@pytest.mark.parametrize("max_parallel", [1, 2, 4, 6, 8])
def test_answers_that_come_the_other_way_round_change_nothing_in_the_order(max_parallel: int) -> None:
    world = World(author_limit=20, fates=[Fate(takes=20.0 - number) for number in range(6)])
    uploaded = attempt(world, max_parallel=max_parallel)
    assert returned(world, uploaded) == [number for number, _ in TWELVE]
    assert world.most_at_once == min(max_parallel, 6)
    by_position = sorted(world.ours, key=lambda batch: batch.numbers)
    assert [batch.limit for batch in by_position] == [4, 4, 3, 3, 3, 3]
    assert returned(world, attempt(world, 2)) == [number for number, _ in TWELVE]
    assert all_once(world)


def test_intents_are_remembered_in_one_go_and_answers_together_with_the_next_ones() -> None:
    world = World()
    heads: list[int] = []

    def on_step(name: str) -> None:
        if name == "after remembering":
            heads.append(len(world.state["upload.1"]["intents"]))

    world.on_step = on_step
    assert isinstance(attempt(world, max_parallel=4), Uploaded)
    # Blank, and again with what was there before; 4 intents; then one settled and one new, page and head; the rest.
    assert heads == [0, 0, 4, 4, 4, 4, 4, 4, 3, 3, 2, 2, 1, 1, 0]
    assert all_once(world)


def test_nothing_more_is_sent_while_anything_is_in_doubt() -> None:
    lost = Fate(what="answer lost", lag=10.0)
    world = World(fates=[Fate(takes=2.0), lost, Fate(takes=8.0), Fate(takes=9.0), Fate(takes=20.0)], timeout=4.0)
    assert isinstance(attempt(world), Uploaded)
    sends = [number for number, step in enumerate(world.steps) if step == "before the send"]
    searched = [number for number, step in enumerate(world.steps) if step == "find"]
    answers = [number for number, step in enumerate(world.steps) if step == "after the answer"]
    # 4 at once, one more for the first answer; then all five end before the search, and the last goes after it.
    assert sends[4] < answers[1] < answers[3] < searched[1] < sends[5]
    assert all_once(world)


def test_several_in_doubt_are_looked_for_together() -> None:
    lost = Fate(what="not processed")
    world = World(fates=[lost, Fate(), lost, lost])
    began = world.now
    uploaded = attempt(world)
    assert world.now - began < 1.5 * RESEND_AFTER
    assert world.creates == 6 + 3
    assert returned(world, uploaded) == [number for number, _ in TWELVE]
    assert all_once(world)


def test_a_refusal_is_raised_when_the_others_are_settled() -> None:
    world = World(fates=[Fate(takes=9.0), Fate(what="refused"), Fate(takes=5.0), Fate(takes=7.0)])
    assert isinstance(attempt(world), AuthenticationError)
    assert written(world) == [{}, world.state["upload.1.0"]]
    assert len(world.state["upload.1.0"]) == 3
    assert world.creates == 4
    assert world.said[-1].startswith("The upload stopped: 6 accepted contacts are on no batch that is known of; 3 ")
    began = world.now
    assert returned(world, attempt(world, 2)) == [number for number, _ in TWELVE]
    assert world.now - began < 30
    assert all_once(world)


def test_different_failures_are_all_told() -> None:
    world = World(fates=[Fate(what="refused"), Fate(what="partial"), Fate(what="refused"), Fate(what="refused")])
    assert isinstance(attempt(world), AuthenticationError)
    assert [line for line in world.said if "holds 1 contacts where 2 were sent" in line]
    assert [line for line in world.said if "token is not accepted" in line] == []
    assert isinstance(attempt(world, 2), UploadError)
    assert not world.wrong


def test_a_batch_stored_in_part_is_not_forgotten_over_what_is_in_doubt() -> None:
    world = World(fates=[Fate(what="not processed"), Fate(what="partial"), Fate(), Fate()])
    error = attempt(world)
    assert isinstance(error, UploadError)
    assert "holds 1 contacts where 2 were sent" in str(error)
    assert world.creates == 4
    assert not world.wrong


def test_batches_that_are_too_large_are_cut_after_one_search() -> None:
    world = World(hidden_limit=1)
    began = world.now
    uploaded = attempt(world, max_parallel=8)
    assert world.now - began < 1.5 * RESEND_AFTER
    assert returned(world, uploaded) == [number for number, _ in TWELVE]
    assert world.state["upload.1"]["batch_size"] == 1
    assert returned(world, attempt(world, 2)) == [number for number, _ in TWELVE]
    assert all_once(world)


def test_only_some_are_too_large_and_the_order_is_that_of_the_list_on_every_try() -> None:
    fates = [Fate(takes=5.0), Fate(what="too large"), Fate(takes=3.0), Fate(what="too large"), Fate(), Fate()]
    world = World(fates=fates)
    assert returned(world, attempt(world, max_parallel=8)) == [number for number, _ in TWELVE]
    assert sorted(len(batch.numbers) for batch in world.ours) == [1, 1, 1, 1, 2, 2, 2, 2]
    for number, forgets in ((2, False), (3, True)):
        if forgets:
            world.state.clear()
        assert returned(world, attempt(world, number, max_parallel=2)) == [number for number, _ in TWELVE]
    assert all_once(world)


def test_a_gap_that_an_earlier_try_left_is_filled_in_its_place() -> None:
    fates = [Fate(), Fate(what="refused"), Fate(takes=3.0), Fate(takes=2.0)]
    world = World(fates=fates)
    assert isinstance(attempt(world), AuthenticationError)
    changed = [TWELVE[11], *TWELVE[:11]]  # the source comes in another order
    uploaded = attempt(world, 2, contacts=changed)
    # One that is on a batch of the first try stands where the first of its people is now.
    rows = {number: row for row, (number, _) in enumerate(changed)}
    assert isinstance(uploaded, Uploaded)
    numbers = {batch.batch_id: batch.numbers for batch in world.ours}
    firsts = [min(rows[number] for number in numbers[batch.batch_id]) for batch in uploaded.batches]
    assert firsts == sorted(firsts)
    assert all_once(world)


def test_stopped_with_requests_in_flight() -> None:
    """They are awaited and settled, nothing more is sent, and no doubt is left."""
    world = World(fates=[Fate(takes=9.0), Fate(takes=1.0), Fate(takes=8.0), Fate(takes=7.0)])
    stops_at = world.now + 0.5
    asked = 0

    def is_stopped() -> bool:
        nonlocal asked
        asked += world.now >= stops_at
        return world.now >= stops_at

    assert isinstance(attempt(world, is_stopped=is_stopped), TaskKilledError)
    assert world.creates == 4
    assert asked > 10  # the whole time: what came about is stopped as it comes
    assert written(world)[0] == {}
    assert len(written(world)[1]) == 4
    began = world.now
    assert returned(world, attempt(world, 2)) == [number for number, _ in TWELVE]
    assert world.now - began < 30
    assert all_once(world)


def test_stopped_before_the_first_goes() -> None:
    world = World()
    assert isinstance(attempt(world, is_stopped=lambda: True), TaskKilledError)
    assert world.creates == 0
    assert world.state["upload.1"]["intents"] == {}


def test_taken_over_with_requests_in_flight() -> None:
    world = World(fates=[Fate(takes=1.0), Fate(takes=9.0), Fate(takes=8.0), Fate(takes=7.0)])

    def on_step(name: str) -> None:
        if name == "after the answer":
            world.state["upload.1.closed"] = True

    world.on_step = on_step
    error = attempt(world)
    assert isinstance(error, UploadError)
    assert "A later try of this task has taken over" in str(error)
    assert world.creates == 4
    assert written(world)[0] == {}
    assert len(written(world)[1]) == 4


class TooLate(BaseException):
    """What Airflow raises from a signal handler, wherever the task is."""


def test_broken_off_with_requests_in_flight() -> None:
    """What is answered within a short time is remembered; the others stay intents and are found by the next try."""
    world = World(fates=[Fate(takes=1.0), Fate(takes=9.0), Fate(takes=1.8), Fate(takes=7.0)])

    def is_stopped() -> bool:
        if world.now >= 1_000_000.9:
            raise TooLate
        return False

    world.now = 1_000_000.0
    with pytest.raises(TooLate):
        Try(number=1, contacts=TWELVE, batch_size=2, max_parallel=4, is_stopped=is_stopped).run(world)
    assert len(written(world)[0]) == 2
    assert len(written(world)[1]) == 2
    world.pass_time(60.0)
    assert returned(world, attempt(world, 2)) == [number for number, _ in TWELVE]
    assert all_once(world)


@pytest.mark.parametrize("memory", ["state", "state and ledger", "none"])
@pytest.mark.parametrize("max_parallel", [2, 8])
def test_killed_at_every_step(memory: str, max_parallel: int) -> None:
    """Whatever was on its way by then."""
    steps = 0
    while True:
        fates = [Fate(takes=3.0), Fate(lag=LONGEST_LAG), Fate(what="answer lost", lag=60.0), Fate(what="not processed")]
        world = World(fates=fates, author_limit=12)
        left = steps

        def on_step(name: str) -> None:
            nonlocal left
            if not left:
                raise Died(name)
            left -= 1

        world.on_step = on_step
        ended = attempt(world, memory=memory, max_parallel=max_parallel)
        world.on_step = lambda name: None
        assert returned(world, attempt(world, 2, memory=memory, max_parallel=max_parallel))
        assert all_once(world), (steps, world.wrong)
        if not isinstance(ended, Died):
            break
        steps += 1
    assert steps > 20


def test_a_batch_stored_in_part_is_not_forgotten_over_a_standstill() -> None:
    """Looked for anew, its people would be taken for people who are on no batch."""
    world = World(fates=[Fate(), Fate(what="partial", takes=5.0), Fate(takes=6.0), Fate(takes=7.0)])

    def on_step(name: str) -> None:
        if name == "after the answer" and world.creates == 4:
            world.on_step = lambda name: None
            world.pass_time(RESEND_AFTER + 100.0)

    world.on_step = on_step
    error = attempt(world, memory="none")
    assert isinstance(error, UploadError)
    assert "holds 1 contacts where 2 were sent" in str(error)
    assert world.creates == 4
    assert not world.wrong


@pytest.mark.parametrize("memory", ["state", "none"])
def test_what_got_no_clear_answer_is_sent_three_times(memory: str) -> None:
    world = World(fates=[Fate(what="not processed")] * 12)
    error = attempt(world, memory=memory, max_parallel=2)
    assert isinstance(error, UploadError)
    assert "got no clear answer 3 times" in str(error)
    assert world.creates == 6
    world.fates.clear()
    assert returned(world, attempt(world, 2, memory=memory)) == [number for number, _ in TWELVE]
    assert all_once(world)


def test_batches_that_another_try_made_meanwhile_are_seen() -> None:
    """Without a memory it cannot say that it has taken over."""
    world = World(fates=[Fate(), Fate(what="answer lost", lag=60.0)])
    (third,) = [chunk for chunk in PlainList(TWELVE).chunks(2) if chunk.index == 2]

    def on_step(name: str) -> None:
        if name == "asleep":
            world.on_step = lambda name: None
            numbers = third.phone_numbers()
            world.store(Stored(batch_id="other", numbers=numbers, at=world.now, chunk=third.fingerprint))

    world.on_step = on_step
    uploaded = attempt(world, memory="none", max_parallel=1)
    assert returned(world, uploaded) == [number for number, _ in TWELVE]
    assert all_once(world)


def test_the_smallest_that_is_too_large_says_how_small_they_become() -> None:
    world = World(hidden_limit=1, fates=[Fate(takes=9.0), Fate(takes=8.0), Fate(takes=1.0)])
    began = world.now
    uploaded = attempt(world, contacts=TWELVE[:11], batch_size=4)
    assert returned(world, uploaded) == [number for number, _ in TWELVE[:11]]
    assert world.now - began < 1.5 * RESEND_AFTER
    assert not world.wrong
