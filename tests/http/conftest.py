from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_graine import http
from tests.http.scripted import ScriptedServer, Step
from tests.http.talking import Blocking, OnLoop, note_naps


@pytest.fixture(params=[Blocking, OnLoop], ids=["sync", "async"])
def talk(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    with ExitStack() as servers:
        yield lambda *script, **how: servers.enter_context(ScriptedServer(list[Step](script), **how))


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited between two attempts: noted, and not waited."""
    return note_naps(monkeypatch)


@pytest.fixture(scope="session")
def _little_to_collect() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # or each collection goes through all of Airflow
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_leaks(_little_to_collect: None) -> Iterator[None]:
    """An unclosed connection warns when it is collected, and a warning is an error: in the test that left it."""
    yield
    gc.collect()


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_backoff", lambda state: 0.25)
