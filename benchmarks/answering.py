"""
A server that takes batches as fast as it can and answers as the service does.

It checks nothing and remembers only how many people and batches came, or on request who: the sandbox is for what is
right, this is for how fast. Everything but ``POST …/batches/`` has one of four answers: no batches, an active campaign,
the counts (``GET /counts``), or who came (``GET /people``).
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_BUFFER = 2**20


@dataclass(frozen=True)
class AnsweringServer:
    """
    A server that runs.

    :param url: its base URL
    """

    url: str

    @property
    def airflow_connection(self) -> str:
        """The connection of type ``graine`` as JSON, for ``AIRFLOW_CONN_…``."""
        return json.dumps({"conn_type": "graine", "host": self.url, "password": "gat_benchmark"})

    def counts(self) -> dict[str, int]:
        """:return: ``people``, ``batches`` and ``most_at_once`` since the last call"""
        with urllib.request.urlopen(f"{self.url}/counts") as answer:
            return json.load(answer)

    def people(self) -> dict[str, list[str]]:
        """:return: batch id to the numbers on it, in their order, since the last call; for servers that remember"""
        with urllib.request.urlopen(f"{self.url}/people") as answer:
            return json.load(answer)


@contextmanager
def answering_server(*, answer_after: float = 0.0, remembers: bool = False) -> Iterator[AnsweringServer]:
    """
    Run the server in a process of its own.

    :param answer_after: seconds it takes over a batch
    :param remembers: whether it keeps who is on which batch
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, str(answer_after), str(int(remembers))],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield AnsweringServer(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait()


class _Counts:
    def __init__(self, *, remembers: bool = False) -> None:
        self.people = self.batches = self.under_way = self.most_at_once = 0
        self.remembers = remembers
        self.bodies: dict[Any, bytes] = {}

    def taken_people(self) -> dict[str, list[str]]:
        bodies, self.bodies = self.bodies, {}
        return {
            batch_id: [contact["phone_number"] for contact in json.loads(body)["contacts"]]
            for batch_id, body in bodies.items()
        }

    def taken(self) -> dict[str, int]:
        counts = {"people": self.people, "batches": self.batches, "most_at_once": self.most_at_once}
        self.people = self.batches = self.most_at_once = 0
        return counts


class _Connection(asyncio.BufferedProtocol):
    """HTTP/1.1 with Content-Length, one request after the other; nothing is copied out of the buffer."""

    def __init__(self, counts: _Counts, answer_after: float) -> None:
        self._counts = counts
        self._answer_after = answer_after
        self._buffer = bytearray(_BUFFER)
        self._filled = 0
        self._body = self._end = 0  # where they are in the buffer; 0 while the head is not there yet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._filled == len(self._buffer):
            self._buffer = self._buffer + bytearray(len(self._buffer))
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if not self._end:
            self._body = self._buffer.find(b"\r\n\r\n", 0, self._filled) + 4
            if self._body < len(b"\r\n\r\n"):
                return
            length = re.search(rb"(?i)\ncontent-length: *(\d+)", self._buffer[: self._body])
            self._end = self._body + (int(length[1]) if length else 0)
        if self._filled >= self._end:
            self._request()
            self._filled = self._body = self._end = 0

    def _request(self) -> None:
        method, path, _ = self._buffer[: self._body].split(b" ", 2)
        if method == b"POST":
            self._batch()
        elif path == b"/counts":
            self._answer(self._counts.taken())
        elif path == b"/people":
            self._answer(self._counts.taken_people())
        else:
            self._answer([] if b"/batches" in path else {"campaign_id": "camp_1", "status": "active"})

    def _batch(self) -> None:
        people = self._buffer.count(b'"phone_number"', self._body, self._end)
        counts = self._counts
        counts.people += people
        counts.batches += 1
        counts.under_way += 1
        counts.most_at_once = max(counts.most_at_once, counts.under_way)
        batch = {"batch_id": f"batch_{counts.batches}", "status": "pending", "total_contacts": people}
        if counts.remembers:
            counts.bodies[batch["batch_id"]] = bytes(self._buffer[self._body : self._end])
        if self._answer_after:
            asyncio.get_running_loop().call_later(self._answer_after, self._created, batch)
        else:
            self._created(batch)

    def _created(self, batch: dict[str, Any]) -> None:
        self._counts.under_way -= 1
        self._answer(batch, status="201 Created")

    def _answer(self, document: Any, *, status: str = "200 OK") -> None:
        body = json.dumps(document).encode()
        self._transport.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )


async def _serve(answer_after: float, remembers: bool) -> None:
    counts = _Counts(remembers=remembers)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(counts, answer_after), "127.0.0.1", 0, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), bool(int(sys.argv[2]))))
