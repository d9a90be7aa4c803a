"""Counts people while they pass by; nothing is kept of any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from airflow_provider_graine.reports.words import ANSWERED, CALLED, IN_FLIGHT, plain


@dataclass(slots=True)
class Rate:
    """
    How many of those called have answered.

    :param called: people
    :param answered: those of them whose call is completed
    """

    called: int = 0
    answered: int = 0

    @property
    def share(self) -> float | None:
        """Between 0 and 1; ``None`` of nobody."""
        return self.answered / self.called if self.called else None

    def add(self, other: Rate) -> None:
        """Count what another has counted."""
        self.called += other.called
        self.answered += other.answered


@dataclass(slots=True)
class Tally:
    """
    What came of the calls to some people, in numbers.

    :param zone: time zone of the hours
    :param people: all of them
    :param outcomes: by state
    :param total: those whose last call has ended
    :param by_hour: those by the hour of the day at which they were called last; ``None``: not known
    :param by_attempts: those by the number of attempts, follow-ups not counted; ``None``: not known
    :param retries: further attempts, of all people together
    :param follow_ups: follow-up calls, of all people together
    """

    zone: tzinfo = UTC
    people: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    total: Rate = field(default_factory=Rate)
    by_hour: dict[int | None, Rate] = field(default_factory=dict)
    by_attempts: dict[int | None, Rate] = field(default_factory=dict)
    retries: int = 0
    follow_ups: int = 0

    def count(self, person: Mapping[str, Any]) -> None:
        """
        Count somebody.

        :param person: ``status``, and as far as known ``last_attempted_at``, ``retry_count`` and ``follow_up_count``
        """
        status = person.get("status")
        status = plain(status.lower() if isinstance(status, str) else None)
        last = person.get("last_attempted_at")
        retries = _number(person.get("retry_count"))
        self.people += 1
        self.outcomes[status] += 1
        self.retries += retries or 0
        self.follow_ups += _number(person.get("follow_up_count")) or 0
        if status in IN_FLIGHT or not (status in CALLED or last):
            return
        this = Rate(1, int(status == ANSWERED))
        self.total.add(this)
        self.by_hour.setdefault(self._hour(last), Rate()).add(this)
        self.by_attempts.setdefault(None if retries is None else retries + 1, Rate()).add(this)

    def add(self, other: Tally) -> None:
        """
        Count what another has counted.

        :param other: a tally with the same time zone
        """
        self.people += other.people
        self.outcomes.update(other.outcomes)
        self.total.add(other.total)
        self.retries += other.retries
        self.follow_ups += other.follow_ups
        for mine, theirs in ((self.by_hour, other.by_hour), (self.by_attempts, other.by_attempts)):
            for key, rate in theirs.items():
                mine.setdefault(key, Rate()).add(rate)

    def _hour(self, moment: Any) -> int | None:
        try:
            at = datetime.fromisoformat(moment)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(self.zone).hour
        except (TypeError, ValueError, OverflowError):
            return None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
