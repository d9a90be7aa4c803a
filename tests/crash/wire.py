"""The wire between a worker and a server, on which a test lies in wait."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a worker has sent."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True)
class Ambush:
    """
    Something that happens once, when a request of a kind comes along.

    :param at: the kind
    :param nth: how many of the kind have to come along
    :param when: before the server gets the request, or when it has answered and the worker has not got the answer
    :param lost: whether the request never gets to the server, when struck before
    :param strike: what happens
    """

    at: Callable[[Request], bool]
    strike: Callable[[], None]
    nth: int = 1
    when: Literal["before", "after"] = "before"
    lost: bool = False
    seen: int = 0
    struck: threading.Event = field(default_factory=threading.Event)


class Wire:
    """
    A reverse proxy on a loopback port.

    :param port: where the server listens
    :param watch: is told of every request
    """

    def __init__(self, port: int, *, watch: Callable[[Request], None] = lambda _: None) -> None:
        self._target = port
        self._watch = watch
        self._ambushes: list[Ambush] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def lie_in_wait(self, ambush: Ambush) -> None:
        with self._lock:
            self._ambushes.append(ambush)

    def clear(self) -> None:
        with self._lock:
            self._ambushes.clear()

    def _sprung(self, request: Request) -> Ambush | None:
        """Count the request, and return the ambush it has walked into."""
        with self._lock:
            for ambush in self._ambushes:
                if not ambush.struck.is_set() and ambush.at(request):
                    ambush.seen += 1
                    if ambush.seen == ambush.nth:
                        ambush.struck.set()
                        return ambush
        return None

    def _answer(self, request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
        self._watch(request)
        ambush = self._sprung(request)
        if ambush is not None and ambush.when == "before":
            ambush.strike()
            if ambush.lost:  # who asked is dead; what asked for it must not ask again
                return 410, [("content-type", "application/json")], b'{"detail": {"reason": "lost"}}'
        connection = http.client.HTTPConnection("127.0.0.1", self._target, timeout=60)
        try:
            connection.request(request.method, request.path, body=request.body, headers=request.headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if ambush is not None and ambush.when == "after":
            ambush.strike()
        return answer.status, [(n, v) for n, v in answer.getheaders() if n.lower() not in _HOP_BY_HOP], content

    def _handler(wire) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def pass_on(self) -> None:
                try:
                    headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
                    body = self.rfile.read(int(self.headers.get("content-length", 0)))
                    status, answered, content = wire._answer(
                        Request(method=self.command, path=self.path, headers=headers, body=body)
                    )
                    self.send_response_only(status)
                    for name, value in answered:
                        self.send_header(name, value)
                    if status != 204:
                        self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except (ConnectionError, http.client.HTTPException):
                    self.close_connection = True  # one of the two ends is gone

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = pass_on

            def handle(self) -> None:
                with suppress(ConnectionError):  # who is killed does not say goodbye
                    super().handle()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler
