"""The requests the sandbox has received, for tests to look at."""

from __future__ import annotations

import gzip
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import multipart

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_REQUESTS = 10_000
MAX_BYTES = 64 * 2**20


@dataclass
class ReceivedRequest:
    """
    One request under a service's prefix, redirected and refused ones included.

    :param method: upper case
    :param path: as sent, with the prefix
    :param query: raw query string, without ``?``
    :param headers: names in lower case
    :param body: raw body
    :param status: of the answer; ``None`` while there is none, and for ever when the connection was dropped
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    status: int | None = None

    def json(self) -> Any:
        """:return: the body, decoded"""
        is_packed = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if is_packed else self.body)

    def form(self) -> dict[str, bytes]:
        """:return: the fields of a ``multipart/form-data`` body, files included"""
        return multipart.parse(self.headers.get("content-type", ""), self.body)


class Recorder:
    """
    ASGI middleware that keeps the latest requests.

    :param app: what answers them
    :param prefixes: requests elsewhere are not recorded
    :param enabled: ``False`` keeps nothing
    """

    def __init__(self, app: ASGIApp, *, prefixes: tuple[str, ...], enabled: bool) -> None:
        self._app = app
        self._prefixes = prefixes
        self._enabled = enabled
        self.requests: deque[ReceivedRequest] = deque()
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record, then answer."""
        if not self._enabled or scope["type"] != "http" or not scope["path"].startswith(self._prefixes):
            await self._app(scope, receive, send)
            return
        body, unread = b"", []
        while True:
            message = await receive()
            unread.append(message)
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        request = ReceivedRequest(
            scope["method"],
            scope["raw_path"].decode("ascii"),
            scope["query_string"].decode("ascii"),
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
            body,
        )
        self._keep(request)
        unread.reverse()

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        async def note_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        await self._app(scope, replay, note_status)

    def clear(self) -> None:
        """Forget them all."""
        self.requests.clear()
        self._bytes = 0

    def _keep(self, request: ReceivedRequest) -> None:
        self.requests.append(request)
        self._bytes += len(request.body)
        while len(self.requests) > 1 and (len(self.requests) > MAX_REQUESTS or self._bytes > MAX_BYTES):
            self._bytes -= len(self.requests.popleft().body)
