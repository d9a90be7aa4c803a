"""What all waits for Graine's calls on an event loop read with together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.watching.shared_hook import SharedAnswers, SharedHook

if TYPE_CHECKING:
    from airflow_provider_graine.services.graine.received import Batch, BatchDebug, Campaign, CampaignStats

#: Seconds for which an answer to a closer look is good for everybody who asks the same.
_HOURS_KEPT: Final = 300.0
_DEBUG_KEPT: Final = 60.0


class GraineReads(SharedHook[GraineHook]):
    """
    What polls read; implements :class:`.Reads`.

    :param conn_id: the connection
    """

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id, GraineHook)

    async def aget_batch(self, batch_id: str) -> Batch:
        """Read one batch."""
        return await self.ask(lambda hook: hook.aget_batch(batch_id))

    async def alist_campaign_batches(self, campaign_id: str, *, skip: int) -> list[Batch]:
        """Read one page of a campaign's batches."""
        return await self.ask(lambda hook: hook.alist_campaign_batches(campaign_id, skip=skip))

    async def aget_campaign(self, campaign_id: str) -> Campaign:
        """Read a campaign."""
        return await self.ask(lambda hook: hook.aget_campaign(campaign_id))

    async def aget_campaign_stats(self, campaign_id: str) -> CampaignStats:
        """Read a campaign's figures."""
        return await self.ask(lambda hook: hook.aget_campaign_stats(campaign_id))

    async def adebug_batch(self, batch_id: str) -> BatchDebug:
        """Read why a batch makes no progress."""
        return await self.ask(lambda hook: hook.adebug_batch(batch_id))


class GraineAnswers(SharedAnswers):
    """
    Answers to closer looks.

    :param reads: what is asked
    """

    def __init__(self, reads: GraineReads) -> None:
        super().__init__()
        self._reads = reads

    async def aget_campaign(self, campaign_id: str) -> Campaign:
        """Read a campaign, or take what was read in the last minutes."""
        campaign: Campaign = await self.answer(("campaign", campaign_id), self._reads.aget_campaign, keep=_HOURS_KEPT)
        return campaign

    async def adebug_batch(self, batch_id: str) -> BatchDebug:
        """Read why a batch makes no progress, or take what was read in the last minute."""
        debug: BatchDebug = await self.answer(("debug", batch_id), self._reads.adebug_batch, keep=_DEBUG_KEPT)
        return debug
