"""Which failure a callback is about: the same for every callback that tells of it, another for the next failure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from airflow_provider_graine.exceptions import ConfigurationError

KEY: Final = "airflow_failure_key"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """
    A failure of a task or a DAG run, or a deadline that it has missed.

    :param kind: what has failed
    :param dag_id: the DAG
    :param run_id: the DAG run
    :param task_id: the task, for a callback of a task
    :param map_index: index of a mapped task, ``-1`` for others
    :param number: of a task: which try; of a run: how often it had been cleared, ``None`` where that is not known
    :param deadline_id: Airflow's id of the missed deadline
    :param exception: class of the task's exception, where it is known
    :param since: before this, in seconds since the epoch, it had not happened; ``None`` where that is not known
    """

    kind: Literal["task", "dag", "deadline"]
    dag_id: str
    run_id: str
    task_id: str | None = None
    map_index: int = -1
    number: int | None = None
    deadline_id: str | None = None
    exception: str | None = None
    since: float | None = None

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Failure:
        """
        Read what Airflow tells a callback.

        :param context: of a task; of a DAG run, whose ``ti`` is but the last task that failed; or of a deadline
        :raises ConfigurationError: when it is none of these
        """
        ti, run, deadline = context.get("ti"), context.get("dag_run"), context.get("deadline")
        run_id = context.get("run_id") or _get(run, "run_id") or _get(run, "dag_run_id") or _get(ti, "run_id")
        dag_id = _get(run, "dag_id") or _get(ti, "dag_id") or _get(context.get("dag"), "dag_id")
        if not dag_id or not run_id:
            raise ConfigurationError("The callback's context tells of no DAG run. Nobody was phoned.")
        if deadline is not None:
            return cls(
                kind="deadline",
                dag_id=dag_id,
                run_id=run_id,
                deadline_id=str(_get(deadline, "id")),
                since=_seconds(_get(deadline, "deadline_time")),
            )
        began = _seconds(_get(run, "start_date"))
        if ti is None or "reason" in context:
            return cls(kind="dag", dag_id=dag_id, run_id=run_id, number=_get(run, "clear_number"), since=began)
        error = context.get("exception")
        return cls(
            kind="task",
            dag_id=dag_id,
            run_id=run_id,
            task_id=ti.task_id,
            map_index=-1 if (index := _get(ti, "map_index")) is None else index,
            number=ti.try_number,
            exception=type(error).__name__ if isinstance(error, BaseException) else None,
            since=_seconds(_get(ti, "start_date")) or began,
        )

    def key(self, phone_number: str) -> str:
        """
        Return a short name that no two failures share, and no two people who are phoned about one.

        :param phone_number: who is phoned
        """
        parts = [self.kind, self.dag_id, self.run_id, self.task_id, self.map_index, self.number, self.deadline_id]
        return hashlib.sha256(json.dumps([*parts, phone_number]).encode()).hexdigest()[:32]

    def marks(self, phone_number: str) -> dict[str, Any]:
        """
        Return the identity for a batch's ``metadata``. Under no name that uploads use, or they took it for theirs.

        :param phone_number: who is phoned
        """
        return {KEY: self.key(phone_number)} | {f"airflow_failed_{name}": value for name, value in self.facts.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of it, for the agent to tell; nothing of what the exception says, for that may be personal."""
        known = {
            "failure": self.kind,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index if self.map_index >= 0 else None,
            "try_number": self.number if self.kind == "task" else None,
            "exception_type": self.exception,
        }
        return {name: value for name, value in known.items() if value is not None}

    def __str__(self) -> str:
        if self.kind == "deadline":
            return f"the missed deadline of run {self.run_id} of DAG {self.dag_id}"
        if self.kind == "dag":
            return f"the failure of run {self.run_id} of DAG {self.dag_id}"
        task = f"task {self.task_id}" if self.map_index < 0 else f"task {self.task_id}[{self.map_index}]"
        return f"the failure of {task}, try {self.number}, in run {self.run_id} of DAG {self.dag_id}"


def _get(thing: Any, name: str) -> Any:
    """Read a field: deadlines bring the run as a mapping, other callbacks as an object."""
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _seconds(moment: Any) -> float | None:
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    return moment.timestamp() if isinstance(moment, datetime) and moment.tzinfo else None
