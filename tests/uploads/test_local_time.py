"""Who is called by their own clock: what a later try finds, and when it is too late."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from airflow_provider_graine.contacts.local_time import LocalTime
from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.uploads.protocol import Uploaded
from tests.uploads.world import Died, Fate, Try, World, people

MORNING = LocalTime(start=time(9, 30))
JUNE = datetime(2026, 6, 10, 0, 0, tzinfo=UTC).timestamp()
EVERYBODY = people(*range(30))
HOUR = 3600.0


def attempt(world: World, number: int, contacts: Any = None, **options: Any) -> Any:
    return Try(number=number, contacts=contacts or EVERYBODY, batch_size=2, **options).attempt(world)


def die_at(world: World, number: int) -> None:
    steps = iter(range(number))

    def on_step(name: str) -> None:
        if next(steps, None) is None:
            raise Died(name)

    world.on_step = on_step


def is_right(world: World, contacts: Any = None) -> bool:
    return not world.wrong and sorted(world.dialled) == sorted(number for number, _ in contacts or EVERYBODY)


def said(world: World, what: str) -> list[str]:
    return [line for line in world.said if what in line]


def test_batches_are_created_in_the_order_of_their_starts() -> None:
    world = World(local_time=MORNING, now=JUNE + 12 * HOUR)
    assert isinstance(attempt(world, 1), Uploaded)
    assert is_right(world)
    starts = [line.split("contacts, for ")[1] for line in said(world, "Created batch")]
    assert starts == sorted(starts)
    assert len(set(starts)) == 7  # of nine different places: Lima and Chicago, Honolulu and Kiritimati go together


@pytest.mark.parametrize("hours", [3, 20, 50])
@pytest.mark.parametrize("memory", ["state", "none"])
def test_a_later_try_knows_the_batches_again_whatever_morning_has_passed(hours: int, memory: str) -> None:
    """By their fingerprints: nobody has to be compared. Those not placed yet are called on their next morning."""
    world = World(local_time=MORNING, now=JUNE)
    die_at(world, 45)
    assert isinstance(attempt(world, 1, memory=memory), Died)
    placed = [batch.batch_id for batch in world.ours]
    assert 2 < len(placed) < 12
    world.pass_time(hours * HOUR)
    world.on_step = lambda name: None

    uploaded = attempt(world, 2, memory=memory)

    assert is_right(world)
    assert {batch.batch_id for batch in uploaded.batches} > set(placed)
    assert not said(world, "person by person")


def test_where_clocks_were_changed_meanwhile_people_are_compared() -> None:
    world = World(local_time=MORNING, now=datetime(2026, 10, 24, 20, tzinfo=UTC).timestamp())
    die_at(world, 45)
    assert isinstance(attempt(world, 1), Died)
    world.pass_time(30 * HOUR)  # London is where Accra is now
    world.on_step = lambda name: None
    assert isinstance(attempt(world, 2), Uploaded)
    assert is_right(world)


def test_a_source_in_another_order_is_compared_person_by_person() -> None:
    world = World(local_time=MORNING, now=JUNE)
    die_at(world, 45)
    assert isinstance(attempt(world, 1), Died)
    world.pass_time(9 * HOUR)
    world.on_step = lambda name: None
    assert isinstance(attempt(world, 2, EVERYBODY[::-1]), Uploaded)
    assert is_right(world)
    assert said(world, "person by person")


def test_a_start_that_comes_while_others_are_sent_is_put_off_to_the_next_day() -> None:
    """The third create is in doubt for five minutes, and the hour of its people has come."""
    fates = [Fate(), Fate(), Fate(what="not processed")]
    first = min(
        MORNING.start_for(zones, after=datetime.fromtimestamp(JUNE, UTC)) for zones in [("Pacific/Kiritimati",)]
    )
    world = World(local_time=MORNING, now=first.timestamp() - 310, fates=fates)
    contacts = [person for person in people(*range(80)) if person[0][-1] == "6"]
    assert isinstance(attempt(world, 1, contacts), Uploaded)
    assert is_right(world, contacts)
    assert said(world, "choosing anew")
    assert len({line.split("contacts, for ")[1] for line in said(world, "Created batch")}) == 2


def test_what_author_set_is_shared_out_among_all_starts() -> None:
    world = World(local_time=MORNING, now=JUNE, author_limit=40)
    assert isinstance(attempt(world, 1, max_parallel=4), Uploaded)
    assert is_right(world)
    assert sum(batch.limit or 0 for batch in world.ours) == 40

    world = World(local_time=MORNING, now=JUNE, author_limit=5)
    assert isinstance(attempt(world, 1), ConfigurationError)
    assert world.ours == []


# -- a given day ------------------------------------------------------------------------------------------------------


def test_a_given_day_that_has_passed_for_some_fails_before_anything_is_sent() -> None:
    on_that_day = LocalTime(start=time(9, 30), on=date(2026, 6, 10))
    world = World(local_time=on_that_day, now=JUNE + 5 * HOUR)  # 10:30 in Kolkata
    with pytest.raises(ConfigurationError, match="local_date"):
        raise attempt(world, 1)
    assert world.creates == 0


def test_a_given_day_that_has_passed_meanwhile_fails_the_retry_and_one_that_is_over_does_not() -> None:
    on_that_day = LocalTime(start=time(9, 30), on=date(2026, 6, 12))
    world = World(local_time=on_that_day, now=JUNE + 24 * HOUR + 5 * HOUR)
    world.on_step = lambda name: None
    die_at(world, 45)
    assert isinstance(attempt(world, 1), Died)
    placed = len(world.ours)
    world.on_step = lambda name: None
    world.pass_time(40 * HOUR)

    ended = attempt(world, 2)

    assert isinstance(ended, ConfigurationError)
    assert f"For {30 - len(world.dialled)} contacts" in str(ended)
    assert len(world.ours) == placed
    world.local_time = MORNING
    assert isinstance(attempt(world, 3), Uploaded)
    assert sorted(world.dialled) == sorted(number for number, _ in EVERYBODY)
    world.local_time = on_that_day
    assert isinstance(attempt(world, 4), Uploaded)  # everybody is placed: the day does not matter any more
