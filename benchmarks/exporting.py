"""
A server that gives an export of any size as fast as it can.

``GET …/batches/{id}`` says that the batch is completed, ``GET …/batches/{id}/export.csv`` streams its rows. The id says
what to send: ``btc_50`` is an export of about 50 MB, and the first download of ``btc_50_7000000`` breaks off after
7,000,000 bytes. The sandbox is for what is right, this is for how fast.
"""

from __future__ import annotations

import csv
import io
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_COLUMNS = (
    "contact_id,phone_number,callee_name,status,retry_count,follow_up_count,last_attempted_at,next_retry_at,"
    "execution_id,call_status,duration_seconds,sentiment,summary,hangup_by,hangup_reason,recording_url,call_variables"
)
_PIECE = 8_000_000  # bytes


@dataclass(frozen=True)
class ExportServer:
    """
    A server that runs.

    :param url: its base URL
    """

    url: str

    @property
    def airflow_connection(self) -> str:
        """The connection of type ``graine`` as JSON, for ``AIRFLOW_CONN_…``."""
        return json.dumps(
            {"conn_type": "graine", "host": self.url, "password": "gat_benchmark", "extra": {"retries": 0}}
        )


@contextmanager
def export_server() -> Iterator[ExportServer]:
    """Run the server in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", __spec__.name], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield ExportServer(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait()


def _rows() -> bytes:
    """Some megabytes of rows as the service may write them: quoted JSON, and texts with line ends in every third."""
    chance = random.Random(1)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    number = 0
    while text.tell() < _PIECE:
        number += 1
        name = f'{chance.choice(["Asha", "Ravi", "Zoë"])} "{chance.choice("ABCDE")}" {chance.randrange(10**6)}'
        variables = {"callee_name": name, "premium": f"{chance.randrange(10**5) / 100}", "city": "Pune"}
        summary = "Agreed to renew, asks for a call back.\n" * (number % 3)
        contact = [f"con_{chance.randbytes(6).hex()}", f"+9198{chance.randrange(10**8):08}", name, "completed", 1, 0]
        call = [f"exec_{chance.randbytes(6).hex()}", "completed", chance.randrange(300), "positive", summary]
        rest = ["assistant", "goal_completed", "https://recordings.invalid/1.mp3", json.dumps(variables)]
        writer.writerow([*contact, "2026-05-10T09:00:00Z", "", *call, *rest])
    return text.getvalue().encode()


class _Exports:
    def __init__(self) -> None:
        self.header = _COLUMNS.encode() + b"\r\n"
        self.piece = _rows()
        self.rows = self.piece.count(b"\r\n")
        self._torn: set[str] = set()

    def serve(self, connection: socket.socket) -> None:
        received = b""
        with connection, suppress(OSError):
            while True:
                while b"\r\n\r\n" not in received:
                    if not (some := connection.recv(65536)):
                        return
                    received += some
                head, _, received = received.partition(b"\r\n\r\n")
                if not self._answer(connection, head.split(b" ")[1].decode()):
                    return

    def _answer(self, connection: socket.socket, path: str) -> bool:
        batch_id = path.partition("/batches/")[2].partition("/")[0]
        _, megabytes, *torn = batch_id.split("_")
        pieces = max(1, int(megabytes) * 1_000_000 // len(self.piece))
        if not path.endswith("/export.csv"):
            batch = {"batch_id": batch_id, "status": "completed", "total_contacts": pieces * self.rows}
            self._send(connection, "application/json", [json.dumps(batch).encode()])
            return True
        left = None
        if torn and batch_id not in self._torn:
            self._torn.add(batch_id)
            left = int(torn[0])
        return self._send(connection, "text/csv", [self.header, *[self.piece] * pieces], left=left)

    def _send(self, connection: socket.socket, kind: str, pieces: list[bytes], *, left: int | None = None) -> bool:
        size = sum(map(len, pieces))
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode())
        for piece in pieces:
            if left is None:
                connection.sendall(piece)
                continue
            connection.sendall(memoryview(piece)[:left])
            left -= min(left, len(piece))
            if left == 0:
                return False
        return True


def _serve() -> None:
    exports = _Exports()
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=exports.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    _serve()
