"""How long the calls may be out of sight before a wait gives up: blips, and outages of hours, end nothing."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from airflow_provider_graine.exceptions import NotFoundError, ServiceUnavailableError, UnexpectedAnswerError
from airflow_provider_graine.waiting import memory
from airflow_provider_graine.waiting.words import duration

#: Looks in a row that may fail before a wait gives up; each of them has been repeated by the session already.
FAILURE_BUDGET: Final = 10
#: Seconds for which all looks may fail.
LONGEST_OUTAGE: Final = 7200.0
#: The look, in a row, at which "not found" is believed: a batch may be seen late, a gateway wrong for a moment.
NOT_FOUND_BELIEVED_AT: Final = 5
_MOST_PAUSE: Final = 300.0
_MOST_RETRY_AFTER: Final = 3600.0


class Outage:
    """
    Looks that failed one after the other.

    :param failure_budget: looks in a row that may fail
    :param longest_outage: seconds for which looks may fail even when there were more of them
    :param kept: what :meth:`remembered` returned in an earlier process
    """

    __slots__ = ("_began", "_failure_budget", "_longest_outage", "_not_found", "failures")

    def __init__(self, *, failure_budget: int, longest_outage: float, kept: Mapping[str, Any]) -> None:
        self._failure_budget = failure_budget
        self._longest_outage = longest_outage
        self.failures = memory.count(kept, "failures")
        self._not_found = memory.count(kept, "not_found")
        self._began = memory.number(kept, "began")

    def failed(self, error: Exception, *, now: float) -> None:
        """
        Note a look that failed.

        :raises Exception: the error itself, where waiting longer cannot help
        """
        if not isinstance(error, NotFoundError | ServiceUnavailableError | UnexpectedAnswerError):
            raise error
        self.failures += 1
        if self._began is None:
            self._began = now
        self._not_found = self._not_found + 1 if isinstance(error, NotFoundError) else 0

    def give_up(self, error: Exception, *, now: float) -> None:
        """
        Give up when looks have failed for too long.

        :raises Exception: the error of the last look
        """
        if self._not_found >= NOT_FOUND_BELIEVED_AT:
            raise error
        if self.failures > self._failure_budget and self._lasted(now) >= self._longest_outage:
            raise error

    def pause(self, error: Exception, *, poll_interval: float) -> float:
        """Return the seconds until the next look: more with each failure, and as long as the service asked for."""
        pause = poll_interval
        if self._not_found < self.failures:
            most = max(poll_interval, min(5 * poll_interval, _MOST_PAUSE))
            pause = min(most, poll_interval * 2.0 ** min(self.failures - 1, 10))
        asked = getattr(error, "retry_after", None)
        if isinstance(asked, int | float) and isfinite(asked):
            pause = max(pause, min(asked, _MOST_RETRY_AFTER))
        return pause

    def told(self, error: Exception, *, now: float) -> str | None:
        """Return a sentence about the failed look, less often the longer it takes."""
        if self.failures & (self.failures - 1):
            return None
        since = f", for {duration(self._lasted(now))}" if self.failures > 1 else ""
        looks = "The last look" if self.failures == 1 else f"The last {self.failures} looks"
        return f"{looks} at the calls failed{since}. The wait goes on, and the calls do not depend on it. {error}"

    def over(self, *, now: float) -> str | None:
        """Note a look that succeeded; return a sentence when looks before it had failed."""
        if not self.failures:
            return None
        looks, lasted = self.failures, self._lasted(now)
        self.failures = self._not_found = 0
        self._began = None
        return f"The calls can be seen again after {looks} failed look{'s' * (looks > 1)} in {duration(lasted)}."

    def remembered(self) -> dict[str, Any]:
        """Return what a later process has to know."""
        if not self.failures:
            return {}
        return {"failures": self.failures, "not_found": self._not_found, "began": self._began}

    def _lasted(self, now: float) -> float:
        return max(0.0, now - self._began) if self._began is not None else 0.0
