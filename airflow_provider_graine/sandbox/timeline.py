"""What happens when: a queue of future events, run up to the present whenever somebody looks."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Timeline:
    """
    Events in order of virtual time; those of the same moment in the order they were planned.

    :param now: virtual time at the start, in seconds since 1970
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def at(self, moment: float, action: Callable[..., None], *args: Any) -> None:
        """Plan ``action(*args)``; :attr:`now` is that moment while it runs."""
        heapq.heappush(self._events, (moment, next(self._order), action, args))

    def run_until(self, moment: float) -> None:
        """Run what is due by then. A moment already passed changes nothing."""
        self.run_events(until=moment)
        if moment > self.now:
            self.now = moment

    def run_events(self, *, until: float) -> None:
        """Run what is due by then, and stay at the last event."""
        events, moment = self._events, until
        while events and events[0][0] <= moment:
            due, _, action, args = heapq.heappop(events)
            if due > self.now:
                self.now = due
            action(*args)
