"""A download that breaks off is read on only where the server says that it can, and that it still is the same file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    NotFoundError,
    ServiceUnavailableError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.http import Session
from airflow_provider_graine.services.ranges import Resumable
from tests.http.scripted import Step, answer, hang_up, raw, reset
from tests.http.talking import EXPORT, TOKEN, settings

WHOLE = random.Random(7).randbytes(1_000_000)
ETAG = '"v1"'
OFFER = {"accept-ranges": "bytes", "etag": ETAG}


def head(status: int = 200, **fields: Any) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status} Answer", *lines, "", ""]).encode("latin-1")


def torn(end: int = 600_000, *, how: Callable[[bytes], Step] = hang_up, **changed: Any) -> Step:
    fields = {"content_length": len(WHOLE), "accept_ranges": "bytes", "etag": ETAG, **changed}
    return how(head(**fields) + WHOLE[:end])


def rest(start: int, end: int = len(WHOLE), *, how: Callable[[bytes], Step] = raw, **changed: Any) -> Step:
    fields = {
        "content_length": len(WHOLE) - start,
        "content_range": f"bytes {start}-{len(WHOLE) - 1}/{len(WHOLE)}",
        "etag": ETAG,
        **changed,
    }
    return how(head(206, **fields) + WHOLE[start:end])


def asked(server: Any) -> list[str | None]:
    return [request.headers.get("range") for request in server.requests]


@pytest.mark.parametrize("how", [hang_up, reset])
def test_a_torn_download_is_read_on_where_it_broke(talk: Any, serve: Any, how: Any) -> None:
    server = serve(torn(how=how), rest(600_000, 600_001, how=how), rest(600_001))

    assert talk.download(settings(server.url), EXPORT) == (len(WHOLE), WHOLE)
    assert asked(server) == [None, "bytes=600000-", "bytes=600001-"]
    for request in server.requests[1:]:
        assert request.headers["if-range"] == ETAG
        assert request.headers["accept-encoding"] == "identity"
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["accept"] == "text/csv"


def test_an_answer_between_that_says_to_come_back_is_waited_out(talk: Any, serve: Any) -> None:
    server = serve(torn(), answer(503), rest(600_000))
    assert talk.download(settings(server.url), EXPORT) == (len(WHOLE), WHOLE)


@pytest.mark.parametrize(
    "first",
    [
        {"accept_ranges": None},
        {"accept_ranges": "none"},
        {"etag": None},
        {"etag": 'W/"v1"'},
        {"etag": "v1"},
        {"content_encoding": "identity"},
    ],
    ids=str,
)
def test_what_was_not_offered_is_not_asked_for(talk: Any, serve: Any, first: dict[str, Any]) -> None:
    server = serve(torn(**first), rest(600_000))
    with pytest.raises(ServiceUnavailableError, match="connection broke"):
        talk.download(settings(server.url), EXPORT)
    assert asked(server) == [None]


def test_without_a_length_nothing_is_read_on(talk: Any, serve: Any) -> None:
    chunked = head(transfer_encoding="chunked", accept_ranges="bytes", etag=ETAG) + b"3e8\r\n" + WHOLE[:1000] + b"\r\n"
    server = serve(hang_up(chunked), rest(1000))
    with pytest.raises(ServiceUnavailableError, match="connection broke"):
        talk.download(settings(server.url), EXPORT)
    assert asked(server) == [None]


@pytest.mark.parametrize(
    "second",
    [
        answer(200, WHOLE, headers=OFFER | {"etag": '"v2"'}),
        answer(200, WHOLE),
        answer(416),
        answer(400),
        rest(600_000, etag='"v2"'),
        rest(600_000, etag=None),
        rest(600_000, content_range=None),
        rest(600_000, content_range=f"bytes 599999-{len(WHOLE) - 1}/{len(WHOLE)}"),
        rest(600_000, content_range=f"bytes 600000-{len(WHOLE) - 2}/{len(WHOLE)}"),
        rest(600_000, content_range=f"bytes 600000-{len(WHOLE) - 1}/{len(WHOLE) + 1}"),
        rest(600_000, content_range=f"bytes 600000-{len(WHOLE) - 1}/*"),
        rest(600_000, content_encoding="gzip"),
    ],
    ids=[
        "another file",
        "ranges are ignored",
        "no such range",
        "a range is no request",
        "the rest of another file",
        "the rest of no known file",
        "the rest from nowhere",
        "another rest",
        "less than the rest",
        "the rest of a longer file",
        "the rest of who knows what",
        "the rest of a packed file",
    ],
)
def test_any_doubt_ends_the_download(talk: Any, serve: Any, second: Step) -> None:
    server = serve(torn(), second)
    with pytest.raises(ServiceUnavailableError, match="connection broke"):
        talk.download(settings(server.url), EXPORT)
    assert asked(server) == [None, "bytes=600000-"]


def test_a_rest_of_other_length_than_it_says_is_no_whole(talk: Any, serve: Any) -> None:
    part = b"5\r\n" + WHOLE[600_000:600_005] + b"\r\n0\r\n\r\n"
    short = raw(
        head(
            206,
            transfer_encoding="chunked",
            content_range=f"bytes 600000-{len(WHOLE) - 1}/{len(WHOLE)}",
            etag=ETAG,
        )
        + part
    )
    assert talk.download(settings(serve(torn(), short, rest(600_005)).url), EXPORT)[1] == WHOLE

    long = raw(
        head(206, transfer_encoding="chunked", content_range=f"bytes 600000-{len(WHOLE) - 1}/{len(WHOLE)}", etag=ETAG)
        + f"{400_001:x}\r\n".encode()
        + WHOLE[600_000:]
        + b"x\r\n0\r\n\r\n"
    )
    with pytest.raises(ServiceUnavailableError, match="connection broke"):
        talk.download(settings(serve(torn(), long).url), EXPORT)


def test_a_server_that_brings_nothing_more_is_given_up(talk: Any, serve: Any) -> None:
    server = serve(torn(), rest(600_000, 600_000, how=hang_up))
    with pytest.raises(ServiceUnavailableError, match="connection broke"):
        talk.download(settings(server.url), EXPORT)
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (404, NotFoundError)])
def test_a_refusal_meanwhile_is_told_as_it_is(talk: Any, serve: Any, status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        talk.download(settings(serve(torn(), answer(status)).url), EXPORT)


@pytest.mark.parametrize("status", [204, 206])
def test_a_part_that_nobody_asked_for_is_no_whole(talk: Any, serve: Any, status: int) -> None:
    step = rest(600_000) if status == 206 else raw(head(204))
    with pytest.raises(UnexpectedAnswerError, match=str(status)):
        talk.download(settings(serve(step).url), EXPORT)


def test_every_connection_is_given_back(serve: Any) -> None:
    changed = answer(200, WHOLE)
    server = serve(*[torn(), changed] * 25, answer(200, WHOLE))
    with closing(Session(settings(server.url, timeout=1.0), reload_token=lambda: TOKEN)) as session:
        for _ in range(25):
            with suppress(ServiceUnavailableError), session.stream(EXPORT) as download:
                exhaust(download.blocks)
        with session.stream(EXPORT) as download:
            assert b"".join(download.blocks) == WHOLE


def exhaust(blocks: Iterator[bytes]) -> None:
    for _ in blocks:
        pass


def test_names_of_headers_are_read_in_any_spelling() -> None:
    assert Resumable.offered({"accept-ranges": "Bytes", "etag": ETAG, "content-length": "10"}) == Resumable(ETAG, 10)
    assert Resumable.offered({"accept-ranges": "bytes", "etag": ETAG, "content-length": "-1"}) is None
