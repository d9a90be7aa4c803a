"""What a task has left in Airflow's database, written as the Airflow at hand keeps it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.compat import AIRFLOW_VERSION


@contextmanager
def stored_task(
    run_id: str, task_id: str, *, map_index: int = -1, state: str = "deferred", xcoms: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """
    Have a task instance of the DAG ``calls`` in the database.

    :param run_id: of which run
    :param task_id: of which task
    :param map_index: which of those that it was mapped to
    :param state: how it is
    :param xcoms: its XComs
    """
    from airflow.models import xcom
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import insert, text

    now = datetime.now(UTC)
    identity: Any = str(uuid.uuid4()) if AIRFLOW_VERSION < (3, 2) else uuid.uuid4()
    run = {"id": 1, "dag_id": "calls", "run_id": run_id, "run_type": "manual", "run_after": now, "state": "running"}
    task = {"id": identity, "dag_id": "calls", "run_id": run_id, "task_id": task_id, "state": state}
    task |= {"pool": "default_pool", "pool_slots": 1}
    task |= {"region_index": map_index, "working_set": True} if AIRFLOW_VERSION >= (3, 4) else {"map_index": map_index}
    xcom_table: Any = (xcom.XComModelV2 if AIRFLOW_VERSION >= (3, 4) else xcom.XComModel).__table__
    rows = [(DagRun.__table__, run), (TaskInstance.__table__, task)]
    for key, value in (xcoms or {}).items():
        of_task = {"dag_run_id": 1, "dag_id": "calls", "run_id": run_id, "task_id": task_id, "map_index": map_index}
        row = {"task_instance_id": identity} if AIRFLOW_VERSION >= (3, 4) else of_task
        rows.append((xcom_table, row | {"key": key, "value": json.dumps(value)}))
    tables = [xcom_table, TaskInstance.__table__, DagRun.__table__]

    def write(statements: list[Any]) -> None:
        with create_session() as session:
            session.execute(text("PRAGMA foreign_keys=OFF"))  # neither its DAG nor a version of it is there
            for statement in statements:
                session.execute(statement)

    write([table.delete() for table in tables] + [insert(table).values(row) for table, row in rows])
    try:
        yield
    finally:
        write([table.delete() for table in tables])
