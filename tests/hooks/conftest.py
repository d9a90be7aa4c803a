from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from tests.connections import little_to_collect, naps, nothing_leaks

__all__ = ["little_to_collect", "naps", "nothing_leaks"]

TOKEN = "gat_hook_tests_0123456789"


@pytest.fixture(scope="session")
def _running() -> Iterator[Sandbox]:
    with Sandbox(speed=0, start="2026-05-12T09:00:00Z", token=TOKEN) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_running: Sandbox) -> Sandbox:
    """An empty service whose time stands still."""
    _running.rotate_token(TOKEN)
    _running.reset()
    return _running


@pytest.fixture
def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write the connection ``graine_default``: the sandbox's, but for the given fields."""

    def connect(*, extra: Any = None, **fields: Any) -> None:
        connection = {**json.loads(sandbox.connection_json()), **fields}
        if extra is not None:
            connection["extra"] = extra
        monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))

    return connect


@pytest.fixture
def hook(connect: Callable[..., None]) -> Iterator[GraineHook]:
    connect()
    hook = GraineHook()
    yield hook
    hook.close()


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call a method of a hook by its blocking name, in one of its two forms."""

    def blocking(hook: GraineHook, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return getattr(hook, name)(*args, **kwargs)

    def on_loop(hook: GraineHook, name: str, /, *args: Any, **kwargs: Any) -> Any:
        async def talk() -> Any:
            try:
                return await getattr(hook, f"a{name}")(*args, **kwargs)
            finally:
                await hook.aclose()

        return asyncio.run(talk())

    return blocking if request.param == "sync" else on_loop
