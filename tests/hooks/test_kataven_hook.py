"""Kataven's endpoints as they are documented, on the wire, and what its hook makes of a connection."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any, get_type_hints
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.providers.common.compat.sdk import redact

from airflow_provider_graine import __version__
from airflow_provider_graine.exceptions import ConfigurationError, IncompleteResultsError, ServiceUnavailableError
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.services import limits
from airflow_provider_graine.services.kataven import received, requests
from tests.http.conftest import serve
from tests.http.scripted import Received, ScriptedServer, answer, raw
from tests.http.talking import whole_text

__all__ = ["serve"]

TOKEN = "sk_live_acme_hooktests"
SIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"
NUMBER = "+14155550123"
CSV = b"phone_number,first_name\r\n+14155550123,Ann\r\n"
CAMPAIGN = {"id": "c1", "name": "One", "status": "draft", "max_concurrent_calls": 5}

Serve = Callable[..., ScriptedServer]


@pytest.fixture(autouse=True)
def nothing_used_up() -> Iterator[None]:
    limits._limiters.clear()
    yield
    limits._limiters.clear()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., KatavenHook]:
    """Write the connection ``kataven_default`` and give a hook for it."""

    def connect(url: str, **fields: Any) -> KatavenHook:
        connection = {"conn_type": "kataven", "host": url, "password": TOKEN, "extra": {"timeout": 5}, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
        return KatavenHook()

    return connect


@dataclass(frozen=True)
class Endpoint:
    call: str
    method: str
    path: str
    answered: Any
    answer: Any
    args: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)


ENDPOINTS = [
    Endpoint(
        "create_campaign",
        "POST",
        "/campaigns",
        CAMPAIGN,
        received.Campaign,
        given={
            "name": 'Ünïon\r\n"quoted"',
            "agent_id": "a1",
            "phone_number_id": "p1",
            "contacts": CSV,
            "max_concurrent_calls": 7,
            "retries_per_contact": 1,
            "retry_delay_seconds": 600,
            "scheduled_at": "2026-05-10T18:00:00Z",
        },
        form={
            "name": 'Ünïon\r\n"quoted"',
            "agent_id": "a1",
            "phone_number_id": "p1",
            "max_concurrent_calls": "7",
            "retries_per_contact": "1",
            "retry_delay_seconds": "600",
            "scheduled_at": "2026-05-10T18:00:00Z",
        },
    ),
    Endpoint("get_campaign", "GET", "/campaigns/c1", CAMPAIGN, received.Campaign, ("c1",)),
    Endpoint("list_campaigns", "GET", "/campaigns", {"campaigns": [CAMPAIGN]}, list),
    Endpoint("delete_campaign", "DELETE", "/campaigns/c%2F1", "", type(None), ("c/1",)),
    Endpoint("start_campaign", "POST", "/campaigns/c1/start", CAMPAIGN, received.StateChange, ("c1",)),
    Endpoint("pause_campaign", "POST", "/campaigns/c1/pause", CAMPAIGN, received.StateChange, ("c1",)),
    Endpoint("resume_campaign", "POST", "/campaigns/c1/resume", CAMPAIGN, received.StateChange, ("c1",)),
    Endpoint("stop_campaign", "POST", "/campaigns/c1/stop", CAMPAIGN, received.StateChange, ("c1",)),
    Endpoint(
        "list_campaign_contacts",
        "GET",
        "/campaigns/c1/contacts",
        {"contacts": [{"id": 1}]},
        list,
        ("c1",),
        {"status": "failed", "page": 3},
        {"status": ["failed"], "page": ["3"]},
    ),
    Endpoint("get_call_limits", "GET", "/call-limits", {"concurrent_max": 10}, received.CallLimits),
]
BY_NAME = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.call)
STREAM = "stream_campaign_events"


def parts(request: Received) -> dict[str, Message]:
    """The parts of a form as somebody else's parser reads them."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    form = message_from_bytes(head + request.body)
    assert form.get_content_type() == "multipart/form-data"
    found = [each for each in form.get_payload() if isinstance(each, Message)]
    return {str(each.get_param("name", header="content-disposition")): each for each in found}


