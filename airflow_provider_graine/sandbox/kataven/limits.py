"""The account's limits on requests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..clock import Clock
    from .settings import KatavenSettings


class RequestLimits:
    """
    Counts requests, those refused included.

    A window opens with the first request after the last window has closed; the count begins anew with it.

    :param clock: virtual time, in which the windows are
    :param settings: how many
    """

    def __init__(self, clock: Clock, settings: KatavenSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._windows: dict[str, tuple[float, int]] = {}
        self._in_flight = 0

    def enter(self) -> tuple[str, int] | None:
        """
        Count a request that begins; :meth:`leave` must follow in any case.

        :return: what was exceeded, and real seconds until it is worth another try; ``None``: it may enter
        """
        settings, now = self._settings, self._clock.now()
        exceeded = None
        for name, seconds, most in (
            ("per-minute", 60, settings.requests_per_minute),
            ("per-hour", 3_600, settings.requests_per_hour),
            ("per-day", 86_400, settings.requests_per_day),
        ):
            closes, count = self._windows.get(name, (now, 0))
            if closes <= now:
                closes, count = now + seconds, 0
            self._windows[name] = (closes, count + 1)
            if count >= most:
                exceeded = (f"{name} ({most})", self._real(closes - now))
        self._in_flight += 1
        if exceeded is None and self._in_flight > settings.requests_in_flight:
            exceeded = (f"concurrent ({settings.requests_in_flight})", 1)
        return exceeded if settings.rate_limits else None

    def leave(self) -> None:
        """A request has ended."""
        self._in_flight -= 1

    def _real(self, seconds: float) -> int:
        """A clock that stands still has no real seconds: then it is virtual ones."""
        return max(1, math.ceil(seconds / (self._clock.speed or 1.0)))
