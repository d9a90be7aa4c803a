"""What uploads send: to the service, and to Airflow's task state store."""

from __future__ import annotations

from tests.crash.wire import Request


def is_search(request: Request) -> bool:
    return request.method == "GET" and request.path.startswith("/api/v1/batches/?")


def is_create(request: Request) -> bool:
    return (request.method, request.path) == ("POST", "/api/v1/batches/")


def is_state(request: Request) -> bool:
    return request.method == "PUT" and "/store/ti/" in request.path


def is_intent(request: Request) -> bool:
    return is_state(request) and bool(request.json()["value"].get("intents"))


def is_batches(request: Request) -> bool:
    """A page of the batches that are known."""
    return is_state(request) and "pages" not in request.json()["value"]


def is_record(request: Request) -> bool:
    """The record of an answer: its batch is on a page that was written before."""
    return is_state(request) and bool(request.json()["value"].get("pages")) and not is_intent(request)


def is_look(request: Request) -> bool:
    """A look of a wait: at one batch, or at the figures of a campaign."""
    return request.method == "GET" and (
        request.path.startswith("/api/v1/batches/btc_") or request.path.endswith("/stats")
    )


def is_change(request: Request) -> bool:
    """A pause or a cancel."""
    return request.method == "POST" and request.path.rpartition("/")[2] in ("pause", "cancel")


# -- Kataven ----------------------------------------------------------------------------------------------------------


def is_campaign_search(request: Request) -> bool:
    return (request.method, request.path) == ("GET", "/v1/campaigns")


def is_campaign_create(request: Request) -> bool:
    return (request.method, request.path) == ("POST", "/v1/campaigns")


def is_headcount(request: Request) -> bool:
    return request.method == "GET" and request.path.startswith("/v1/campaigns/") and "/contacts" in request.path


def is_start(request: Request) -> bool:
    return request.method == "POST" and request.path.endswith("/start")


def is_deletion(request: Request) -> bool:
    return request.method == "DELETE"
