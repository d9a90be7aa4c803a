from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.notifications import one_call
from airflow_provider_graine.sandbox import Sandbox
from tests.connections import little_to_collect, nothing_leaks

__all__ = ["little_to_collect", "nothing_leaks"]

NUMBER = "+14155550123"
NAME = "Testina Callee"


@pytest.fixture(scope="session")
def on_call_sandbox() -> Iterator[Sandbox]:
    """Its time stands still, at the real time: calls are asked for a minute from now."""
    with Sandbox(speed=0, scripts={NUMBER: "completed"}) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(on_call_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    on_call_sandbox.reset()
    graine = json.loads(on_call_sandbox.connection_json()) | {"extra": {"timeout": 1.0, "retries": 0}}
    callee = {"conn_type": "generic", "login": NAME, "password": NUMBER}
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(graine))
    monkeypatch.setenv("AIRFLOW_CONN_ON_CALL", json.dumps(callee))
    return on_call_sandbox


@pytest.fixture
def campaign_id(sandbox: Sandbox) -> str:
    hook = GraineHook()
    try:
        return hook.create_campaign(name="On call", agent_id="agent_1", phone_numbers=["+918045678900"]).campaign_id
    finally:
        hook.close()


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_call, "_LOOKS", (0.0, 0.05))
    monkeypatch.setattr(one_call, "_PATIENCE", 0.2)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def task_context(*, in_worker: bool = True, **ti: Any) -> Any:
    """What Airflow gives to a task's callback: in the worker, or in the DAG processor when the worker is lost."""
    facts = {"dag_id": "sales", "run_id": "scheduled__1", "task_id": "load", "map_index": -1, "try_number": 1}
    began = datetime.now(UTC)
    context: dict[str, Any] = {
        "ti": SimpleNamespace(**facts | {"start_date": began} | ti),
        "dag_run": SimpleNamespace(dag_id="sales", run_id="scheduled__1", start_date=began, clear_number=0),
        "run_id": "scheduled__1",
    }
    return context | ({"exception": ValueError(f"no row for {NUMBER}")} if in_worker else {})


def dag_context(*, clear_number: int = 0, **ti: Any) -> Any:
    """What the DAG processor gives to a DAG's callback: the last task comes with it."""
    context = task_context(in_worker=False, **ti)
    context["dag_run"].clear_number = clear_number
    return context | {"reason": "task_failure"}


def deadline_context(deadline_id: str = "0199-1") -> Any:
    """What the scheduler gives to a deadline's callback, by way of the database."""
    return {
        "dag_run": {"dag_id": "sales", "dag_run_id": "scheduled__1", "start_date": None},
        "deadline": {"id": deadline_id, "deadline_time": datetime.now(UTC)},
    }
