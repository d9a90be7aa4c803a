"""Turns within the limits: windows, requests at a time, writes first, pauses; for threads and event loops together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ServiceUnavailableError
from airflow_provider_graine.services import limits
from airflow_provider_graine.services.limits import Kind, Limiter, RequestLimits, Turn, limiter_of

WIDE = RequestLimits(account="acme", per_minute=1000, per_hour=1000, per_day=1000, in_flight=1000)
DOES = "read the campaign"


@pytest.fixture
def short_minute(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(limits, "_MINUTE", 0.3)
    return 0.3


class Usage:
    """Notes when turns were had."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.begun: list[float] = []
        self.now = self.most = 0
        self._lock = threading.Lock()

    def use(self, turn: Turn) -> None:
        with self._lock:
            self.begun.append(time.monotonic())
            self.now += 1
            self.most = max(self.most, self.now)

    def leave(self, turn: Turn) -> None:
        with self._lock:
            self.now -= 1
        turn.end()

    def thread(self, times: int, kind: Kind, held: float) -> None:
        for _ in range(times):
            turn = self.limiter.turn(kind, does=DOES)
            self.use(turn)
            time.sleep(held)
            self.leave(turn)

    def loop(self, times: int, kind: Kind, held: float) -> None:
        async def one() -> None:
            turn = await self.limiter.aturn(kind, does=DOES)
            self.use(turn)
            await asyncio.sleep(held)
            self.leave(turn)

        async def all_of_them() -> None:
            await asyncio.gather(*(one() for _ in range(times)))

        asyncio.run(all_of_them())

    def together(self, *, times: int, kind: Kind = "write", held: float = 0.0) -> None:
        """Two threads and two event loops, ``times`` turns each."""
        with ThreadPoolExecutor(4) as threads:
            jobs = [threads.submit(way, times, kind, held) for way in (self.thread, self.loop) * 2]
            for job in jobs:
                job.result(30)


def most_within(moments: list[float], span: float) -> int:
    ordered = sorted(moments)
    return max(sum(1 for each in ordered if first <= each < first + span) for first in ordered)


def test_no_window_has_more_than_its_share(short_minute: float) -> None:
    usage = Usage(Limiter(replace(WIDE, per_minute=10)))
    began = time.monotonic()
    usage.together(times=9)
    assert len(usage.begun) == 36
    assert most_within(usage.begun, short_minute) <= 10
    assert 3 * short_minute <= time.monotonic() - began < 20 * short_minute


def test_no_more_at_a_time_than_may_be(short_minute: float) -> None:
    usage = Usage(Limiter(replace(WIDE, in_flight=5)))
    usage.together(times=20, held=0.005)
    assert len(usage.begun) == 80
    assert usage.most == 5
    assert usage.now == 0


def test_a_window_begins_when_the_answer_comes(short_minute: float) -> None:
    limiter = Limiter(replace(WIDE, per_minute=1))
    first = limiter.turn("write", does=DOES)
    time.sleep(0.2)
    first.answered()
    answered = time.monotonic()
    first.end()
    limiter.turn("write", does=DOES).end()
    assert time.monotonic() - answered >= short_minute


def test_a_stream_that_stays_open_is_one_request_of_its_minute(short_minute: float) -> None:
    limiter = Limiter(replace(WIDE, per_minute=1))

    async def talk() -> None:
        stream = await limiter.aturn("read", does=DOES)
        stream.answered()
        (await asyncio.wait_for(limiter.aturn("read", does=DOES), 5)).end()
        stream.end()

    asyncio.run(talk())


def test_reads_leave_room_for_writes() -> None:
    limiter = Limiter(replace(WIDE, per_minute=60, in_flight=20))

    async def talk() -> None:
        for _ in range(57):
            (await limiter.aturn("read", does=DOES)).end()
        read = asyncio.create_task(limiter.aturn("read", does=DOES))
        for _ in range(3):
            (await asyncio.wait_for(limiter.aturn("write", does="stop the campaign"), 1)).end()
        assert not read.done()
        read.cancel()

    asyncio.run(talk())


def test_writes_go_first() -> None:
    limiter = Limiter(replace(WIDE, in_flight=1))
    held = limiter.turn("read", does=DOES)
    order: list[str] = []

    def one(kind: Kind) -> None:
        turn = limiter.turn(kind, does=DOES)
        order.append(kind)
        turn.end()

    with ThreadPoolExecutor(4) as threads:
        kinds: list[Kind] = ["read", "read", "write"]
        for kind in kinds:
            waiting = len(limiter._queues[kind])
            threads.submit(one, kind)
            while len(limiter._queues[kind]) == waiting:
                time.sleep(0.001)
        held.end()
    assert order == ["write", "read", "read"]


