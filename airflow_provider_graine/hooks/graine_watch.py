"""One look at the calls, as the waiting core wants to see it: batches one by one, or a campaign by its figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_graine.exceptions import CallingError
from airflow_provider_graine.waiting.decision import FAILED, SUCCEEDED
from airflow_provider_graine.waiting.progress import Progress

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.graine.received import Batch, Campaign, CampaignStats
    from airflow_provider_graine.waiting.decision import Decision, Wait

_OPEN_BATCHES = ("pending", "in_progress", "paused")
_OPEN_CONTACTS = ("pending", "dispatched", "in_progress", "retrying", "followup_scheduled")


class BatchWatch:
    """
    Looks at batches until each has ended; one that has ended is not asked for again.

    :param batch_ids: the batches
    """

    def __init__(self, batch_ids: Sequence[str]) -> None:
        self._seen: dict[str, Progress | None] = dict.fromkeys(batch_ids)

    def look(self, hook: GraineHook) -> list[Progress]:
        """Read every batch that may still change."""
        for batch_id in self._open():
            self._note(hook.get_batch(batch_id))
        return self._parts()

    async def alook(self, hook: GraineHook) -> list[Progress]:
        """Read every batch that may still change, on an event loop."""
        for batch_id in self._open():
            self._note(await hook.aget_batch(batch_id))
        return self._parts()

    def _open(self) -> list[str]:
        return [
            batch_id for batch_id, seen in self._seen.items() if seen is None or seen.status not in SUCCEEDED | FAILED
        ]

    def _note(self, batch: Batch) -> None:
        self._seen[batch.batch_id] = Progress(
            status=batch.status, total=batch.total_contacts, counts=batch.counters, batch_id=batch.batch_id
        )

    def _parts(self) -> list[Progress]:
        return [seen for seen in self._seen.values() if seen is not None]


class CampaignWatch:
    """
    Looks at a campaign.

    :param campaign_id: the campaign
    """

    def __init__(self, campaign_id: str) -> None:
        self._campaign_id = campaign_id

    def look(self, hook: GraineHook) -> list[Progress]:
        """Read the campaign and its figures."""
        return [_progress(hook.get_campaign(self._campaign_id), hook.get_campaign_stats(self._campaign_id))]

    async def alook(self, hook: GraineHook) -> list[Progress]:
        """Read the campaign and its figures, on an event loop."""
        campaign = await hook.aget_campaign(self._campaign_id)
        return [_progress(campaign, await hook.aget_campaign_stats(self._campaign_id))]


def _progress(campaign: Campaign, stats: CampaignStats) -> Progress:
    status = campaign.status or "active"
    if status == "active" and _is_over(stats):
        status = "completed"
    return Progress(status=status, total=sum(stats.contact_counts.values()), counts=stats.contact_counts)


def _is_over(stats: CampaignStats) -> bool:
    """Tell whether there are batches, and neither a batch nor a contact is open: the status itself may follow late."""
    return (
        sum(stats.batch_counts.values()) > 0
        and not any(stats.batch_counts.get(state) for state in _OPEN_BATCHES)
        and not any(stats.contact_counts.get(state) for state in _OPEN_CONTACTS)
        and not stats.in_flight_contacts
    )


def decide(watch: BatchWatch | CampaignWatch, hook: GraineHook, wait: Wait) -> Decision:
    """
    Look once and let the waiting core say what it means.

    :param watch: what looks
    :param hook: the connection
    :param wait: the wait this look belongs to
    """
    try:
        parts = watch.look(hook)
    except CallingError as error:
        return wait.could_not_see(error, now=time.time())
    return wait.saw(parts, now=time.time())


async def adecide(watch: BatchWatch | CampaignWatch, hook: GraineHook, wait: Wait) -> Decision:
    """Look once on an event loop; see :func:`decide`."""
    try:
        parts = await watch.alook(hook)
    except CallingError as error:
        return wait.could_not_see(error, now=time.time())
    return wait.saw(parts, now=time.time())
