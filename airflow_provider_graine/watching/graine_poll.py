"""The poll of one campaign: a few requests at a time tell everybody who waits for it or for batches of it."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Union

from airflow_provider_graine.exceptions import NotFoundError, RequestRejectedError
from airflow_provider_graine.waiting.decision import jittered
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.graine_watch import CampaignWatch, batch_progress, moment

if TYPE_CHECKING:
    from airflow_provider_graine.services.graine.received import Batch
    from airflow_provider_graine.waiting.progress import Progress
    from airflow_provider_graine.watching.shared_hook import SharedHook

#: What is waited for: a batch, or, ``None``, the campaign itself.
Wanted = str | None
#: What was found; an error where it could not be seen.
Look = dict[Wanted, Union["Progress", Exception]]
#: Seconds between two looks at least, whatever anybody asks for.
_LEAST_PAUSE: Final = 0.05
#: Waits of a connection told at a time; everybody else on the event loop gets a turn in between.
_TOLD_AT_ONCE: Final = 20


class Seat:
    """
    The place of one wait at a poll.

    :param poll: the poll
    :param wanted: what it waits for
    """

    # A triggerer holds thousands, and its garbage collector goes through all they consist of.
    __slots__ = ("_has_news", "_pause", "_since", "_waking", "poll", "told", "wanted")

    def __init__(self, poll: CampaignPoll, wanted: tuple[Wanted, ...]) -> None:
        self.poll = poll
        self.wanted = wanted
        self.told: list[Progress | Exception] = []
        self._has_news = False
        self._waking: asyncio.Future[None] | None = None
        self._since: float | None = None
        self._pause = 0.0

    def ask(self, pause: float) -> None:
        """
        Ask to be told of the next look.

        :param pause: seconds until it comes at the latest
        """
        self._since, self._pause = clock.now(), pause
        self.poll.asked.set()

    async def hear(self) -> None:
        """Wait for news, where there is none yet."""
        if not self._has_news:
            self._waking = asyncio.get_running_loop().create_future()
            try:
                await self._waking
            finally:
                self._waking = None

    def rest(self) -> None:
        """Ask for nothing for the time being."""
        self._since = None
        self._has_news = False

    def due(self, pace: float) -> float | None:
        """Tell when it asks for a look, where it does."""
        return None if self._since is None else self._since + pace * self._pause

    def tell(self, told: list[Progress | Exception]) -> None:
        """Wake the wait where there is news, or where it has waited long enough for the next look not to be its own."""
        waited = 0.0 if self._since is None else clock.now() - self._since
        if told != self.told or waited >= self._pause / 2:
            self.told = told
            self._has_news = True
            if self._waking is not None and not self._waking.done():
                self._waking.set_result(None)


class CampaignPoll:
    """
    Looks at a campaign, and at those of its batches that somebody waits for.

    :param hook: the connection
    :param campaign_id: the campaign; ``None``: batches of which nobody knows the campaign yet
    """

    def __init__(self, hook: SharedHook, campaign_id: str | None) -> None:
        self.campaign_id = campaign_id
        self.campaign_of: dict[str, str] = {}
        self.asked = asyncio.Event()
        self._hook = hook
        self._seats: set[Seat] = set()
        self._pages = 1  # requests that the last listing took
        self._ended: Look = {}
        self._starts_at: dict[str, float | None] = {}
        # A context of its own: what it logs does not belong to the wait that happened to come first.
        self.task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    def join(self, wanted: Iterable[Wanted]) -> Seat:
        """Take a seat for one wait."""
        seat = Seat(self, tuple(wanted))
        self._seats.add(seat)
        return seat

    def leave(self, seat: Seat) -> bool:
        """
        Give a seat back.

        :return: whether it was the last
        """
        self._seats.discard(seat)
        return not self._seats

    async def _run(self) -> None:
        while True:
            await self._until_due()
            seats = list(self._seats)
            wanted = {each for seat in seats for each in seat.wanted}
            found: Look
            try:
                found = await self._look(wanted)
            except Exception as error:
                found = dict.fromkeys(wanted, error)
            async with self._hook.telling:
                for number, seat in enumerate(seats, 1):
                    seat.tell([found[each] for each in seat.wanted])
                    if number % _TOLD_AT_ONCE == 0:
                        await asyncio.sleep(0)
            await asyncio.sleep(_LEAST_PAUSE)

    async def _until_due(self) -> None:
        # Earlier than asked for, never later; each poll at a pace of its own.
        pace = jittered(1.0, random.random() / 2)  # noqa: S311
        while True:
            self.asked.clear()
            asked = [due for seat in self._seats if (due := seat.due(pace)) is not None]
            rest = min(asked, default=float("inf")) - clock.now()
            if rest <= 0:
                return
            await clock.wait(self.asked, at_most=rest)

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
