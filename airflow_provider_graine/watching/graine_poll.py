"""The poll of one campaign: a few requests at a time tell everybody who waits for it or for batches of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_graine.exceptions import NotFoundError, RequestRejectedError
from airflow_provider_graine.watching.graine_watch import CampaignWatch, batch_progress, moment
from airflow_provider_graine.watching.poll import Look, Poll, Wanted

if TYPE_CHECKING:
    from airflow_provider_graine.services.graine.received import Batch
    from airflow_provider_graine.watching.graine_shared import GraineReads


class CampaignPoll(Poll):
    """
    Looks at a campaign, and at those of its batches that somebody waits for.

    :param hook: the connection
    :param campaign_id: the campaign; ``None``: batches of which nobody knows the campaign yet
    """

    def __init__(self, hook: GraineReads, campaign_id: str | None) -> None:
        self.campaign_id = campaign_id
        self.campaign_of: dict[str, str] = {}
        self._hook = hook
        self._pages = 1  # requests that the last listing took
        self._ended: Look = {}
        self._starts_at: dict[str, float | None] = {}
        super().__init__(hook.telling)

    async def _look(self, wanted: set[Wanted]) -> Look:
        batch_ids = {each for each in wanted if each is not None}
        looks = [self._look_at_batches(batch_ids)]
        if None in wanted:
            looks.append(self._look_at_campaign(self.campaign_id or ""))
        return {key: each for found in await asyncio.gather(*looks) for key, each in found.items()}

    async def _look_at_campaign(self, campaign_id: str) -> Look:
        try:
            (seen,) = await CampaignWatch(campaign_id).alook(self._hook)
        except Exception as error:
            return {None: error}
        return {None: seen}

    async def _look_at_batches(self, wanted: set[str]) -> Look:
        self._ended = {each: self._ended[each] for each in self._ended.keys() & wanted}
        self._starts_at = {each: self._starts_at[each] for each in self._starts_at.keys() & wanted}
        self.campaign_of = {each: self.campaign_of[each] for each in self.campaign_of.keys() & wanted}
        still_open = wanted - self._ended.keys()
        try:
            listed = await self._listed(still_open)
        except Exception as error:
            return {**self._ended, **dict.fromkeys(still_open, error)}
        # The list lags, or a row has slipped between two pages; and it does not say when a pending batch is to start.
        single = [
            each
            for each in still_open
            if each not in listed or (listed[each].status == "pending" and each not in self._starts_at)
        ]
        read = dict(zip(single, await asyncio.gather(*map(self._single, single)), strict=True))
        seen: Look = {**self._ended}
        for each in still_open:
            batch = read.get(each)
            if batch is None or (isinstance(batch, Exception) and each in listed):
                batch = listed[each]
            if isinstance(batch, Exception):
                seen[each] = batch
                continue
            seen[each] = progress = batch_progress(batch, starts_at=self._starts_at.get(each))
            if progress.has_ended:
                self._ended[each] = progress
        return seen

    async def _listed(self, wanted: set[str]) -> dict[str, Batch]:
        """Read the campaign's list until all are seen, where that takes fewer requests than one for each."""
        listed: dict[str, Batch] = {}
        if self.campaign_id is None or len(wanted) <= self._pages:
            return listed
        skip = pages = 0
        while len(wanted) - len(listed) > 1 and pages < len(wanted):
            try:
                rows = await self._hook.alist_campaign_batches(self.campaign_id, skip=skip)
            except (NotFoundError, RequestRejectedError):
                break  # the batches themselves may be there all the same
            pages += 1
            skip += len(rows)
            listed |= {row.batch_id: row for row in rows if row.batch_id in wanted}
            if not rows:
                break
        self._pages = max(1, pages)
        return listed

    async def _single(self, batch_id: str) -> Batch | Exception:
        try:
            batch = await self._hook.aget_batch(batch_id)
        except Exception as error:
            return error
        self._starts_at[batch_id] = moment(batch.scheduled_start)
        if batch.campaign_id:
            self.campaign_of[batch_id] = batch.campaign_id
        return batch
