"""
Shared polling: all waits on one event loop that use the same connection share its session, and those for batches of
the same campaign share its polls.

An event loop has its connections, a connection one poll for each campaign somebody waits for, and a poll a seat for
each wait. Polls run in tasks of their own: a wait that is cancelled takes nothing from the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_graine.exceptions import CallingError, ConfigurationError, ServiceUnavailableError
from airflow_provider_graine.waiting.decision import Closer
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.graine_poll import CampaignPoll, Seat, Wanted
from airflow_provider_graine.watching.graine_watch import answered, look_closer
from airflow_provider_graine.watching.shared_hook import SharedAnswers, SharedHook, ended

if TYPE_CHECKING:
    from airflow_provider_graine.waiting.decision import Decision, Wait

T = TypeVar("T")

#: Seconds that the look at the deadline may take: a wait that is taken up late finds calls that are done.
_LAST_LOOK: Final = 1.5


class _Connection:
    """One connection on one event loop: its session and its polls."""

    def __init__(self, conn_id: str) -> None:
        self.waits = 0
        self._hook = SharedHook(conn_id)
        self.answers = SharedAnswers(self._hook)
        self._polls: dict[str | None, CampaignPoll] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def join(self, campaign_id: str | None, wanted: Iterable[Wanted]) -> Seat:
        if campaign_id not in self._polls:
            self._polls[campaign_id] = CampaignPoll(self._hook, campaign_id)
        return self._polls[campaign_id].join(wanted)

    def leave(self, seat: Seat) -> None:
        poll = seat.poll
        if poll.leave(seat):
            del self._polls[poll.campaign_id]
            poll.task.cancel()
            self._ending.add(poll.task)
            poll.task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        try:
            await self.answers.aclose()
            await ended(self._ending)
        finally:
            await self._hook.aclose()


_connections: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Connection]] = WeakKeyDictionary()


class SharedWatch:
    """
    What one wait sees of the shared polls, within ``async with``; made by :func:`shared_watch`.

    :param conn_id: the connection
    :param batch_ids: the batches
    :param campaign_id: their campaign, or what is waited for itself
    """

    __slots__ = ("_campaign_id", "_conn_id", "_connection", "_found", "_seats")

    def __init__(self, conn_id: str, *, batch_ids: Sequence[str] | None, campaign_id: str | None) -> None:
        if batch_ids is None and campaign_id is None:
            raise ConfigurationError("A wait needs batch_ids or a campaign_id. Nothing was sent.")
        self._conn_id = conn_id
        self._campaign_id = campaign_id
        wanted: Iterable[Wanted] = [None] if batch_ids is None else batch_ids
        self._found: dict[Wanted, Progress | Exception | None] = dict.fromkeys(wanted)
        self._connection: _Connection
        self._seats: list[Seat] = []

    async def __aenter__(self) -> Self:
        connections = _connections.setdefault(asyncio.get_running_loop(), {})
        if self._conn_id not in connections:
            connections[self._conn_id] = _Connection(self._conn_id)
        self._connection = connections[self._conn_id]
        self._connection.waits += 1
        self._seats = [self._connection.join(self._campaign_id, self._found)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for seat in self._seats:
            self._connection.leave(seat)
        self._connection.waits -= 1
        if not self._connection.waits:
            # Whoever comes while it closes begins afresh.
            del _connections[asyncio.get_running_loop()][self._conn_id]
            await self._connection.aclose()

    async def decide(self, wait: Wait, *, pause: float) -> Decision:
        """
        Wait for the next look, and let the waiting core say what it means.

        :param wait: the wait
        :param pause: seconds until the look comes at the latest; it comes earlier where others ask for it
        :return: any step but ``LOOK_CLOSER``
        :raises CallingError: where waiting cannot help
        """
        last_look_by = None
        if wait.deadline is not None:
            pause = min(pause, max(0.0, wait.deadline - clock.wall()))
            last_look_by = max(wait.deadline, clock.wall()) + _LAST_LOOK
        await _until(last_look_by, self._next_look(pause))
        parts = []
        for each in self._found.values():
            if isinstance(each, Progress):
                parts.append(each)
            elif each is None or isinstance(each, CallingError):
                unseen = each or ServiceUnavailableError("The first look has not been answered yet.")
                return wait.could_not_see(unseen, now=clock.wall())
            else:
                raise each
        decision = wait.saw(parts, now=clock.wall())
        return await answered(decision, wait, partial(self._look_closer, deadline=wait.deadline))

    async def _next_look(self, pause: float) -> None:
        """Wait until every poll has something to tell; they look at about the same time."""
        for seat in self._seats:
            seat.ask(pause)
        try:
            for seat in self._seats:
                await seat.hear()
        finally:
            for seat in self._seats:
                seat.rest()
        for seat in self._seats:
            self._found.update(zip(seat.wanted, seat.told, strict=True))
        self._move()

    def _move(self) -> None:
        """Take the batches whose campaign has become known to the poll of that campaign."""
        for seat in [seat for seat in self._seats if seat.poll.campaign_id is None]:
            homes: dict[str | None, list[Wanted]] = {}
            for wanted in seat.wanted:
                homes.setdefault(seat.poll.campaign_of.get(wanted or ""), []).append(wanted)
            if homes.keys() == {None}:
                continue
            self._seats.remove(seat)
            for campaign_id, those in homes.items():
                still_open = [each for each in those if not self._has_ended(each)]
                if still_open:
                    self._seats.append(self._connection.join(campaign_id, still_open))
            self._connection.leave(seat)

    def _has_ended(self, wanted: Wanted) -> bool:
        found = self._found[wanted]
        return isinstance(found, Progress) and found.has_ended

    async def _look_closer(self, decision: Decision, *, deadline: float | None) -> Closer:
        campaigns = [
            seat.poll.campaign_id
            for seat in self._seats
            if seat.poll.campaign_id is not None and not all(map(self._has_ended, seat.wanted))
        ]
        found = await _until(deadline, look_closer(self._connection.answers, decision, campaigns))
        return found or Closer(error=ServiceUnavailableError("The closer look was not answered in time."))


async def _until(deadline: float | None, answer: Coroutine[Any, Any, T]) -> T | None:
    """Wait for an answer, but not beyond the deadline of the wait; then there is none."""
    if deadline is None:
        return await answer
    try:
        async with asyncio.timeout(max(0.0, deadline - clock.wall())) as limit:
            return await answer
    except TimeoutError:
        if not limit.expired():
            raise
        return None


def shared_watch(
    conn_id: str, *, batch_ids: Sequence[str] | None = None, campaign_id: str | None = None
) -> SharedWatch:
    """
    Take part in the polls of the running event loop.

    :param conn_id: the connection
    :param batch_ids: the batches to wait for; default: the campaign itself
    :param campaign_id: the campaign of the batches, where they are all of one: saves a look at each
    :return: an async context manager that gives the :class:`SharedWatch`
    :raises ConfigurationError: when there is neither
    """
    return SharedWatch(conn_id, batch_ids=batch_ids, campaign_id=campaign_id)
