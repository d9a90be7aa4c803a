"""What Kataven's answers mean: plain-text errors, a 404 from beside the API, and a limiter that turns requests away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    NotFoundError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    UnclearOutcomeError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.http import Session
from airflow_provider_graine.services import limits
from airflow_provider_graine.services.kataven import requests
from airflow_provider_graine.services.kataven.connection import read_connection
from airflow_provider_graine.services.settings import ServiceSettings
from tests.http.scripted import answer, hang_up
from tests.http.talking import NUMBER, OnLoop, whole_text

TOKEN = "sk_live_acme_0123456789"
PEOPLE = [{"phone_number": NUMBER, "custom_fields": {"first_name": "Ann"}}]

READ = requests.get_campaign("c1")
LIST = requests.list_campaign_contacts("c1")
CREATE = requests.create_campaign(name="One", agent_id="a1", phone_number_id="p1", contacts=PEOPLE)
START = requests.start_campaign("c1")
RESUME = requests.resume_campaign("c1")
STOP = requests.stop_campaign("c1")
CAMPAIGN = {"id": "c1", "status": "draft"}
LIMITER_SAYS = b"rate_limited: per-minute (60) exceeded"


@pytest.fixture(autouse=True)
def nothing_used_up() -> Iterator[None]:
    limits._limiters.clear()
    yield
    limits._limiters.clear()


def settings(url: str, **extra: Any) -> ServiceSettings:
    return read_connection(host=url, schema=None, port=None, password=TOKEN, extra={"timeout": 5, **extra})


def said(text: str | bytes, status: int, **headers: str) -> Any:
    content = text if isinstance(text, bytes) else text.encode()
    return answer(status, content, headers={"content-type": "text/plain", **headers})


def failure(talk: Any, url: str, request: Any, **extra: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        talk.send(settings(url, **{"retries": 0, **extra}), request)
    assert NUMBER not in whole_text(caught.value)
    assert TOKEN not in whole_text(caught.value)
    return caught.value


# -- plain text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        (READ, 400, RequestRejectedError),
        (READ, 401, AuthenticationError),
        (READ, 403, AuthenticationError),
        (READ, 409, RequestRejectedError),
        (READ, 429, ServiceUnavailableError),
        (READ, 500, ServiceUnavailableError),
        (CREATE, 400, RequestRejectedError),
        (CREATE, 401, AuthenticationError),
        (CREATE, 403, AuthenticationError),
        (CREATE, 409, RequestRejectedError),
        (CREATE, 413, UnclearOutcomeError),
        (CREATE, 429, UnclearOutcomeError),
        (CREATE, 500, UnclearOutcomeError),
        (START, 400, RequestRejectedError),
        (START, 409, RequestRejectedError),
        (START, 429, UnclearOutcomeError),
        (START, 500, UnclearOutcomeError),
    ],
)
def test_an_error_in_plain_text_is_not_repeated_in_the_message(
    talk: Any, serve: Any, request_: Any, status: int, kind: type[ServiceError]
) -> None:
    error = failure(talk, serve(said(f"row 3: {NUMBER} of Ann; {TOKEN}", status)).url, request_)
    assert type(error) is kind
    assert error.status_code == status
    assert "Ann" not in whole_text(error)


@pytest.mark.parametrize("body", [b"Invalid form / CSV", b"Invalid form / CSV\n", b'"Invalid form / CSV"'])
def test_what_the_documentation_says_as_well_is_quoted(talk: Any, serve: Any, body: bytes) -> None:
    assert 'HTTP 400 ("Invalid form / CSV")' in str(failure(talk, serve(said(body, 400)).url, CREATE))


def test_403_names_the_account(talk: Any, serve: Any) -> None:
    assert "check the account the token" in str(failure(talk, serve(said("no", 403)).url, READ))


# -- 404 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Campaign not found", "campaign c1 not found.", '"Campaign not found"'])
@pytest.mark.parametrize("request_", [READ, LIST, START], ids=["read", "list", "start"])
def test_an_object_the_service_does_not_know(talk: Any, serve: Any, request_: Any, text: str) -> None:
    error = failure(talk, serve(said(text, 404)).url, request_)
    assert type(error) is NotFoundError
    assert "check the id, the account the token belongs to" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "404 page not found",
        "Not Found",
        "<html><h1>Not Found</h1></html>",
        '{"detail": "Not Found"}',
        "no route: GET /v1/campaigns/c1 was not found",
        "<html>\n<p>The campaign not found here</p>\n</html>",
        "x" * 200 + "campaign not found",
    ],
)
@pytest.mark.parametrize("request_", [READ, LIST, START, CREATE], ids=["read", "list", "start", "create"])
def test_a_wrong_path_is_no_campaign_that_is_gone(talk: Any, serve: Any, request_: Any, text: str) -> None:
    error = failure(talk, serve(said(text, 404)).url, request_)
    assert type(error) is UnexpectedAnswerError
    assert error.status_code == 404
    assert "check the connection's host and its path" in str(error)


# -- success -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"ok", b"null", b"[]", b'"started"', b"{", b'{"message": "started"}'])
@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_change_that_succeeded_has_succeeded_whatever_is_answered(
    talk: Any, serve: Any, body: bytes, status: int
) -> None:
    body = b"" if status == 204 else body
    changed = talk.send(settings(serve(said(body, status)).url), START)
    assert (changed.campaign_id, changed.status) == (None, None)
    assert talk.send(settings(serve(said(body, status)).url), requests.delete_campaign("c1")) is None


def test_a_change_that_answers_with_the_campaign(talk: Any, serve: Any) -> None:
    changed = talk.send(settings(serve(answer(200, {"id": "c1", "status": "RUNNING"})).url), START)
    assert (changed.campaign_id, changed.status) == ("c1", "running")


@pytest.mark.parametrize("body", [b"", b"created", b"{}", b'{"status": "draft"}', b'{"id": ""}'])
def test_a_create_that_names_no_campaign_is_unclear(talk: Any, serve: Any, body: bytes) -> None:
    assert type(failure(talk, serve(said(body, 201)).url, CREATE)) is UnclearOutcomeError


def test_a_create_whose_connection_broke_is_unclear_and_not_repeated(talk: Any, serve: Any) -> None:
    server = serve(hang_up())
    assert type(failure(talk, server.url, CREATE, retries=3)) is UnclearOutcomeError
    assert len(server.requests) == 1


# -- 429 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [READ, CREATE, STOP], ids=["read", "create", "stop"])
def test_what_the_limiter_turned_away_was_not_carried_out_and_is_sent_again(
    talk: Any, serve: Any, naps: list[float], request_: Any
) -> None:
    server = serve(said(LIMITER_SAYS, 429, **{"retry-after": "1"}), answer(201, CAMPAIGN))
    began = time.monotonic()
    assert talk.send(settings(server.url), request_).campaign_id == "c1"
    assert len(server.requests) == 2
    assert server.requests[0].body.count(b"first_name") == server.requests[1].body.count(b"first_name")
    assert naps[0] >= 1
    assert 1 <= time.monotonic() - began < 3  # naps are not waited here: the limiter has waited


@pytest.mark.parametrize("request_", [START, RESUME], ids=["start", "resume"])
def test_what_would_call_people_is_not_sent_again(talk: Any, serve: Any, naps: list[float], request_: Any) -> None:
    server = serve(said(LIMITER_SAYS, 429, **{"retry-after": "1"}))
    error = failure(talk, server.url, request_, retries=3)
    assert (type(error), error.retry_after) == (UnclearOutcomeError, 1)
    assert len(server.requests) == 1
    assert naps == []


def test_it_is_given_up_after_three_more_times(talk: Any, serve: Any, naps: list[float]) -> None:
    server = serve(said(LIMITER_SAYS, 429))
    with pytest.raises(ServiceUnavailableError, match="too many requests, so it has not even looked") as caught:
        talk.send(settings(server.url), CREATE)
    assert caught.value.status_code == 429
    assert len(server.requests) == 4


def test_a_cap_on_calls_leaves_a_write_unclear(talk: Any, serve: Any) -> None:
    server = serve(said("Daily call limit reached", 429, **{"retry-after": "0"}))
    assert type(failure(talk, server.url, START, retries=3)) is UnclearOutcomeError
    assert len(server.requests) == 1


@pytest.mark.parametrize("request_", [READ, CREATE], ids=["read", "create"])
def test_a_long_pause_is_left_to_the_caller_and_kept_by_all(talk: Any, serve: Any, request_: Any) -> None:
    server = serve(said(LIMITER_SAYS, 429, **{"retry-after": "1800"}), answer(200, CAMPAIGN))
    error = failure(talk, server.url, request_, retries=3)
    assert (type(error), error.retry_after) == (ServiceUnavailableError, 1800)
    for each in (READ, CREATE, START):
        error = failure(talk, server.url, each, retries=3)
        assert type(error) is ServiceUnavailableError
        assert error.status_code is None
        assert error.retry_after is not None
        assert 1790 < error.retry_after <= 1980
        assert "Nothing was sent" in str(error)
    assert len(server.requests) == 1


# -- limits on the wire ------------------------------------------------------------------------------------------------


class Meter(ThreadingHTTPServer):
    """A service that answers slowly and notes when requests came and how many were under way."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, *, takes: float) -> None:
        self.came: list[float] = []
        self.now = self.most = 0
        meter, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with lock:
                    meter.came.append(time.monotonic())
                    meter.now += 1
                    meter.most = max(meter.most, meter.now)
                time.sleep(takes)
                with lock:
                    meter.now -= 1
                self.send_response(200)
                self.send_header("content-length", "12")
                self.end_headers()
                self.wfile.write(b'{"id": "c1"}')

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)