def test_an_event_loop_goes_on_while_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MINUTE", 1.0)
    limiter = Limiter(replace(WIDE, per_minute=1))

    async def talk() -> float:
        (await limiter.aturn("write", does=DOES)).end()
        waiting = asyncio.create_task(limiter.aturn("write", does=DOES))
        longest, last = 0.0, time.monotonic()
        while not waiting.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        (await waiting).end()
        return longest

    assert asyncio.run(talk()) < 0.7


def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    limiter = Limiter(replace(WIDE, in_flight=1))
    held = limiter.turn("read", does=DOES)

    async def talk() -> None:
        waiting = [asyncio.create_task(limiter.aturn("read", does=DOES)) for _ in range(20)]
        await asyncio.sleep(0.01)
        for each in waiting[:10]:
            each.cancel()
        await asyncio.sleep(0)
        held.end()  # handed out at the moment in which the others are cancelled
        for each in waiting[10:]:
            each.cancel()
        for each in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(each, Turn):
                each.end()
        (await asyncio.wait_for(limiter.aturn("read", does=DOES), 1)).end()

    asyncio.run(talk())


def test_a_thread_that_is_interrupted_gives_its_place_back() -> None:
    limiter = Limiter(replace(WIDE, in_flight=1))
    held = limiter.turn("read", does=DOES)

    class Stop(BaseException):
        pass

    def stop(*_: Any) -> None:
        limiter.limits = replace(WIDE, in_flight=2)
        limiter.turn("write", does="stop the campaign").end()  # in the signal handler, as on_kill does
        limiter.limits = replace(WIDE, in_flight=1)
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Stop):
            limiter.turn("read", does=DOES)
    finally:
        signal.signal(signal.SIGALRM, before)
    held.end()
    limiter.turn("read", does=DOES).end()


def test_a_signal_handler_in_between_is_served_and_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = Limiter(WIDE)
    pause = limiter._pause

    def interrupted(kind: Kind) -> float | None:
        known = pause(kind)
        monkeypatch.setattr(limiter, "_pause", pause)
        limiter.turn("write", does="stop the campaign").end()
        return known

    monkeypatch.setattr(limiter, "_pause", interrupted)
    limiter.turn("write", does=DOES).end()
    assert limiter._in_flight == limiter._unanswered == 0
    assert len(limiter._counted) == 2


def test_all_leave_a_service_alone_that_asks_for_it() -> None:
    limiter = Limiter(WIDE)
    began = time.monotonic()
    limiter.leave_alone(0.2)
    Usage(limiter).together(times=3)
    assert 0.2 <= time.monotonic() - began < 1


def test_it_takes_a_little_longer_but_at_most_a_tenth() -> None:
    for _ in range(200):
        limiter = Limiter(WIDE)
        now = time.monotonic()
        limiter.leave_alone(100)
        assert 100 <= limiter._left_alone_until - now <= 110.1
    limiter.leave_alone(float("inf"))
    assert limiter._left_alone_until - now < 100_000


FORMS = pytest.mark.parametrize("form", ["sync", "async"])


def take(limiter: Limiter, form: str, does: str = DOES) -> Turn:
    return limiter.turn("write", does=does) if form == "sync" else asyncio.run(limiter.aturn("write", does=does))


@FORMS
def test_a_long_pause_is_left_to_the_caller(form: str) -> None:
    limiter = Limiter(WIDE)
    limiter.leave_alone(1000)
    with pytest.raises(ServiceUnavailableError, match=r"for another 1\d\d\d seconds.*Nothing was sent") as caught:
        take(limiter, form)
    assert caught.value.retry_after is not None
    assert 990 < caught.value.retry_after <= 1100
    assert "acme" not in str(caught.value)


def test_whoever_waits_is_told_when_it_turns_out_to_be_long() -> None:
    limiter = Limiter(replace(WIDE, in_flight=1))
    held = limiter.turn("read", does=DOES)
    told: list[str] = []

    def wait() -> None:
        try:
            limiter.turn("read", does=DOES)
        except ServiceUnavailableError as error:
            told.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.02)
    limiter.leave_alone(1000)
    held.end()
    waiting.join(1)
    assert "Nothing was sent" in told[0]


def test_the_hour_is_kept_too() -> None:
    limiter = Limiter(replace(WIDE, per_hour=3))
    for _ in range(3):
        limiter.turn("write", does=DOES).end()
    with pytest.raises(ServiceUnavailableError) as caught:
        limiter.turn("write", does=DOES)
    assert caught.value.retry_after == pytest.approx(3600, abs=5)


