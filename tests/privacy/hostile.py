"""A service that talks: whatever it is told, it says again, in every part of an answer that has room for it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import quote

from tests.privacy.canaries import EMAIL, PEOPLE

#: What it says even where it was told nothing: what a service of people's data knows.
_GOSSIP = {
    "phone_number": PEOPLE[0].number,
    "callee_name": PEOPLE[0].name,
    "call_variables": {"email": EMAIL},
}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Told:
    """What a client has sent."""

    method: str
    path: str
    token: str
    body: bytes

    @property
    def echo(self) -> dict[str, Any]:
        """All of it, and what else is known."""
        return {"detail": [{"loc": ["body"], "msg": "no", "input": self.body.decode(errors="replace")}], **self.gossip}

    @property
    def gossip(self) -> dict[str, Any]:
        """What is known, without the body."""
        return {**_GOSSIP, "token": self.token}


Answer = Callable[["_Handler", Told], None]


def status(code: int) -> Answer:
    """Refuse, and quote the request in reason, headers and body."""

    def answer(handler: _Handler, told: Told) -> None:
        number, name = PEOPLE[0].number, PEOPLE[0].name
        headers = {
            "X-Echo": told.token,
            "X-Callee": quote(name),
            "Retry-After": "0",
            "Set-Cookie": f"callee={number}",
            "WWW-Authenticate": f'Bearer error="{told.token}", error_description="{number}"',
        }
        body = json.dumps(told.echo).encode()
        handler.say(code, f"{name} {number} {told.token}", headers, body)

    return answer


def says(code: int, body: Callable[[Told], Any], *, media_type: str = "application/json") -> Answer:
    """Answer with a body of its own making."""

    def answer(handler: _Handler, told: Told) -> None:
        content = body(told)
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.say(code, "OK", {"Content-Type": media_type}, content)

    return answer


def redirects(handler: _Handler, told: Told) -> None:
    """Send the client to an address with everything in it."""
    query = f"?phone={quote(PEOPLE[0].number)}&name={quote(PEOPLE[0].name)}&token={told.token}"
    handler.say(307, f"{PEOPLE[0].number}", {"Location": f"{told.path.partition('?')[0]}{query}"}, b"")


def garbles(handler: _Handler, told: Told) -> None:
    """Answer with something that is no HTTP: libraries quote it in their errors."""
    handler.wfile.write(f"{PEOPLE[0].number} {PEOPLE[0].name} {told.token}\r\n\r\n".encode())
    handler.close_connection = True


def garbles_headers(handler: _Handler, told: Told) -> None:
    """Answer with a header line that is none."""
    handler.wfile.write(f"HTTP/1.1 200 OK\r\n{PEOPLE[0].number} {told.token}\r\n\r\n".encode())
    handler.close_connection = True


def hangs_up(handler: _Handler, told: Told) -> None:
    """Take the request and never answer."""
    handler.close_connection = True


def tears(handler: _Handler, told: Told) -> None:
    """Break off in the middle of an answer."""
    body = json.dumps(told.echo).encode()
    handler.say(200, "OK", {"Content-Type": "application/json"}, body[: len(body) // 2], length=len(body))
    handler.close_connection = True


#: What it does, by name.
WAYS: dict[str, Answer] = {
    **{f"HTTP {code}": status(code) for code in (400, 401, 403, 404, 409, 415, 422, 429, 500, 503)},
    "no JSON": says(200, lambda told: json.dumps(told.echo).encode()[:-5]),
    "HTML": says(200, lambda told: f"<p>{_GOSSIP} {told.token}".encode(), media_type=f"text/{PEOPLE[0].number}"),
    "other JSON": says(200, lambda told: told.gossip),
    "wrong types": says(
        200,
        lambda told: {
            name: told.gossip
            for name in ("batch_id", "campaign_id", "id", "status", "metadata", "total_contacts", "items", "contacts")
        },
    ),
    "a list": says(200, lambda told: [told.gossip, [told.token], PEOPLE[0].number]),
    "a redirect": redirects,
    "no HTTP": garbles,
    "no headers": garbles_headers,
    "no answer": hangs_up,
    "half an answer": tears,
}


class Hostile:
    """
    A proxy before a real service: harmless until it is told to be hostile.

    :param port: where the service is, on this machine
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.answer: Answer | None = None
        self.only: Callable[[Told], bool] = lambda _: True
        self.hits = 0
        hostile = self

        class Handler(_Handler):
            owner = hostile

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def be(self, way: str | None, only: Callable[[Told], bool] = lambda _: True) -> None:
        """
        Change its ways.

        :param way: one of :data:`WAYS`; ``None``: pass everything on
        :param only: which requests it is for
        """
        self.answer, self.only, self.hits = (WAYS[way] if way else None), only, 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Hostile

    def setup(self) -> None:
        self.timeout = 10
        super().setup()

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        told = Told(self.command, self.path, token, body)
        if self.owner.answer is not None and self.owner.only(told):
            self.owner.hits += 1
            self.owner.answer(self, told)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.owner.target, timeout=10)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            self.say(answer.status, answer.reason, kept, content)
        finally:
            connection.close()

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def say(self, code: int, reason: str, headers: dict[str, str], body: bytes, *, length: int | None = None) -> None:
        """Answer."""
        self.send_response_only(code, reason.encode("ascii", "replace").decode())
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
