"""From when on people are called, by the clock where they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

#: The IANA names of all time zones that somebody may be in.
Zones: TypeAlias = tuple[str, ...]
#: First and last row of people who are in the same zones.
Run: TypeAlias = tuple[int, int, Zones]

_EVENING: Final = time(21)
_DAY: Final = timedelta(days=1)
# Files that lie beside the zones on some machines and mean another one on each.
_NOT_ZONES: Final = frozenset({"Factory", "localtime", "posixrules"})


@lru_cache(maxsize=1024)
def is_time_zone(name: str) -> bool:
    """
    Tell whether a name is that of a time zone.

    :param name: such as ``"Asia/Kolkata"``
    """
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return False
    return name not in _NOT_ZONES


@dataclass(frozen=True, kw_only=True)
class LocalTime:
    """
    A time of day at which people are called first, each by their own clock.

    :param start: the time of day
    :param on: the day, by their own calendar; default: the next on which that time is still ahead
    :param column: column with the names of people's time zones; default, and where it is empty: the number tells
    :param default_timezone: where people are of whom nothing tells; default: they are not called
    """

    start: time
    on: date | None = None
    column: str | None = None
    default_timezone: str | None = None

    def start_for(self, zones: Zones, *, after: datetime) -> datetime:
        """
        Tell when somebody may be called first.

        :param zones: where they may be: in none of these it is earlier than :attr:`start` by then
        :param after: when that has to lie ahead; for a given day it need not
        """
        if self.on is not None:
            return self._start_on(self.on, zones)
        day = after.date() - _DAY
        while (start := self._start_on(day, zones)) <= after:
            day += _DAY
        return start

    def is_possible(self, zones: Zones, *, after: datetime) -> bool:
        """
        Tell whether there is a time at which somebody can be called wherever they are, in none of the zones too late.

        :param zones: where they may be
        :param after: as in :meth:`start_for`
        """
        if not all(map(is_time_zone, zones)):
            return False
        start = self.start_for(zones, after=after)
        clocks = [start.astimezone(ZoneInfo(zone)) for zone in zones]
        is_one_time = len({clock.utcoffset() for clock in clocks}) == 1
        return is_one_time or all(self.start <= clock.time() <= _EVENING for clock in clocks)

    def _start_on(self, day: date, zones: Zones) -> datetime:
        return max(_moment(day, self.start, zone) for zone in zones)


@dataclass(frozen=True)
class Stretch:
    """
    Neighbours in a list who are called from the same moment on.

    :param first: row of the first of them
    :param last: row of the last of them
    :param start: the moment
    """

    first: int
    last: int
    start: datetime


def in_order(zones: Iterable[Zones], local_time: LocalTime, *, after: datetime) -> list[Zones]:
    """
    Put those who are called from the same moment on beside each other.

    The order is the same on another day, for all that does not change its clocks meanwhile.

    :param zones: where people are
    :param local_time: when they are called
    :param after: as in :meth:`LocalTime.start_for`
    """
    starts = {each: local_time.start_for(each, after=after) for each in zones}
    return sorted(starts, key=lambda each: (starts[each].time(), starts[each], each))


def stretches(runs: Sequence[Run], local_time: LocalTime, *, after: datetime) -> list[Stretch]:
    """
    Tell who is called when.

    :param runs: a list, one behind the other
    :param local_time: when people are called
    :param after: as in :meth:`LocalTime.start_for`
    :return: the soonest first
    """
    found: list[Stretch] = []
    for first, last, zones in runs:
        start = local_time.start_for(zones, after=after)
        is_more = bool(found) and found[-1].start == start
        found.append(Stretch(found.pop().first if is_more else first, last, start))
    return sorted(found, key=lambda stretch: stretch.start)


@lru_cache(maxsize=4096)
def _moment(day: date, at: time, zone: str) -> datetime:
    """
    Tell when it is that time somewhere. If it is twice, the second time; if never, as much later as clocks are put on.

    Either way, the clock does not show an earlier time any more on that day.
    """
    local = datetime.combine(day, at, tzinfo=ZoneInfo(zone))
    return max(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
