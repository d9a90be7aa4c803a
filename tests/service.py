"""The service the tests call: a sandbox whose time stands still, empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from tests.task import Task


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=0, start="2026-05-10T09:00:00Z") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """An empty service whose time stands still, known to Airflow as ``graine_default``."""
    shared_sandbox.reset()
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", shared_sandbox.connection_json())
    return shared_sandbox


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
