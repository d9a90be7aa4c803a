"""A task instance for operators that are executed without the scheduler: what Airflow gives to ``execute``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any


@dataclass
class StateStore:
    """Airflow's task state store, kept over the tries of one task."""

    values: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.values[key] = value


@dataclass
class Task:
    """One task of one DAG run; each :meth:`run` is a try of its own."""

    dag_id: str = "calls"
    run_id: str = "manual__2026-05-10"
    task_id: str = "call_people"
    map_index: int = -1
    store: StateStore | None = field(default_factory=StateStore)
    tries: int = 0
    max_tries: int = 0
    xcom: dict[str, Any] = field(default_factory=dict)

    def context(self) -> Any:
        self.tries += 1
        self.xcom = {}
        ti = SimpleNamespace(
            dag_id=self.dag_id,
            run_id=self.run_id,
            task_id=self.task_id,
            map_index=self.map_index,
            try_number=self.tries,
            max_tries=self.max_tries,
            xcom_push=lambda key, value: self.xcom.__setitem__(key, value),
        )
        run = SimpleNamespace(run_after=datetime.now(UTC), start_date=datetime.now(UTC), run_id=self.run_id)
        context: dict[str, Any] = {"ti": ti, "task_instance": ti, "dag_run": run, "run_id": self.run_id}
        if self.store is not None:
            context["task_state_store"] = self.store
        return context

    def run(self, operator: Any) -> Any:
        """Execute an operator as the next try."""
        return operator.execute(self.context())
