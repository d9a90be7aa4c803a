"""A blocking session that several threads use at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier

import pytest

from airflow_provider_graine.http import Session
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.services.graine import requests
from tests.http.talking import settings

THREADS = 32


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=0) as sandbox:
        yield sandbox


def test_the_token_is_read_anew_once_for_all(sandbox: Sandbox) -> None:
    read: list[str] = []

    def reload() -> str:
        read.append("gat_new")
        return "gat_new"

    session = Session(settings(sandbox.url, token="gat_old"), reload_token=reload)
    sandbox.rotate_token("gat_new")
    together = Barrier(THREADS)

    def one(_: int) -> int:
        together.wait(10)
        return len(session.send(requests.list_batches()))

    with closing(session), ThreadPoolExecutor(THREADS) as threads:
        assert list(threads.map(one, range(THREADS))) == [0] * THREADS
    assert len(read) == 1


def test_none_waits_for_the_connection_of_another() -> None:
    """The server answers when all have asked."""
    together = Barrier(THREADS)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            together.wait(10)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = THREADS

    with Server(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(THREADS + 1) as threads:
        threads.submit(server.serve_forever, 0.05)
        session = Session(settings(f"http://127.0.0.1:{server.server_port}"), reload_token=lambda: "gat_new")
        with closing(session):
            assert list(threads.map(lambda _: len(session.send(requests.list_batches())), range(THREADS))) == [0] * 32
        server.shutdown()
