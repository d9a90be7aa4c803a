"""
Reading a whole listing page by page.

The listings have no total, their largest page is not documented, and rows shift while objects are created. So the next
page starts after as many rows as came, or has the next number where a service counts its pages; the end is a page
without any row, and a row that comes twice counts once. Where it is known from elsewhere how many rows there are, pages
can be read ahead, and it shows whether all have come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, Generic, Literal, TypeVar

from airflow_provider_graine.exceptions import IncompleteResultsError, UnexpectedAnswerError

T = TypeVar("T")

#: What the beginning of a page is counted in; both from 0.
Counted = Literal["rows", "pages"]

_PAGES_AHEAD: Final = 4
_READINGS: Final = 3


class Reading(Generic[T]):
    """
    The reading of a listing to which no row is added and from which none is removed, page after page; each row once.

    Rows may change their places meanwhile. A reading has as many places as there are rows, so each row that slips away
    in between leaves a place to one that comes twice: without such a one all have come, and with some the pages are
    read again until they have. May be broken off at any page, and goes on there.

    :param key: what identifies a row
    :param what: the rows in a message
    """

    def __init__(self, *, key: Callable[[T], Hashable], what: str) -> None:
        self._key = key
        self._what = what
        self._seen: set[Hashable] = set()
        self._rows = 0
        self._before: list[Hashable] = []
        self._readings = 1
        #: the number of the page to be read next
        self.page = 0
        #: the number of rows that there are, once all have come
        self.total: int | None = None

    def take(self, rows: list[T]) -> list[T]:
        """
        Take the page that was to be read next.

        :param rows: its rows; none after the last page
        :return: those that have not come before
        :raises IncompleteResultsError: when not all have come in three readings
        :raises UnexpectedAnswerError: when the service gives the same page again
        """
        if not rows:
            self._end_of_reading()
            return []
        keys = [self._key(row) for row in rows]
        if keys == self._before:
            raise UnexpectedAnswerError(
                f"Page {self.page} of the {self._what} is the page before once more: the service does not give them "
                "page by page, as it documents. Nothing was changed; there is no way to read all of them."
            )
        self.page += 1
        self._rows += len(rows)
        self._before = keys
        news = []
        for key, row in zip(keys, rows, strict=True):
            if key not in self._seen:
                self._seen.add(key)
                news.append(row)
        return news

    def _end_of_reading(self) -> None:
        if len(self._seen) == self._rows:
            self.total = self._rows
            return
        if self._readings == _READINGS:
            raise IncompleteResultsError(
                f"{len(self._seen)} of {self._rows} {self._what} came, though the pages were read {_READINGS} times. "
                "Try again later."
            )
        self._readings += 1
        self.page = self._rows = 0
        self._before = []


def pages(read: Callable[[int], list[T]], *, key: Callable[[T], Hashable], counted: Counted = "rows") -> Iterator[T]:
    """
    Read a listing to its end.

    :param read: reads the page that starts after so many rows, or after so many pages
    :param key: what identifies a row
    :param counted: which of both; default ``rows``
    """
    return _each_once(_one_after_the_other(read, counted), key, set())


def pages_of(
    total: int,
    read: Callable[[int], list[T]],
    *,
    key: Callable[[T], Hashable],
    what: str = "rows",
    counted: Counted = "rows",
) -> Iterator[T]:
    """
    Read a listing whose number of rows is known, several pages at a time, and again until all rows have come.

    Rows may change their places between two pages. In the first reading pages are taken to be as long as the first
    one, whatever the server makes of the length that was asked for.

    :param total: number of rows
    :param read: reads the page that starts after so many rows, or after so many pages; called on several threads
    :param key: what identifies a row
    :param what: the rows in a message
    :param counted: what pages start after; default ``rows``
    :raises IncompleteResultsError: at the end, when fewer or more rows came in three readings
    """
    seen: set[Hashable] = set()
    readings: list[Callable[[], Iterator[list[T]]]] = [
        lambda: _several_at_a_time(total, read, counted),
        *[lambda: _one_after_the_other(read, counted)] * (_READINGS - 1),
    ]
    for reading in readings:
        yield from _each_once(reading(), key, seen)
        if len(seen) >= total:
            break
    if len(seen) != total:
        raise IncompleteResultsError(
            f"{len(seen)} of {total} {what} came, though the pages were read {_READINGS} times. Try again later."
            if len(seen) < total
            else f"{len(seen)} {what} came where there are {total}. Try again later."
        )


def _each_once(pages: Iterator[list[T]], key: Callable[[T], Hashable], seen: set[Hashable]) -> Iterator[T]:
    for page in pages:
        for row in page:
            if (identity := key(row)) not in seen:
                seen.add(identity)
                yield row


def _one_after_the_other(read: Callable[[int], list[T]], counted: Counted) -> Iterator[list[T]]:
    skip = 0
    while page := read(skip):
        skip += len(page) if counted == "rows" else 1
        yield page


def _several_at_a_time(total: int, read: Callable[[int], list[T]], counted: Counted) -> Iterator[list[T]]:
    if total < 1:
        return
    yield (first := read(0))
    rows = range(len(first), total, len(first) or total)
    starts = iter(rows if counted == "rows" else range(1, len(rows) + 1))
    pool = ThreadPoolExecutor(_PAGES_AHEAD, thread_name_prefix="pages")
    try:
        coming: deque[Future[list[T]]] = deque(pool.submit(read, skip) for skip in islice(starts, _PAGES_AHEAD))
        while coming:
            page = coming.popleft().result()
            coming.extend(pool.submit(read, skip) for skip in islice(starts, 1))
            yield page
    finally:
        pool.shutdown(cancel_futures=True)


async def apages(
    read: Callable[[int], Awaitable[list[T]]], *, key: Callable[[T], Hashable], counted: Counted = "rows"
) -> AsyncIterator[T]:
    """Read a listing to its end on an event loop; see :func:`pages`."""
    skip = 0
    seen: set[Hashable] = set()
    while page := await read(skip):
        skip += len(page) if counted == "rows" else 1
        for row in page:
            if (identity := key(row)) not in seen:
                seen.add(identity)
                yield row
