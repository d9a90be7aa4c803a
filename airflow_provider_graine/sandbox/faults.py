"""Faults on demand: the ways in which a service, or the network before it, lets its callers down."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    Refuse = Callable[[int, Any, Mapping[str, str] | None], Response]
    """Makes the answer to a request that is refused, as the service words it."""

What = Literal[
    "drop",
    "hang",
    "status",
    "limit",
    "html",
    "truncate",
    "tear",
    "silent",
    "fields",
    "redirect",
    "late",
    "no_metadata",
    "partial",
    "lost_dispatch",
    "lost_webhooks",
]
CREATES = frozenset({"POST /campaigns/", "POST /campaigns/create", "POST /batches/", "POST /batches/upload"})
BATCH_CREATES = frozenset({"POST /batches/", "POST /batches/upload"})
SINGLE_GETS = frozenset({"GET /campaigns/{campaign_id}", "GET /batches/{batch_id}"})
KATAVEN_CREATE = frozenset({"POST /campaigns"})
KATAVEN_STARTS = frozenset({"POST /campaigns/{campaign_id}/start", "POST /campaigns/{campaign_id}/resume"})
KATAVEN_STREAM = frozenset({"GET /campaigns/{campaign_id}/events"})
ONLY_FOR: dict[str, dict[str, frozenset[str]]] = {
    "graine": {
        "late": CREATES,
        "partial": BATCH_CREATES,
        "lost_dispatch": BATCH_CREATES,
        "lost_webhooks": BATCH_CREATES,
        "no_metadata": SINGLE_GETS,
        "silent": frozenset(),
    },
    "kataven": {
        "late": KATAVEN_CREATE,
        "partial": KATAVEN_CREATE,
        "lost_dispatch": KATAVEN_STARTS,
        "lost_webhooks": KATAVEN_STARTS,
        "no_metadata": frozenset(),
        "silent": KATAVEN_STREAM,
    },
}
"""Service to kind of fault to the endpoints where alone it can strike."""
GATEWAY_PAGE = "<!doctype html><title>Please sign in</title><h1>Please sign in</h1><p>Your session has ended.</p>"


@dataclass
class Fault:
    """
    One fault.

    :param on: an endpoint: ``"POST /batches/"``, ``"GET /batches/{batch_id}"``, with the id of one batch in place of
        ``{batch_id}``, ``"GET *"``, ``"* /batches/"`` or ``"*"``
    :param what: the kind, as listed in the documentation
    :param service: ``"graine"`` or ``"kataven"``
    :param times: how many requests it hits; ``None``: every one
    :param after: how many matching requests pass unharmed before
    :param when: ``"before"`` or ``"after"`` the request is processed (``drop``, ``hang``, ``status``, ``html``)
    :param seconds: real seconds (``hang``)
    :param status: HTTP status (``status``)
    :param detail: the answer's ``detail`` (``status``); default: a word about the status
    :param retry_after: value of the ``Retry-After`` header (``status``)
    :param reset: end the connection with a TCP reset in place of an orderly close (``drop``, ``tear``)
    :param fraction: share of the body that arrives, or of the event after the last whole one (``truncate``, ``tear``)
    :param events: how many whole events and heartbeats of an event stream arrive (``truncate``, ``tear``, ``silent``)
    :param fields: what to overwrite in the answer, or in each object of it (``fields``)
    :param location: where to (``redirect``); default: the same path with or without its trailing slash
    :param virtual_seconds: how long lists do not show what was created (``late``)
    :param list_calls: how many lists do not show it (``late``)
    :param keep: how many contacts are stored (``partial``)
    :param max_bytes: longest body (``limit``)
    :param max_contacts: most contacts in a batch (``limit``)
    """

    on: str
    what: What
    service: str = "graine"
    times: int | None = 1
    after: int = 0
    when: Literal["before", "after"] = "after"
    seconds: float = 60.0
    status: int = 503
    detail: str | None = None
    retry_after: int | str | None = None
    reset: bool = False
    fraction: float = 0.5
    events: int = 1
    fields: dict[str, Any] = field(default_factory=dict)
    location: str | None = None
    virtual_seconds: float = 0.0
    list_calls: int = 0
    keep: int = 0
    max_bytes: int | None = None
    max_contacts: int | None = None
    id: int = 0
    hits: int = 0
    seen: int = 0

    def as_dict(self) -> dict[str, Any]:
        """:return: everything about it, for JSON"""
        return asdict(self)


class Faults:
    """
    The faults in force.

    :param endpoints: service to all ``"METHOD /template"`` it has, to catch a fault that could never happen
    """

    def __init__(self, endpoints: Mapping[str, Iterable[str]]) -> None:
        self._patterns = {
            service: {endpoint: _pattern(endpoint) for endpoint in known} for service, known in endpoints.items()
        }
        self._faults: list[Fault] = []
        self._last_id = 0

    def add(self, fault: Fault) -> Fault:
        """
        Put a fault in force.

        :raises ValueError: it could never happen: no such kind or endpoint, or one to which it does not apply
        """
        if fault.what not in get_args(What):
            raise ValueError(f"unknown fault {fault.what!r}; there are {', '.join(get_args(What))}")
        if fault.when not in ("before", "after"):
            raise ValueError("when is 'before' or 'after'")
        if fault.service not in self._patterns:
            raise ValueError(f"no service {fault.service!r}; there are {', '.join(self._patterns)}")
        endpoints = self._patterns[fault.service]
        reach = {endpoint for endpoint in endpoints if self._matches(fault, endpoint, None)}
        if not reach:
            raise ValueError(f"no endpoint {fault.on!r}; there are {', '.join(sorted(endpoints))}")
        only_for = ONLY_FOR[fault.service].get(fault.what)
        if only_for is not None and not reach <= only_for:
            raise ValueError(f"{fault.what} is for {' and '.join(sorted(only_for)) or 'another service'} only")
        self._last_id += 1
        fault.id = self._last_id
        self._faults.append(fault)
        return fault

    def take(self, service: str, endpoint: str, path: str) -> list[Fault]:
        """
        :param service: which was asked
        :param endpoint: ``"METHOD /template"`` of a request
        :param path: its path below the prefix
        :return: the faults that hit it, counted as hits (a ``limit`` counts when it is exceeded)
        """
        hit = []
        for fault in self._faults:
            if fault.service != service or not self._matches(fault, endpoint, path):
                continue
            fault.seen += 1
            if fault.seen > fault.after and (fault.times is None or fault.hits < fault.times):
                fault.hits += fault.what != "limit"
                hit.append(fault)
        return hit

    def clear(self, fault_id: int | None = None) -> None:
        """Remove one fault, or all."""
        self._faults = [fault for fault in self._faults if fault_id is not None and fault.id != fault_id]

    def __iter__(self) -> Any:
        return iter(list(self._faults))

    def _matches(self, fault: Fault, endpoint: str, path: str | None) -> bool:
        on_method, _, on_path = fault.on.partition(" ")
        method, _, template = endpoint.partition(" ")
        if on_method not in ("*", method):
            return False
        if on_path in ("", "*", template):
            return True
        if path is None:
            return "{" not in on_path and self._patterns[fault.service][endpoint].fullmatch(on_path) is not None
        return on_path == path


def _pattern(endpoint: str) -> re.Pattern[str]:
    template = endpoint.partition(" ")[2]
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)))


class Dropped(Response):
    """
    No answer: the connection ends.

    :param reset: with a TCP reset
    """

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End the connection."""
        _abort(scope["state"]["transport"], reset=self._reset)
        while (await receive())["type"] != "http.disconnect":
            pass


