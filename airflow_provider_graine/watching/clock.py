"""Time, in the one place where a test may put another."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress


class Clock:
    """The machine's clocks."""

    def wall(self) -> float:
        """Tell the time of day, in seconds since the epoch."""
        return time.time()

    def now(self) -> float:
        """Tell a time in seconds that only goes forward."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, *, at_most: float) -> None:
        """
        Wait for an event.

        :param event: what is waited for
        :param at_most: seconds; infinity: for as long as it takes
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(at_most) else at_most):
                await event.wait()


clock = Clock()
