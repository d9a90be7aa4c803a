"""What random schedules, or thinking about them, found wrong with the protocol: shrunk, and kept."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_graine.exceptions import AuthenticationError, UploadError
from airflow_provider_graine.uploads.protocol import Uploaded
from airflow_provider_graine.uploads.service import PlacedBatch
from tests.uploads.world import LONGEST_LAG, RESEND_AFTER, Died, Fate, Person, Service, Stored, Try, World, people

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
    world.pass_time(2 * RESEND_AFTER)  # what is late is stored
    return not world.wrong and sorted(world.dialled) == sorted(number for number, _ in contacts)


def test_batch_too_large_for_the_service_does_not_suspend_a_deferrable_task_for_ever() -> None:
    """Each part of the try began with the author's batch size again, met the 413 and suspended."""
    world = World(hidden_limit=2)
    suspended = 0

    def count(name: str) -> None:
        nonlocal suspended
        suspended += name == "suspended"
        assert suspended < 5

    world.on_step = count
    assert isinstance(attempt(world, 1, batch_size=4, patience=15.0), Uploaded)
    assert suspended == 1
    assert all_once(world)


@pytest.mark.parametrize("memory", ["state", "none"])
def test_batch_cut_smaller_is_known_again_without_metadata(memory: str) -> None:
    """Only batches of the author's size were compared, so one cut smaller was not found and sent again."""
    world = World(has_metadata=False, hidden_limit=2, fates=[Fate(), Fate(what="answer lost", lag=10.0)])
    assert isinstance(attempt(world, 1, batch_size=4, memory=memory), Uploaded)
    assert all_once(world)
    assert world.creates == 1 + 3


def test_last_look_begins_when_the_doubt_is_over() -> None:
    """A look that took long and began before the end of the doubt was taken for the last one."""
    world = World(fates=[Fate(what="answer lost", lag=325.0)], read_takes=90.0)
    assert isinstance(attempt(world, 1), Uploaded)
    assert all_once(world)


def test_doubt_counts_from_when_a_slow_send_was_given_up() -> None:
    """Counted from the beginning of the send, a long time-out used the whole doubt up."""
    world = World(fates=[Fate(what="late", late=100.0, lag=50.0)], timeout=RESEND_AFTER)
    assert isinstance(attempt(world, 1), Uploaded)
    assert all_once(world)


def test_first_try_that_was_suspended_is_not_taken_for_one_that_sent_nothing() -> None:
    """Its task state had been wiped meanwhile, so its own batches without metadata were taken for others'."""
    world = World(has_metadata=False, fates=[Fate(), Fate(what="answer lost", lag=LONGEST_LAG)], has_forgotten=True)

    def wipe(name: str) -> None:
        if name == "suspended":
            world.state.clear()

    world.on_step = wipe
    assert isinstance(attempt(world, 1, patience=3.0), Uploaded)
    assert all_once(world)


def test_batch_that_is_gone_from_the_service_is_not_made_again() -> None:
    world = World()
    attempt(world, 1)
    gone = world.batches.pop()
    error = attempt(world, 2)
    assert isinstance(error, UploadError)
    assert f"Batch {gone.batch_id} was created for this run and is gone" in str(error)
    assert world.creates == 2


def test_remembered_batch_is_ours_whoever_is_on_it_and_whatever_the_service_returns() -> None:
    """A memory that began after the first send had no list of others' batches, and its own were in doubt."""
    world = World(has_metadata=False, fates=[Fate(), Fate(), Fate(what="refused")])
    attempt(world, 1, people(*range(9)))
    world.state.clear()
    world.fates += [Fate(what="refused")]
    assert isinstance(attempt(world, 2, people(*range(9))), AuthenticationError)
    changed = people(8, 0, 10, 3, 5)
    assert isinstance(attempt(world, 3, changed), Uploaded)
    assert sorted(world.dialled) == sorted(number for number, _ in people(*range(6), 8, 10))
    assert not world.wrong


def test_list_that_shrank_without_a_memory_is_not_remembered_as_all_there_is() -> None:
    """The next try trusted that memory and sent the people again who had come back to the list."""
    world = World(fates=[Fate(), Fate(what="answer lost", lag=200.0)], has_forgotten=True)
    die_at(world, "before the answer", times=2)
    assert isinstance(attempt(world, 1), Died)
    world.state.clear()
    assert isinstance(attempt(world, 2, SIX[:3]), Uploaded)
    assert isinstance(attempt(world, 3), Uploaded)
    assert all_once(world)


def test_batches_cut_smaller_are_returned_in_the_order_of_the_list() -> None:
    """One that happened to be a batch of the author's cut came first."""
    world = World(hidden_limit=1)
    attempt(world, 1, people(0, 1, 2), batch_size=2)
    again = attempt(world, 2, people(0, 1, 2), batch_size=2)
    assert isinstance(again, Uploaded)
    order = {batch.batch_id: batch.numbers for batch in world.ours}
    assert [order[batch.batch_id] for batch in again.batches] == [[number] for number, _ in people(0, 1, 2)]


