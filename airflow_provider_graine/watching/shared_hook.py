"""One hook, and so one HTTP session, for everybody on an event loop who uses the same connection."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airflow_provider_graine.exceptions import ServiceUnavailableError, UnexpectedAnswerError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from airflow_provider_graine.services.graine.received import Batch, BatchDebug, Campaign, CampaignStats

T = TypeVar("T")
_log = logging.getLogger(__name__)

#: Requests under way at a time; fewer than the session has connections, so that none waits for one until it times out.
_SLOTS: Final = 16

#: Failures in a row after which the connection is read anew: its host may have been corrected. In an outage that is
#: done once in so many seconds.
_FAILURES: Final = 5
_LEAST_LIFE: Final = 60.0

#: Seconds for which an answer to a closer look is good for everybody who asks the same.
_HOURS_KEPT: Final = 300.0
_DEBUG_KEPT: Final = 60.0


class SharedHook:
    """
    What polls read, a few requests at a time; implements :class:`.Reads`.

    :param conn_id: the connection
    """

    telling: asyncio.Lock
    """Held by the poll that is telling its waits of a look: one at a time."""

    def __init__(self, conn_id: str) -> None:
        self.telling = asyncio.Lock()
        self._slots = asyncio.Semaphore(_SLOTS)
        self._users: Counter[GraineHook] = Counter()
        self._begin(conn_id)

    def _begin(self, conn_id: str) -> None:
        self._hook = GraineHook(conn_id)
        self._began = clock.now()
        self._failures = 0

    async def aget_batch(self, batch_id: str) -> Batch:
        """Read one batch."""
        return await self._ask(lambda hook: hook.aget_batch(batch_id))

    async def alist_campaign_batches(self, campaign_id: str, *, skip: int) -> list[Batch]:
        """Read one page of a campaign's batches."""
        return await self._ask(lambda hook: hook.alist_campaign_batches(campaign_id, skip=skip))

    async def aget_campaign(self, campaign_id: str) -> Campaign:
        """Read a campaign."""
        return await self._ask(lambda hook: hook.aget_campaign(campaign_id))

    async def aget_campaign_stats(self, campaign_id: str) -> CampaignStats:
        """Read a campaign's figures."""
        return await self._ask(lambda hook: hook.aget_campaign_stats(campaign_id))

    async def adebug_batch(self, batch_id: str) -> BatchDebug:
        """Read why a batch makes no progress."""
        return await self._ask(lambda hook: hook.adebug_batch(batch_id))

    async def _ask(self, request: Callable[[GraineHook], Awaitable[T]]) -> T:
        async with self._slots:
            hook = self._hook
            self._users[hook] += 1
            try:
                answer = await request(hook)
            except (ServiceUnavailableError, UnexpectedAnswerError):
                self._failed(hook)
                raise
            finally:
                self._users[hook] -= 1
                await self._close_unused(hook)
        self._failures = 0
        return answer

    def _failed(self, hook: GraineHook) -> None:
        if hook is not self._hook:
            return
        self._failures += 1
        if self._failures >= _FAILURES and clock.now() - self._began >= _LEAST_LIFE:
            _log.info("After %d failures in a row the connection %s is read anew.", self._failures, hook.conn_id)
            self._begin(hook.conn_id)

    async def _close_unused(self, hook: GraineHook) -> None:
        if hook is not self._hook and not self._users[hook]:
            del self._users[hook]
            await hook.aclose()

    async def aclose(self) -> None:
        """Close the connections; nobody may be asking any more."""
        await self._hook.aclose()


class SharedAnswers:
    """
    Answers to closer looks, each asked for once by all who want it at about the same time.

    :param hook: what is asked
    """

    def __init__(self, hook: SharedHook) -> None:
        self._hook = hook
        self._asked: dict[tuple[str, str], tuple[float, asyncio.Task[Any]]] = {}

    async def aget_campaign(self, campaign_id: str) -> Campaign:
        """Read a campaign, or take what was read in the last minutes."""
        campaign: Campaign = await self._answer(("campaign", campaign_id), self._hook.aget_campaign, keep=_HOURS_KEPT)
        return campaign

    async def adebug_batch(self, batch_id: str) -> BatchDebug:
        """Read why a batch makes no progress, or take what was read in the last minute."""
        debug: BatchDebug = await self._answer(("debug", batch_id), self._hook.adebug_batch, keep=_DEBUG_KEPT)
        return debug

    async def _answer(self, question: tuple[str, str], read: Callable[[str], Any], *, keep: float) -> Any:
        now = clock.now()
        self._asked = {each: asked for each, asked in self._asked.items() if now < asked[0] and not _failed(asked[1])}
        if question not in self._asked:
            # Not in the asker's own task: whoever else wants the answer still wants it when the asker is cancelled.
            task = asyncio.get_running_loop().create_task(read(question[1]), context=contextvars.Context())
            self._asked[question] = now + keep, task
        return await asyncio.shield(self._asked[question][1])

    async def aclose(self) -> None:
        """Give up what is still being asked."""
        tasks = [task for _, task in self._asked.values()]
        self._asked.clear()
        await ended(tasks)


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
