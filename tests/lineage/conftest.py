"""A service, a list of people in files, and Airflow's own collector with somebody who reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.lineage.assets import host_of
from airflow_provider_graine.sandbox import Sandbox
from tests.service import campaign_id, hook, sandbox, shared_sandbox, task
from tests.task import Task

__all__ = ["campaign_id", "hook", "sandbox", "shared_sandbox", "task"]

#: Of nobody's may be told anything.
NUMBERS = [f"+9198765{number:05}" for number in range(8)]


@pytest.fixture
def host(sandbox: Sandbox) -> str:
    return host_of(sandbox.url)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Eight people in two files, and a third file that says that one of them must not be called."""
    (tmp_path / "people").mkdir()
    for half in (0, 1):
        rows = "".join(f"{number},Asha {number[-1]}\n" for number in NUMBERS[half * 4 : half * 4 + 4])
        (tmp_path / "people" / f"{half}.csv").write_text(f"phone_number,callee_name\n{rows}")
    (tmp_path / "do_not_call.csv").write_text(f"phone_number\n{NUMBERS[3]}\n")
    return tmp_path


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Airflow's own collector, which a plugin reads; gives what has been collected."""
    try:
        from airflow.sdk import lineage, plugins_manager
    except ImportError:  # Airflow 3.1
        from airflow import plugins_manager
        from airflow.lineage import hook as lineage

        monkeypatch.setattr(plugins_manager, "hook_lineage_reader_classes", [lineage.HookLineageReader])
        monkeypatch.setattr(lineage, "_hook_lineage_collector", None)
        forget: Callable[[], None] = lambda: None  # noqa: E731
    else:
        readers = [lineage.HookLineageReader]
        monkeypatch.setattr(plugins_manager, "get_hook_lineage_readers_plugins", lambda: readers)
        forget = lineage.get_hook_lineage_collector.cache_clear
    forget()
    yield lambda: lineage.HookLineageReader().retrieve_hook_lineage()
    forget()


@pytest.fixture
def warehouse(people: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connection of a database with the same people."""
    import duckdb

    with duckdb.connect(str(people / "warehouse.duckdb")) as database:
        database.execute(f"CREATE TABLE policies AS FROM '{people}/people/*.csv'")
    connection = {"conn_type": "duckdb", "host": str(people / "warehouse.duckdb")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    return "warehouse"


def run(operator: Any, task: Task) -> Any:
    """Execute an operator and what Airflow does afterwards; gives what is said in the events of its outlets."""
    return _run(operator, task.context(), task.xcom, operator.execute)


def resume(operator: Any, task: Task, event: Any, *, xcom: dict[str, Any]) -> Any:
    """Go on after a deferral, as :func:`run`."""
    arguments = {"event": event}
    return _run(
        operator,
        task.context(),
        xcom,
        lambda context: operator.resume_execution("execute_complete", arguments, context),
    )


def _run(operator: Any, context: Any, xcom: dict[str, Any], execute: Callable[[Any], Any]) -> Any:
    from airflow.sdk.execution_time.context import OutletEventAccessors

    context["ti"].xcom_pull = lambda *, task_ids, key, map_indexes: xcom.get(key)
    context["outlet_events"] = events = OutletEventAccessors()
    execute(context)
    operator.post_execute(context)
    return events
