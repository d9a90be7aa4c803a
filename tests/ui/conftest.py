"""The page as Airflow serves it, with Airflow's own log-in: plugins, auth manager and middlewares are Airflow's."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Airflow's own API server brings with it
    import airflow.api_fastapi.app  # noqa: F401

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.ui.watched import Calls, Watched
from airflow_provider_graine.watching.clock import Clock
from tests.connections import naps
from tests.service import campaign_id, hook, sandbox, shared_sandbox, task

__all__ = ["campaign_id", "hook", "naps", "sandbox", "shared_sandbox", "task"]


@dataclass(frozen=True)
class Site:
    """A server with what of Airflow's has to do with the page; not with its own pages, which take long to load."""

    url: str
    app: Any

    def token(self, role: str | None) -> str:
        """Give what somebody has who is logged in with a role."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        user = SimpleAuthManagerUser(username="somebody", role=role)
        token: str = get_auth_manager().generate_jwt(user)
        return token

    def client(self, role: str | None = "viewer") -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(role)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    patch = pytest.MonkeyPatch()
    patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_hex(64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own, while it starts
        from airflow.api_fastapi import app as airflow_app
        from airflow.utils.db import initdb
        from airflow.utils.session import create_session
        from sqlalchemy import inspect

        with create_session() as session:
            is_new = not inspect(session.get_bind()).has_table("dag")
        if is_new:
            initdb()
        app = FastAPI()
        airflow_app.init_plugins(app)
        airflow_app.init_auth_manager(app)
        airflow_app.init_error_handlers(app)
        if hasattr(airflow_app, "init_middlewares"):  # the first releases of Airflow 3.1 have none
            airflow_app.init_middlewares(app)
    [mounted] = [route.app for route in app.routes if getattr(route, "path", None) == "/graine"]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none", loop="asyncio"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", mounted)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        patch.undo()


@pytest.fixture
def page(site: Site, sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A browser of somebody who may look, at a server that knows nothing yet."""
    from airflow_provider_graine.ui.app import _Offered, _watch
    from airflow_provider_graine.ui.watched import AllWatched

    site.app.state.offered, site.app.state.watched = _Offered(), (watched := AllWatched(_watch))
    with site.client() as client:
        yield client
    if watched.loop is not None:  # sessions are closed where they were opened
        asyncio.run_coroutine_threadsafe(watched.aclose(), watched.loop).result(timeout=30)


class Time:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.begin = 1_778_403_600.0  # 2026-05-10 09:00 UTC, as in the sandbox

    def now(self) -> float:
        return 1e6 + self.passed

    def wall(self) -> float:
        return self.begin + self.passed


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(Clock, "now", lambda _: time.now())
    monkeypatch.setattr(Clock, "wall", lambda _: time.wall())
    return time


@pytest.fixture
def look() -> Callable[..., Any]:
    """Run something with what is known of a connection, and close it."""

    def run(calls: Calls, what: Callable[[Watched], Awaitable[Any]]) -> Any:
        service = GraineHook if calls.noun == "batch" else KatavenHook

        async def main() -> Any:
            watched = Watched(f"{service.conn_type}_default", partial(_made, service), calls)
            try:
                return await what(watched)
            finally:
                await watched.aclose()

        return asyncio.run(main())

    return run


def _made(service: Callable[[str], Any], conn_id: str) -> Any:
    return service(conn_id)
