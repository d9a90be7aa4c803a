"""
Reading a whole listing page by page.

The listings have no total, their largest page is not documented, and rows shift while objects are created. So the next
page starts after as many rows as came, the end is a page without any row, and a row that comes twice counts once.
Where it is known from elsewhere how many rows there are, pages can be read ahead, and it shows whether all have come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

from airflow_provider_graine.exceptions import IncompleteResultsError

T = TypeVar("T")

_PAGES_AHEAD: Final = 4
_READINGS: Final = 3


def pages(read: Callable[[int], list[T]], *, key: Callable[[T], Hashable]) -> Iterator[T]:
    """
    Read a listing to its end.

    :param read: reads the page that starts after so many rows
    :param key: what identifies a row
    """
    return _each_once(_one_after_the_other(read), key, set())


def pages_of(
    total: int, read: Callable[[int], list[T]], *, key: Callable[[T], Hashable], what: str = "rows"
) -> Iterator[T]:
    """
    Read a listing whose number of rows is known, several pages at a time, and again until all rows have come.

    Rows may change their places between two pages. In the first reading pages are taken to be as long as the first
    one, whatever the server makes of the length that was asked for.

    :param total: number of rows
    :param read: reads the page that starts after so many rows; called on several threads
    :param key: what identifies a row
    :param what: the rows in a message
    :raises IncompleteResultsError: at the end, when fewer or more rows came in three readings
    """
    seen: set[Hashable] = set()
    readings: list[Callable[[], Iterator[list[T]]]] = [
        lambda: _several_at_a_time(total, read),
        *[lambda: _one_after_the_other(read)] * (_READINGS - 1),
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


def _one_after_the_other(read: Callable[[int], list[T]]) -> Iterator[list[T]]:
    skip = 0
    while page := read(skip):
        skip += len(page)
        yield page


def _several_at_a_time(total: int, read: Callable[[int], list[T]]) -> Iterator[list[T]]:
    if total < 1:
        return
    yield (first := read(0))
    starts = iter(range(len(first), total, len(first) or total))
    pool = ThreadPoolExecutor(_PAGES_AHEAD, thread_name_prefix="pages")
    try:
        coming: deque[Future[list[T]]] = deque(pool.submit(read, skip) for skip in islice(starts, _PAGES_AHEAD))
        while coming:
            page = coming.popleft().result()
            coming.extend(pool.submit(read, skip) for skip in islice(starts, 1))
            yield page
    finally:
        pool.shutdown(cancel_futures=True)


async def apages(read: Callable[[int], Awaitable[list[T]]], *, key: Callable[[T], Hashable]) -> AsyncIterator[T]:
    """Read a listing to its end on an event loop; see :func:`pages`."""
    skip = 0
    seen: set[Hashable] = set()
    while page := await read(skip):
        skip += len(page)
        for row in page:
            if (identity := key(row)) not in seen:
                seen.add(identity)
                yield row
