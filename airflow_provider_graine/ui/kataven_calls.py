"""
Kataven's campaigns as the page shows them, within what the account's limit on requests leaves over.

A list says the states. Counts come from the stream of events of campaigns that run, one event at a time, and, once,
from the contacts of small campaigns that have ended.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.exceptions import NotFoundError, RequestRejectedError, ServiceError, UnexpectedAnswerError
from airflow_provider_graine.services.kataven.received import CampaignSnapshot
from airflow_provider_graine.ui.seen import CampaignSeen, Part
from airflow_provider_graine.ui.standing import Standing
from airflow_provider_graine.uploads.identity import Mark
from airflow_provider_graine.waiting.vocabulary import KATAVEN
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.kataven_figures import are_final, figures
from airflow_provider_graine.watching.kataven_watch import CountedContacts
from airflow_provider_graine.watching.watch import moment

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.kataven import KatavenHook
    from airflow_provider_graine.services.kataven.received import Campaign

#: Campaigns that are kept.
MOST_CAMPAIGNS: Final = 2000
#: Seconds until the list is read to its end again; whether it has pages is not documented.
_ALL_PAGES_EVERY: Final = 300.0
_MOST_PAGES: Final = 20
#: Pages in a row without anything new after which a list is taken to have ended, see :class:`.KatavenHook`.
_OLD_PAGES: Final = 2
#: Running campaigns whose figures a refresh asks for, and how long each may take.
_HEARD_AT_ONCE: Final = 4
_FIRST_EVENT_WITHIN: Final = 6.0
#: People up to which a campaign that has ended is counted: a request for each hundred.
_COUNTED_UP_TO: Final = 1000


class KatavenCalls:
    """What is known of the campaigns of one account; see :class:`.watched.Calls`."""

    noun = "campaign"
    fresh_for = 12.0

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.campaigns: dict[str, CampaignSeen] = {}
        self.is_cut = False
        self._listed_at = float("-inf")
        self._heard_at: dict[str, float] = {}
        self._standing: dict[str, Standing] = {}
        self._patience: dict[str, float] = {}
        self._counted: set[str] = set()

    async def read(self, hook: KatavenHook) -> None:
        """Read the list, to its end every few minutes."""
        first = await hook.alist_campaigns()
        listed = {campaign.campaign_id: campaign for campaign in first}
        if clock.now() - self._listed_at >= _ALL_PAGES_EVERY:
            await self._read_on(hook, listed)
            for gone in self.parts.keys() - listed.keys():
                del self.parts[gone]
            self._listed_at = clock.now()
        for campaign in listed.values():
            self._saw(campaign)
        self.is_cut = len(self.parts) > MOST_CAMPAIGNS
        ended_first = sorted(self.parts.values(), key=lambda part: (not part.has_ended, part.created_at or 0.0))
        for part in ended_first[: max(0, len(self.parts) - MOST_CAMPAIGNS)]:
            del self.parts[part.id]
        for kept in (self._heard_at, self._standing, self._patience):
            for gone in kept.keys() - self.parts.keys():
                del kept[gone]
        self._counted &= self.parts.keys()

    async def _read_on(self, hook: KatavenHook, listed: dict[str, Campaign]) -> None:
        old = 0
        for page in range(1, _MOST_PAGES):
            try:
                rows = await hook.alist_campaigns(page=page)
            except (RequestRejectedError, UnexpectedAnswerError):
                return
            new = [campaign for campaign in rows if campaign.campaign_id not in listed]
            listed.update((campaign.campaign_id, campaign) for campaign in new)
            old = 0 if new else old + 1
            if not rows or old >= _OLD_PAGES:
                return

    def _saw(self, campaign: Campaign) -> None:
        mark = Mark.read(campaign.name)
        part = self.parts.get(campaign.campaign_id)
        if part is None:
            part = Part(id=campaign.campaign_id, status="unknown", vocabulary=KATAVEN)
            self.parts[part.id] = part
        if mark is not None:
            part.total, part.task_hash, part.map_index = mark.people, mark.task, mark.map_index
        if campaign.status and campaign.status != part.status:
            part.status = campaign.status
            self._standing.pop(part.id, None)
        part.name = (campaign.name or "").removesuffix(str(mark or "")).strip() or None
        part.created_at = moment(campaign.created_at) or part.created_at
        part.starts_at = moment(campaign.scheduled_at) if campaign.scheduled_at else None
        self._patience[part.id] = float(campaign.retry_delay_seconds or 0) if campaign.retries_per_contact else 0.0

    async def read_more(self, hook: KatavenHook) -> None:
        """Read the figures of what runs, and once of what has ended."""
        running = [part for part in self.parts.values() if part.status in KATAVEN.calling]
        running.sort(key=lambda part: self._heard_at.get(part.id, float("-inf")))
        try:
            await asyncio.gather(*(self._hear(hook, part) for part in running[:_HEARD_AT_ONCE]))
            await self._count(hook)
        finally:
            for part in self.parts.values():
                self._judge(part)

    async def _hear(self, hook: KatavenHook, part: Part) -> None:
        """Take the first event of a campaign that runs; what the stream says of an end is left to the list."""
        self._heard_at[part.id] = clock.now()
        with suppress(TimeoutError, ServiceError):
            async with asyncio.timeout(_FIRST_EVENT_WITHIN), hook.astream_campaign_events(part.id) as events:
                async for snapshot in events:
                    if snapshot is not None:
                        self._figures(part, snapshot)
                        return

    def _figures(self, part: Part, snapshot: CampaignSnapshot) -> None:
        total, counts = figures(snapshot)
        if counts and counts != part.counts:
            self._standing.pop(part.id, None)
            part.counts = counts
        part.total = total if total is not None else part.total

    async def _count(self, hook: KatavenHook) -> None:
        """Count the people on one campaign that has ended, where its counts are not known to be the last."""
        for part in sorted(self.parts.values(), key=lambda part: part.created_at or 0.0, reverse=True):
            is_known = part.id in self._counted or are_final(part.total, part.counts)
            if not part.has_ended or is_known or part.total is None or part.total > _COUNTED_UP_TO:
                continue
            with suppress(NotFoundError, RequestRejectedError, UnexpectedAnswerError):
                part.total, part.counts = await CountedContacts(part.id).acount(hook)
            self._counted.add(part.id)  # whatever came of it: not again
            return

    def _judge(self, part: Part) -> None:
        if part.has_ended:
            part.note, part.is_stalled = None, False
            return
        since = clock.wall() + self._patience.get(part.id, 0.0)
        standing = self._standing.setdefault(part.id, Standing(since=since))
        part.note, part.is_stalled = standing.told(part, hours=None, now=clock.wall())
