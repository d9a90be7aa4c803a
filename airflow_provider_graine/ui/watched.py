"""
What is known of each connection, read anew while somebody looks, once for all who do.

A refresh belongs to nobody who looks: it goes on when they leave, and whoever comes meanwhile waits for it with them. A
service that is slow or away does not hold anybody up: the last known state is shown, with its age and the reason.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_provider_graine.exceptions import AuthenticationError, CallingError
from airflow_provider_graine.ui.samples import Samples
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.calling_service import CallingServiceHook
    from airflow_provider_graine.ui.seen import CampaignSeen, Part

log = logging.getLogger(__name__)

#: Connections that are kept at a time.
MOST_CONNECTIONS: Final = 20
#: Seconds without anybody looking after which one is forgotten.
FORGOTTEN_AFTER: Final = 1800.0
#: Seconds for which somebody who looks waits for a refresh; one who has nothing to see yet waits longer.
PATIENCE: Final = 2.0
FIRST_PATIENCE: Final = 8.0
#: Seconds after which a refresh is given up.
LONGEST_REFRESH: Final = 120.0
#: Seconds until the next attempt after a failure, doubled with each in a row, and at most.
_FIRST_PAUSE: Final = 5.0
_MOST_PAUSE: Final = 60.0
#: How much longer the next refresh waits when only a part of one has failed.
_LATER: Final = 3
#: Seconds after which the connection is read anew: somebody may have changed it.
_HOOK_LIFE: Final = 300.0
_LONGEST_MESSAGE: Final = 300


class Calls(Protocol):
    """What is known of the calls of one connection, and how it is read."""

    noun: str
    #: seconds for which what was read is good
    fresh_for: float
    parts: dict[str, Part]
    campaigns: dict[str, CampaignSeen]
    #: parts of which there are more than are kept
    is_cut: bool

    async def read(self, hook: Any) -> None:
        """Read how the calls are: the part without which nothing can be shown."""

    async def read_more(self, hook: Any) -> None:
        """Read what makes them easier to understand."""


class Watched:
    """
    One connection.

    :param conn_id: which
    :param make_hook: makes its hook
    :param calls: what is known of it
    """

    def __init__(self, conn_id: str, make_hook: Callable[[str], CallingServiceHook], calls: Calls) -> None:
        self.conn_id = conn_id
        self.calls = calls
        self.samples = Samples()
        self.looked_at = clock.now()
        #: wall-clock time of the last look that succeeded
        self.read_at: float | None = None
        #: what the last attempt met with, and when
        self.error: str | None = None
        self.error_at: float | None = None
        self._make_hook = make_hook
        self._hook: CallingServiceHook | None = None
        self._hook_at = 0.0
        self._due = 0.0
        self._failures = 0
        self._refresh: asyncio.Task[None] | None = None

    @property
    def is_refreshing(self) -> bool:
        """Whether a refresh is under way."""
        return self._refresh is not None and not self._refresh.done()

    async def look(self) -> None:
        """Have what is known read anew where that is due, and wait for it for a moment."""
        self.looked_at = now = clock.now()
        if not self.is_refreshing and now >= self._due:
            # A context of its own: it does not belong to the request that happened to come first.
            loop = asyncio.get_running_loop()
            self._refresh = loop.create_task(self._read(), context=contextvars.Context())
        if self._refresh is not None and not self._refresh.done():
            await asyncio.wait([self._refresh], timeout=FIRST_PATIENCE if self.read_at is None else PATIENCE)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(LONGEST_REFRESH):
                hook = await self._connected()
                await self.calls.read(hook)
                self.read_at = clock.wall()
        except Exception as error:
            await self._failed(error)
            return
        self._failures = 0
        try:
            async with asyncio.timeout(LONGEST_REFRESH):
                await self.calls.read_more(hook)
        except Exception as error:  # what there is to show has been read
            self._tell(error)
            self._due = clock.now() + _LATER * self.calls.fresh_for
        else:
            self.error = self.error_at = None
            self._due = clock.now() + self.calls.fresh_for
        self.samples.take(self.calls.parts.values(), now=clock.wall())

    async def _connected(self) -> CallingServiceHook:
        if self._hook is None or clock.now() - self._hook_at > _HOOK_LIFE:
            await self._disconnect()
            self._hook, self._hook_at = await asyncio.to_thread(self._make_hook, self.conn_id), clock.now()
        return self._hook

    def _tell(self, error: Exception) -> None:
        self.error, self.error_at = said(error), clock.wall()
        log.info("Not all of the calls of connection %s could be read (%s)", self.conn_id, type(error).__name__)

    async def _failed(self, error: Exception) -> None:
        self._tell(error)
        pause = min(_MOST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._due = clock.now() + max(pause, self.calls.fresh_for)
        await self._disconnect()

    async def _disconnect(self) -> None:
        hook, self._hook = self._hook, None
        if hook is not None:
            with suppress(Exception):
                await hook.aclose()

    async def aclose(self) -> None:
        """End what is under way and close the connections."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)
        await self._disconnect()


def said(error: Exception) -> str:
    """
    Say in a sentence what went wrong, without anything that others have written.

    :param error: what a refresh met with
    """
    if isinstance(error, TimeoutError):
        return f"The service took longer than {LONGEST_REFRESH:.0f} seconds."
    if isinstance(error, AuthenticationError):
        return "The service does not accept the connection's token."
    if isinstance(error, CallingError):  # these carry no body, number, name or token
        text = str(error)
        return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"
    return f"The connection could not be used ({type(error).__name__})."


class AllWatched:
    """
    The connections that somebody looks at.

    :param make: makes what is known of a connection, of its id and type
    """

    def __init__(self, make: Callable[[str, str], Watched]) -> None:
        self._make = make
        self._watched: dict[tuple[str, str], Watched] = {}
        #: where they are watched
        self.loop: asyncio.AbstractEventLoop | None = None

    async def get(self, conn_id: str, service: str) -> Watched:
        """
        Return what is known of a connection.

        :param conn_id: which
        :param service: its type
        """
        loop = asyncio.get_running_loop()
        if self.loop is not loop:
            self._watched.clear()  # sessions belong to their event loop
            self.loop = loop
        await self._forget_some(keep=(conn_id, service))
        if (conn_id, service) not in self._watched:
            self._watched[conn_id, service] = self._make(conn_id, service)
        return self._watched[conn_id, service]

    async def _forget_some(self, *, keep: tuple[str, str]) -> None:
        oldest_first = sorted(self._watched, key=lambda key: self._watched[key].looked_at)
        surplus = len(self._watched) + (keep not in self._watched) - MOST_CONNECTIONS
        for number, key in enumerate(oldest_first):
            idle = clock.now() - self._watched[key].looked_at
            if key != keep and (number < surplus or idle > FORGOTTEN_AFTER):
                await self._watched.pop(key).aclose()

    async def aclose(self) -> None:
        """Forget all."""
        while self._watched:
            await self._watched.popitem()[1].aclose()
