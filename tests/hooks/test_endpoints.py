"""Each endpoint as it is documented, on the wire: one table for both forms of every method."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_type_hints

import pytest

from airflow_provider_graine import __version__
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.graine.routes import ROUTES
from airflow_provider_graine.services.graine import received, requests
from airflow_provider_graine.services.working_hours import DAYS
from tests.hooks.conftest import TOKEN

CLOSED = {"start": "00:00", "end": "00:00", "enabled": False}
OPEN = {"start": "09:00", "end": "18:30", "enabled": True}


@dataclass(frozen=True)
class Endpoint:
    """
    :param call: the hook's method; ``{campaign}`` and ``{batch}`` stand for what exists before
    :param before: changes to make first
    """

    call: str
    method: str
    path: str
    args: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)
    query: str = ""
    body: Any = None
    answer: Any = None
    before: tuple[tuple[str, str], ...] = ()


CAMPAIGN, BATCH = ("{campaign}",), ("{batch}",)
CHANGES = {
    "name": "Renewals",
    "agent_id": "agent_1",
    "phone_numbers": ["+14155550100", "+918045678900"],
    "phone_number_strategy": "least_loaded",
    "working_hours_enforced": False,
    "timezone": "Asia/Kolkata",
    "working_hours": {"monday": {"start": "09:00", "end": "18:30"}, "sunday": {"enabled": False}},
    "retry_policy": {"max_retries": 2, "strategy": "exponential", "cooldown_minutes": 45},
    "default_call_variables": {"company": "Ünïon", "empty": None},
    "metadata": {"concurrency_limit": 10, "nothing": None},
}
CHANGES_SENT = {**CHANGES, "working_hours": {**dict.fromkeys(DAYS, CLOSED), "monday": OPEN}}
PEOPLE = [
    {"phone_number": "+14155550123", "call_variables": {"callee_name": "Ann", "due": 12.5, "note": None}},
    {"phone_number": "+14155550124"},
]
LIST = {"status": "in_progress", "skip": 2, "limit": 7}

ENDPOINTS = [
    Endpoint(
        "create_campaign",
        "POST",
        "/campaigns/",
        given={**CHANGES, "organization_id": "org_sandbox"},
        body={**CHANGES_SENT, "organization_id": "org_sandbox"},
        answer=received.Campaign,
    ),
    Endpoint("get_campaign", "GET", "/campaigns/{campaign}", CAMPAIGN, answer=received.Campaign),
    Endpoint(
        "update_campaign",
        "PATCH",
        "/campaigns/{campaign}",
        CAMPAIGN,
        given=CHANGES,
        body=CHANGES_SENT,
        answer=received.Campaign,
    ),
    Endpoint(
        "list_campaigns",
        "GET",
        "/campaigns/",
        given={"organization_id": "org_sandbox", **LIST},
        query="organization_id=org_sandbox&status=in_progress&skip=2&limit=7",
        answer=list,
    ),
    Endpoint(
        "delete_campaign",
        "DELETE",
        "/campaigns/{campaign}",
        CAMPAIGN,
        before=(("cancel_batch", "{batch}"),),
        answer=type(None),
    ),
    Endpoint("pause_campaign", "POST", "/campaigns/{campaign}/pause", CAMPAIGN, answer=received.StateChange),
    Endpoint(
        "resume_campaign",
        "POST",
        "/campaigns/{campaign}/resume",
        CAMPAIGN,
        before=(("pause_campaign", "{campaign}"),),
        answer=received.StateChange,
    ),
    Endpoint("cancel_campaign", "POST", "/campaigns/{campaign}/cancel", CAMPAIGN, answer=received.StateChange),
    Endpoint("get_campaign_stats", "GET", "/campaigns/{campaign}/stats", CAMPAIGN, answer=received.CampaignStats),
    Endpoint(
        "list_campaign_batches",
        "GET",
        "/campaigns/{campaign}/batches",
        CAMPAIGN,
        given={"organization_id": "org_sandbox", **LIST},
        query="organization_id=org_sandbox&status=in_progress&skip=2&limit=7",
        answer=list,
    ),
    Endpoint(
        "create_batch",
        "POST",
        "/batches/",
        given={
            "campaign_id": "{campaign}",
            "contacts": PEOPLE,
            "organization_id": "org_sandbox",
            "scheduled_start": datetime(2026, 5, 13, 3, 30, tzinfo=UTC),
            "concurrency_limit": 5,
            "max_retries_override": 0,
            "call_context": {"trunk": "a"},
            "metadata": {"run": "r1"},
        },
        body={
            "campaign_id": "{campaign}",
            "contacts": PEOPLE,
            "organization_id": "org_sandbox",
            "scheduled_start": "2026-05-13T03:30:00Z",
            "concurrency_limit": 5,
            "max_retries_override": 0,
            "call_context": {"trunk": "a"},
            "metadata": {"run": "r1"},
        },
        answer=received.Batch,
    ),
    Endpoint("get_batch", "GET", "/batches/{batch}", BATCH, answer=received.Batch),
    Endpoint(
        "list_batches",
        "GET",
        "/batches/",
        given={"organization_id": "org_sandbox", "campaign_id": "{campaign}", **LIST},
        query="organization_id=org_sandbox&campaign_id={campaign}&status=in_progress&skip=2&limit=7",
        answer=list,
    ),
    Endpoint(
        "list_batch_contacts",
        "GET",
        "/batches/{batch}/contacts",
        BATCH,
        given={"include_calls": True, **LIST},
        query="include_calls=true&status=in_progress&skip=2&limit=7",
        answer=list,
    ),
    Endpoint("pause_batch", "POST", "/batches/{batch}/pause", BATCH, answer=received.StateChange),
    Endpoint(
        "resume_batch",
        "POST",
        "/batches/{batch}/resume",
        BATCH,
        before=(("pause_batch", "{batch}"),),
        answer=received.StateChange,
    ),
    Endpoint("cancel_batch", "POST", "/batches/{batch}/cancel", BATCH, answer=received.StateChange),
    Endpoint("dispatch_batch", "POST", "/batches/{batch}/dispatch", BATCH, answer=received.StateChange),
    Endpoint("debug_batch", "GET", "/batches/{batch}/debug", BATCH, answer=received.BatchDebug),
]
BY_NAME = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.call)

#: Spellings that the vendor documents as identical to one that is offered, and a page outside of the campaign API.
NOT_OFFERED = {("POST", "/campaigns/create"), ("POST", "/batches/upload"), ("GET", "/api-tokens/validate-token")}


def offered_requests() -> list[str]:
    return [
        name
        for name, function in inspect.getmembers(requests, inspect.isfunction)
        if function.__module__ == requests.__name__ and not name.startswith("_")
    ]


def filled(value: Any, ids: dict[str, str]) -> Any:
    return json.loads(json.dumps(value).replace("{campaign}", ids["campaign"]).replace("{batch}", ids["batch"]))


@pytest.fixture
def ids(hook: GraineHook) -> dict[str, str]:
    campaign = hook.create_campaign(name="One", agent_id="agent_1", phone_numbers=["+14155550100"])
    batch = hook.create_batch(campaign_id=campaign.campaign_id, contacts=PEOPLE)
    return {"campaign": campaign.campaign_id, "batch": batch.batch_id}


@BY_NAME
def test_request_and_answer(
    endpoint: Endpoint, hook: GraineHook, sandbox: Sandbox, ids: dict[str, str], call: Callable[..., Any]
) -> None:
    for name, object_id in endpoint.before:
        getattr(hook, name)(ids[object_id.strip("{}")])
    seen = len(sandbox.requests)
    given = {
        name: value if isinstance(value, datetime) else filled(value, ids) for name, value in endpoint.given.items()
    }

    answer = call(hook, endpoint.call, *filled(endpoint.args, ids), **given)

    (request,) = sandbox.requests[seen:]
    assert (request.method, request.path) == (endpoint.method, "/api/v1" + endpoint.path.format(**ids))
    assert request.query == endpoint.query.format(**ids)
    assert request.status == 200
    assert isinstance(answer, endpoint.answer)
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"] == f"airflow-provider-graine/{__version__}"
    if endpoint.body is None:
        assert request.body == b""
        assert "content-type" not in request.headers
    else:
        assert request.headers["content-type"] == "application/json"
        assert request.json() == filled(endpoint.body, ids)


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("list_campaigns", "skip=0&limit=50"),
        ("list_batches", "skip=0&limit=50"),
        ("list_campaign_batches", "skip=0&limit=50"),
        ("list_batch_contacts", "include_calls=false&skip=0&limit=100"),
    ],
)
def test_documented_defaults_of_the_lists(
    hook: GraineHook, sandbox: Sandbox, ids: dict[str, str], call: Callable[..., Any], name: str, query: str
) -> None:
    args = {"list_campaign_batches": [ids["campaign"]], "list_batch_contacts": [ids["batch"]]}.get(name, [])
    call(hook, name, *args)
    assert sandbox.requests[-1].query == query


def test_only_what_was_given_is_sent(
    hook: GraineHook, sandbox: Sandbox, ids: dict[str, str], call: Callable[..., Any]
) -> None:
    call(hook, "create_campaign", name="One", agent_id="agent_1", phone_numbers=["+14155550100"])
    assert sandbox.requests[-1].json() == {"name": "One", "agent_id": "agent_1", "phone_numbers": ["+14155550100"]}
    call(hook, "update_campaign", ids["campaign"], retry_policy={"max_retries": 1, "strategy": None})
    assert sandbox.requests[-1].json() == {"retry_policy": {"max_retries": 1}}
    call(hook, "create_batch", campaign_id=ids["campaign"], contacts=b'[{"phone_number":"+14155550199"}]')
    assert sandbox.requests[-1].body.endswith(b',"contacts":[{"phone_number":"+14155550199"}]}')
    assert set(sandbox.requests[-1].json()) == {"campaign_id", "contacts"}


@pytest.mark.parametrize("form", ["sync", "async"])
def test_export(hook: GraineHook, sandbox: Sandbox, ids: dict[str, str], form: str) -> None:
    async def on_loop() -> bytes:
        try:
            async with await hook.aexport_batch(ids["batch"]) as download:
                return b"".join([block async for block in download.blocks])
        finally:
            await hook.aclose()

    if form == "sync":
        with hook.export_batch(ids["batch"]) as download:
            content = b"".join(download.blocks)
    else:
        content = asyncio.run(on_loop())
    assert content.startswith(b"contact_id,")
    assert content.count(b"\r\n") == 3
    request = sandbox.requests[-1]
    assert (request.method, request.path, request.query) == ("GET", f"/api/v1/batches/{ids['batch']}/export.csv", "")
    assert request.headers["accept"] == "text/csv"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_the_table_knows_every_documented_endpoint() -> None:
    documented = {(method, template) for method, template, _ in ROUTES} - NOT_OFFERED
    in_table = {
        (each.method, each.path.replace("{campaign}", "{campaign_id}").replace("{batch}", "{batch_id}"))
        for each in ENDPOINTS
    }
    assert in_table | {("GET", "/batches/{batch_id}/export.csv")} == documented


def test_every_request_is_in_the_table_and_offered_in_both_forms(hook: GraineHook) -> None:
    names = offered_requests()
    assert sorted(names) == sorted([*(each.call for each in ENDPOINTS), "export_batch"])
    for name in names:
        description = getattr(requests, name)
        for method in (getattr(hook, name), getattr(hook, f"a{name}")):
            assert callable(method)
            assert method.__doc__
            assert list(inspect.signature(method).parameters) == list(inspect.signature(description).parameters)
        assert inspect.iscoroutinefunction(getattr(hook, f"a{name}"))


@pytest.mark.parametrize("name", [each.call for each in ENDPOINTS if each.body])
def test_every_argument_of_a_write_is_in_the_table(name: str) -> None:
    endpoint = next(each for each in ENDPOINTS if each.call == name)
    parameters = set(get_type_hints(getattr(requests, name))) - {"return"}
    assert set(endpoint.given) == (parameters - {"campaign_id"} if endpoint.args else parameters)


@pytest.mark.parametrize("extra", [{"organization_id": "org_sandbox"}, {"organization_id": " "}])
def test_the_connections_organization(
    connect: Callable[..., None], sandbox: Sandbox, ids: dict[str, str], call: Callable[..., Any], extra: Any
) -> None:
    connect(extra=extra)
    hook = GraineHook()
    seen = len(sandbox.requests)
    call(hook, "list_campaigns")
    call(hook, "list_batches", organization_id=None)
    call(hook, "list_campaign_batches", ids["campaign"])
    call(hook, "get_batch", ids["batch"])
    call(hook, "list_batch_contacts", ids["batch"])
    call(hook, "list_batches", organization_id="org_other")
    call(hook, "create_campaign", name="Two", agent_id="agent_1", phone_numbers=["+14155550100"])
    call(hook, "update_campaign", ids["campaign"], name="Three")
    call(hook, "create_batch", campaign_id=ids["campaign"], contacts=PEOPLE)
    *reads, created, updated, batch = sandbox.requests[seen:]
    known = extra["organization_id"].strip()
    prefix = f"organization_id={known}" if known else "skip"
    assert [request.query.startswith(prefix) for request in reads[:3]] == [True] * 3
    assert ["organization_id" in request.query for request in reads[3:5]] == [False] * 2
    assert reads[5].query.startswith("organization_id=org_other&")
    assert created.json().get("organization_id") == (known or None)
    assert "organization_id" not in updated.json()
    assert batch.json().get("organization_id") == (known or None)
    hook.close()


def test_whole_lists_are_read_page_by_page(hook: GraineHook, sandbox: Sandbox, ids: dict[str, str]) -> None:
    people = [{"phone_number": f"+1415555{index:04d}"} for index in range(25)]
    batch_id = hook.create_batch(campaign_id=ids["campaign"], contacts=people).batch_id
    seen = len(sandbox.requests)
    contacts = list(hook.iter_batch_contacts(batch_id, page_size=10))
    assert [contact.phone_number for contact in contacts] == [person["phone_number"] for person in people]
    assert [request.query for request in sandbox.requests[seen:]] == [
        f"include_calls=false&skip={skip}&limit=10" for skip in (0, 10, 20, 25)
    ]
    assert {batch.batch_id for batch in hook.iter_campaign_batches(ids["campaign"], page_size=1)} == {
        batch_id,
        ids["batch"],
    }
    assert [campaign.campaign_id for campaign in hook.iter_campaigns()] == [ids["campaign"]]
    assert list(hook.iter_campaigns(status="cancelled")) == []
