"""What all waits for Kataven's campaigns on an event loop read with together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.watching.shared_hook import SharedAnswers, SharedHook

if TYPE_CHECKING:
    from airflow_provider_graine.services.kataven.received import (
        CallLimits,
        Campaign,
        CampaignContact,
        CampaignSnapshot,
    )

#: Seconds for which the account's limits on calls are good for everybody who asks.
_LIMITS_KEPT: Final = 60.0


class KatavenReads(SharedHook[KatavenHook]):
    """
    What polls read; implements :class:`.Reads`.

    :param conn_id: the connection
    """

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id, KatavenHook)

    async def aget_campaign(self, campaign_id: str) -> Campaign:
        """Read one campaign."""
        return await self.ask(lambda hook: hook.aget_campaign(campaign_id))

    async def alist_campaigns(self) -> list[Campaign]:
        """Read all campaigns of the account."""
        return await self.ask(lambda hook: hook.alist_campaigns())

    async def alist_campaign_contacts(
        self, campaign_id: str, *, status: str | None = None, page: int = 0
    ) -> list[CampaignContact]:
        """Read one page of the people on a campaign."""
        return await self.ask(lambda hook: hook.alist_campaign_contacts(campaign_id, status=status, page=page))

    async def aget_call_limits(self) -> CallLimits:
        """Read the account's limits on calls."""
        return await self.ask(lambda hook: hook.aget_call_limits())

    @asynccontextmanager
    async def events(self, campaign_id: str) -> AsyncIterator[AsyncIterator[CampaignSnapshot | None]]:
        """Open the stream of a campaign's figures; see :meth:`.KatavenHook.stream_campaign_events`."""
        async with self.using() as hook, hook.astream_campaign_events(campaign_id) as events:
            yield events


class KatavenAnswers(SharedAnswers):
    """
    Answers to closer looks.

    :param reads: what is asked
    """

    def __init__(self, reads: KatavenReads) -> None:
        super().__init__()
        self._reads = reads

    async def aget_call_limits(self) -> CallLimits:
        """Read the account's limits on calls, or take what was read in the last minute."""
        limits: CallLimits = await self.answer(
            ("limits", ""), lambda _: self._reads.aget_call_limits(), keep=_LIMITS_KEPT
        )
        return limits
