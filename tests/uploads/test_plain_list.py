"""The stand-in for the contact list behaves as the real one."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.local_time import LocalTime
from tests.uploads.world import PLACES, PlainList, people, zones_of

NUMBERS = st.lists(st.integers(0, 20), max_size=6, unique=True)
ACTIONS = st.lists(
    st.tuples(st.just("exclude"), NUMBERS)
    | st.tuples(st.just("vanished"), NUMBERS)
    | st.tuples(st.just("first row"), NUMBERS)
    | st.tuples(st.just("send"), st.integers(1, 5))
    | st.tuples(st.just("everybody"), st.integers(1, 5)),
    min_size=4,
    max_size=12,
)


def act(contacts: Any, action: str, argument: Any) -> Any:
    """Do it, and tell all that can be seen of it."""
    numbers = [number for number, _ in people(*argument)] if isinstance(argument, list) else []
    match action:
        case "exclude":
            seen: Any = contacts.exclude(numbers)
        case "vanished":
            seen = contacts.vanished(numbers)
        case "first row":
            seen = contacts.first_row(numbers)
        case "everybody":
            seen = list(contacts.chunks(argument, everybody=True))
        case _:
            seen = list(contacts.chunks(argument))
            contacts.exclude_chunks([chunk.span for chunk in seen[::2]])
    return seen, contacts.remaining()


@given(st.lists(st.integers(0, 15), min_size=1, max_size=12, unique=True), ACTIONS)
@settings(max_examples=8, derandomize=True, database=None)
def test_stand_in_behaves_as_the_real_list(numbers: list[int], actions: list[tuple[str, Any]]) -> None:
    rows = people(*numbers)
    plain = PlainList(rows)
    with ContactList() as real:
        real.add_rows([{"phone_number": number, "callee_name": name} for number, name in rows], origin="test")
        real.screen()
        assert real.remaining() == plain.remaining()
        for action, argument in actions:
            assert act(plain, action, argument) == act(real, action, argument)


@given(st.lists(st.integers(0, 15), min_size=1, max_size=12, unique=True), ACTIONS, st.integers(0, 23))
@settings(max_examples=6, derandomize=True, database=None)
def test_so_it_does_where_people_are_called_by_their_own_clocks(
    numbers: list[int], actions: list[tuple[str, Any]], hour: int
) -> None:
    """Their zones are in a column, and so in what the real list sends; all else is the same."""

    def seen(outcome: Any) -> Any:
        chunks, left = outcome
        if not isinstance(chunks, list):
            return outcome
        return [(each.index, each.span, each.start, each.phone_numbers()) for each in chunks], left

    rows = people(*numbers)
    everywhere = [places for places in PLACES if len(places) == 1]
    now = datetime(2026, 10, 24, hour, 10, tzinfo=UTC).timestamp()
    local_time = LocalTime(start=time(9, 30), column="tz")
    rows = [row for row in rows if zones_of(row[0]) in everywhere]
    plain = PlainList(rows, local_time=local_time, after=now)
    with ContactList(local_time=local_time) as real:
        real.add_rows(
            [{"phone_number": number, "callee_name": name, "tz": zones_of(number)[0]} for number, name in rows],
            origin="test",
        )
        real.screen(after=now)
        for step, (action, argument) in enumerate(actions):
            later = now + step * 20_000.0
            real.schedule(after=later)
            plain.schedule(after=later)
            assert real.number_of_chunks(2) == plain.number_of_chunks(2)
            assert seen(act(plain, action, argument)) == seen(act(real, action, argument))
