"""A server that misbehaves as told, byte by byte: what no well-built server can be made to do."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


#: Answers one request on a connection and tells whether the connection stays open.
Step = Callable[[socket.socket], bool]


def answer(status: int = 200, body: Any = b"", *, headers: dict[str, str] | None = None, close: bool = False) -> Step:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content-type": "application/json", "content-length": str(len(content)), **(headers or {})}
    head = f"HTTP/1.1 {status} Answer\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return raw(head.encode("latin-1") + b"\r\n" + content, close=close)


def raw(data: bytes, *, close: bool = False) -> Step:
    def step(connection: socket.socket) -> bool:
        connection.sendall(data)
        return not close

    return step


def hang_up(data: bytes = b"") -> Step:
    return raw(data, close=True)


def reset(data: bytes = b"") -> Step:
    def step(connection: socket.socket) -> bool:
        connection.sendall(data)
        time.sleep(0.05)  # what is still in the buffers is lost with the reset
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return step


def trickle(data: bytes, *, pause: float) -> Step:
    def step(connection: socket.socket) -> bool:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)
        return True

    return step


def silence(seconds: float) -> Step:
    def step(connection: socket.socket) -> bool:
        time.sleep(seconds)
        return False

    return step


@dataclass
class ScriptedServer:
    """
    Takes one step for each request; the last one is repeated.

    :param script: what to do
    :param tls: speak TLS
    """

    script: list[Step]
    tls: ssl.SSLContext | None = None
    requests: list[Received] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/api/v1"

    def _accept(self) -> None:
        count = 0
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            count += 1
            thread = threading.Thread(target=self._serve, args=(connection, count))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
        with self._lock:
            self._open.add(connection)
        with connection, suppress(OSError):
            while not self._stopping.is_set() and (received := _receive(connection, number)):
                with self._lock:
                    self.requests.append(received)
                    step = self.script[min(len(self.requests), len(self.script)) - 1]
                if not step(connection):
                    break
        with self._lock:
            self._open.discard(connection)


def _receive(connection: socket.socket, number: int) -> Received | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = start.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Received(method, target, headers, body, number)
