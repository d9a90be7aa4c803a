"""What an upload remembers from one try to the next, as far as the Airflow version can."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.uploads.service import Sends

if TYPE_CHECKING:
    from airflow.sdk import Context

_KEY: Final = "graine_upload"


class TaskStateJournal:
    """
    Remembers in Airflow's task state store, which outlives a retry (Airflow 3.3 and later).

    :param store: ``context["task_state_store"]``
    :param first_try: whether no try came before this one
    """

    def __init__(self, store: Any, *, first_try: bool) -> None:
        self._store = store
        self._first_try = first_try

    def read(self) -> Sends | None:
        """Return what is remembered; nothing on a later try means that it was lost, as by a clear on Airflow 3.4."""
        value = self._store.get(_KEY)
        if isinstance(value, dict):
            return Sends(count=int(value["count"]), last_at=float(value["last_at"]))
        return Sends() if self._first_try else None

    def write(self, sends: Sends) -> None:
        """Remember."""
        self._store.set(_KEY, {"count": sends.count, "last_at": sends.last_at})


class NoJournal:
    """
    Airflow before 3.3: nothing outlives a try but the service itself.

    :param first_try: whether no try came before this one
    """

    def __init__(self, *, first_try: bool) -> None:
        self._first_try = first_try

    def read(self) -> Sends | None:
        """Return that nothing was sent on the first try, and that nobody knows on a later one."""
        return Sends() if self._first_try else None

    def write(self, sends: Sends) -> None:
        """Do nothing."""


def open_journal(context: Context) -> TaskStateJournal | NoJournal:
    """
    Choose the best memory there is, and note on the first try that nothing was sent yet.

    So a retry of a try that failed before it sent anything does not have to wait for what may not be listed yet.

    :param context: the task's context
    """
    store = context.get("task_state_store")
    first_try = context["ti"].try_number <= 1
    if store is None:
        return NoJournal(first_try=first_try)
    journal = TaskStateJournal(store, first_try=first_try)
    if (remembered := journal.read()) is not None:
        journal.write(remembered)
    return journal


class WallClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)
