from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from tests.task import Task


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=0, start="2026-05-10T09:00:00Z") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """An empty service whose time stands still, known to Airflow as ``graine_default``."""
    _sandbox.reset()
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", _sandbox.connection_json())
    return _sandbox


@pytest.fixture
def hook(sandbox: Sandbox) -> Iterator[GraineHook]:
    hook = GraineHook()
    yield hook
    hook.close()


@pytest.fixture
def campaign_id(hook: GraineHook, sandbox: Sandbox) -> str:
    """A campaign that exists."""
    return hook.create_campaign(name="Renewals", agent_id="agent_1", phone_numbers=["+918045678900"]).campaign_id


@pytest.fixture
def task() -> Task:
    return Task()
