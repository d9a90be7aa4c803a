"""Several tries alive at once, in turns: each runs until its next step, and stands still there until its next turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.uploads.world import World


class Abandoned(BaseException):
    """The story is over."""


class Strand:
    """
    One try, in a thread that runs only while it is given a turn.

    :param work: the try
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self.is_done = False
        self.at = "not begun"
        self._is_over = False
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)

    def turn(self, world: World) -> None:
        """Run to the next step."""
        world.on_step = self._stop_at
        if not self._thread.is_alive() and not self.is_done:
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()

    def finish(self, world: World) -> Any:
        """Run to the end."""
        while not self.is_done:
            self.turn(world)
        return self.result

    def until(self, world: World, step: str, *, times: int = 1) -> None:
        """Run until it stands before a step of this name for the n-th time from here."""
        while times and not self.is_done:
            self.turn(world)
            times -= self.at == step
        assert not times, f"it never came to {step!r}"

    def end(self) -> None:
        """Give it up where it stands."""
        self._is_over = True
        if self._thread.is_alive():
            self._go.release()
            self._thread.join()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self.result = work()
        except Abandoned:
            pass
        finally:
            self.is_done = True
            self._back.release()

    def _stop_at(self, name: str) -> None:
        if threading.current_thread() is not self._thread:
            return
        self.at = name
        self._back.release()
        self._go.acquire()
        if self._is_over:
            raise Abandoned


@contextmanager
def strands(*work: Callable[[], Any]) -> Iterator[list[Strand]]:
    """Begin strands and clear them away at the end."""
    made = [Strand(each) for each in work]
    try:
        yield made
    finally:
        for strand in made:
            strand.end()