def test_people_who_come_back_incomplete_are_not_taken_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those left out of the answer would have been sent again."""
    world = World()
    attempt(world, 1)
    whole = Service.people
    monkeypatch.setattr(Service, "people", lambda self, batch_id: list(whole(self, batch_id))[:-1])
    error = attempt(world, 2, [SIX[-1], *SIX[:-1]])
    assert isinstance(error, UploadError)
    assert "lists 2 of the 3 people" in str(error)
    assert all_once(world)


def test_two_batches_with_the_same_people_are_told() -> None:
    """A service that breaks the assumption on listings is not taken for one that keeps it."""
    world = World(fates=[Fate(what="answer lost", lag=2 * RESEND_AFTER)])
    attempt(world, 1)
    world.pass_time(3 * RESEND_AFTER)
    error = attempt(world, 2)
    assert isinstance(error, UploadError)
    assert "Batches btc_2 and btc_1 hold the same people" in str(error)


def test_two_batches_with_the_same_people_are_fine_once_one_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(fates=[Fate(what="answer lost", lag=2 * RESEND_AFTER)])
    attempt(world, 1)
    world.pass_time(3 * RESEND_AFTER)
    placed = Service._placed

    def cancelled(self: Service, batch: Stored) -> PlacedBatch:
        one = placed(self, batch)
        return PlacedBatch(**{**one.__dict__, "status": "cancelled"}) if batch.batch_id == "btc_1" else one

    monkeypatch.setattr(Service, "_placed", cancelled)
    assert isinstance(attempt(world, 2), Uploaded)
    assert world.creates == 3


def test_try_that_cannot_even_search_says_how_many_are_not_sent() -> None:
    world = World(unreadable=frozenset({1}))
    attempt(world, 1)
    assert not world.wrong
    assert world.said[-1].startswith("The upload stopped: 6 accepted contacts are on no batch that is known of")


def test_grown_list_gets_only_what_is_left_of_the_parallel_calls() -> None:
    world = World(author_limit=4, fates=[Fate(), Fate(what="refused")])
    attempt(world, 1, people(*range(6)))
    assert [batch.limit for batch in world.ours] == [2]
    assert isinstance(attempt(world, 2, people(*range(9))), Uploaded)
    assert [batch.limit for batch in world.ours] == [2, 1, 1]
    assert not world.wrong


def test_what_another_run_put_there_before_is_not_taken_for_ours() -> None:
    """Without metadata, the batches that were there before the first send are others', whoever is on them."""
    world = World(has_metadata=False)
    world.batches.append(Stored(batch_id="yesterday", numbers=[number for number, _ in SIX[:3]], at=0.0, is_ours=False))
    die_at(world, "before the answer")
    attempt(world, 1)
    assert isinstance(attempt(world, 2), Uploaded)
    assert all_once(world)


def test_log_of_a_reconciled_upload_reads_well() -> None:
    fates = [Fate(what="answer lost", lag=10.0), Fate(), Fate(what="refused"), Fate(what="answer lost", lag=40.0)]
    world = World(fates=fates)
    attempt(world, 1)
    assert world.said == [
        "No batch of this run is on the service yet; 6 contacts are to be sent",
        "POST got no answer: it may or may not have been carried out. Searching the service for the batch",
        "Found it: batch btc_1 was created; nothing is sent again",
        "Created batch btc_2 with 3 contacts",
    ]
    nine = people(*range(9))
    attempt(world, 2, nine)
    die_at(world, "sent")
    attempt(world, 3, nine)
    world.said.clear()
    attempt(world, 4, nine)
    assert world.said == [
        "Earlier tries of this run created 2 batches and sent 1 without seeing the answer. Searching the service",
        "A batch in doubt may have been created and not be listed yet (2 of this run are found). Looking again in 2 s; "
        "unless found, its contacts are not sent for another 300 s",
        *world.said[2:-1],
        "Found 3 batches of this run on the service; everybody is on one of them, nothing is sent",
    ]
    assert all("Looking again in" in line for line in world.said[2:-1])


def test_batch_that_holds_nobody_does_not_hide_the_one_that_was_made_in_its_place() -> None:
    contacts = people(0, 1)
    world = World(hidden_limit=1, fates=[Fate(), Fate(what="empty")])
    assert isinstance(attempt(world, 1, contacts, batch_size=2), UploadError)
    assert isinstance(attempt(world, 2, contacts, batch_size=2), Uploaded)
    assert isinstance(attempt(world, 3, contacts, batch_size=2), Uploaded)
    assert all_once(world, contacts)


def test_batches_that_were_not_too_large_are_not_sent_again_in_smaller_ones() -> None:
    world = World(fates=[Fate(), Fate(what="too large")])
    assert isinstance(attempt(world, 1), Uploaded)
    assert [len(batch.numbers) for batch in world.ours] == [3, 1, 1, 1]
    assert all_once(world)


def test_batch_of_a_lost_answer_is_known_without_metadata_though_the_source_has_changed() -> None:
    """It was not there before the upload began, and people of the list are on it."""
    world = World(has_metadata=False, fates=[Fate(what="answer lost")])
    die_at(world, "before the answer")
    attempt(world, 1)
    assert isinstance(attempt(world, 2, people(2, 3, 4, 5, 6)), Uploaded)
    assert all_once(world, people(*range(7)))


def test_retry_after_a_refusal_does_not_wait() -> None:
    world = World(fates=[Fate(), Fate(what="refused")])
    assert isinstance(attempt(world, 1), AuthenticationError)
    assert world.said[-1].startswith("The upload stopped: 3 accepted contacts are on no batch that is known of; 1 ")
    began = world.now
    assert isinstance(attempt(world, 2), Uploaded)
    assert world.now - began < 10
    assert all_once(world)
