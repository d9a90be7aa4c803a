"""What a wait knows of the calling hours: learned when they matter, and again after a while: owners change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_graine.waiting import memory
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.steps import Closer

_HOLD: Final = 900.0
_LONGEST_GAP: Final = 366 * 86400.0


class KnownHours:
    """
    The calling hours as far as they are known.

    :param kept: what :meth:`remembered` returned in an earlier process
    """

    __slots__ = ("_learned_at", "hours", "unreadable")

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self.hours = CallingHours.recalled(kept)
        readable = self.hours is not None or "week" not in kept
        self._learned_at = memory.number(kept, "learned_at") if readable else None
        #: why they are not known although they were asked for
        self.unreadable: Exception | None = None

    def learn(self, closer: Closer, *, now: float) -> None:
        """Take an answer of the service; one that could not be had leaves what was known before."""
        if closer.error is None:
            self.hours, self._learned_at = closer.hours, now
        self.unreadable = closer.error if self._learned_at is None else None

    def are_old(self, now: float) -> bool:
        """Tell whether they should be asked for."""
        return self._learned_at is None or now - self._learned_at > _HOLD

    @property
    def never_asked(self) -> bool:
        """Whether nobody has tried to read them."""
        return self._learned_at is None and self.unreadable is None

    def open_seconds(self, since: float, until: float) -> float:
        """Return how many seconds between two moments calls could be placed; all of them, where nothing is known."""
        if until <= since:
            return 0.0
        if self.hours is None:
            return until - since
        return self.hours.open_seconds(max(since, until - _LONGEST_GAP), until)

    def remembered(self) -> dict[str, Any]:
        """Return what a later process has to know."""
        if self._learned_at is None:
            return {}
        return {"learned_at": self._learned_at, **(self.hours.remembered() if self.hours else {})}
