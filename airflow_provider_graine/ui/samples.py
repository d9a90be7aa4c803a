"""How many people had which outcome at which time, for as long as somebody looked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable
from typing import Any, Final

from airflow_provider_graine.ui.seen import OUTCOMES, Part

#: Moments that are kept; when there are more, every second one is forgotten, and from then on fewer are taken.
MOST_MOMENTS: Final = 240
#: Seconds without a look that are no line but a gap.
GAP: Final = 120.0
#: Sums that are kept until the next look.
_MOST_ADDED: Final = 20

Values = tuple[int, ...]


class Samples:
    """
    The outcomes of what was under way, look by look.

    What had ended before the first look has no course to show: it is left out. Of a part only changes are kept.
    """

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._least_step = 0.0
        self._courses: dict[str, list[tuple[float, Values]]] = {}
        #: what was added up since the last look, by whose it is
        self._added: dict[frozenset[str], dict[str, Any]] = {}

    def take(self, parts: Iterable[Part], *, now: float) -> None:
        """
        Note what a look has shown.

        :param parts: all that is known
        :param now: wall-clock time in seconds since the epoch
        """
        self._added = {}
        is_moment = not self._moments or now - self._moments[-1] >= self._least_step
        known: set[str] = set()
        for part in parts:
            known.add(part.id)
            course = self._courses.get(part.id)
            if course is None and part.has_ended:
                continue
            groups = part.groups
            values = tuple(groups.get(outcome, 0) for outcome in OUTCOMES)
            if course is None:
                self._courses[part.id] = [(now, values)]
            elif course[-1][1] != values:
                if course[-1][0] > self._moments[-1]:
                    del course[-1]  # one between two moments is enough
                course.append((now, values))
        for gone in self._courses.keys() - known:
            del self._courses[gone]
        if is_moment:
            self._moments.append(now)
            self._thin_out()

    def _thin_out(self) -> None:
        if len(self._moments) <= MOST_MOMENTS:
            return
        span = self._moments[-1] - self._moments[0]
        self._least_step = span / (MOST_MOMENTS / 2)
        self._moments = [*self._moments[:-1:2], self._moments[-1]]
        for course in self._courses.values():
            by_moment = {bisect_left(self._moments, at): (at, values) for at, values in course}
            course[:] = by_moment.values()

    def since(self) -> float | None:
        """Return the time of the first look that is kept."""
        return self._moments[0] if self._moments else None

    def course(self, part_ids: Collection[str]) -> dict[str, Any]:
        """
        Add the courses of some parts up.

        For use in a thread too, while the next look is taken.

        :param part_ids: which
        :return: ``times`` (seconds since the epoch) and ``values`` by outcome; ``None`` in a gap
        """
        added, key = self._added, frozenset(part_ids)
        if key not in added:
            if len(added) >= _MOST_ADDED:
                added.clear()
            added[key] = self._add_up(key)
        return added[key]

    def _add_up(self, part_ids: Collection[str]) -> dict[str, Any]:
        moments = list(self._moments)
        courses = [list(course) for part_id, course in list(self._courses.items()) if part_id in part_ids]
        changes = [[0] * len(OUTCOMES) for _ in moments]
        for course in courses:
            before: Values = (0,) * len(OUTCOMES)
            for at, values in course:
                moment = bisect_left(moments, at)
                if moment < len(changes):  # what has come since the last moment shows with the next
                    for index, (was, has) in enumerate(zip(before, values, strict=True)):
                        changes[moment][index] += has - was
                    before = values
        times: list[float] = []
        rows: list[Values | None] = []
        sums = [0] * len(OUTCOMES)
        for at, change in zip(moments if courses else (), changes, strict=False):
            sums = [was + more for was, more in zip(sums, change, strict=True)]
            if times and at - times[-1] > max(GAP, 3 * self._least_step):
                times.append((times[-1] + at) / 2)
                rows.append(None)
            times.append(at)
            rows.append(tuple(sums))
        by_outcome = {
            outcome: [None if row is None else row[index] for row in rows] for index, outcome in enumerate(OUTCOMES)
        }
        return {"times": times, "values": {name: each for name, each in by_outcome.items() if any(each)}}
