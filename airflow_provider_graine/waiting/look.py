"""All that is seen at one moment, worked out once for as long as it stays the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from airflow_provider_graine.waiting.progress import (
    FINAL_CONTACT_STATES,
    Progress,
    counted,
    summarized,
    with_outcome,
    word,
)
from airflow_provider_graine.waiting.vocabulary import LATER

_NOT_DUE: Final = LATER.union(FINAL_CONTACT_STATES)
#: No count and no date is beyond these; what is comes from an odd document.
_MOST: Final = 10**12
_NO_DATE: Final = 250_000_000_000


class Look:
    """
    What one look has shown of everything that is waited for.

    :param parts: the state of each
    """

    __slots__ = ("calling", "counts", "digest", "done", "due", "ended", "parts", "scheduled_for", "statuses", "total")

    def __init__(self, parts: Sequence[Progress]) -> None:
        self.parts = tuple(parts)
        #: the statuses that there are, in one text
        self.statuses = ",".join(sorted({word(part.status) for part in parts}))
        self.counts = counted(parts)
        #: number of contacts; ``None``: not known of every part
        self.total = _total(parts)
        #: number of contacts with an outcome
        self.done = max(0, min(with_outcome(self.counts), _MOST))
        self.ended = all(part.has_ended for part in parts)
        #: whether something may be dialled
        self.calling = any(part.is_calling for part in parts)
        #: parts with contacts that should be getting on, the one with the most first
        self.due = sorted((part for part in parts if due_contacts(part)), key=due_contacts, reverse=True)
        #: when the first of what is scheduled starts; ``None``: not known, or something else is open, too
        self.scheduled_for = _scheduled_for(parts)
        #: the same for the same statuses and counts, in any process
        self.digest = _digest(parts)

    @property
    def share_done(self) -> float | None:
        """Share of contacts with an outcome, 0..1, where it can be told."""
        return min(self.done, self.total) / self.total if self.total else None

    @property
    def predictable(self) -> bool:
        """Whether all that is open is being called, with people to call now."""
        return bool(self.due) and all(part.has_ended or part.is_calling for part in self.parts)

    def line(self, *, ended: bool = False) -> str:
        """Say how far the calls are."""
        return summarized(self.counts, total=self.total, ended=ended)

    def line_and_statuses(self, remark: str = "") -> str:
        """Say how far the calls are, with a remark, and with the status of the only part or how many have which."""
        if len(self.parts) == 1:
            listed = word(self.parts[0].status)
        else:
            statuses = Counter(part.status for part in self.parts)
            each = ", ".join(f"{number} {word(status)}" for status, number in statuses.most_common())
            listed = f"{self.parts[0].vocabulary.nouns if self.parts else 'batches'}: {each}"
        return f"{self.line()}{remark} [{listed}]"

    @property
    def patience(self) -> float:
        """Seconds for which it may look as if nothing happened, though something does."""
        return max((part.patience for part in self.due), default=0.0)


def due_contacts(part: Progress) -> int:
    """Return the number of contacts that a part which is being called should be getting on with."""
    if not part.is_calling:
        return 0
    due = part.vocabulary.due
    if due is None:
        return sum(number for state, number in part.counts.items() if state not in _NOT_DUE)
    return sum(part.counts.get(state, 0) for state in due)


def _total(parts: Sequence[Progress]) -> int | None:
    total = 0
    for part in parts:
        if part.total is None or not 0 <= part.total <= _MOST:
            return None
        total += part.total
    return total


def _scheduled_for(parts: Sequence[Progress]) -> float | None:
    starts = []
    for part in parts:
        if part.has_ended:
            continue
        if part.status != part.vocabulary.scheduled or part.starts_at is None or not 0 <= part.starts_at < _NO_DATE:
            return None
        starts.append(part.starts_at)
    return min(starts, default=None)


def _digest(parts: Sequence[Progress]) -> str:
    seen = sorted(
        (part.id or "", part.status, sorted((state, number) for state, number in part.counts.items() if number))
        for part in parts
    )
    return blake2b(repr(seen).encode(), digest_size=8).hexdigest()
