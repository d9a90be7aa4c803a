"""
What one look at the service means for a wait: go on, done, or failed.

Pure: takes what was seen (or the error in its place) and the time, and says what to do. It neither sleeps nor polls nor
knows the service, so operators, sensors and triggers, sync and async, cannot come to different conclusions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from airflow_provider_graine.exceptions import ServiceUnavailableError, UnexpectedAnswerError
from airflow_provider_graine.waiting.progress import Progress, counted, summarized

SUCCEEDED: Final = frozenset({"completed"})
FAILED: Final = frozenset({"cancelled", "expired"})
RUNNING: Final = frozenset({"draft", "pending", "in_progress", "active"})
PAUSED: Final = frozenset({"paused"})
_KNOWN: Final = SUCCEEDED | FAILED | RUNNING | PAUSED

#: Looks in a row that may fail before a wait gives up; each of them has been repeated by the session already.
DEFAULT_FAILURE_BUDGET: Final = 10


class Step(StrEnum):
    """What to do after a look."""

    WAIT = "wait"
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """
    What a look means.

    :param step: what to do
    :param message: the sentence for the log or the error
    :param counts: contacts by state
    :param warning: something a person should look at although the wait goes on
    """

    step: Step
    message: str
    counts: dict[str, int]
    warning: str | None = None


class Wait:
    """
    A wait for one or more batches, or for a campaign, to end.

    :param deadline: wall-clock time, in seconds since the epoch, after which the wait has timed out; ``None``: never
    :param failure_budget: looks in a row that may fail without an end of the wait
    """

    def __init__(self, *, deadline: float | None = None, failure_budget: int = DEFAULT_FAILURE_BUDGET) -> None:
        self._deadline = deadline
        self._failure_budget = failure_budget
        self._failures = 0
        self._warned: set[str] = set()

    def saw(self, parts: Sequence[Progress], *, now: float) -> Decision:
        """
        Decide after a look that succeeded.

        :param parts: the state of everything that is waited for
        :param now: wall-clock time in seconds since the epoch
        """
        self._failures = 0
        statuses = Counter(part.status for part in parts)
        counts = counted(parts)
        totals = [part.total for part in parts]
        total = None if None in totals else sum(each or 0 for each in totals)
        if all(status in SUCCEEDED for status in statuses):
            line = summarized(counts, total=total, ended=True)
            return Decision(step=Step.DONE, message=f"All calls are done. {line}", counts=counts)
        line = summarized(counts, total=total)
        if all(status in SUCCEEDED | FAILED for status in statuses):
            return Decision(step=Step.FAILED, message=f"{self._ended_badly(parts)} {line}", counts=counts)
        if (late := self._timed_out(now)) is not None:
            return Decision(step=Step.TIMED_OUT, message=f"{late} {line}", counts=counts)
        return Decision(
            step=Step.WAIT,
            message=f"{line} [{_listed(statuses)}]",
            counts=counts,
            warning=self._warning(parts),
        )

    def could_not_see(self, error: Exception, *, now: float) -> Decision:
        """
        Decide after a look that failed.

        :param error: why
        :param now: wall-clock time in seconds since the epoch
        :raises Exception: the error itself, where waiting cannot help
        """
        if not isinstance(error, ServiceUnavailableError | UnexpectedAnswerError):
            raise error
        self._failures += 1
        if (late := self._timed_out(now)) is not None:
            return Decision(step=Step.TIMED_OUT, message=f"{late} The last look failed: {error}", counts={})
        if self._failures > self._failure_budget:
            raise error
        return Decision(
            step=Step.WAIT,
            message="The state of the calls could not be read",
            counts={},
            warning=f"Look {self._failures} in a row that failed, of {self._failure_budget} that may: {error}",
        )

    @staticmethod
    def _ended_badly(parts: Sequence[Progress]) -> str:
        bad = [part for part in parts if part.status in FAILED]
        named = ", ".join(f"{part.batch_id or 'the campaign'} is {part.status}" for part in bad[:20])
        more = f" and {len(bad) - 20} more" if len(bad) > 20 else ""
        return (
            f"Not everybody was called: {named}{more}. A stopped batch does not go on; calls that were placed are "
            "in its results, and nothing is sent again by itself."
        )

    def _timed_out(self, now: float) -> str | None:
        if self._deadline is None or now < self._deadline:
            return None
        return "The time to wait is over and the calls are not done; the service goes on calling."

    def _warning(self, parts: Sequence[Progress]) -> str | None:
        sentences = []
        paused = [part for part in parts if part.status in PAUSED]
        if paused and self._first_time("paused"):
            sentences.append(f"{_named(paused)} paused: nobody new is called until it is resumed. The wait goes on.")
        elif not paused:
            self._warned.discard("paused")
        for part in parts:
            if part.status not in _KNOWN and self._first_time(f"unknown {part.status}"):
                sentences.append(
                    f"{_named([part])} in a state this provider does not know ({_word(part.status)}). The wait goes on."
                )
        return " ".join(sentences) or None

    def _first_time(self, subject: str) -> bool:
        new = subject not in self._warned
        self._warned.add(subject)
        return new


def _named(parts: Sequence[Progress]) -> str:
    if len(parts) == 1:
        return f"Batch {parts[0].batch_id} is" if parts[0].batch_id else "The campaign is"
    return f"{len(parts)} batches are"


def _word(status: str) -> str:
    return status if status.replace("_", "").isalnum() and len(status) <= 40 else "not a word"


def _listed(statuses: Counter[str]) -> str:
    if statuses.total() == 1:
        return next(_word(status) for status in statuses)
    return "batches: " + ", ".join(f"{number} {_word(status)}" for status, number in statuses.most_common())