@BY_NAME
def test_request_and_answer(
    endpoint: Endpoint, serve: Serve, connect: Callable[..., KatavenHook], call: Callable[..., Any]
) -> None:
    body = endpoint.answered
    server = serve(answer(201 if endpoint.form else 200, body.encode() if isinstance(body, str) else body))
    hook = connect(server.url)
    result = call(hook, endpoint.call, *endpoint.args, **endpoint.given)
    assert isinstance(result, endpoint.answer)
    [request] = server.requests
    target = urlsplit(request.target)
    assert (request.method, target.path) == (endpoint.method, "/api/v1" + endpoint.path)
    assert parse_qs(target.query) == endpoint.query
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"] == f"airflow-provider-graine/{__version__}"
    assert "x-account-id" not in request.headers
    if endpoint.form:
        form = parts(request)
        contacts = form.pop("contacts")
        values = {name: part.get_payload(decode=True) for name, part in form.items()}
        assert values == {name: value.encode() for name, value in endpoint.form.items()}
        assert contacts.get_payload(decode=True) == CSV
        assert contacts.get_content_type() == "text/csv"
        assert contacts.get_filename() == "contacts.csv"
        assert request.headers["content-length"] == str(len(request.body))
    else:
        assert request.body == b""
        assert "content-type" not in request.headers
    hook.close()


def test_only_what_was_given_is_sent(
    serve: Serve, connect: Callable[..., KatavenHook], call: Callable[..., Any]
) -> None:
    server = serve(answer(201, CAMPAIGN), answer(200, []))
    hook = connect(server.url)
    people = [{"phone_number": NUMBER, "custom_fields": {"first_name": "Ann"}}]
    call(hook, "create_campaign", name="One", agent_id="a1", phone_number_id="p1", contacts=people)
    form = parts(server.requests[0])
    assert set(form) == {"name", "agent_id", "phone_number_id", "contacts"}
    assert form["contacts"].get_payload(decode=True) == CSV
    assert call(hook, "list_campaign_contacts", "c1") == []
    assert server.requests[1].target == "/api/v1/campaigns/c1/contacts?page=0"
    hook.close()


def test_a_large_file_is_sent_whole(
    serve: Serve, connect: Callable[..., KatavenHook], call: Callable[..., Any]
) -> None:
    content = b"phone_number\n" + b"".join(b"+1415%07d\n" % number for number in range(700_000))
    server = serve(answer(201, CAMPAIGN))
    hook = connect(server.url)
    call(hook, "create_campaign", name="One", agent_id="a1", phone_number_id="p1", contacts=content)
    assert content in server.requests[0].body
    hook.close()


def test_every_request_is_in_the_table_and_offered_in_both_forms() -> None:
    names = [
        name
        for name, function in inspect.getmembers(requests, inspect.isfunction)
        if function.__module__ == requests.__name__ and not name.startswith("_")
    ]
    assert sorted(names) == sorted([*(each.call for each in ENDPOINTS), STREAM])
    hook = KatavenHook()
    for name in names:
        description = getattr(requests, name)
        for method in (getattr(hook, name), getattr(hook, f"a{name}")):
            assert method.__doc__
            assert list(inspect.signature(method).parameters) == list(inspect.signature(description).parameters)
        assert name == STREAM or inspect.iscoroutinefunction(getattr(hook, f"a{name}"))


@pytest.mark.parametrize("name", [each.call for each in ENDPOINTS if each.given])
def test_every_argument_is_in_the_table(name: str) -> None:
    endpoint = next(each for each in ENDPOINTS if each.call == name)
    parameters = set(get_type_hints(getattr(requests, name))) - {"return", "campaign_id"}
    assert set(endpoint.given) == parameters


# -- lists and streams -------------------------------------------------------------------------------------------------


def contact_pages(count: int) -> ScriptedServer:
    """A service with so many people, 100 a page."""
    server = ScriptedServer([])

    def step(connection: Any) -> bool:
        page = int(parse_qs(urlsplit(server.requests[-1].target).query)["page"][0])
        people = [{"id": f"p{number}"} for number in range(count)][page * 100 : page * 100 + 100]
        return answer(200, {"contacts": people, "total": count})(connection)

    server.script.append(step)
    return server


@pytest.mark.parametrize(("count", "asked"), [(0, 1), (99, 2), (100, 2), (250, 4)])
def test_people_are_read_page_by_page(connect: Callable[..., KatavenHook], count: int, asked: int) -> None:
    server = contact_pages(count)
    with server:
        hook = connect(server.url)
        found = [contact.contact_id for contact in hook.iter_campaign_contacts("c1")]
        hook.close()
    assert found == [f"p{number}" for number in range(count)]
    assert [each.target.rpartition("?")[2] for each in server.requests] == [f"page={page}" for page in range(asked)]


