"""Which task of which DAG run is at work, for what it creates to be found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_graine.uploads.identity import RunIdentity

if TYPE_CHECKING:
    from airflow.sdk import Context


def run_identity(context: Context) -> RunIdentity:
    """
    Read the identity that all tries of a task share.

    :param context: the task's context
    """
    ti = context["ti"]
    map_index = ti.map_index if ti.map_index is not None else -1
    return RunIdentity(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=map_index)
