"""Looks at calls that tell everybody who waits for them, and the places of those who do."""

from __future__ import annotations

import asyncio
import contextvars
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar, Union

from airflow_provider_graine.waiting.decision import jittered
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from airflow_provider_graine.waiting.progress import Progress

P = TypeVar("P", bound="Poll")

#: What is waited for: the id of a batch or a campaign; ``None``: the campaign that a poll is about.
Wanted = str | None
#: What was found; an error where it could not be seen.
Look = dict[Wanted, Union["Progress", Exception]]
#: Seconds between two looks at least, whatever anybody asks for.
LEAST_PAUSE: Final = 0.05
#: Waits of a connection told at a time; everybody else on the event loop gets a turn in between.
_TOLD_AT_ONCE: Final = 20


class Seat(Generic[P]):
    """
    The place of one wait at a poll.

    :param poll: the poll
    :param wanted: what it waits for
    """

    # A triggerer holds thousands, and its garbage collector goes through all they consist of.
    __slots__ = ("_has_news", "_pause", "_since", "_waking", "poll", "told", "wanted")

    def __init__(self, poll: P, wanted: tuple[Wanted, ...]) -> None:
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

    @property
    def pause(self) -> float:
        """Seconds after which it last asked for a look."""
        return self._pause

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


class Poll(ABC):
    """
    Looks at what somebody waits for, as often as those who wait ask for it; earlier than asked for, never later.

    :param telling: held while the waits are told of a look: one poll of a connection at a time
    """

    def __init__(self, telling: asyncio.Lock) -> None:
        self.asked = asyncio.Event()
        self._seats: set[Seat[Self]] = set()
        self._telling = telling
        # A context of its own: what it logs does not belong to the wait that happened to come first.
        self.task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    def join(self, wanted: Iterable[Wanted]) -> Seat[Self]:
        """Take a seat for one wait."""
        seat = Seat(self, tuple(wanted))
        self._seats.add(seat)
        return seat

    def leave(self, seat: Seat[Self]) -> bool:
        """
        Give a seat back.

        :return: whether it was the last
        """
        self._seats.discard(seat)
        return not self._seats

    def ending(self) -> Sequence[asyncio.Task[None]]:
        """Return all tasks that end with the poll."""
        return [self.task]

    @abstractmethod
    async def _look(self, wanted: set[Wanted]) -> Look:
        """Look at what somebody waits for."""

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
            async with self._telling:
                for number, seat in enumerate(seats, 1):
                    seat.tell([found[each] for each in seat.wanted])
                    if number % _TOLD_AT_ONCE == 0:
                        await asyncio.sleep(0)
            await asyncio.sleep(LEAST_PAUSE)

    def _due(self, pace: float) -> float:
        """Return the time at which the next look is due."""
        asked = [due for seat in self._seats if (due := seat.due(pace)) is not None]
        return min(asked, default=float("inf"))

    async def _until_due(self) -> None:
        # Each poll at a pace of its own.
        pace = jittered(1.0, random.random() / 2)  # noqa: S311
        while True:
            self.asked.clear()
            rest = self._due(pace) - clock.now()
            if rest <= 0:
                return
            await clock.wait(self.asked, at_most=rest)
