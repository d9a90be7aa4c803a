"""
Reading a whole listing page by page.

The listings have no total, their largest page is not documented, and rows shift while objects are created. So the next
page starts after as many rows as came, the end is a page without any row, and a row that comes twice counts once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from typing import TypeVar

T = TypeVar("T")


def pages(read: Callable[[int], list[T]], *, key: Callable[[T], Hashable]) -> Iterator[T]:
    """
    Read a listing to its end.

    :param read: reads the page that starts after so many rows
    :param key: what identifies a row
    """
    skip = 0
    seen: set[Hashable] = set()
    while page := read(skip):
        skip += len(page)
        for row in page:
            if (identity := key(row)) not in seen:
                seen.add(identity)
                yield row


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
