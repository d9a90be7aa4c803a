"""One Airflow that keeps everything, two services that know the canaries, and people in every kind of source."""

from __future__ import annotations

import json
import math
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_graine.notifications import one_call
from airflow_provider_graine.operators import upload_memory
from airflow_provider_graine.sandbox import KatavenSettings, Sandbox
from airflow_provider_graine.services import limits
from airflow_provider_graine.triggers import pause
from airflow_provider_graine.watching.clock import clock
from tests.connections import little_to_collect, naps, nothing_leaks
from tests.kataven_service import MANY
from tests.privacy.airflow import Airflow, Log
from tests.privacy.canaries import (
    DATABASE_PASSWORD,
    GRAINE_TOKEN,
    KATAVEN_TOKEN,
    ON_CALL,
    REDACT_KEY,
)
from tests.privacy.hostile import Hostile
from tests.privacy.search import Search
from tests.privacy.world import World, open_warehouse, write_sources

__all__ = ["little_to_collect", "naps", "nothing_leaks"]


@pytest.hookimpl(tryfirst=True)  # before those without the mark are chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.privacy)


@pytest.fixture(scope="session", autouse=True)
def models() -> None:
    """Airflow's models, put together: what older ones warn of meanwhile is no affair of a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.models import connection  # noqa: F401
        from sqlalchemy.orm import configure_mappers

        configure_mappers()


@pytest.fixture(scope="session")
def privacy_sandbox() -> Iterator[Sandbox]:
    settings = KatavenSettings(token=KATAVEN_TOKEN, rate_limits=False, concurrent_max=1_000_000)
    all_answer = {"completed": 1.0}
    with Sandbox(
        speed=0, start="2026-05-10T09:00:00Z", token=GRAINE_TOKEN, kataven=settings, outcomes=all_answer
    ) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def hostile_proxy(privacy_sandbox: Sandbox) -> Iterator[Hostile]:
    with Hostile(int(re.findall(r"\d+", privacy_sandbox.root_url)[-1])) as hostile:
        yield hostile


@pytest.fixture
def search() -> Search:
    return Search()


@pytest.fixture
def log() -> Iterator[Log]:
    with Log().configured() as log:
        yield log


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The people in files and in a database."""
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture
def world(
    privacy_sandbox: Sandbox,
    hostile_proxy: Hostile,
    sources: Path,
    tmp_path: Path,
    search: Search,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """Services behind the proxy, known to Airflow; time passes while somebody sleeps."""
    sandbox = privacy_sandbox
    sandbox.reset()
    hostile_proxy.be(None)
    connections: dict[str, Any] = {
        "graine_default": {**json.loads(sandbox.connection_json()), "extra": {"retries": 1, "timeout": 5}},
        "kataven_default": {**json.loads(sandbox.kataven.connection_json()), "extra": {"retries": 1, **MANY}},
        "redact_key": {"conn_type": "generic", "password": REDACT_KEY},
        "warehouse": {"conn_type": "warehouse", "host": f"{sources}/people.duckdb", "password": DATABASE_PASSWORD},
        "callee": {"conn_type": "generic", "login": ON_CALL.name, "password": ON_CALL.number},
    }
    for name, connection in connections.items():
        if "_default" in name:
            connection["host"] = re.sub(r":\d+", f":{hostile_proxy.port}", connection["host"])
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    _keep_masks_off(monkeypatch)
    open_warehouse(monkeypatch)

    async def wait(event: Any, *, at_most: float) -> None:
        await real_sleep(0)
        sandbox.advance(1.0 if math.isinf(at_most) else at_most)

    import asyncio

    real_sleep = asyncio.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sandbox.advance(seconds))
    monkeypatch.setattr(clock, "wall", lambda: sandbox.now)
    monkeypatch.setattr(clock, "now", lambda: sandbox.now)
    monkeypatch.setattr(clock, "wait", wait)
    told = SimpleNamespace(time=lambda: sandbox.now, sleep=sandbox.advance)
    for module in (upload_memory, pause):
        monkeypatch.setattr(module, "time", told)
    monkeypatch.setattr(one_call, "_LOOKS", (0.0,))
    monkeypatch.setattr(one_call, "_PATIENCE", 0.0)
    limits._limiters.clear()
    airflow = Airflow(search, log, before_event=sandbox.run_until_idle)
    yield World(sandbox=sandbox, hostile=hostile_proxy, airflow=airflow, sources=sources, folder=tmp_path)
    hostile_proxy.be(None)
    limits._limiters.clear()


def _keep_masks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Airflow from masking: what only that hides has got out."""
    from airflow.sdk._shared.secrets_masker import SecretsMasker

    monkeypatch.setattr(SecretsMasker, "add_mask", lambda *_, **__: None)
