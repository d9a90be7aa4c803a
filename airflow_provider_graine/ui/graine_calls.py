"""
Graine's batches as the page shows them, read with few requests.

All batches are listed every half minute; in between only those that had not ended are read. What cannot change is read
once: who created a batch, and the figures of a campaign that has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from airflow_provider_graine.exceptions import NotFoundError
from airflow_provider_graine.services.paging import apages
from airflow_provider_graine.ui.seen import CampaignSeen, Maker, Part
from airflow_provider_graine.ui.standing import Standing
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.vocabulary import GRAINE
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.watch import moment

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.graine.received import Batch, Campaign

T = TypeVar("T")

#: Batches and campaigns that are kept; the service is asked for no more than these.
MOST_BATCHES: Final = 2000
MOST_CAMPAIGNS: Final = 1000
#: Rows asked for at a time. How many the service gives at most is not documented.
PAGE_SIZE: Final = 100
#: Seconds until everything is listed again.
LISTED_EVERY: Final = 30.0
#: Unfinished batches up to which each is read by itself.
_ONE_BY_ONE: Final = 3
#: Requests of one refresh for what makes the calls easier to understand, by what they are for.
_MAKERS_AT_ONCE: Final = 40
_FIGURES_AT_ONCE: Final = 5
_HOURS_AT_ONCE: Final = 5
_DOUBTS_AT_ONCE: Final = 5
#: Seconds for which figures, hours and the service's opinion of a batch are good.
_FIGURES_FOR: Final = 15.0
_FIGURES_OF_MOVING_FOR: Final = 120.0
_HOURS_FOR: Final = 300.0
_DOUBTS_FOR: Final = 120.0
_PARALLEL: Final = 4
_OPEN: Final = ("in_progress", "pending", "paused")


class GraineCalls:
    """What is known of the batches of one connection; see :class:`.watched.Calls`."""

    noun = "batch"
    fresh_for = 4.0

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.campaigns: dict[str, CampaignSeen] = {}
        self.is_cut = False
        self._listed_at = float("-inf")
        self._looked_up: set[str] = set()
        self._figures: dict[str, tuple[float, dict[str, int]]] = {}
        self._hours: dict[str, tuple[float, CallingHours | None]] = {}
        self._standing: dict[str, Standing] = {}
        #: when what was last asked for: what fails comes after all that is still to be asked for
        self._tried: dict[tuple[str, str], float] = {}

    async def read(self, hook: GraineHook) -> None:
        """Read all batches, or those that had not ended."""
        if clock.now() - self._listed_at >= LISTED_EVERY:
            await self._list(hook)
            self._listed_at = clock.now()
        else:
            await self._read_open(hook)

    async def read_more(self, hook: GraineHook) -> None:
        """Read who created the batches, the figures of the campaigns, and why batches stand still."""
        self._judge()
        failures = []
        try:
            for read in (self._read_makers, self._read_hours, self._ask_about_still_ones, self._read_figures):
                try:
                    await read(hook)
                except Exception as failure:  # the others are none the worse for it
                    failures.append(failure)
        finally:
            self._judge()
        if failures:
            raise failures[0]

    # -- batches -------------------------------------------------------------------------------------------------------

    async def _list(self, hook: GraineHook) -> None:
        campaigns = apages(
            lambda skip: hook.alist_campaigns(skip=skip, limit=PAGE_SIZE), key=lambda campaign: campaign.campaign_id
        )
        listed = [campaign async for campaign in _first(MOST_CAMPAIGNS, campaigns)]
        for campaign in listed:
            self._saw_campaign(campaign)
        found = [batch async for batch in _first(MOST_BATCHES + 1, _batches(hook))]
        self.is_cut = len(found) > MOST_BATCHES
        for batch in found:
            self._saw(batch)
        if self.is_cut:
            # Which ones come first is not documented: those that call may be among the others.
            await self._list_open(hook, _OPEN)
        self._forget({batch.batch_id for batch in found}, {campaign.campaign_id for campaign in listed})

    def _forget(self, batches: Collection[str], campaigns: Collection[str]) -> None:
        """Forget what the service does not list any more, and the oldest of too many."""
        if not self.is_cut:
            for gone in self.parts.keys() - batches:
                del self.parts[gone]
        ended_first = sorted(self.parts.values(), key=lambda part: (not part.has_ended, part.created_at or 0.0))
        for part in ended_first[: max(0, len(self.parts) - MOST_BATCHES)]:
            del self.parts[part.id]
        used = {part.campaign_id for part in self.parts.values()}
        for gone in [each for each in self.campaigns if each not in campaigns and each not in used]:
            del self.campaigns[gone]
        self._looked_up &= self.parts.keys()
        self._standing = {each: seen for each, seen in self._standing.items() if each in self.parts}
        self._figures = {each: seen for each, seen in self._figures.items() if each in self.campaigns}
        self._hours = {each: seen for each, seen in self._hours.items() if each in self.campaigns}
        self._tried = {key: at for key, at in self._tried.items() if key[1] in self.parts or key[1] in self.campaigns}

    async def _read_open(self, hook: GraineHook) -> None:
        known = {part.id for part in self.parts.values() if not part.has_ended}
        missing: Collection[str] = known
        if len(known) > _ONE_BY_ONE:
            words = {part.status for part in self.parts.values() if not part.has_ended}
            # What waited for its start may have been started.
            missing = known - await self._list_open(hook, [word for word in _OPEN if word in words | {_OPEN[0]}])
        await _all(partial(self._get, hook, each) for each in list(missing)[:_MAKERS_AT_ONCE])

    async def _list_open(self, hook: GraineHook, statuses: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        for status in statuses:
            async for batch in _first(MOST_BATCHES, _batches(hook, status)):
                seen.add(batch.batch_id)
                self._saw(batch)
        return seen

    async def _get(self, hook: GraineHook, batch_id: str) -> None:
        try:
            batch = await hook.aget_batch(batch_id)
        except NotFoundError:
            self.parts.pop(batch_id, None)
            return
        self._saw(batch)
        self._looked_up.add(batch_id)
        self.parts[batch_id].maker = Maker.of(batch.metadata)

    def _saw(self, batch: Batch) -> None:
        part = self.parts.setdefault(batch.batch_id, Part(id=batch.batch_id, status=batch.status))
        if part.counts != batch.counters or part.status != batch.status:
            self._standing.pop(part.id, None)
        part.status = batch.status
        part.counts = batch.counters
        part.total = batch.total_contacts if batch.total_contacts is not None else part.total
        part.campaign_id = batch.campaign_id or part.campaign_id
        part.created_at = moment(batch.created_at) or part.created_at
        part.starts_at = moment(batch.scheduled_start) if batch.scheduled_start else part.starts_at

    # -- what makes them easier to understand --------------------------------------------------------------------------

    async def _read_makers(self, hook: GraineHook) -> None:
        unknown = [part for part in self.parts.values() if part.id not in self._looked_up]
        unknown.sort(key=lambda part: (self._last_tried("maker", part.id), part.has_ended, -(part.created_at or 0.0)))

        async def read(batch_id: str) -> None:
            self._tried["maker", batch_id] = clock.now()
            await self._get(hook, batch_id)

        await _all(partial(read, part.id) for part in unknown[:_MAKERS_AT_ONCE])

    def _last_tried(self, what: str, of: str) -> float:
        return self._tried.get((what, of), float("-inf"))

    def _saw_campaign(self, campaign: Campaign) -> None:
        seen = self.campaigns.setdefault(campaign.campaign_id, CampaignSeen(campaign.campaign_id))
        seen.name = campaign.name or seen.name
        seen.status = campaign.status or seen.status
        seen.created_at = moment(campaign.created_at) or seen.created_at

    def _by_campaign(self) -> dict[str, list[Part]]:
        parts: dict[str, list[Part]] = {}
        for part in self.parts.values():
            if part.campaign_id is not None:
                parts.setdefault(part.campaign_id, []).append(part)
        return parts

    async def _read_figures(self, hook: GraineHook) -> None:
        """Read the figures of campaigns whose batches differ from what they were when that was done last."""
        due = []
        for campaign_id, parts in self._by_campaign().items():
            told: dict[str, int] = {"batches": len(parts)}
            for part in parts:
                # People move between states of which a batch has no counter when it is cancelled.
                told[f"{part.status} batches"] = told.get(f"{part.status} batches", 0) + 1
                for state, number in part.counts.items():
                    told[state] = told.get(state, 0) + number
            read_at, before = self._figures.get(campaign_id, (float("-inf"), None))
            is_moving = any(not part.has_ended for part in parts)
            age = clock.now() - read_at
            if (before != told and age >= _FIGURES_FOR) or (is_moving and age >= _FIGURES_OF_MOVING_FOR):
                due.append((max(read_at, self._last_tried("figures", campaign_id)), campaign_id, told))
        due.sort(key=lambda each: each[0])

        async def read(campaign_id: str, told: dict[str, int]) -> None:
            self._tried["figures", campaign_id] = clock.now()
            with suppress(NotFoundError):
                stats = await hook.aget_campaign_stats(campaign_id)
                seen = self.campaigns.setdefault(campaign_id, CampaignSeen(campaign_id))
                seen.counts, seen.attempts = stats.contact_counts, stats.total_call_attempts
                seen.retries = stats.retry_breakdown
            self._figures[campaign_id] = clock.now(), told

        await _all(partial(read, each, told) for _, each, told in due[:_FIGURES_AT_ONCE])

    async def _read_hours(self, hook: GraineHook) -> None:
        """Read the hours of campaigns that call; they may be changed at any time."""
        calling = {
            each for each, parts in self._by_campaign().items() if any(p.status in GRAINE.calling for p in parts)
        }
        never = float("-inf"), None
        due = [each for each in calling if clock.now() - self._hours.get(each, never)[0] >= _HOURS_FOR]
        due.sort(key=lambda each: self._last_tried("hours", each))

        async def read(campaign_id: str) -> None:
            self._tried["hours", campaign_id] = clock.now()
            hours = None
            with suppress(NotFoundError):
                campaign = await hook.aget_campaign(campaign_id)
                self._saw_campaign(campaign)
                hours = CallingHours.of(
                    timezone=campaign.timezone,
                    working_hours=campaign.working_hours,
                    enforced=campaign.working_hours_enforced,
                )
            self._hours[campaign_id] = clock.now(), hours

        await _all(partial(read, each) for each in due[:_HOURS_AT_ONCE])

    def _judge(self) -> None:
        """Say of each batch why it stands still, where that can be said."""
        for part in self.parts.values():
            if part.has_ended:
                part.note, part.is_stalled = None, False
                continue
            hours = self._hours.get(part.campaign_id or "", (0.0, None))[1]
            standing = self._standing.setdefault(part.id, Standing(since=clock.wall()))
            part.note, part.is_stalled = standing.told(part, hours=hours, now=clock.wall())
        for campaign in self.campaigns.values():
            hours = self._hours.get(campaign.id, (0.0, None))[1]
            opening = hours.opens_at(clock.wall()) if hours is not None and not hours.is_open(clock.wall()) else None
            campaign.hours = hours.local(opening) if hours is not None and opening is not None else None

    async def _ask_about_still_ones(self, hook: GraineHook) -> None:
        """Ask the service about batches that could get on and do not."""
        due = []
        for part in self.parts.values():
            standing = self._standing.get(part.id)
            if standing is None or part.campaign_id not in self._hours:
                continue
            hours = self._hours[part.campaign_id][1]
            if (
                standing.is_doubtful(part, hours=hours, now=clock.wall())
                and clock.now() - standing.asked_at >= _DOUBTS_FOR
            ):
                due.append((standing.asked_at, part.id, standing))
        due.sort(key=lambda each: each[0])

        async def ask(batch_id: str, standing: Standing) -> None:
            standing.asked_at = clock.now()
            with suppress(NotFoundError):
                debug = await hook.adebug_batch(batch_id)
                pending = debug.status_breakdown.get("pending")
                standing.service_says(
                    stuck=debug.diagnostics.stuck_pending,
                    oldest_at=moment(pending.get("oldest_updated_at")) if isinstance(pending, dict) else None,
                )

        await _all(partial(ask, each, standing) for _, each, standing in due[:_DOUBTS_AT_ONCE])


async def _first(most: int, rows: AsyncIterator[T]) -> AsyncIterator[T]:
    number = 0
    async for row in rows:
        yield row
        number += 1
        if number >= most:
            return


def _batches(hook: GraineHook, status: str | None = None) -> AsyncIterator[Batch]:
    return apages(
        lambda skip: hook.alist_batches(status=status, skip=skip, limit=PAGE_SIZE), key=lambda batch: batch.batch_id
    )


async def _all(reads: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Do some reads, a few at a time; the first failure is the result, once the others are through."""
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(read: Callable[[], Awaitable[None]]) -> None:
        async with slots:
            await read()

    for failure in await asyncio.gather(*map(one, reads), return_exceptions=True):
        if isinstance(failure, BaseException):
            raise failure
