"""Streams of events: read to their end, torn, silent, and what is no such stream."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ServiceError,
    ServiceUnavailableError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.http import AsyncSession, Session
from airflow_provider_graine.services import limits
from airflow_provider_graine.services.kataven import requests
from airflow_provider_graine.services.kataven.received import CampaignSnapshot
from airflow_provider_graine.services.limits import RequestLimits
from airflow_provider_graine.services.request import Request
from tests.http.scripted import Step, answer, hang_up, raw, reset
from tests.http.talking import NEW_TOKEN, TOKEN, settings, whole_text

EVENTS = requests.stream_campaign_events("c1")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
OPEN = HEAD + b"connection: close\r\n\r\n"
LIMITS = RequestLimits(account="acme", per_minute=1000, per_hour=1000, per_day=1000, in_flight=4)


def tick(calls: int) -> bytes:
    return b'data: {"status": "RUNNING", "completed": %d, "note": "\xe2\x80\xa8"}\n\n' % calls


def chunked(*parts: bytes, end: bool = True) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return HEAD + b"transfer-encoding: chunked\r\n\r\n" + body + (b"0\r\n\r\n" if end else b"")


class Reader:
    """Reads a stream on both sessions; gives what came, and what ended it."""

    def __init__(self, form: str) -> None:
        self.form = form

    def read(self, url: str, request: Request[Any] = EVENTS, *, most: int = 10**9, **fields: Any) -> Any:
        how = settings(url, **{"retries": 0, "limits": LIMITS, **fields})
        came: list[Any] = []
        try:
            if self.form == "sync":
                self._blocking(how, request, most, came)
            else:
                asyncio.run(self._on_loop(how, request, most, came))
        except ServiceError as error:
            return came, error
        return came, None

    def _blocking(self, how: Any, request: Request[Any], most: int, came: list[Any]) -> None:
        with closing(Session(how, reload_token=lambda: NEW_TOKEN)) as session, session.events(request) as events:
            for event in events:
                came.append(event)
                if len(came) == most:
                    break

    async def _on_loop(self, how: Any, request: Request[Any], most: int, came: list[Any]) -> None:
        async def reload() -> str:
            return NEW_TOKEN

        session = AsyncSession(how, reload_token=reload)
        try:
            async with session.events(request) as events:
                async for event in events:
                    came.append(event)
                    if len(came) == most:
                        break
        finally:
            await session.close()


@pytest.fixture(params=["sync", "async"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    yield Reader(request.param)
    for limiter in limits._limiters.values():
        assert limiter._in_flight == limiter._streams == 0
    limits._limiters.clear()


def figures(came: list[Any]) -> list[Any]:
    return [event if event is None else event.model_extra.get("completed") for event in came]


@pytest.mark.parametrize("end", [b"event: end\n\n", b'event: end\ndata: {"status": "completed", "completed": 9}\n\n'])
def test_a_stream_is_read_to_its_end(reader: Reader, serve: Any, end: bytes) -> None:
    # Kept open by the server: the end is an event, not the connection's.
    server = serve(raw(chunked(tick(1), b": heartbeat\n\n", tick(2), end + b"data: {}\n\n", end=False)))
    came, error = reader.read(server.url)
    assert error is None
    assert figures(came) == [1, None, 2] + [9] * (b"9" in end)
    assert isinstance(came[0], CampaignSnapshot)
    assert came[0].status == "running"
    [request] = server.requests
    assert request.target == "/api/v1/campaigns/c1/events"
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("cut", [1, 7, 30, len(tick(2)) - 1, len(tick(2))])
@pytest.mark.parametrize("tear", [hang_up, reset])
def test_a_torn_stream_gives_what_came_whole(reader: Reader, serve: Any, tear: Any, cut: int) -> None:
    server = serve(tear(OPEN + tick(1) + tick(2)[:cut]))
    came, error = reader.read(server.url)
    assert type(error) is ServiceUnavailableError
    assert "read the events of campaign c1" in str(error)
    assert "Nothing was changed" in str(error)
    assert figures(came) in ([1], [1, 2][: 1 + (cut == len(tick(2)))], [])
    if tear is hang_up:
        assert figures(came) == [1, 2][: 1 + (cut == len(tick(2)))]
    assert len(server.requests) == 1  # opening it again is the caller's


def test_a_stream_torn_in_a_chunk(reader: Reader, serve: Any) -> None:
    came, error = reader.read(serve(hang_up(chunked(tick(1), end=False) + b"40\r\ndata: {")).url)
    assert (figures(came), type(error)) == ([1], ServiceUnavailableError)


def test_a_stream_that_is_closed_without_its_end(reader: Reader, serve: Any) -> None:
    came, error = reader.read(serve(raw(chunked(tick(1)), close=True)).url)
    assert (figures(came), type(error)) == ([1], ServiceUnavailableError)


def steps(*parts: bytes, pause: float) -> Step:
    def step(connection: socket.socket) -> bool:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        return False

    return step


def test_a_silent_stream_is_torn(reader: Reader, serve: Any) -> None:
    server = serve(steps(OPEN + tick(1), tick(2), pause=1.2))
    began = time.monotonic()
    came, error = reader.read(server.url, replace(EVENTS, silence=0.2))
    assert (figures(came), type(error)) == ([1], ServiceUnavailableError)
    assert "ReadTimeout" in str(error)
    assert time.monotonic() - began < 1.1


def test_heartbeats_are_a_sign_of_life(reader: Reader, serve: Any) -> None:
    beats = [b": heartbeat\n\n"] * 5
    server = serve(steps(OPEN + tick(1), *beats, tick(2) + b"event: end\n\n", pause=0.15))
    # Longer than the silence that is borne, and than the connection's own time-out.
    came, error = reader.read(server.url, replace(EVENTS, silence=0.6), timeout=0.1)
    assert error is None
    assert figures(came) == [1, None, None, None, None, None, 2]


def test_the_silence_that_is_borne_is_three_heartbeats() -> None:
    assert EVENTS.silence == 45


def test_what_cannot_be_read_is_a_sign_of_life_as_well(reader: Reader, serve: Any) -> None:
    odd = b'data: no json\n\ndata: [1]\n\ndata: {"status": {}}\n\n' + b"data: " + b"[" * 100_000 + b"\n\n"
    came, error = reader.read(serve(raw(OPEN + odd + tick(3) + b"event: end\ndata: bye\n\n", close=True)).url)
    assert error is None
    assert figures(came) == [None, None, None, None, 3]


def test_ten_thousand_events(reader: Reader, serve: Any) -> None:
    came, error = reader.read(serve(raw(chunked(*map(tick, range(10_000)), b"event: end\n\n"))).url)
    assert error is None
    assert figures(came) == list(range(10_000))


def test_a_stream_can_be_left(reader: Reader, serve: Any) -> None:
    came, error = reader.read(serve(raw(chunked(tick(1), tick(2), tick(3), end=False))).url, most=2)
    assert (figures(came), error) == ([1, 2], None)


@pytest.mark.parametrize("content_type", ["text/html", "application/json", ""])
def test_what_is_no_stream_is_not_taken_for_one(reader: Reader, serve: Any, content_type: str) -> None:
    server = serve(answer(200, b"<h1>data: 1\n\n</h1>", headers={"content-type": content_type}))
    came, error = reader.read(server.url)
    assert (came, type(error)) == ([], UnexpectedAnswerError)


def test_a_stream_that_cannot_be_had_is_asked_for_again(reader: Reader, serve: Any, naps: list[float]) -> None:
    end = raw(chunked(tick(1), b"event: end\n\n"))
    server = serve(answer(503), answer(401), hang_up(), end)
    came, error = reader.read(server.url, retries=2)
    assert (figures(came), error) == ([1], None)
    assert len(naps) == 2
    assert [received.headers["authorization"][7:] for received in server.requests] == [
        TOKEN,
        TOKEN,
        NEW_TOKEN,
        NEW_TOKEN,
    ]

    came, error = reader.read(serve(answer(401)).url)
    assert type(error) is AuthenticationError
    assert TOKEN not in whole_text(error)


def test_more_streams_than_there_is_room_for(serve: Any) -> None:
    server = serve(raw(chunked(tick(1), end=False)))
    how = settings(server.url, limits=LIMITS)
    limits._limiters.clear()
    with closing(Session(how, reload_token=lambda: TOKEN)) as session:
        with session.events(EVENTS) as first, session.events(EVENTS) as second:
            assert (next(first), next(second)) != (None, None)
            with pytest.raises(ServiceUnavailableError, match=r"2 of 4.*Nothing was sent"), session.events(EVENTS):
                pass
            assert len(server.requests) == 2  # not asked for, and not asked for again
        with session.events(EVENTS) as third:
            assert next(third) is not None
    limits._limiters.clear()


def test_two_hundred_slow_readers_on_one_loop(serve: Any) -> None:
    """Each reads on when it likes; nobody holds up the others, and what is not read yet stays with the server."""
    server = serve(raw(chunked(*map(tick, range(50)), b"event: end\n\n")))
    wide = replace(LIMITS, in_flight=400)

    async def reload() -> str:
        return TOKEN

    async def one(session: AsyncSession) -> int:
        count = 0
        async with session.events(EVENTS) as events:
            async for _ in events:
                count += 1
                if count % 10 == 0:
                    await asyncio.sleep(0.01)
        return count

    async def talk() -> list[int]:
        sessions = [AsyncSession(settings(server.url, limits=wide), reload_token=reload) for _ in range(10)]
        try:
            return await asyncio.gather(*(one(sessions[number % 10]) for number in range(200)))
        finally:
            for session in sessions:
                await session.close()

    assert asyncio.run(talk()) == [50] * 200
    limits._limiters.clear()
