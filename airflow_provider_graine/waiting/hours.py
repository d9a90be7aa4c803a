"""When a campaign may call: its week of working hours, in its timezone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from airflow_provider_graine.waiting.words import day_and_time

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY: Final = 86400
_THURSDAY: Final = 3  # the weekday of the epoch
_ALL_DAY: Final = ((0, _DAY),)
_OPENING_WITHIN: Final = 8 * _DAY
_HORIZON: Final = 366 * _DAY
_CLOCK: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")

#: Open seconds of a day, as pairs of first and behind-the-last second.
_Windows = tuple[tuple[int, int], ...]


class CallingHours:
    """
    The hours in which a campaign may place calls; made by :meth:`of`.

    All moments are wall-clock times in seconds since the epoch. A window contains its start and not its end.
    """

    __slots__ = ("_span", "_week", "_zone")

    def __init__(self, zone: ZoneInfo, week: tuple[_Windows, ...]) -> None:
        self._zone = zone
        self._week = week
        self._span = (0, 0, True)  # the stretch of time that was asked about last, and whether it is open

    @classmethod
    def of(cls, *, timezone: Any, working_hours: Any, enforced: Any) -> Self | None:
        """
        Read a campaign's hours; odd documents never raise.

        What is not documented counts as open, so that nobody is told "closed" wrongly: a day that is missing or cannot
        be read, and a day whose start is not before its end (it is also taken to reach into the next day).

        :param timezone: IANA name
        :param working_hours: ``{"monday": {"start": "09:00", "end": "18:00", "enabled": true}, ...}``
        :param enforced: ``working_hours_enforced``
        :return: the hours, or ``None`` where there is no restriction or it is not known
        """
        if enforced is not True or not isinstance(timezone, str) or not isinstance(working_hours, Mapping):
            return None
        try:
            zone = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):  # unknown, no name at all, a folder
            return None
        days = {name.strip().lower(): day for name, day in working_hours.items() if isinstance(name, str)}
        week = _read_week([days.get(name) for name in _WEEKDAYS])
        return None if all(windows == _ALL_DAY for windows in week) else cls(zone, week)

    @classmethod
    def recalled(cls, kept: Mapping[str, Any]) -> Self | None:
        """Return the hours that :meth:`remembered` has described; ``None`` where that cannot be read."""
        try:
            week = tuple(tuple((int(start), int(end)) for start, end in day) for day in kept["week"])
            zone = ZoneInfo(kept["timezone"])
        except (KeyError, TypeError, ValueError, OSError, OverflowError):
            return None
        sane = all(0 <= start < end <= _DAY for day in week for start, end in day)
        return cls(zone, week) if sane and len(week) == len(_WEEKDAYS) else None

    def remembered(self) -> dict[str, Any]:
        """Return a small JSON document for :meth:`recalled`."""
        return {"timezone": self._zone.key, "week": [[list(window) for window in day] for day in self._week]}

    def is_open(self, now: float) -> bool:
        """Tell whether calls may be placed at that moment."""
        since, until, is_open = self._span
        if not since <= now < until:
            self._span = since, until, is_open = self._span_at(int(now // 1))
        return is_open

    def opens_at(self, now: float) -> float | None:
        """Return the moment itself when open, else the next opening; ``None``: not within 8 days."""
        for since, _, is_open in self._spans(now, now + _OPENING_WITHIN):
            if is_open:
                return max(now, since)
        return None

    def closes_at(self, now: float) -> float | None:
        """Return the moment itself when closed, else the next closing; ``None``: not within 8 days."""
        for since, _, is_open in self._spans(now, now + _OPENING_WITHIN):
            if not is_open:
                return max(now, since)
        return None

    def open_seconds(self, since: float, until: float) -> float:
        """Return how many of the seconds between two moments were inside calling hours."""
        begin, end, is_open = self._span
        if begin <= since <= until <= end:
            return until - since if is_open else 0.0
        spans = self._spans(since, until)
        return float(sum(min(end, until) - max(begin, since) for begin, end, is_open in spans if is_open))

    def after(self, now: float, seconds: float) -> float | None:
        """Return the moment at which so many seconds inside calling hours have passed; ``None``: not within a year."""
        if seconds <= 0:
            return now
        for since, until, is_open in self._spans(now, now + _HORIZON):
            if is_open:
                begin = max(now, since)
                if seconds <= until - begin:
                    return begin + seconds
                seconds -= until - begin
        return None

    def local(self, moment: float) -> str:
        """Return a moment as people on site say it: ``Mon 18 May 09:00 Asia/Kolkata``."""
        return f"{day_and_time(datetime.fromtimestamp(moment, self._zone))} {self._zone.key}"

    def _spans(self, since: float, until: float) -> Iterator[tuple[int, int, bool]]:
        """Yield stretches that are open or closed throughout, one after the other, until they reach a moment."""
        begin = int(since // 1)
        while begin < until:
            span = self._span_at(begin)
            yield span
            begin = span[1]

    def _span_at(self, moment: int) -> tuple[int, int, bool]:
        """Return a stretch from a moment on in which neither the window nor the offset to UTC changes."""
        offset = self._offset(moment)
        day, second = divmod(moment + offset, _DAY)
        boundary, is_open = _DAY, False
        for start, end in self._week[(day + _THURSDAY) % 7]:
            if second < end:
                boundary, is_open = (end, True) if start <= second else (start, False)
                break
        until = moment + boundary - second
        if self._offset(until) != offset:
            until = self._change_of_offset(moment, until)
        return moment, until, is_open

    def _change_of_offset(self, before: int, after: int) -> int:
        offset = self._offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def _offset(self, moment: int) -> int:
        local = datetime.fromtimestamp(moment, self._zone)
        return int(local.replace(tzinfo=UTC).timestamp()) - moment


def _read_week(days: list[Any]) -> tuple[_Windows, ...]:
    week: list[_Windows] = []
    over_midnight = [0] * len(days)
    for number, day in enumerate(days):
        match day:
            case {"enabled": False}:
                week.append(())
            case {"enabled": True, "start": start, "end": end}:
                begin, close = _second(start), _second(end)
                if begin is None or close is None:
                    week.append(_ALL_DAY)
                elif begin < close:
                    week.append(((begin, close),))
                else:
                    week.append(_ALL_DAY)
                    over_midnight[(number + 1) % len(days)] = close
            case _:
                week.append(_ALL_DAY)
    return tuple(_opened_until(close, windows) for close, windows in zip(over_midnight, week, strict=True))


def _opened_until(close: int, windows: _Windows) -> _Windows:
    """Add the hours that a window of the day before may have after midnight."""
    if not close:
        return windows
    later = tuple(window for window in windows if window[0] > close)
    return ((0, max([close, *(end for start, end in windows if start <= close)])), *later)


def _second(clock: Any) -> int | None:
    """Read ``HH:MM`` (seconds are allowed); the last minute of a day is how people write its end."""
    if not isinstance(clock, str) or not (
        read := re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", clock.strip())
    ):
        return None
    hour, minute, second = (int(part or 0) for part in read.groups())
    if minute > 59 or second > 59:
        return None
    if (hour, minute) in ((23, 59), (24, 0)):
        return _DAY
    return hour * 3600 + minute * 60 + second if hour < 24 else None
