"""Which task instances created what is shown, as Airflow's database knows them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import func, select, tuple_

from airflow_provider_graine.operators.links import KatavenCallsLink
from airflow_provider_graine.ui.seen import Maker
from airflow_provider_graine.uploads.identity import RunIdentity

#: Tasks that are tried for a mark, the latest first.
_MOST_TASKS: Final = 5000


def tasks_of_marks(hashes: Collection[str]) -> dict[str, Maker]:
    """
    Find the tasks whose hashes are in the names of Kataven campaigns.

    A hash cannot be read backwards: those of the tasks that have placed calls are worked out, which the link on their
    page tells, for as long as Airflow keeps it.

    :param hashes: as the marks have them
    :return: the task of each that was found
    """
    found: dict[str, Maker] = {}
    with create_session() as session:
        placed = (
            select(XComModel.dag_id, XComModel.run_id, XComModel.task_id)
            .where(XComModel.key == KatavenCallsLink.xcom_key)
            .group_by(XComModel.dag_id, XComModel.run_id, XComModel.task_id)  # one for all that it was mapped to
            .order_by(func.max(XComModel.timestamp).desc())
            .limit(_MOST_TASKS)
        )
        for dag_id, run_id, task_id in session.execute(placed):
            if (task_hash := hash_of(dag_id, run_id, task_id)) in hashes:
                found[task_hash] = Maker(dag_id, run_id, task_id)
    return found


def hash_of(dag_id: str, run_id: str, task_id: str) -> str:
    """
    Return what the marks in names have of a task.

    :param dag_id: the DAG
    :param run_id: the DAG run
    :param task_id: the task
    """
    return RunIdentity(dag_id=dag_id, run_id=run_id, task_id=task_id).mark(chunk="", people=0).task


def states_of(makers: Collection[Maker]) -> dict[Maker, str]:
    """
    Read the states of task instances.

    :param makers: which
    :return: those that this Airflow has; another one may use the same account
    """
    if not makers:
        return {}
    named = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    wanted = [(each.dag_id, each.run_id, each.task_id, each.map_index) for each in makers]
    with create_session() as session:
        rows = session.execute(select(*named, TaskInstance.state).where(tuple_(*named).in_(wanted)))
        return {Maker(*row[:4]): str(row[4] or "none") for row in rows}
