"""One look at Graine's calls, as the waiting core wants to see it: batches one by one, or a campaign by its figures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from airflow_provider_graine.exceptions import CallingError
from airflow_provider_graine.waiting.decision import Closer, Question
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.watching.watch import Watch, adecide, answered, decide, moment

if TYPE_CHECKING:
    from airflow_provider_graine.services.graine.received import Batch, BatchDebug, Campaign, CampaignStats
    from airflow_provider_graine.waiting.decision import Decision

__all__ = ["BatchWatch", "CampaignWatch", "adecide", "answered", "batch_progress", "decide", "look_closer", "moment"]

_OPEN_BATCHES = ("pending", "in_progress", "paused")
_OPEN_CONTACTS = ("pending", "dispatched", "in_progress", "retrying", "followup_scheduled")


class CloserReads(Protocol):
    """What a closer look asks for."""

    def aget_campaign(self, campaign_id: str) -> Awaitable[Campaign]:
        """Read a campaign."""

    def adebug_batch(self, batch_id: str) -> Awaitable[BatchDebug]:
        """Read why a batch makes no progress."""


class Reads(CloserReads, Protocol):
    """What looks ask for; a :class:`.GraineHook` answers it."""

    def aget_batch(self, batch_id: str) -> Awaitable[Batch]:
        """Read one batch."""

    def aget_campaign_stats(self, campaign_id: str) -> Awaitable[CampaignStats]:
        """Read a campaign's figures."""


class _GraineWatch(Watch[Reads]):
    @property
    @abstractmethod
    def campaign_ids(self) -> list[str]:
        """The campaigns of what has not ended, as far as they are known."""

    async def alook_closer(self, hook: Reads, decision: Decision) -> Closer:
        """Answer the question of a decision, on an event loop; a failure is an answer too."""
        return await look_closer(hook, decision, self.campaign_ids)


class BatchWatch(_GraineWatch):
    """
    Looks at batches until each has ended; one that has ended is not asked for again.

    :param batch_ids: the batches
    """

    def __init__(self, batch_ids: Sequence[str]) -> None:
        self._seen: dict[str, Progress | None] = dict.fromkeys(batch_ids)
        self._campaigns: dict[str, str] = {}

    @property
    def campaign_ids(self) -> list[str]:
        """The campaigns of the batches that have not ended; known after a look."""
        return list(dict.fromkeys(self._campaigns[each] for each in self._open() if each in self._campaigns))

    async def alook(self, hook: Reads) -> list[Progress]:
        """Read every batch that may still change, on an event loop."""
        for batch_id in self._open():
            batch = await hook.aget_batch(batch_id)
            self._seen[batch_id] = batch_progress(batch)
            if batch.campaign_id:
                self._campaigns[batch_id] = batch.campaign_id
        return [seen for seen in self._seen.values() if seen is not None]

    def _open(self) -> list[str]:
        return [batch_id for batch_id, seen in self._seen.items() if seen is None or not seen.has_ended]


class CampaignWatch(_GraineWatch):
    """
    Looks at a campaign.

    :param campaign_id: the campaign
    """

    def __init__(self, campaign_id: str) -> None:
        self._campaign_id = campaign_id
        self._campaign: Campaign | None = None

    @property
    def campaign_ids(self) -> list[str]:
        """The campaign."""
        return [self._campaign_id]

    async def alook(self, hook: Reads) -> list[Progress]:
        """Read the campaign and its figures, on an event loop."""
        self._campaign = campaign = await hook.aget_campaign(self._campaign_id)
        stats = await hook.aget_campaign_stats(self._campaign_id)
        status = campaign.status or "active"
        if status == "active" and _is_over(stats):
            status = "completed"
        return [Progress(status=status, total=sum(stats.contact_counts.values()), counts=stats.contact_counts)]

    async def alook_closer(self, hook: Reads, decision: Decision) -> Closer:
        """Answer the question of a decision, on an event loop; the hours came with the campaign."""
        if decision.question is Question.HOURS and self._campaign is not None:
            return Closer(hours=_hours([self._campaign]))
        return await super().alook_closer(hook, decision)


def batch_progress(batch: Batch, *, starts_at: float | None = None) -> Progress:
    """
    Say what is known of a batch in the waiting core's words.

    :param batch: as the service shows it
    :param starts_at: when it is to start, where ``batch`` does not say it; seconds since the epoch
    """
    return Progress(
        status=batch.status,
        total=batch.total_contacts,
        counts=batch.counters,
        id=batch.batch_id,
        starts_at=(moment(batch.scheduled_start) or starts_at) if batch.status == "pending" else None,
    )


def _is_over(stats: CampaignStats) -> bool:
    """Tell whether there are batches, and neither a batch nor a contact is open: the status itself may follow late."""
    return (
        sum(stats.batch_counts.values()) > 0
        and not any(stats.batch_counts.get(state) for state in _OPEN_BATCHES)
        and not any(stats.contact_counts.get(state) for state in _OPEN_CONTACTS)
        and not stats.in_flight_contacts
    )


def _hours(campaigns: Sequence[Campaign]) -> CallingHours | None:
    """Read the hours of campaigns; of several, nothing is known unless they keep the same."""
    weeks = [(each.timezone, each.working_hours, each.working_hours_enforced) for each in campaigns]
    if not weeks or any(week != weeks[0] for week in weeks):
        return None
    timezone, working_hours, enforced = weeks[0]
    return CallingHours.of(timezone=timezone, working_hours=working_hours, enforced=enforced)


async def look_closer(hook: CloserReads, decision: Decision, campaign_ids: Iterable[str]) -> Closer:
    """
    Answer the question of a decision.

    :param hook: the connection
    :param decision: with the question
    :param campaign_ids: the campaigns of what is waited for
    :return: the answer; that the service could not be asked is one too
    """
    try:
        if decision.question is Question.HOURS:
            return Closer(hours=_hours([await hook.aget_campaign(each) for each in campaign_ids]))
        if decision.about is None:
            return Closer()
        debug = await hook.adebug_batch(decision.about)
    except CallingError as error:
        return Closer(error=error)
    pending = debug.status_breakdown.get("pending")
    return Closer(
        stuck=debug.diagnostics.stuck_pending,
        tip=debug.diagnostics.tip,
        oldest_pending_at=moment(pending.get("oldest_updated_at")) if isinstance(pending, dict) else None,
    )
