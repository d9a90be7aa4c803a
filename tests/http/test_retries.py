"""What is repeated, how often, and after how long."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_graine import http
from airflow_provider_graine.exceptions import ServiceUnavailableError, UnclearOutcomeError
from airflow_provider_graine.services.limits import LONGEST_PAUSE
from tests.http.scripted import ScriptedServer, answer, hang_up
from tests.http.talking import BATCH, CREATE, EXPORT, PAUSE, READ, settings


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_read_is_repeated_until_it_is_answered(talk: Any, serve: Any, naps: list[float], status: int) -> None:
    server = serve(answer(status), answer(status), answer(200, BATCH))
    assert talk.send(settings(server.url), READ).batch_id == "btc_1"
    assert len(server.requests) == 3
    assert len(naps) == 2


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_it_is_repeated_as_often_as_the_connection_says(talk: Any, serve: Any, naps: list[float], retries: int) -> None:
    server = serve(answer(503))
    with pytest.raises(ServiceUnavailableError) as caught:
        talk.send(settings(server.url, retries=retries), READ)
    assert caught.value.status_code == 503
    assert len(server.requests) == retries + 1
    assert len(naps) == retries


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refused_read_is_not_repeated(talk: Any, serve: Any, naps: list[float], status: int) -> None:
    server = serve(answer(status))
    with pytest.raises(Exception, match=f"HTTP {status}"):
        talk.send(settings(server.url), READ)
    assert len(server.requests) == 1
    assert naps == []


def test_retry_after_in_seconds_is_obeyed(talk: Any, serve: Any, naps: list[float], no_jitter: None) -> None:
    server = serve(answer(429, headers={"retry-after": "7"}), answer(503), answer(200, BATCH))
    talk.send(settings(server.url), READ)
    assert naps == [7.25, 0.25]


def test_retry_after_as_a_date_is_obeyed(talk: Any, serve: Any, naps: list[float], no_jitter: None) -> None:
    then = datetime.now(UTC) + timedelta(seconds=60)
    past = format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)
    server = serve(
        answer(503, headers={"retry-after": format_datetime(then, usegmt=True)}),
        answer(503, headers={"retry-after": format_datetime(then.replace(tzinfo=None))}),  # "-0000"
        answer(503, headers={"retry-after": past}),
        answer(200, BATCH),
    )
    talk.send(settings(server.url), READ)
    assert naps[:2] == pytest.approx([60, 60], abs=5)
    assert naps[2] == 0.25


@pytest.mark.parametrize("value", ["²", "soon", "-5", "1.5", "Fri, 99 Dec 2026 00:00:00 GMT", ""])
def test_a_retry_after_that_says_nothing_is_ignored(
    talk: Any, serve: Any, naps: list[float], no_jitter: None, value: str
) -> None:
    server = serve(answer(503, headers={"retry-after": value}), answer(200, BATCH))
    talk.send(settings(server.url), READ)
    assert naps == [0.25]


@pytest.mark.parametrize("value", ["121", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_long_retry_after_is_left_to_the_caller(talk: Any, serve: Any, naps: list[float], value: str) -> None:
    server = serve(answer(503, headers={"retry-after": value}))
    with pytest.raises(ServiceUnavailableError) as caught:
        talk.send(settings(server.url), READ)
    assert caught.value.retry_after > LONGEST_PAUSE
    assert len(server.requests) == 1
    assert naps == []


def test_waits_grow_and_differ(talk: Any, serve: Any, naps: list[float]) -> None:
    server = serve(answer(503))
    for _ in range(3):
        with pytest.raises(ServiceUnavailableError):
            talk.send(settings(server.url, retries=8), READ)
    assert len(naps) == 24
    assert len(set(naps)) > 20
    assert all(0 <= nap <= 30 for nap in naps)
    assert all(nap <= 0.5 for nap in naps[::8])


@pytest.mark.parametrize("request_", [READ, CREATE, PAUSE], ids=["read", "create", "change"])
def test_what_could_not_be_sent_is_sent_again(talk: Any, monkeypatch: pytest.MonkeyPatch, request_: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = ScriptedServer([answer(200, BATCH)])
    create_server = socket.create_server

    def comes_up_late(*_: Any) -> float:
        if not hasattr(server, "port"):
            monkeypatch.setattr(socket, "create_server", lambda _: create_server(("127.0.0.1", port)))
            server.__enter__()
        return 0.0

    monkeypatch.setattr(http, "_backoff", comes_up_late)
    try:
        talk.send(settings(f"http://127.0.0.1:{port}/api/v1"), request_)
        assert len(server.requests) == 1
    finally:
        server.__exit__()


@pytest.mark.parametrize("request_", [READ, CREATE, PAUSE], ids=["read", "create", "change"])
def test_nobody_listening(talk: Any, naps: list[float], request_: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ServiceUnavailableError, match="nothing was sent") as caught:
        talk.send(settings(f"http://127.0.0.1:{port}/api/v1", retries=2), request_)
    assert caught.value.status_code is None
    assert len(naps) == 2


def test_a_proxy_that_lets_nobody_through(talk: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(answer(403, b"blocked", close=True))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(ServiceUnavailableError, match="nothing was sent"):
        talk.send(settings("https://calls.invalid/api/v1", retries=1), CREATE)
    assert [received.method for received in proxy.requests] == ["CONNECT", "CONNECT"]
    assert all("authorization" not in received.headers for received in proxy.requests)


def test_what_stays_on_this_machine_goes_through_no_proxy(
    talk: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(answer(502)), serve(answer(200, BATCH))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    talk.send(settings(server.url, retries=0), READ)
    assert len(server.requests) == 1
    assert not proxy.requests


def test_connections_are_kept(talk: Any, serve: Any) -> None:
    server = serve(answer(200, BATCH))
    talk.send(settings(server.url), READ, CREATE, PAUSE, READ)
    assert [received.connection for received in server.requests] == [1, 1, 1, 1]


def test_a_connection_the_server_has_closed_is_not_used_for_a_write(talk: Any, serve: Any) -> None:
    server = serve(answer(200, BATCH, close=True))
    talk.send(settings(server.url), CREATE, 0.1, CREATE, 0.1, CREATE)
    assert [received.connection for received in server.requests] == [1, 2, 3]


def test_a_kept_connection_that_dies_under_a_write_leaves_it_unclear(talk: Any, serve: Any) -> None:
    server = serve(answer(200, BATCH), hang_up(), answer(200, BATCH))
    with pytest.raises(UnclearOutcomeError):
        talk.send(settings(server.url), READ, CREATE)
    assert [received.method for received in server.requests] == ["GET", "POST"]


def test_a_download_is_opened_again_but_not_resumed(talk: Any, serve: Any) -> None:
    csv = b"contact_id,status\r\n" * 40_000
    server = serve(answer(503), answer(200, csv, headers={"content-type": "text/csv"}))
    assert talk.download(settings(server.url), EXPORT) == (len(csv), csv)
    assert server.requests[0].headers["accept"] == "text/csv"

    torn = serve(hang_up(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 500))
    with pytest.raises(ServiceUnavailableError, match="download the results of batch btc_1"):
        talk.download(settings(torn.url), EXPORT)
    assert len(torn.requests) == 1


def test_a_download_comes_in_blocks_and_can_be_left(talk: Any, serve: Any) -> None:
    server = serve(answer(200, b"x" * 3_000_000))
    length, read = talk.download(settings(server.url), EXPORT, blocks=1)
    assert length == 3_000_000
    assert 0 < len(read) <= 512 * 1024


def test_the_length_of_a_packed_download_is_not_known(talk: Any, serve: Any) -> None:
    import gzip

    server = serve(answer(200, gzip.compress(b"a,b\r\n"), headers={"content-encoding": "gzip"}))
    assert talk.download(settings(server.url), EXPORT) == (None, b"a,b\r\n")


def test_answers_that_are_not_read_give_their_connection_back(talk: Any, serve: Any) -> None:
    # More of them than connections that may be open.
    busy = [answer(503, b"x" * 1000)] * 25
    assert talk.download(settings(serve(*busy, answer(200, b"a,b")).url, retries=25, timeout=1.0), EXPORT)[1] == b"a,b"

    there = answer(307, b"x" * 1000, headers={"location": "/api/v1/there"})
    server = serve(*[there, answer(503)] * 25, answer(200, b"a,b"))
    assert talk.download(settings(server.url, retries=25, timeout=1.0), EXPORT)[1] == b"a,b"
    assert len(server.requests) == 51
