"""One hook, and so one HTTP session, for everybody on an event loop who uses the same connection."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeVar

from airflow_provider_graine.exceptions import ServiceUnavailableError, UnexpectedAnswerError
from airflow_provider_graine.hooks.calling_service import CallingServiceHook
from airflow_provider_graine.watching.clock import clock

T = TypeVar("T")
H = TypeVar("H", bound=CallingServiceHook)
_log = logging.getLogger(__name__)

#: Requests under way at a time; fewer than the session has connections, so that none waits for one until it times out.
_SLOTS: Final = 16

#: Failures in a row after which the connection is read anew: its host may have been corrected. In an outage that is
#: done once in so many seconds.
_FAILURES: Final = 5
_LEAST_LIFE: Final = 60.0


class SharedHook(Generic[H]):
    """
    What polls read with, a few requests at a time.

    :param conn_id: the connection
    :param make: makes the hook of a connection
    """

    telling: asyncio.Lock
    """Held by the poll that is telling its waits of a look: one at a time."""

    def __init__(self, conn_id: str, make: Callable[[str], H]) -> None:
        self.telling = asyncio.Lock()
        self._slots = asyncio.Semaphore(_SLOTS)
        self._users: Counter[H] = Counter()
        self._make = make
        self._begin(conn_id)

    def _begin(self, conn_id: str) -> None:
        self._hook = self._make(conn_id)
        self._began = clock.now()
        self._failures = 0

    async def ask(self, request: Callable[[H], Awaitable[T]]) -> T:
        """
        Send a request once there is room for it.

        :param request: sends it with a hook
        """
        async with self._slots, self.using() as hook:
            try:
                answer = await request(hook)
            except (ServiceUnavailableError, UnexpectedAnswerError):
                self._failed(hook)
                raise
        self._failures = 0
        return answer

    @asynccontextmanager
    async def using(self) -> AsyncIterator[H]:
        """Lend the hook, which is closed when it has been replaced and nobody uses it any more."""
        hook = self._hook
        self._users[hook] += 1
        try:
            yield hook
        finally:
            self._users[hook] -= 1
            await self._close_unused(hook)

    def _failed(self, hook: H) -> None:
        if hook is not self._hook:
            return
        self._failures += 1
        if self._failures >= _FAILURES and clock.now() - self._began >= _LEAST_LIFE:
            _log.info("After %d failures in a row the connection %s is read anew.", self._failures, hook.conn_id)
            self._begin(hook.conn_id)

    async def _close_unused(self, hook: H) -> None:
        if hook is not self._hook and not self._users[hook]:
            del self._users[hook]
            await hook.aclose()

    async def aclose(self) -> None:
        """Close the connections; nobody may be asking any more."""
        await self._hook.aclose()


class SharedAnswers:
    """Answers to closer looks, each asked for once by all who want it at about the same time."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], tuple[float, asyncio.Task[Any]]] = {}

    async def answer(self, question: tuple[str, str], read: Callable[[str], Any], *, keep: float) -> Any:
        """
        Ask, or take what was answered lately.

        :param question: what is asked, and about what
        :param read: asks
        :param keep: seconds for which the answer is good for everybody who asks the same
        """
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