class Torn(Response):
    """
    An answer whose connection ends in the middle of the body.

    :param whole: the answer as it would have been
    :param content: its whole body
    :param fraction: share of the body that arrives
    :param reset: end with a TCP reset
    """

    def __init__(self, whole: Response, content: bytes, *, fraction: float, reset: bool) -> None:
        super().__init__(status_code=whole.status_code)
        self.raw_headers = whole.raw_headers
        self._part = content[: int(len(content) * fraction)]
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the part, then end the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._part, "more_body": True})
        await _end(scope["state"]["transport"], reset=self._reset)
        while (await receive())["type"] != "http.disconnect":
            pass


class EventStream(StreamingResponse):
    """
    Server-sent events, without end until somebody says so.

    :param pieces: each a whole event, or a comment
    """

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        super().__init__(pieces, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._pieces = pieces
        self._transport: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces as they come."""
        self._transport = scope["state"]["transport"]
        await super().__call__(scope, receive, send)

    def break_off(self, fault: Fault, stopping: asyncio.Event) -> None:
        """Let ``tear``, ``truncate`` or ``silent`` strike once so many events have been sent."""
        if fault.what in ("tear", "truncate", "silent"):
            self.body_iterator = self._broken(fault, stopping)

    async def _broken(self, fault: Fault, stopping: asyncio.Event) -> AsyncIterator[bytes]:
        sent = 0
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                if sent == fault.events:
                    break
                sent += 1
                yield piece
            else:
                return
        if fault.what != "silent":
            yield piece[: int(len(piece) * fault.fraction)]
        if fault.what == "tear":
            await _end(self._transport, reset=fault.reset)
        if fault.what != "truncate":
            await stopping.wait()


async def _end(transport: asyncio.Transport, *, reset: bool) -> None:
    """End a connection once what was written to it has left."""
    if not reset:
        transport.close()
        return
    while transport.get_write_buffer_size():  # noqa: ASYNC110 - a transport tells nobody when it is empty
        await asyncio.sleep(0.005)
    _abort(transport, reset=True)


def _abort(transport: asyncio.Transport, *, reset: bool) -> None:
    if reset:
        # Linger 0: closing sends RST, and what is still in the buffers is lost.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def before(
    faults: list[Fault], request: Request, body: bytes, refuse: Refuse, stopping: asyncio.Event
) -> Response | None:
    """:return: the answer to a request that is not to be processed, or ``None``"""
    for fault in faults:
        if fault.what == "limit" and fault.max_bytes is not None and len(body) > fault.max_bytes:
            fault.hits += 1
            return refuse(413, "Request entity too large", None)
        if fault.what == "redirect":
            return RedirectResponse(fault.location or _other_spelling(request), 307)
        if fault.when == "before" and (answer := await _instead(fault, refuse, stopping)) is not None:
            return answer
    return None


async def after(faults: list[Fault], answer: Response, refuse: Refuse, stopping: asyncio.Event) -> Response:
    """:return: what is answered in place of ``answer``"""
    for fault in faults:
        if fault.when == "after" and (instead := await _instead(fault, refuse, stopping)) is not None:
            answer = instead
        elif isinstance(answer, EventStream):
            answer.break_off(fault, stopping)
        elif fault.what == "truncate":
            content = await _content(answer)
            cut = content[: int(len(content) * fault.fraction)]
            answer = Response(cut, answer.status_code, media_type=answer.headers.get("content-type"))
        elif fault.what == "tear":
            answer = Torn(answer, await _content(answer), fraction=fault.fraction, reset=fault.reset)
        elif fault.what == "fields" and isinstance(answer, JSONResponse):
            seen = json.loads(bytes(answer.body))
            if isinstance(seen, list):
                seen = [{**each, **fault.fields} for each in seen]
            else:
                seen.update(fault.fields)
            answer = JSONResponse(seen, answer.status_code)
    return answer


async def _instead(fault: Fault, refuse: Refuse, stopping: asyncio.Event) -> Response | None:
    if fault.what == "drop":
        return Dropped(reset=fault.reset)
    if fault.what == "status":
        headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
        return refuse(fault.status, fault.detail or f"Error {fault.status}", headers)
    if fault.what == "html":
        return HTMLResponse(GATEWAY_PAGE)
    if fault.what == "hang":
        try:
            await asyncio.wait_for(stopping.wait(), fault.seconds)
        except TimeoutError:
            return None
        return Dropped()
    return None


async def _content(answer: Response) -> bytes:
    if isinstance(answer, StreamingResponse):
        pieces = [piece async for piece in answer.body_iterator]
        return b"".join(piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces)
    return bytes(answer.body)


def _other_spelling(request: Request) -> str:
    path = request.url.path
    return str(request.url.replace(path=path[:-1] if path.endswith("/") else f"{path}/"))
