"""A listing whose number of rows is known: read ahead, and again until every row has come."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import IncompleteResultsError, ServiceUnavailableError
from airflow_provider_graine.services.paging import apages, pages, pages_of


class Listing:
    """Rows that change their places between any two pages, for as long as there are moves left."""

    def __init__(self, rows: int, *, page: int = 10, moves: list[tuple[int, int]] | None = None) -> None:
        self.rows = list(range(rows))
        self.page = page
        self.moves = iter(moves or [])
        self.asked: list[int] = []
        self.at_once = self.most_at_once = 0
        self.pause = 0.0
        self._lock = threading.Lock()

    def read(self, skip: int) -> list[int]:
        with self._lock:
            self.asked.append(skip)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            page = self.rows[skip : skip + self.page]
            for old, new in self.moves:
                self.rows.insert(new % len(self.rows), self.rows.pop(old % len(self.rows)))
                break
        time.sleep(self.pause)
        with self._lock:
            self.at_once -= 1
        return page

    def all(self, total: int | None = None) -> list[int]:
        return list(pages_of(len(self.rows) if total is None else total, self.read, key=lambda row: row, what="people"))


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 11, 95, 100])
@pytest.mark.parametrize("page", [1, 7, 10, 100])
def test_rows_come_once_in_order_without_a_page_too_many(rows: int, page: int) -> None:
    listing = Listing(rows, page=page)
    assert listing.all() == list(range(rows))
    assert sorted(listing.asked) == list(range(0, rows, page))


@given(
    rows=st.integers(1, 60),
    page=st.integers(1, 15),
    moves=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=12),
)
def test_every_row_comes_exactly_once_or_it_fails(rows: int, page: int, moves: list[tuple[int, int]]) -> None:
    listing = Listing(rows, page=page, moves=moves)
    came = []
    try:
        for row in pages_of(rows, listing.read, key=lambda row: row):
            came.append(row)
    except IncompleteResultsError:
        assert len(came) < rows
        assert moves
    else:
        assert sorted(came) == list(range(rows))
    assert len(set(came)) == len(came)


def test_a_row_that_slipped_away_is_read_again() -> None:
    listing = Listing(100, moves=[(95, 5)])  # behind the page that is read first, from one that is read later
    assert sorted(listing.all()) == list(range(100))
    assert listing.asked.count(0) == 2


def test_four_pages_are_read_at_a_time() -> None:
    listing = Listing(200)
    listing.pause = 0.02
    assert listing.all() == list(range(200))
    assert listing.most_at_once == 4


def test_pages_are_not_read_far_ahead_of_who_wants_them() -> None:
    listing = Listing(1000)
    rows = pages_of(1000, listing.read, key=lambda row: row)
    for _ in range(11):
        next(rows)
    time.sleep(0.05)
    assert len(listing.asked) <= 6
    rows.close()  # type: ignore[attr-defined]
    time.sleep(0.02)
    assert listing.at_once == 0


@pytest.mark.parametrize(
    ("total", "says"), [(101, "100 of 101 people came"), (99, "100 people came where there are 99")]
)
def test_a_number_that_does_not_come_out_even_is_told(total: int, says: str) -> None:
    with pytest.raises(IncompleteResultsError, match=says):
        Listing(100).all(total)


def test_what_a_page_raises_is_raised() -> None:
    def read(skip: int) -> list[int]:
        if skip == 30:
            raise ServiceUnavailableError("away")
        return list(range(skip, skip + 10))

    came: list[int] = []
    with pytest.raises(ServiceUnavailableError):
        came.extend(pages_of(100, read, key=lambda row: row))
    assert came == list(range(30))


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 11, 95, 100])
@pytest.mark.parametrize("page", [1, 10, 100])
def test_pages_that_have_numbers(rows: int, page: int) -> None:
    listing = Listing(rows, page=page)

    def read(number: int) -> list[int]:
        return listing.read(number * page)

    async def on_loop() -> list[int]:
        async def aread(number: int) -> list[int]:
            return read(number)

        return [row async for row in apages(aread, key=lambda row: row, counted="pages")]

    starts = list(range(0, rows, page))
    assert list(pages_of(rows, read, key=lambda row: row, counted="pages")) == list(range(rows))
    assert sorted(listing.asked) == starts
    listing.asked.clear()
    assert list(pages(read, key=lambda row: row, counted="pages")) == list(range(rows))
    assert listing.asked == [*starts, len(starts) * page]  # the end is a page without any row
    assert asyncio.run(on_loop()) == list(range(rows))


def test_numbered_pages_are_read_again_until_every_row_has_come() -> None:
    listing = Listing(30, page=10, moves=[(5, 15), (25, 0)])
    found = list(pages_of(30, lambda number: listing.read(number * 10), key=lambda row: row, counted="pages"))
    assert sorted(found) == list(range(30))
