"""
A service's limits on requests, kept on this side: nobody sends what would be turned away.

All sessions of one account in a process share one :class:`Limiter`, blocking ones in any thread and those of event
loops. The span of a window begins when an answer came, not when its request was sent: by then the service has counted
it, however slow the way was. Libraries for this know windows; what is in flight, writes that go first, a service that
asks to be left alone, and one queue for threads and event loops they do not know.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from airflow_provider_graine.exceptions import ServiceUnavailableError

log = logging.getLogger(__name__)

Kind = Literal["write", "read"]

#: Longest time, in seconds, that is waited out inside one call because a service, or its limits, ask for it; a longer
#: one is left to the caller.
LONGEST_PAUSE: Final = 120.0

#: Seconds after which a request that waits says so in the log.
_TOLD_AFTER: Final = 5.0

#: What reads leave to writes, so that calls can be stopped while results are being read: one of so many.
_SHARE_FOR_WRITES: Final = 20

_MINUTE: Final = 60.0  # seconds
_HOUR: Final = 3600.0
_DAY: Final = 86400.0

#: Added to a pause, in seconds: timers may end a little early.
_MARGIN: Final = 0.005


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """
    How many requests an account may make.

    :param account: what the account is told apart by
    :param per_minute: requests in any minute
    :param per_hour: requests in any hour
    :param per_day: requests in any day
    :param in_flight: requests at the same time; an open stream of events counts as one
    """

    account: str = field(repr=False)
    per_minute: int
    per_hour: int
    per_day: int
    in_flight: int

    def __str__(self) -> str:
        return (
            f"{self.per_minute} requests a minute, {self.per_hour} an hour, {self.per_day} a day, {self.in_flight} at "
            "a time"
        )


class Turn:
    """The right to send one request, from before it is sent until its answer has been read or left."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._answered = self._ended = False

    def answered(self) -> None:
        """Note that the answer has begun: the service has counted the request."""
        if not self._answered:
            self._answered = True
            self._limiter._count()

    def end(self) -> None:
        """Note that nothing more comes; may be called again."""
        if not self._ended:
            self._ended = True
            self.answered()
            self._limiter._leave()


