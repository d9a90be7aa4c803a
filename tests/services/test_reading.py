"""A listing whose rows change their places while its pages are read: all of them come once, or it is an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import IncompleteResultsError, UnexpectedAnswerError
from airflow_provider_graine.services.paging import Reading


class Listing:
    """Rows in pages; before each page some move to the front or to the end, as where what changed last comes first."""

    def __init__(self, rows: int, length: int, moves: list[list[tuple[int, bool]]]) -> None:
        self.rows = list(range(rows))
        self.length = length
        self.moves = iter(moves)
        self.asked = 0

    def page(self, number: int) -> list[int]:
        self.asked += 1
        for row, to_front in next(self.moves, []):
            if self.rows:
                moved = self.rows.pop(row % len(self.rows))
                self.rows.insert(0 if to_front else len(self.rows), moved)
        return self.rows[number * self.length : (number + 1) * self.length]


class NeverTheLast(Listing):
    """Gives the first row in place of the last."""

    def page(self, number: int) -> list[int]:
        return [0 if row == len(self.rows) - 1 else row for row in super().page(number)]


def read(listing: Listing) -> tuple[list[int], Reading[int]]:
    reading: Reading[int] = Reading(key=lambda row: row, what="rows")
    came: list[int] = []
    while reading.total is None:
        came += reading.take(listing.page(reading.page))
    return came, reading


@settings(max_examples=300)
@given(
    st.integers(0, 40),
    st.integers(2, 10),
    st.lists(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), max_size=3), max_size=20),
)
def test_every_row_comes_once_or_it_is_an_error(rows: int, length: int, moves: list[list[tuple[int, bool]]]) -> None:
    try:
        came, reading = read(Listing(rows, length, moves))
    except (IncompleteResultsError, UnexpectedAnswerError):
        assert moves
    else:
        assert sorted(came) == list(range(rows))
        assert reading.total == rows


@pytest.mark.parametrize(("rows", "requests"), [(0, 1), (1, 2), (99, 2), (100, 2), (101, 3), (250, 4)])
def test_what_stands_still_is_read_once(rows: int, requests: int) -> None:
    listing = Listing(rows, 100, [])
    assert read(listing)[0] == list(range(rows))
    assert listing.asked == requests


def test_a_row_that_slipped_away_is_found_in_the_second_reading() -> None:
    listing = Listing(30, 10, [[], [(25, True)]])
    came, _ = read(listing)
    assert sorted(came) == list(range(30))
    assert came[-1] == 25
    assert listing.asked == 8


def test_rows_that_never_settle_are_an_error() -> None:
    with pytest.raises(IncompleteResultsError, match=r"of 30 rows came, though the pages were read 3 times"):
        read(NeverTheLast(30, 10, []))


def test_a_service_that_knows_no_pages_is_noticed() -> None:
    """Else the first hundred would be taken for all, or be read for ever."""
    reading: Reading[int] = Reading(key=lambda row: row, what="rows")
    reading.take([1, 2, 3])
    with pytest.raises(UnexpectedAnswerError, match="does not give them page by page"):
        reading.take([1, 2, 3])
