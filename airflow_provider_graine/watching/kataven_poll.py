"""
The poll of one account: streams of events for those campaigns that have one, one list for all others.

A campaign that runs gets a stream as long as there is room for one, and needs no request then; each event tells those
who wait for it. A stream that breaks off, falls silent or has no figures any more leaves its campaign to the polling,
at the pace of those who wait, and is opened again after a while. What a stream says of the end is not believed: the
campaign itself is read.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.waiting.decision import jittered
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.vocabulary import KATAVEN
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.kataven_figures import are_final, figures
from airflow_provider_graine.watching.kataven_watch import list_campaigns, see_campaign
from airflow_provider_graine.watching.poll import Look, Poll, Wanted

if TYPE_CHECKING:
    from airflow_provider_graine.services.kataven.received import CampaignSnapshot
    from airflow_provider_graine.watching.kataven_shared import KatavenReads

log = logging.getLogger(__name__)

#: Streams at a time. The limit on requests at a time may leave room for fewer: then that is the limit.
MOST_STREAMS: Final = 10
#: Seconds for which an event tells how a campaign is; they come every 2 seconds while it runs.
FRESH: Final = 20.0
#: Seconds until a stream is opened again after it broke off, doubled with each time in a row, and at most.
_REOPENED_AFTER: Final = 1.0
_MOST_PAUSE: Final = 300.0
#: Seconds for which a stream must have lasted for its end not to count as one more failure.
_LASTING: Final = 60.0
#: Failures in a row of a stream that are worth a line.
_TOLD_AT: Final = 3
#: Seconds in which first looks are gathered, so that many waits that begin together take one.
_GATHERED: Final = 0.25


class _Campaign:
    """What is known of a campaign that somebody waits for."""

    __slots__ = (
        "counts",
        "error",
        "failures",
        "heard_at",
        "id",
        "is_doubtful",
        "looked_at",
        "patience",
        "progress",
        "stream",
        "stream_at",
        "total",
        "wanted_at",
    )

    def __init__(self, campaign_id: str) -> None:
        self.id = campaign_id
        self.wanted_at = clock.now()
        self.looked_at = -math.inf
        self.heard_at = -math.inf
        #: whether it may have ended
        self.is_doubtful = False
        self.progress: Progress | None = None
        self.error: Exception | None = None
        self.total: int | None = None
        self.counts: dict[str, int] = {}
        self.patience = 0.0
        self.stream: asyncio.Task[None] | None = None
        self.stream_at = 0.0
        self.failures = 0

    @property
    def has_ended(self) -> bool:
        return self.progress is not None and self.progress.has_ended

    @property
    def runs(self) -> bool:
        return self.error is None and self.progress is not None and self.progress.is_calling

    @property
    def is_fresh(self) -> bool:
        """Whether its stream tells how it is."""
        return clock.now() - self.heard_at < FRESH

    @property
    def state(self) -> Progress | Exception | None:
        return self.error or self.progress

    def looked(self, found: Progress | Exception) -> None:
        """Take what a look has found."""
        self.looked_at = clock.now()
        self.is_doubtful = False
        if isinstance(found, Exception):
            self.error = found
            return
        self.error, self.patience = None, found.patience
        if not found.has_ended or are_final(self.total, self.counts):
            found = replace(found, total=self.total, counts=self.counts)
        self.progress = found

    def heard(self, snapshot: CampaignSnapshot) -> None:
        """Take what an event says."""
        if self.has_ended:
            return
        self.total, self.counts = figures(snapshot)
        status = snapshot.status or "running"
        if KATAVEN.has_ended(status):
            self.doubt()
            return
        self.heard_at, self.error = clock.now(), None
        self.progress = Progress(
            status=status,
            total=self.total,
            counts=self.counts,
            id=self.id,
            patience=self.patience,
            vocabulary=KATAVEN,
        )

    def doubt(self) -> None:
        """Note that it may have ended: the campaign itself is to be read."""
        self.heard_at, self.is_doubtful = -math.inf, True


class AccountPoll(Poll):
    """
    Looks at the campaigns of an account that somebody waits for.

    :param hook: the connection
    """

    def __init__(self, hook: KatavenReads) -> None:
        self._hook = hook
        self._campaigns: dict[str, _Campaign] = {}
        self._closing: set[asyncio.Task[None]] = set()
        super().__init__(hook.telling)

    def ending(self) -> Sequence[asyncio.Task[None]]:
        """Return all tasks that end with the poll."""
        return [self.task, *self._streams(), *self._closing]

    def _streams(self) -> list[asyncio.Task[None]]:
        return [each.stream for each in self._campaigns.values() if each.stream is not None]

    # -- looks ---------------------------------------------------------------------------------------------------------

    def _due(self, pace: float) -> float:
        self._campaigns = self._wanted_campaigns()
        due = super()._due(pace)
        pauses = self._pauses()
        has_room = len(self._streams()) < MOST_STREAMS
        for each in self._campaigns.values():
            if each.has_ended:
                continue
            due = min(due, self._due_at(each, pace * pauses.get(each.id, math.inf)))
            if has_room and each.runs and each.stream is None:
                due = min(due, each.stream_at)
        return due

    def _wanted_campaigns(self) -> dict[str, _Campaign]:
        """Return the campaigns that somebody waits for; streams of others are closed."""
        wanted = {each: None for seat in self._seats for each in seat.wanted if each is not None}
        for each in self._campaigns.values():
            if each.id not in wanted:
                self._close(each)
        return {each: self._campaigns.get(each) or _Campaign(each) for each in wanted}

    def _pauses(self) -> dict[str, float]:
        """Return the shortest pause between looks that anybody wants of each campaign."""
        pauses: dict[str, float] = {}
        for seat in self._seats:
            for each in seat.wanted:
                if each is not None and seat.pause > 0:
                    pauses[each] = min(seat.pause, pauses.get(each, math.inf))
        return pauses

    @staticmethod
    def _due_at(campaign: _Campaign, pause: float) -> float:
        """Return the time at which a campaign itself is to be looked at."""
        if campaign.state is None:
            return campaign.wanted_at + min(_GATHERED, pause)
        if campaign.is_doubtful:
            return campaign.looked_at
        return max(campaign.looked_at + pause, campaign.heard_at + FRESH)

    async def _look(self, wanted: set[Wanted]) -> Look:
        pauses = self._pauses()
        # One list serves all: those that would be due soon are looked at now.
        due = [
            each
            for each in self._campaigns.values()
            if each.state is None
            or (not each.has_ended and self._due_at(each, pauses.get(each.id, math.inf) / 2) <= clock.now())
        ]
        if due:
            await self._look_at(due)
        self._tend()
        return {each: state for each in wanted if (state := self._state(each)) is not None}

    def _state(self, wanted: Wanted) -> Progress | Exception | None:
        return self._campaigns[wanted].state if wanted in self._campaigns else None

    async def _look_at(self, campaigns: Sequence[_Campaign]) -> None:
        try:
            listed = await list_campaigns(self._hook, {each.id for each in campaigns})
        except Exception as error:
            for each in campaigns:
                each.looked(error)
            return

        async def look(each: _Campaign) -> None:
            try:
                each.looked(await see_campaign(self._hook, each.id, listed.get(each.id)))
            except Exception as error:
                each.looked(error)

        await asyncio.gather(*map(look, campaigns))

    # -- streams -------------------------------------------------------------------------------------------------------

    def _tend(self) -> None:
        """Open the streams there is room for, and close those that have nothing to say."""
        for each in self._campaigns.values():
            if each.error is None and not each.runs:
                self._close(each)
        open_streams = len(self._streams())
        for each in self._campaigns.values():
            if open_streams >= MOST_STREAMS:
                return
            if each.runs and each.stream is None and each.stream_at <= clock.now():
                open_streams += 1
                each.stream = asyncio.get_running_loop().create_task(self._listen(each), context=contextvars.Context())

    def _close(self, campaign: _Campaign) -> None:
        if campaign.stream is not None:
            campaign.stream.cancel()
            self._closing.add(campaign.stream)
            campaign.stream.add_done_callback(self._closing.discard)
            campaign.stream = None

    async def _listen(self, campaign: _Campaign) -> None:
        """Take in the events of a campaign for as long as its stream lasts."""
        began = clock.now()
        reason = "it came to its end"
        try:
            async with self._hook.events(campaign.id) as events:
                async for snapshot in events:
                    if snapshot is not None:
                        campaign.heard(snapshot)
                        self._tell_of(campaign)
            campaign.doubt()
        except Exception as error:  # its text may quote what came; what the looks meet with, the waits are told
            reason = type(error).__name__
        if asyncio.current_task() is campaign.stream:
            campaign.stream = None
        campaign.failures = 1 if clock.now() - began >= _LASTING else campaign.failures + 1
        pause = min(_MOST_PAUSE, _REOPENED_AFTER * 2.0 ** min(campaign.failures - 1, 10))
        campaign.stream_at = clock.now() + jittered(pause, random.random())  # noqa: S311
        if campaign.failures == _TOLD_AT:
            log.info("Campaign %s has no lasting stream of events (%s): it is polled", campaign.id, reason)
        self.asked.set()

    def _tell_of(self, campaign: _Campaign) -> None:
        """Tell those who wait for a campaign; what else they wait for is as it was seen last."""
        if campaign.is_doubtful:
            self.asked.set()
            return
        for seat in self._seats:
            if campaign.id in seat.wanted:
                states = [state for each in seat.wanted if (state := self._state(each)) is not None]
                if len(states) == len(seat.wanted):
                    seat.tell(states)
