"""Virtual time: what the sandbox takes for "now", faster than the clock on the wall, or by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


class Clock:
    """
    A clock whose seconds pass ``speed`` times as fast as real ones.

    :param speed: virtual seconds per real second; ``0`` stands still until :meth:`advance`
    :param start: virtual time at the start: ISO 8601 text or a datetime (naive means UTC); default: the real time
    """

    def __init__(self, *, speed: float = 60.0, start: datetime | str | None = None) -> None:
        if speed < 0:
            raise ValueError("speed is virtual seconds per real second and cannot be negative")
        if isinstance(start, str):
            start = datetime.fromisoformat(start)
        if start is not None and start.tzinfo is None:
            start = start.replace(tzinfo=UTC)
        self.speed = float(speed)
        self._start = None if start is None else start.timestamp()
        self.restart()

    def restart(self) -> None:
        """Go back to the start."""
        self._virtual = float(int(time.time())) if self._start is None else self._start
        self._real = time.monotonic()

    def now(self) -> float:
        """:return: the virtual time, in seconds since 1970 (UTC)"""
        return self._virtual + (time.monotonic() - self._real) * self.speed

    def advance(self, seconds: float) -> None:
        """
        Jump forward.

        :param seconds: virtual seconds, not negative
        :raises ValueError: time does not go backwards
        """
        if seconds < 0:
            raise ValueError("time does not go backwards")
        self._virtual += seconds


def iso(moment: float | None) -> str | None:
    """:return: ``2026-05-10T09:00:00Z`` for seconds since 1970; ``None`` stays ``None``"""
    return None if moment is None else _iso(int(moment))


@lru_cache(maxsize=4096)
def _iso(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
