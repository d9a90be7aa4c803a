from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_graine.exceptions import ConfigurationError, SourceError
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.transfers.sql_to_graine import SqlToGraineOperator
from tests.task import Task


@pytest.fixture(params=["sqlite", "duckdb"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with 30 people, one of whom opted out, known to Airflow as ``warehouse``."""
    file = tmp_path / "warehouse.db"
    connect: Any = sqlite3.connect if request.param == "sqlite" else duckdb.connect
    database = connect(str(file))
    database.execute("CREATE TABLE people (id INTEGER, phone_number TEXT, callee_name TEXT, premium REAL, note TEXT)")
    database.executemany(
        "INSERT INTO people VALUES (?, ?, ?, ?, ?)",
        [(i, f"+9198765{i:05}", f"Person {i}", i + 0.5, None) for i in range(30)],
    )
    database.execute("CREATE TABLE optouts (number TEXT)")
    database.execute("INSERT INTO optouts VALUES ('+91 98765 00003')")
    database.commit()
    database.close()
    connection = {"conn_type": request.param, "host": str(file)}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    return "warehouse"


def upload(sql: str, campaign_id: str, **arguments: Any) -> SqlToGraineOperator:
    return SqlToGraineOperator(task_id="call", sql=sql, sql_conn_id="warehouse", campaign_id=campaign_id, **arguments)


def test_rows_become_contacts(
    sandbox: Sandbox, campaign_id: str, task: Task, warehouse: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        batch_ids = task.run(
            upload(
                "SELECT phone_number, callee_name, premium, note FROM people WHERE id < ? ORDER BY id",
                campaign_id,
                parameters=[12],
                batch_size=5,
                suppress="SELECT number FROM optouts",
                on_invalid="skip",
            )
        )

    assert [sandbox.batches[batch_id]["total_contacts"] for batch_id in batch_ids] == [5, 5, 1]
    assert task.xcom["summary"] == {"read": 12, "accepted": 11, "rejected": {"suppressed": 1}, "batches": 3}
    assert "+919876500003" not in sandbox.dialled
    first = next(request for request in sandbox.requests if request.path == "/api/v1/batches/" and request.body)
    assert first.json()["contacts"][0] == {
        "phone_number": "+919876500000",
        "call_variables": {"callee_name": "Person 0", "note": None, "premium": 0.5},
    }
    assert "98765" not in caplog.text


def test_other_column_names(sandbox: Sandbox, campaign_id: str, task: Task, warehouse: str) -> None:
    task.run(
        upload(
            "SELECT phone_number AS mobile, callee_name AS who FROM people WHERE id = 7",
            campaign_id,
            phone_column="mobile",
            name_column="who",
        )
    )
    (contact,) = sandbox.contacts(next(iter(sandbox.batches)))
    assert contact["call_variables"] == {"callee_name": "Person 7"}


def test_query_without_the_columns(sandbox: Sandbox, campaign_id: str, task: Task, warehouse: str) -> None:
    with pytest.raises(SourceError, match="phone_number"):
        task.run(upload("SELECT id, callee_name FROM people", campaign_id))
    assert not sandbox.dialled


def test_statement_that_returns_nothing(sandbox: Sandbox, campaign_id: str, task: Task, warehouse: str) -> None:
    if "sqlite" not in json.loads(__import__("os").environ["AIRFLOW_CONN_WAREHOUSE"])["conn_type"]:
        with pytest.raises(SourceError):
            task.run(upload("CREATE TABLE x (a INTEGER)", campaign_id))
        return
    with pytest.raises(SourceError, match="SELECT"):
        task.run(upload("DELETE FROM optouts", campaign_id))


def test_query_without_rows(sandbox: Sandbox, campaign_id: str, task: Task, warehouse: str) -> None:
    assert task.run(upload("SELECT phone_number, callee_name FROM people WHERE id > 99", campaign_id)) == []


def test_connection_of_no_database(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    operator = SqlToGraineOperator(
        task_id="call", sql="SELECT 1", sql_conn_id="graine_default", campaign_id=campaign_id
    )
    with pytest.raises(ConfigurationError, match="none of a database"):
        task.run(operator)


def test_templates() -> None:
    assert {"sql", "sql_conn_id", "parameters", "campaign_id", "suppress", "rejects_path"} <= set(
        SqlToGraineOperator.template_fields
    )
    assert ".sql" in SqlToGraineOperator.template_ext