def test_people_whose_number_is_known(serve: Serve, connect: Callable[..., KatavenHook]) -> None:
    # One page at a time on the wire, else the server would mix them up.
    server = contact_pages(150)
    extra = {"requests_in_flight": 1}
    with server:
        hook = connect(server.url, extra=extra)
        assert len(list(hook.iter_campaign_contacts("c1", total=150))) == 150
        assert len(server.requests) == 2
        with pytest.raises(IncompleteResultsError, match="150 of 151 contacts of campaign c1"):
            list(hook.iter_campaign_contacts("c1", total=151))
        hook.close()


EVENTS = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    b'data: {"status": "running", "completed": 1}\n\n: heartbeat\n\n'
)


@pytest.mark.parametrize("form", ["sync", "async"])
@pytest.mark.parametrize("end", [b'event: end\ndata: {"status": "completed"}\n\n', b""])
def test_the_events_of_a_campaign(serve: Serve, connect: Callable[..., KatavenHook], form: str, end: bytes) -> None:
    server = serve(raw(EVENTS + end, close=True))
    hook = connect(server.url)
    came: list[Any] = []

    def blocking() -> None:
        with hook.stream_campaign_events("c1") as events:
            for event in events:
                came.append(event)

    async def on_loop() -> None:
        try:
            async with hook.astream_campaign_events("c1") as events:
                async for event in events:
                    came.append(event)
        finally:
            await hook.aclose()

    def talk() -> None:
        blocking() if form == "sync" else asyncio.run(on_loop())

    if end:
        talk()
    else:
        with pytest.raises(ServiceUnavailableError, match="read the events of campaign c1"):
            talk()
    assert [event and event.status for event in came] == ["running", None] + ["completed"] * bool(end)
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    hook.close()


# -- the connection ----------------------------------------------------------------------------------------------------


def test_a_signed_token_names_its_account(
    serve: Serve, connect: Callable[..., KatavenHook], call: Callable[..., Any]
) -> None:
    server = serve(answer(200, []))
    hook = connect(server.url, password=SIGNED, extra={"account_id": "acme"})
    call(hook, "list_campaigns")
    assert server.requests[0].headers["x-account-id"] == "acme"
    hook.close()
    with pytest.raises(ConfigurationError, match="put account_id into"):
        call(connect(server.url, password=SIGNED), "list_campaigns")


def test_a_rotated_key_is_read_anew(
    serve: Serve, connect: Callable[..., KatavenHook], call: Callable[..., Any]
) -> None:
    server = serve(answer(401, b"no"), answer(201, CAMPAIGN))
    hook = connect(server.url)
    assert hook.settings.token == TOKEN
    connect(server.url, password=(new := "sk_live_acme_rotated"))
    call(hook, "create_campaign", name="One", agent_id="a1", phone_number_id="p1", contacts=CSV)
    assert [each.headers["authorization"][7:] for each in server.requests] == [TOKEN, new]
    assert [CSV in each.body for each in server.requests] == [True, True]
    assert redact(f"x {new} y") == "x *** y"
    hook.close()


def test_hooks_of_one_account_share_its_limits(serve: Serve, connect: Callable[..., KatavenHook]) -> None:
    server = serve(answer(200, []))
    extra = {"requests_per_hour": 3}
    for hook in (connect(server.url, extra=extra), connect(server.url, extra=extra)):
        hook.list_campaigns()
        hook.close()
    other = connect(server.url, extra=extra, password="sk_live_acme_another")
    other.list_campaigns()
    with pytest.raises(ServiceUnavailableError, match=r"3 an hour.*used up.*Nothing was sent") as caught:
        other.list_campaigns()
    assert "acme" not in whole_text(caught.value)
    other.close()
    somebody_else = connect(server.url, extra=extra, password="sk_live_other_1")
    somebody_else.list_campaigns()
    somebody_else.close()
    assert len(server.requests) == 4


def test_test_connection(serve: Serve, connect: Callable[..., KatavenHook]) -> None:
    server = serve(answer(200, {"campaigns": []}), answer(401, b"no"), answer(404, b"404 page not found"))
    hook = connect(server.url)
    assert hook.test_connection() == (True, "The service was reached and accepts the token.")
    assert [(each.method, each.target) for each in server.requests] == [("GET", "/api/v1/campaigns")]
    assert hook.test_connection() == (False, "The service was reached, but it does not accept the token.")
    works, said = hook.test_connection()
    assert not works
    assert "check the connection's host and its path" in said


def test_another_connection_id(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(answer(200, []))
    monkeypatch.setenv(
        "AIRFLOW_CONN_CALLS", json.dumps({"conn_type": "kataven", "host": server.url, "password": TOKEN})
    )
    hook = KatavenHook("calls")
    assert (hook.kataven_conn_id, hook.list_campaigns()) == ("calls", [])
    hook.close()