class Limiter:
    """
    Hands out turns within the limits: to writes first, else in the order in which they were asked for.

    :param limits: the limits
    """

    def __init__(self, limits: RequestLimits) -> None:
        self.limits = limits
        # A signal handler that stops calls may come in between, in the same thread.
        self._lock = threading.RLock()
        self._queues: dict[Kind, deque[Future[Turn]]] = {"write": deque(), "read": deque()}
        self._counted: deque[float] = deque()
        self._unanswered = 0
        self._in_flight = 0
        self._streams = 0
        self._left_alone_until = 0.0
        self._timer: threading.Timer | None = None
        self._timer_at = 0.0

    def turn(self, kind: Kind, *, does: str) -> Turn:
        """
        Wait for a turn in a thread.

        :param kind: writes go first
        :param does: what the request does, for messages: ``"create a campaign"``
        :return: the turn; whoever has it ends it
        :raises ServiceUnavailableError: when it is known to take more than :data:`LONGEST_PAUSE`
        """
        coming = self._ask(kind)
        try:
            with suppress(TimeoutError):
                return coming.result(_TOLD_AFTER)
            self._tell(does)
            return coming.result()
        except _TooLong as too_long:
            raise too_long.error(does, self.limits) from None
        except BaseException:
            self._give_back(coming)
            raise

    async def aturn(self, kind: Kind, *, does: str) -> Turn:
        """Wait for a turn on an event loop; see :meth:`turn`."""
        coming = self._ask(kind)
        here = asyncio.wrap_future(coming)
        try:
            if not (await asyncio.wait({here}, timeout=_TOLD_AFTER))[0]:
                self._tell(does)
            return await here
        except _TooLong as too_long:
            raise too_long.error(does, self.limits) from None
        except BaseException:
            here.cancel()
            self._give_back(coming)
            raise

    @contextmanager
    def stream(self, *, does: str) -> Iterator[None]:
        """
        Have a place among the streams that stay open; they may take half of what may be in flight.

        :param does: what the stream is for, for messages
        :raises ServiceUnavailableError: when there is none: nobody knows how long streams last
        """
        with self._lock:
            is_free = self._streams < self.limits.in_flight // 2
            self._streams += is_free
        if not is_free:
            raise ServiceUnavailableError(
                f"Could not {does}: as many event streams are open as the limit on requests at a time leaves room for "
                f"({self.limits.in_flight // 2} of {self.limits.in_flight}). Nothing was sent; read the state instead, "
                "or try later."
            )
        try:
            yield
        finally:
            with self._lock:
                self._streams -= 1

    def leave_alone(self, seconds: float) -> None:
        """
        Hand out no turn for a while, because the service has asked for it.

        :param seconds: how long; up to a tenth is added, so that not everybody comes back at once
        """
        with self._lock:
            until = time.monotonic() + min(seconds, _DAY) * random.uniform(1.0, 1.1)  # noqa: S311
            self._left_alone_until = max(self._left_alone_until, until)

    def _ask(self, kind: Kind) -> Future[Turn]:
        coming: Future[Turn] = Future()
        with self._lock:
            self._queues[kind].append(coming)
            self._serve()
        return coming

    def _give_back(self, coming: Future[Turn]) -> None:
        if not coming.cancel():  # handed out meanwhile, or refused
            with suppress(Exception):
                coming.result().end()

    def _count(self) -> None:
        with self._lock:
            self._unanswered -= 1
            self._counted.append(time.monotonic())
            self._serve()

    def _leave(self) -> None:
        with self._lock:
            self._in_flight -= 1
            self._serve()

    def _serve(self) -> None:
        """Hand out what turns there are, and come back when the next one is due."""
        for kind, queue in self._queues.items():
            while queue:
                pause = self._pause(kind)
                if pause is None:
                    return
                if 0 < pause <= LONGEST_PAUSE:
                    self._come_back(pause + _MARGIN)
                    return
                with suppress(IndexError):  # a signal handler took it in between
                    self._answer(queue.popleft(), pause)

    def _answer(self, coming: Future[Turn], pause: float) -> None:
        if not coming.set_running_or_notify_cancel():
            return
        if pause > 0:
            coming.set_exception(_TooLong(pause))
            return
        self._unanswered += 1
        self._in_flight += 1
        coming.set_result(Turn(self))

    def _pause(self, kind: Kind) -> float | None:
        """Return the seconds until the next turn, ``None`` where an answer has to come before that."""
        now = time.monotonic()
        pause = max(0.0, self._left_alone_until - now)
        limits = self.limits
        if self._in_flight >= self._share(limits.in_flight, kind):
            return None
        windows = ((_MINUTE, limits.per_minute), (_HOUR, limits.per_hour), (_DAY, limits.per_day))
        while self._counted and self._counted[0] <= now - _DAY:
            self._counted.popleft()
        for span, limit in windows:
            free = self._share(limit, kind) - self._unanswered
            if free < 1:
                return None
            if len(self._counted) >= free:
                pause = max(pause, self._counted[-free] + span - now)
        return pause

    @staticmethod
    def _share(limit: int, kind: Kind) -> int:
        return limit if kind == "write" else limit - limit // _SHARE_FOR_WRITES

    def _come_back(self, pause: float) -> None:
        at = time.monotonic() + pause
        if self._timer is not None and self._timer_at <= at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = threading.Timer(pause, self._on_time), at
        self._timer.daemon = True
        self._timer.start()

    def _on_time(self) -> None:
        with self._lock:
            if self._timer is threading.current_thread():
                self._timer = None
            self._serve()

    def _tell(self, does: str) -> None:
        log.info("Waiting for the service's limits (%s) to %s", self.limits, does)


class _TooLong(Exception):
    """The next turn is far away."""

    def __init__(self, pause: float) -> None:
        super().__init__()
        self.pause = pause

    def error(self, does: str, limits: RequestLimits) -> ServiceUnavailableError:
        return ServiceUnavailableError(
            f"Could not {does}: the service's limits on requests ({limits}) are used up for another {self.pause:.0f} "
            "seconds. Nothing was sent; try again after that.",
            retry_after=self.pause,
        )


_limiters: dict[tuple[str, str], Limiter] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limiters.clear)  # the parent's requests never end in the child


def limiter_of(base_url: str, limits: RequestLimits) -> Limiter:
    """
    Return the limiter that everybody in this process shares who speaks to an account.

    :param base_url: the service
    :param limits: the account and its limits; where a connection says others than before, the newest hold
    """
    limiter = _limiters.setdefault((base_url, limits.account), Limiter(limits))
    limiter.limits = limits
    return limiter
