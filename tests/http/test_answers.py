"""What an answer, or none, means: for reads, for writes, and for creates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    UnclearOutcomeError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.services.graine import requests
from airflow_provider_graine.services.graine.received import Batch
from airflow_provider_graine.services.request import Request
from tests.http.scripted import ScriptedServer, answer, hang_up, raw, reset, silence, trickle
from tests.http.talking import (
    BATCH,
    CREATE,
    NUMBER,
    PAUSE,
    READ,
    TOKEN,
    Blocking,
    settings,
    whole_text,
)

SECRET_BODY = {"detail": f"no credit for {NUMBER} of Ann, token {TOKEN}"}


def failure(talk: Any, url: str, request: Request[Any], **fields: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        talk.send(settings(url, **{"retries": 0, **fields}), request)
    assert NUMBER not in whole_text(caught.value)
    assert TOKEN not in whole_text(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRejectedError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, NotFoundError),
        (408, ServiceUnavailableError),
        (409, RequestRejectedError),
        (422, RequestRejectedError),
        (429, ServiceUnavailableError),
        (500, ServiceUnavailableError),
        (503, ServiceUnavailableError),
        (599, ServiceUnavailableError),
        (300, UnexpectedAnswerError),
        (304, UnexpectedAnswerError),
        (204, UnexpectedAnswerError),
        (999, ServiceUnavailableError),
    ],
)
def test_status_of_a_read(talk: Any, serve: Any, status: int, kind: type[ServiceError]) -> None:
    server = serve(answer(status, b"" if status in {204, 304} else SECRET_BODY))
    error = failure(talk, server.url, READ)
    assert type(error) is kind
    assert error.status_code == status
    assert "read batch btc_1" in str(error)


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_create_counts_as_refused_with_the_documented_statuses_only(talk: Any, serve: Any, status: int) -> None:
    error = failure(talk, serve(answer(status, SECRET_BODY)).url, CREATE)
    assert not isinstance(error, UnclearOutcomeError)
    assert error.status_code == status


@pytest.mark.parametrize("status", [201, 202, 204, 302, 307, 403, 405, 408, 409, 413, 422, 425, 429, 500, 502, 504])
def test_any_other_answer_to_a_create_is_unclear_and_never_repeated(talk: Any, serve: Any, status: int) -> None:
    headers = {"location": "/api/v1/batches"} if status in {302, 307} else {"retry-after": "0"}
    server = serve(answer(status, b"" if status == 204 else SECRET_BODY, headers=headers))
    error = failure(talk, server.url, CREATE, retries=3)
    assert type(error) is UnclearOutcomeError
    assert error.status_code == status
    assert len(server.requests) == 1


def test_another_write_is_refused_with_any_status_that_says_so(talk: Any, serve: Any) -> None:
    assert type(failure(talk, serve(answer(409, SECRET_BODY)).url, PAUSE)) is RequestRejectedError
    assert type(failure(talk, serve(answer(503)).url, PAUSE)) is UnclearOutcomeError


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"btc_1"',
        b'{"status": "in_progress", "total_contacts": 1}',
        b'{"batch_id": null}',
        b'{"batch_id": ""}',
        b'{"batch_id": {"id": "btc_1"}}',
        b'{"batch_id": "btc_1", "total_contacts": 1' + b"0" * 5000 + b"}",
        b'{"batch_id": "btc_1", "total_contacts": 1e999}',
        b"\xff\xfe{}",
        b"<!doctype html><h1>Please sign in</h1>",
        b"[" * 100_000,
        b'{"batch_id": "btc_1"',
    ],
)
def test_success_without_the_documented_answer_leaves_a_create_unclear(talk: Any, serve: Any, body: bytes) -> None:
    server = serve(answer(200, body))
    error = failure(talk, server.url, CREATE, retries=3)
    assert type(error) is UnclearOutcomeError
    assert error.status_code == 200
    assert type(failure(talk, server.url, READ)) is UnexpectedAnswerError


def test_a_created_batch_is_read_tolerantly(talk: Any, serve: Any) -> None:
    body = {"batch_id": "btc_1", "status": None, "total_contacts": 2**70, "counters": None, "new": {"field": [1]}}
    batch = talk.send(settings(serve(answer(200, body)).url), CREATE)
    assert (batch.batch_id, batch.status, batch.total_contacts) == ("btc_1", "unknown", 2**70)
    assert batch.model_extra == {"new": {"field": [1]}}


@pytest.mark.parametrize("sent", [answer(204), answer(200), answer(200, b"null"), answer(200, {"message": "done"})])
def test_an_answer_that_says_little_is_enough_for_changes_and_deletes(talk: Any, serve: Any, sent: Any) -> None:
    url = serve(sent).url
    assert talk.send(settings(url), PAUSE).status is None
    assert talk.send(settings(url), requests.delete_campaign("cmp_1")) is None


def test_a_sign_in_page_is_no_success_for_any_write(talk: Any, serve: Any) -> None:
    url = serve(answer(200, b"<h1>Please sign in</h1>", headers={"content-type": "text/html"})).url
    for request in (CREATE, PAUSE, requests.delete_campaign("cmp_1")):
        error = failure(talk, url, request)
        assert type(error) is UnclearOutcomeError
        assert "text/html" in str(error)


@pytest.mark.parametrize("detail", sorted(requests.DOCUMENTED_ERRORS))
def test_documented_sentences_are_quoted(talk: Any, serve: Any, detail: str) -> None:
    assert f'("{detail}")' in str(failure(talk, serve(answer(404, {"detail": detail})).url, READ))


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"null", b"[1]", b"\xff", b'{"detail": [{"msg": "Batch not found"}]}', b'{"detail": null}']
)
def test_other_error_bodies_are_not(talk: Any, serve: Any, body: bytes) -> None:
    assert '"' not in str(failure(talk, serve(answer(404, body)).url, READ))


BROKEN = {
    "dropped": hang_up(),
    "reset": reset(),
    "torn": hang_up(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"batch_id": "btc_'),
    "reset in the body": reset(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"batch_id": "btc_'),
    "torn chunks": hang_up(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"bat\r\n'),
    "no HTTP": hang_up(f"go away {NUMBER} {TOKEN}\r\n\r\n".encode()),
    "no gzip": raw(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"),
    "silent": silence(0.5),
    "bad location": raw(
        b"HTTP/1.1 307 No\r\nlocation: https://[::1/" + TOKEN.encode() + b"\r\ncontent-length: 0\r\n\r\n"
    ),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_without_a_whole_answer_a_read_is_repeated_and_a_write_is_not(talk: Any, serve: Any, how: str) -> None:
    server = serve(BROKEN[how], BROKEN[how], answer(200, BATCH))
    assert talk.send(settings(server.url, timeout=0.2), READ).batch_id == "btc_1"
    assert len(server.requests) == 3

    for request in (CREATE, PAUSE, requests.delete_campaign("cmp_1")):
        server = serve(BROKEN[how], answer(200, BATCH))
        error = failure(talk, server.url, request, retries=3, timeout=0.2)
        assert type(error) is UnclearOutcomeError
        assert len(server.requests) == 1


def test_the_timeout_is_for_a_time_without_progress(talk: Any, serve: Any) -> None:
    whole = b'HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{"batch_id": "btc_1"}'
    server = serve(trickle(whole, pause=0.005))
    assert talk.send(settings(server.url, timeout=0.2, retries=0), READ).batch_id == "btc_1"


def test_an_id_that_makes_no_address_is_the_authors_mistake(talk: Any, serve: Any) -> None:
    server = serve(answer(200, []))
    for request in (requests.get_batch("x" * 70_000), requests.list_batches(campaign_id="\ud800")):
        with pytest.raises(ConfigurationError, match="Nothing was sent"):
            talk.send(settings(server.url), request)
    assert not server.requests


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BATCH_LIKE = st.fixed_dictionaries(
    {}, optional={name: JSON for name in ("batch_id", "status", "total_contacts", "counters", "metadata", "detail")}
)
CANARY = "+14155559999"
BODIES = st.one_of(
    st.binary(max_size=64),
    BATCH_LIKE.map(lambda document: json.dumps({**document, "canary": CANARY}).encode()),
    st.just(json.dumps({"batch_id": "btc_1", "canary": CANARY}).encode()),
    JSON.map(lambda document: json.dumps(document).encode()),
).map(lambda body: body + b" " if CANARY.encode() in body else body)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "location", "content-type", "content-encoding", "www-authenticate"]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30)
    | st.sampled_from(["²", "Mon, 01 Jan 2024 00:00:00 -0000", "Fri, 31 Dec 9999 23:59:59 -2359", "9" * 400, "gzip"]),
    max_size=3,
)


@pytest.fixture(scope="module")
def hostile() -> Any:
    with ScriptedServer([answer()]) as server:
        yield server


@hypothesis_settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(status=st.integers(200, 999), body=BODIES, headers=HEADERS)
def test_whatever_is_answered_a_create_gives_a_batch_or_one_of_our_errors(
    hostile: ScriptedServer, status: int, body: bytes, headers: dict[str, str]
) -> None:
    hostile.script = [answer(status, b"" if status in {204, 304} else body, headers=headers, close=True)]
    hostile.requests.clear()
    outcome: Any = None
    try:
        outcome = Blocking().send(settings(hostile.url), CREATE)
    except ServiceError as error:
        outcome = error
    assert len(hostile.requests) == 1
    if isinstance(outcome, ServiceError):
        said = whole_text(outcome)
        assert CANARY not in said
        assert not body.strip()[12:] or body.decode("latin-1").strip() not in said
        assert isinstance(outcome, UnclearOutcomeError) or status in {400, 401, 404}
    else:
        assert isinstance(outcome, Batch)
        assert outcome.batch_id
        assert 200 <= status < 300
