"""Calls that are at work at once, each in a thread: how each ended is given back as they end. Knows nothing of what."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class InFlight(Generic[T, R]):
    """
    Up to so many calls at once. Who begins them and takes their ends is one thread.

    Made of :class:`queue.SimpleQueue` alone: a signal handler may interrupt that thread anywhere, and the locks of
    :mod:`concurrent.futures` are needed by what a handler starts. The threads hold up no end of the process.

    :param call: called in the threads
    :param most: how many at once
    """

    def __init__(self, call: Callable[[T], R], *, most: int) -> None:
        self._call = call
        self._most = most
        self._threads = 0
        self._under_way = 0
        self._begun: SimpleQueue[tuple[T] | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[T, R | BaseException]] = SimpleQueue()

    def __len__(self) -> int:
        """Return how many have begun whose end was not given back yet."""
        return self._under_way

    @property
    def free(self) -> int:
        """How many more may begin now."""
        return self._most - self._under_way

    def begin(self, thing: T) -> None:
        """
        Let a call begin.

        :param thing: its argument
        """
        self._under_way += 1
        self._begun.put((thing,))
        if self._threads < self._under_way:
            self._threads += 1
            threading.Thread(target=self._work, name=f"in-flight-{self._threads}", daemon=True).start()

    def ended(self, within: float) -> list[tuple[T, R | BaseException]]:
        """
        Wait for the next end, and take those that have come by then along.

        :param within: seconds to wait, at most
        :return: the argument of each, and what the call returned or raised; in the order of the ends
        """
        ends = []
        try:
            if self._under_way:
                ends.append(self._ended.get(timeout=within))
                self._under_way -= 1
            while self._under_way:
                ends.append(self._ended.get_nowait())
                self._under_way -= 1
        except Empty:
            pass
        return ends

    def close(self) -> None:
        """Let the threads end, each after the call it is at; what comes of those is not given back any more."""
        for _ in range(self._threads):
            self._begun.put(None)

    def _work(self) -> None:
        while (begun := self._begun.get()) is not None:
            (thing,) = begun
            end: R | BaseException
            try:
                end = self._call(thing)
            except BaseException as error:
                end = error
            self._ended.put((thing, end))
            del begun, thing, end  # not to be kept in memory until the next comes


class Ahead(Iterator[T]):
    """
    Things of which the next one can be got ready while calls are at work.

    :param things: each is made when it is asked for
    """

    def __init__(self, things: Iterable[T]) -> None:
        self._things = iter(things)
        self._ready: deque[T] = deque()

    def get_ready(self) -> None:
        """Make the next one, if there is one and it is not made yet."""
        if not self._ready:
            self._ready.extend(islice(self._things, 1))

    def __next__(self) -> T:
        """Return the next one."""
        return self._ready.popleft() if self._ready else next(self._things)
