"""
Shared polling: all waits on one event loop that use the same connection share its session and its polls.

An event loop has its connections, a connection its polls, and a poll a seat for each wait. Polls run in tasks of their
own: a wait that is cancelled takes nothing from the others.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Hashable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_graine.exceptions import CallingError, ServiceUnavailableError
from airflow_provider_graine.waiting.decision import Closer
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.poll import Poll, Seat, Wanted
from airflow_provider_graine.watching.shared_hook import SharedAnswers, SharedHook, ended
from airflow_provider_graine.watching.watch import answered

if TYPE_CHECKING:
    from airflow_provider_graine.waiting.decision import Decision, Wait

T = TypeVar("T")
P = TypeVar("P", bound=Poll)

#: Seconds that the look at the deadline may take: a wait that is taken up late finds calls that are done.
_LAST_LOOK: Final = 1.5


class Connection(ABC, Generic[P]):
    """
    One connection on one event loop: its session and its polls.

    :param hook: what its polls read with
    :param answers: the answers to closer looks
    """

    def __init__(self, hook: SharedHook[Any], answers: SharedAnswers) -> None:
        self.waits = 0
        self._hook = hook
        self._answers = answers
        self._polls: dict[Hashable, P] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @abstractmethod
    def make_poll(self, about: str | None) -> P:
        """Make the poll that looks at something."""

    def join(self, about: str | None, wanted: Iterable[Wanted]) -> Seat[P]:
        """Take a seat at the poll that looks at something."""
        if about not in self._polls:
            self._polls[about] = self.make_poll(about)
        return self._polls[about].join(wanted)

    def leave(self, seat: Seat[P]) -> None:
        """Give a seat back; with the last one the poll ends."""
        if seat.poll.leave(seat):
            self._polls = {about: poll for about, poll in self._polls.items() if poll is not seat.poll}
            for task in seat.poll.ending():
                task.cancel()
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Close the session, once everything has ended that uses it."""
        try:
            await self._answers.aclose()
            await ended(self._ending)
        finally:
            await self._hook.aclose()


_connections: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Connection[Any]]] = WeakKeyDictionary()


class SharedWatch(ABC, Generic[P]):
    """
    What one wait sees of the shared polls, within ``async with``.

    :param conn_id: the connection
    :param about: which of its polls
    :param wanted: what is waited for
    """

    __slots__ = ("_about", "_conn_id", "_connection", "_found", "_seats")

    #: Makes what waits on one connection share.
    connect: ClassVar[type[Connection[Any]]]

    def __init__(self, conn_id: str, *, about: str | None, wanted: Iterable[Wanted]) -> None:
        self._conn_id = conn_id
        self._about = about
        self._found: dict[Wanted, Progress | Exception | None] = dict.fromkeys(wanted)
        self._connection: Any
        self._seats: list[Seat[P]] = []

    async def __aenter__(self) -> Self:
        connections = _connections.setdefault(asyncio.get_running_loop(), {})
        if self._key not in connections:
            connections[self._key] = self.connect(self._conn_id)  # type: ignore[call-arg,arg-type]
        self._connection = connections[self._key]
        self._connection.waits += 1
        self._seats = [self._connection.join(self._about, self._found)]
        return self

    @property
    def _key(self) -> Hashable:
        return self.connect, self._conn_id

    async def __aexit__(self, *_: object) -> None:
        for seat in self._seats:
            self._connection.leave(seat)
        self._connection.waits -= 1
        if not self._connection.waits:
            # Whoever comes while it closes begins afresh.
            del _connections[asyncio.get_running_loop()][self._key]
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
        return await answered(decision, wait, partial(self._closer, deadline=wait.deadline))

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
        self._told()

    async def _closer(self, decision: Decision, *, deadline: float | None) -> Closer:
        found = await _until(deadline, self._look_closer(decision))
        return found or Closer(error=ServiceUnavailableError("The closer look was not answered in time."))

    def _told(self) -> None:
        """Draw what consequences there are from what was found."""

    @abstractmethod
    async def _look_closer(self, decision: Decision) -> Closer:
        """Answer the question of a decision."""

    def _has_ended(self, wanted: Wanted) -> bool:
        found = self._found[wanted]
        return isinstance(found, Progress) and found.has_ended


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
