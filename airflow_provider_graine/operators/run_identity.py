"""Which task of which DAG run is at work, for what it creates to be found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_graine.uploads.identity import RunIdentity

if TYPE_CHECKING:
    from airflow.sdk import Context


def run_identity(context: Context, *, redial: bool = False) -> RunIdentity:
    """
    Read the identity that all tries of a task share.

    The generation is ``max_tries`` as it is: a clear raises it, by the tries made so far, and nothing else changes it,
    not even another number of retries in the DAG.

    :param context: the task's context
    :param redial: whether a clear asks for an upload of its own
    """
    ti = context["ti"]
    return RunIdentity(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=_number(ti, "map_index", -1),
        generation=_number(ti, "max_tries", 0),
        is_for_generation=redial,
    )


def _number(ti: Any, name: str, default: int) -> int:
    value = getattr(ti, name, None)
    return value if isinstance(value, int) else default
