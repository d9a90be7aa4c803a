"""Work for the second core: one thing is got ready while the one before is being used."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

S = TypeVar("S")
T = TypeVar("T")


def one_ahead(get_ready: Callable[[S], T], things: Iterable[S]) -> Generator[T]:
    """
    Get things ready in a thread of their own, at most one before it is asked for.

    :param get_ready: called in the thread, for one thing at a time
    :param things: what is to be got ready; iterated by the caller
    :return: what came of each, in order; what is raised is raised when it is that thing's turn
    """
    with ThreadPoolExecutor(1, thread_name_prefix="one-ahead") as thread:
        coming: Future[T] | None = None
        for thing in things:
            here, coming = coming, thread.submit(get_ready, thing)
            if here is not None:
                yield here.result()
        if coming is not None:
            yield coming.result()
