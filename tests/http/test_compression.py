"""Compressed bodies: only where the connection says so, packed once, and a service that does not take them."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from airflow_provider_graine.exceptions import RequestRejectedError, UnclearOutcomeError
from airflow_provider_graine.services.graine import requests
from tests.http.scripted import answer
from tests.http.talking import BATCH, CREATE, NEW_TOKEN, PAUSE, READ, settings

LONG = requests.create_batch(
    campaign_id="cmp_1", contacts=[{"phone_number": f"+1415555{number:04}"} for number in range(100)]
)


def test_nothing_is_compressed_by_default(talk: Any, serve: Any) -> None:
    server = serve(answer(200, BATCH))
    talk.send(settings(server.url), LONG)
    (request,) = server.requests
    assert "content-encoding" not in request.headers
    assert request.body == LONG.body


def test_long_bodies_are_compressed_where_the_connection_says_so(talk: Any, serve: Any) -> None:
    server = serve(answer(200, BATCH), answer(200, BATCH), answer(200, BATCH), answer(200, BATCH))
    talk.send(settings(server.url, compress_requests=True), LONG, CREATE, PAUSE, READ)
    long, *others = server.requests
    assert long.headers["content-encoding"] == "gzip"
    assert long.headers["content-type"] == "application/json"
    assert gzip.decompress(long.body) == LONG.body
    assert len(long.body) < len(LONG.body or b"") / 2
    assert not any("content-encoding" in request.headers for request in others)


def test_a_body_is_compressed_once_however_often_it_is_sent(
    talk: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = []
    compress = gzip.compress
    monkeypatch.setattr(gzip, "compress", lambda *args, **kwargs: packed.append(args) or compress(*args, **kwargs))
    server = serve(answer(401), answer(200, BATCH))
    talk.send(settings(server.url, compress_requests=True), LONG, reload=lambda: NEW_TOKEN)
    assert [gzip.decompress(request.body) for request in server.requests] == [LONG.body] * 2
    assert len(packed) == 1


def test_a_service_that_takes_no_compressed_bodies_has_created_nothing(talk: Any, serve: Any) -> None:
    server = serve(answer(415, {"detail": "Unsupported media type"}))
    with pytest.raises(RequestRejectedError) as caught:
        talk.send(settings(server.url, compress_requests=True), LONG)
    assert "Nothing was created or changed; turn compress_requests off" in str(caught.value)
    assert caught.value.status_code == 415


def test_the_same_status_for_a_plain_body_is_not_clear(talk: Any, serve: Any) -> None:
    """It is not documented for a create; only where it was compressed there is a reason for it."""
    server = serve(answer(415), answer(415))
    with pytest.raises(UnclearOutcomeError):
        talk.send(settings(server.url), LONG)
    with pytest.raises(UnclearOutcomeError):
        talk.send(settings(server.url, compress_requests=True), CREATE)
