"""Which task of which DAG run is at work, for what it creates to be found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_graine.uploads.identity import RunIdentity

if TYPE_CHECKING:
    from airflow.sdk import Context


def run_identity(context: Context, *, redial_with_retries: int | None = None) -> RunIdentity:
    """
    Read the identity that all tries of a task share.

    :param context: the task's context
    :param redial_with_retries: where a clear is to be an upload of its own: the task's ``retries``. A clear raises
        ``max_tries`` to the tries made so far plus the retries, so that all tries after one clear share a generation
    """
    ti = context["ti"]
    generation = 0 if redial_with_retries is None else max(0, ti.max_tries - redial_with_retries)
    return RunIdentity(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=ti.map_index if ti.map_index is not None else -1,
        generation=generation,
    )
