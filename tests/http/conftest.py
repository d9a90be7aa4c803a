from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_graine import http
from tests.connections import little_to_collect, naps, nothing_leaks
from tests.http.scripted import ScriptedServer, Step
from tests.http.talking import Blocking, OnLoop

__all__ = ["little_to_collect", "naps", "nothing_leaks"]


@pytest.fixture(params=[Blocking, OnLoop], ids=["sync", "async"])
def talk(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    with ExitStack() as servers:
        yield lambda *script, **how: servers.enter_context(ScriptedServer(list[Step](script), **how))


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_backoff", lambda state: 0.25)
