"""The trigger that starts DAGs when batches of a campaign end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_graine.exceptions import CallingError, ConfigurationError
from airflow_provider_graine.triggers.told_batches import StateOfProcess, ToldBatches, stores_of
from airflow_provider_graine.waiting.decision import Wait, jittered
from airflow_provider_graine.waiting.vocabulary import GRAINE

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.graine.received import Batch
    from airflow_provider_graine.watching.graine_listing import CampaignListing

_log = logging.getLogger(__name__)

_ENDS: Final = ("completed", "cancelled", "expired")

#: When the next look of a stream is due, by its key and in time.monotonic(): a watcher that failed is started again by
#: Airflow at once, and must not ask at once.
_due: dict[Hashable, float] = {}


@dataclass(frozen=True, eq=False)
class _Look:
    """
    What all watchers of a campaign are shown.

    :param ended: the batches that have ended, oldest first
    :param once_stored: what is to be done once Airflow has stored the events that came of this look
    """

    ended: Sequence[Batch]
    once_stored: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def stored(self) -> None:
        for do in self.once_stored:
            await do()


class GraineBatchEventTrigger(BaseEventTrigger):
    """
    Tell an :class:`~airflow.sdk.AssetWatcher` of each batch of a campaign that ends, so that DAGs start by it.

    One event a batch, in ``event.extra["payload"]`` of ``triggering_asset_events``: ``batch_id``, ``campaign_id``,
    ``graine_conn_id``, ``status``, ``total`` (contacts, or ``None``) and ``counts`` (contacts by state). Airflow may
    start one DAG run for several events.

    What had ended before the first look is not told. On Airflow 3.3 and newer what was told is kept in the state of
    the asset: after a restart of the triggerer, what ended meanwhile is told and nothing else. It is kept once Airflow
    has stored the event, so a crash in between (a second or two) repeats an event rather than losing one. Older
    Airflows keep no such state: each start of the trigger is a first look. Another connection, campaign or choice of
    ``statuses`` is another watch, and begins with a first look.

    Watchers of one campaign with the same connection and ``poll_interval`` share their looks (3.3). A look costs one
    request, and one for every 50 batches of the campaign, old ones included, when a batch has begun, changed its state
    or ended, and at least every tenth time.

    Looks that fail end nothing for two hours and ten looks; then, and at once for a token that is not accepted, the
    trigger fails, so that Airflow logs why and starts it anew.

    :param campaign_id: the campaign; a watcher has no templates
    :param graine_conn_id: the connection; default ``graine_default``
    :param poll_interval: seconds between looks; default 60
    :param statuses: which ends are told; default all: ``completed``, ``cancelled``, ``expired``
    :raises ConfigurationError: when ``statuses`` names no end of a batch, or ``poll_interval`` is not above 0
    """

    def __init__(
        self,
        campaign_id: str,
        *,
        graine_conn_id: str = "graine_default",
        poll_interval: float = 60.0,
        statuses: Sequence[str] = _ENDS,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if isinstance(statuses, str) or not statuses or not set(statuses) <= set(_ENDS):
            raise ConfigurationError(f"statuses must be a list of {', '.join(_ENDS)}. Nothing is watched.")
        if poll_interval <= 0:
            raise ConfigurationError("poll_interval must be a number of seconds above 0. Nothing is watched.")
        self.campaign_id = campaign_id
        self.graine_conn_id = graine_conn_id
        self.poll_interval = float(poll_interval)
        self.statuses = [status for status in _ENDS if status in statuses]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, the same for the same watch: Airflow tells watchers apart by them."""
        return "airflow_provider_graine.triggers.graine.GraineBatchEventTrigger", {
            "campaign_id": self.campaign_id,
            "graine_conn_id": self.graine_conn_id,
            "poll_interval": self.poll_interval,
            "statuses": self.statuses,
        }

    def shared_stream_key(self) -> Hashable:
        """Return what watchers that share their looks have in common."""
        return "graine batches", self.graine_conn_id, self.campaign_id, self.poll_interval

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """
        Make what looks for all watchers with one key, and hears when Airflow has stored their events.

        :param kwargs: of any of these watchers
        """
        return _producer(cls(**kwargs))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look alone, on an Airflow that does not share streams."""

        async def alone() -> AsyncGenerator[_Look]:
            async with aclosing(self._looks()) as looks:
                async for look in looks:
                    yield look
                    await look.stored()  # as far as can be known here

        async with aclosing(alone()) as looks, aclosing(self.filter_shared_stream(looks)) as events:
            async for event in events:
                yield event

    async def filter_shared_stream(self, shared_stream: AsyncIterator[_Look]) -> AsyncGenerator[TriggerEvent]:
        """
        Turn looks into this watcher's events.

        :param shared_stream: the looks
        """
        told = ToldBatches(
            stores_of(getattr(self, "asset_state_store", None)) or [StateOfProcess(self.trigger_id)],
            key=f"graine_batches_told/{self.graine_conn_id}/{self.campaign_id}/{'+'.join(self.statuses)}",
        )
        is_first = not await told.recall()
        if not is_first:
            self.log.info("The watch on campaign %s goes on: %d ended batches are known", self.campaign_id, len(told))
        async for look in shared_stream:
            for batch in look.ended:
                if batch.batch_id not in told:
                    told.add(batch.batch_id)
                    if batch.status in self.statuses and not is_first:
                        yield self._event(batch)
            if is_first:
                is_first = False
                self._tell_beginning(told)
            look.once_stored.append(partial(told.keep, len(told)))

    def _tell_beginning(self, told: ToldBatches) -> None:
        self.log.info(
            "The watch on campaign %s begins: %d batches had ended before and are not told", self.campaign_id, len(told)
        )
        if getattr(self, "asset_state_store", None) is None:
            self.log.info(
                "Batches that end while no triggerer runs will not be told: that takes the state of assets, which "
                "Airflow has from 3.3 on"
            )

    def _event(self, batch: Batch) -> TriggerEvent:
        return TriggerEvent(  # type: ignore[no-untyped-call]
            {
                "batch_id": batch.batch_id,
                "campaign_id": self.campaign_id,
                "graine_conn_id": self.graine_conn_id,
                "status": batch.status,
                "total": batch.total_contacts,
                "counts": batch.counters,
            }
        )

    async def _looks(self) -> AsyncGenerator[_Look]:
        """Look for ever; raise when waiting does not help any more."""
        key = self.shared_stream_key()
        # What is imported takes a while, and the event loop belongs to all triggers.
        hook, listing = await asyncio.to_thread(_opened, self.graine_conn_id, self.campaign_id)
        wait = Wait(poll_interval=self.poll_interval)
        try:
            while True:
                await asyncio.sleep(max(0.0, _due.get(key, 0.0) - time.monotonic()))
                look, pause = None, self.poll_interval
                try:
                    look = _Look(_ended(await listing.alook(hook)))
                except CallingError as error:
                    decision = wait.could_not_see(error, now=time.time())
                    if decision.warning:
                        _log.warning("Campaign %s is watched for ended batches. %s", self.campaign_id, decision.warning)
                    pause = decision.pause
                finally:
                    _due[key] = time.monotonic() + jittered(pause, random.random())  # noqa: S311
                if look is not None:
                    wait = Wait(poll_interval=self.poll_interval)
                    yield look
                else:
                    await hook.aclose()
                    hook = type(hook)(self.graine_conn_id)  # the connection may be corrected meanwhile
        finally:
            await hook.aclose()


def _ended(batches: Sequence[Batch]) -> list[Batch]:
    ended = [batch for batch in batches if GRAINE.has_ended(batch.status)]
    return sorted(ended, key=lambda batch: (batch.created_at or "", batch.batch_id))


def _opened(graine_conn_id: str, campaign_id: str) -> tuple[GraineHook, CampaignListing]:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.watching.graine_listing import CampaignListing

    return GraineHook(graine_conn_id), CampaignListing(campaign_id)


def _producer(watcher: GraineBatchEventTrigger) -> SharedStreamProducer:
    from airflow.triggers.shared_stream import SharedStreamProducer  # Airflow 3.3

    class Looks(SharedStreamProducer):
        async def open_stream(self) -> AsyncIterator[tuple[_Look, _Look]]:
            async with aclosing(watcher._looks()) as looks:
                async for look in looks:
                    yield look, look

        async def advance(self, batch: Sequence[AdvanceItem]) -> None:
            for look, outcome in batch:
                if not outcome.failed:  # else nobody says whose events were stored; the next look makes up for it
                    await look.stored()

    return Looks()
