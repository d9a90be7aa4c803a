"""Working hours: when may a campaign dial?"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class WorkingHours:
    """
    The weekly calling windows of a campaign.

    A window contains its start and not its end; one that ends at or before its start goes on into the next day; a day
    that is missing or disabled has none.

    :param schedule: day name to ``{"start": "HH:MM", "end": "HH:MM", "enabled": bool}``
    :param timezone: IANA name
    """

    def __init__(self, schedule: Mapping[str, Any], timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._days: list[tuple[time, time] | None] = []
        for day in DAYS:
            window = schedule.get(day)
            if window and window["enabled"]:
                self._days.append((time.fromisoformat(window["start"]), time.fromisoformat(window["end"])))
            else:
                self._days.append(None)
        self._open = (0.0, 0.0)

    def next_open(self, moment: float) -> float | None:
        """:return: ``moment`` itself inside a window, else the next start; ``None`` when no day has a window"""
        if not self._open[0] <= moment < self._open[1]:
            window = self._window_after(moment)
            if window is None:
                return None
            self._open = window
        return max(moment, self._open[0])

    def _window_after(self, moment: float) -> tuple[float, float] | None:
        today = datetime.fromtimestamp(moment, UTC).astimezone(self._zone).date()
        for offset in range(-1, 9):
            day = today + timedelta(days=offset)
            window = self._days[day.weekday()]
            if window is None:
                continue
            start, end = window
            closes = self._at(day if end > start else day + timedelta(days=1), end)
            if closes > moment:
                return self._at(day, start), closes
        return None

    def _at(self, day: date, clock: time) -> float:
        return datetime.combine(day, clock, self._zone).timestamp()