@FORMS
def test_a_long_wait_is_told_in_the_log(
    form: str, short_minute: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(limits, "_TOLD_AFTER", 0.1)
    limiter = Limiter(replace(WIDE, per_minute=1))
    for _ in range(2):
        take(limiter, form, "stop campaign c1").end()
    assert [record.getMessage() for record in caplog.records] == [
        "Waiting for the service's limits (1 requests a minute, 1000 an hour, 1000 a day, 1000 at a time) to stop "
        "campaign c1"
    ]


def test_streams_take_half_of_what_may_be_in_flight_and_never_wait() -> None:
    limiter = Limiter(replace(WIDE, in_flight=5))
    with ExitStack() as streams:
        for _ in range(2):
            streams.enter_context(limiter.stream(does=DOES))
        with pytest.raises(ServiceUnavailableError, match=r"2 of 5.*Nothing was sent"), limiter.stream(does=DOES):
            pass
    with limiter.stream(does=DOES):
        pass


def test_one_limiter_for_an_account_and_the_newest_limits_hold() -> None:
    first = limiter_of("https://a.example/v1", WIDE)
    assert limiter_of("https://a.example/v1", replace(WIDE, per_minute=7)) is first
    assert first.limits.per_minute == 7
    assert limiter_of("https://a.example/v1", replace(WIDE, account="other")) is not first
    assert limiter_of("https://b.example/v1", WIDE) is not first
    assert "acme" not in repr(WIDE)


def test_a_forked_process_begins_anew() -> None:
    limiter = limiter_of("https://fork.example/v1", replace(WIDE, in_flight=1))
    turn = limiter.turn("write", does=DOES)
    child = os.fork()
    if child == 0:
        fresh = limiter_of("https://fork.example/v1", replace(WIDE, in_flight=1))
        fresh.turn("write", does=DOES)
        os._exit(0 if fresh is not limiter else 1)
    turn.end()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A time that is told, not waited for; timers are noted and never go off by themselves."""
    clock = SimpleNamespace(now=1000.0, timers=[])

    class Timer:
        def __init__(self, pause: float, then: Callable[[], None]) -> None:
            self.at, self.then = clock.now + pause, then

        def start(self) -> None:
            clock.timers.append(self)

        def cancel(self) -> None:
            if self in clock.timers:
                clock.timers.remove(self)

    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: clock.now))
    fake = SimpleNamespace(Timer=Timer, RLock=threading.RLock, current_thread=lambda: clock.going_off)
    monkeypatch.setattr(limits, "threading", fake)
    return clock


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.sampled_from(["read", "write"])),
            st.tuples(st.just("pass"), st.floats(0.1, 50)),
            st.tuples(st.sampled_from(["answer", "end", "cancel"]), st.integers(0, 50)),
        ),
        max_size=80,
    ),
    per_minute=st.integers(1, 6),
    in_flight=st.integers(1, 4),
)
def test_whatever_happens_the_limits_hold_and_everybody_is_served(
    clock: SimpleNamespace, steps: list[tuple[str, Any]], per_minute: int, in_flight: int
) -> None:
    limiter = Limiter(replace(WIDE, per_minute=per_minute, in_flight=in_flight))
    asked: list[Any] = []
    open_turns: list[Turn] = []
    counted: list[float] = []  # when the service may have counted a request, at the latest

    def look() -> None:
        for future in [each for each in asked if each.done()]:
            asked.remove(future)
            if not future.cancelled():
                open_turns.append(future.result())
        unanswered = sum(not turn._answered for turn in open_turns)
        assert len(open_turns) <= in_flight
        assert unanswered + sum(each > clock.now - 60 for each in counted) <= per_minute

    def answer(turn: Turn) -> None:
        if not turn._answered:
            counted.append(clock.now)
        turn.answered()

    def forward(until: float) -> None:
        while due := [each for each in clock.timers if each.at <= until]:
            first = min(due, key=lambda each: each.at)
            clock.timers.remove(first)
            clock.now, clock.going_off = max(clock.now, first.at), first
            first.then()
            look()
        clock.now = until

    clock.timers.clear()
    for name, what in steps:
        if name == "ask":
            asked.append(limiter._ask(what))
        elif name == "pass":
            forward(clock.now + what)
        elif name == "cancel" and asked:
            limiter._give_back(asked[what % len(asked)])
        elif name == "answer" and open_turns:
            answer(open_turns[what % len(open_turns)])
        elif name == "end" and open_turns:
            turn = open_turns.pop(what % len(open_turns))
            answer(turn)
            turn.end()
        look()
    for _ in range(len(asked) + len(open_turns) + 1):
        while open_turns:
            turn = open_turns.pop()
            answer(turn)
            turn.end()
            look()
        forward(clock.now + 61)
    assert not asked
