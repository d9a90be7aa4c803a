"""What the page knows of the calls, in the same words for every service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_graine.waiting.vocabulary import GRAINE, Vocabulary

#: States of contacts, and what the page calls and paints them; any other word is ``other``.
GROUPS: Final[Mapping[str, str]] = {
    "completed": "completed",
    "no_answer": "no_answer",
    "busy": "busy",
    "failed": "failed",
    "max_retries_reached": "exhausted",
    "skipped": "skipped",
    **dict.fromkeys(
        ("dispatched", "in_flight", "in_progress", "dialing", "calling", "ringing", "in_call"), "in_flight"
    ),
    "retrying": "retrying",
    "followup_scheduled": "followup",
    **dict.fromkeys(("pending", "queued", "scheduled"), "pending"),
}
#: States in which nobody has been called yet.
_NOT_BEGUN: Final = ("draft", "scheduled")
#: The groups that may be a contact's last, in the order in which a reader asks for them.
OUTCOMES: Final = ("completed", "no_answer", "busy", "failed", "exhausted", "skipped")


@dataclass(frozen=True, slots=True)
class Maker:
    """The task instance that created something."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, metadata: Mapping[str, Any] | None) -> Maker | None:
        """
        Read it from a batch's metadata.

        :param metadata: as the service returns it
        """
        marks = metadata or {}
        dag_id, run_id, task_id = (marks.get(f"airflow_{each}_id") for each in ("dag", "run", "task"))
        map_index = marks.get("airflow_map_index", -1)
        if not (isinstance(dag_id, str) and isinstance(run_id, str) and isinstance(task_id, str)):
            return None
        return cls(dag_id, run_id, task_id, map_index) if isinstance(map_index, int) else None


@dataclass(slots=True)
class Part:
    """A batch, or with Kataven a campaign: what a task creates and waits for."""

    id: str
    status: str
    total: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    campaign_id: str | None = None
    name: str | None = None
    created_at: float | None = None
    starts_at: float | None = None
    maker: Maker | None = None
    #: what a mark in a name says of the task, where that is all
    task_hash: str | None = None
    map_index: int = -1
    #: why it stands still, where it does
    note: str | None = None
    is_stalled: bool = False
    vocabulary: Vocabulary = GRAINE

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.vocabulary.has_ended(self.status)

    @property
    def groups(self) -> dict[str, int]:
        """
        People by what has come of them.

        Beside the groups of :data:`GROUPS` there are ``other`` (at an end, in a state without a count), ``unclear`` (in
        a state without a count, which may be none of the last) and ``unknown`` (nothing is known of them).
        """
        if not self.counts and self.total:
            return {"pending" if self.status in _NOT_BEGUN else "unknown": self.total}
        groups = grouped(self.counts, self.total)
        if "other" in groups and not self.has_ended:
            groups["unclear"] = groups.pop("other")
        return groups


@dataclass(slots=True)
class CampaignSeen:
    """A campaign that has batches."""

    id: str
    name: str | None = None
    status: str | None = None
    created_at: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    attempts: int | None = None
    retries: Mapping[str, int] = field(default_factory=dict)
    #: when it may call, where that matters now
    hours: str | None = None


def grouped(counts: Mapping[str, int], total: int | None) -> dict[str, int]:
    """
    Sum counts up by what the page tells apart.

    :param counts: contacts by state, in a service's words
    :param total: how many there are; those without a count are ``other``
    """
    groups: Counter[str] = Counter()
    for state, number in counts.items():
        groups[GROUPS.get(state, "other")] += max(0, number)
    if total is not None and (rest := total - groups.total()) > 0:
        groups["other"] += rest
    return {group: number for group, number in groups.items() if number}


def summed(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """
    Add groups of several parts up.

    :param many: the groups of each
    """
    total: Counter[str] = Counter()
    for each in many:
        total.update(each)
    return dict(total)
