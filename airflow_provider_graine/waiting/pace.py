"""How fast calls get an outcome, and when all of them will have one."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any, Final

from airflow_provider_graine.waiting import memory
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.look import Look
from airflow_provider_graine.waiting.words import utc

#: What is longer ago than about this many seconds inside calling hours hardly counts.
_RECENT: Final = 1800.0
#: Seconds and contacts that must have been seen before a rate is told.
_LEAST_SECONDS: Final = 300.0
_LEAST_CONTACTS: Final = 3.0
_FURTHEST_END: Final = 60 * 86400.0


class Pace:
    """
    Contacts with an outcome per second inside calling hours, over the recent past.

    Both are sums in which the past fades, so that a wait of days takes no more room than one of minutes.

    :param kept: what :meth:`remembered` returned in an earlier process
    """

    __slots__ = ("_contacts", "_done", "_seconds")

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._contacts = memory.number(kept, "contacts") or 0.0
        self._seconds = max(0.0, memory.number(kept, "seconds") or 0.0)
        self._done = memory.number(kept, "done")

    def note(self, done: int, *, seconds: float | None) -> None:
        """
        Note a look.

        :param done: contacts with an outcome by now
        :param seconds: seconds since the look before in which calls could be placed; ``None``: not known, so that
            what has happened meanwhile says nothing of the pace
        """
        before, self._done = self._done, done
        if before is None or seconds is None:
            return
        more = done - before
        fading = exp(-seconds / _RECENT)
        self._contacts = self._contacts * fading + more
        self._seconds = self._seconds * fading + seconds

    @property
    def per_hour(self) -> float | None:
        """Contacts an hour, or ``None`` while too little is known."""
        if self._seconds < _LEAST_SECONDS or self._contacts < _LEAST_CONTACTS:
            return None
        return 3600 * self._contacts / self._seconds

    def told(self, look: Look, *, hours: CallingHours | None, now: float) -> str:
        """Return the rate and the expected end, to follow the line of progress; empty while they mean nothing."""
        rate = self.per_hour if look.predictable else None
        if rate is None:
            return ""
        told = f"; about {rate:.0f} an hour"
        left = (look.total or 0) - look.done
        seconds = left * 3600 / rate
        if left <= 0 or seconds > _FURTHEST_END:
            return told
        end = hours.after(now, seconds) if hours else now + seconds
        return told if end is None else f"{told}, all by about {utc(end, now=now)}"

    def remembered(self) -> dict[str, Any]:
        """Return what a later process has to know."""
        if self._done is None:
            return {}
        return {"contacts": self._contacts, "seconds": self._seconds, "done": self._done}
