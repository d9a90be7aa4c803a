"""The stand-in for the contact list behaves as the real one."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.contact_list import ContactList
from tests.uploads.world import PlainList, people

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