def test_sessions_in_threads_and_on_loops_keep_the_limits_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MINUTE", 0.5)
    with Meter(takes=0.01) as meter, ThreadPoolExecutor(5) as threads:
        threads.submit(meter.serve_forever, 0.05)
        how = settings(f"http://127.0.0.1:{meter.server_port}", requests_per_minute=20, requests_in_flight=3)

        def blocking() -> None:
            with closing(Session(how, reload_token=lambda: TOKEN)) as session:
                for _ in range(10):
                    session.send(READ)

        jobs = [threads.submit(blocking), threads.submit(blocking)]
        jobs += [threads.submit(OnLoop().send, how, *[READ] * 10) for _ in range(2)]
        for job in jobs:
            job.result(20)
        meter.shutdown()
    came = sorted(meter.came)
    assert len(came) == 40
    assert meter.most <= 3
    assert max(sum(1 for each in came if first <= each < first + 0.5) for first in came) <= 20


def test_what_is_never_answered_gives_its_place_back(talk: Any, serve: Any) -> None:
    server = serve(hang_up(), said("Database error", 500), answer(200, b"<html>"), answer(200, CAMPAIGN))
    for _ in range(3):
        failure(talk, server.url, READ, requests_in_flight=1)
    assert talk.send(settings(server.url, requests_in_flight=1), READ).campaign_id == "c1"
    with pytest.raises(ServiceUnavailableError, match="nothing was sent"):
        talk.send(settings("http://127.0.0.1:1", requests_in_flight=1, retries=2), READ)
