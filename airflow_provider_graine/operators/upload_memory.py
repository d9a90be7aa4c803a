"""What an upload remembers from one try to the next, as far as the Airflow version and the author let it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.exceptions import UploadError
from airflow_provider_graine.uploads.record import Memory, OwnMemory, PagedMemory, Record, SeveralMemories
from airflow_provider_graine.uploads.service import SuspendedError

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_graine.uploads.identity import RunIdentity

#: Seconds for which a deferrable task looks again by itself before it gives its slot up.
_PATIENCE: Final = 15.0


class TaskStateValues:
    """
    Airflow's task state store, which outlives a retry (Airflow 3.3 and later).

    :param store: ``context["task_state_store"]``
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, key: str) -> Any:
        """Return a value, or ``None``."""
        return self._store.get(key)

    def set(self, key: str, value: Any) -> None:
        """
        Store a value.

        :raises UploadError: when Airflow has given the task to a later try, and takes nothing from this one
        """
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            self._store.set(key, value)
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") != HTTPStatus.NOT_FOUND:
                raise
            raise UploadError(
                "Airflow does not know this try any more: a later one has taken over, and this one sends nothing more. "
                "Nothing is wrong with the upload: look at the later try."
            ) from None


class LedgerValues:
    """
    A folder of small JSON files in object storage, one folder an upload; outlives whatever happens to Airflow.

    :param folder: the folder
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self._folder = folder

    def get(self, key: str) -> Any:
        """Return a value, or ``None``."""
        file = self._folder / f"{key}.json"
        file.fs.invalidate_cache()
        try:
            with file.open("rb") as content:  # type: ignore[no-untyped-call]
                return json.loads(content.read())
        except FileNotFoundError:
            return None

    def set(self, key: str, value: Any) -> None:
        """Store a value; the file appears whole or not at all."""
        from airflow_provider_graine.results.landing import land

        land(self._folder / f"{key}.json", [json.dumps(value).encode()], if_exists="replace")


def open_memory(
    context: Context,
    identity: RunIdentity,
    *,
    ledger_path: str | None,
    is_resumed: bool = False,
    carried: Record | None = None,
) -> Memory:
    """
    Choose the memories there are, and note on the first try that nothing was sent yet.

    So a retry of a try that failed before it sent anything does not have to wait for what may not be listed yet.

    :param context: the task's context
    :param identity: whose upload it is
    :param ledger_path: folder for the ledger, where the author wants one
    :param is_resumed: whether an earlier part of this try may have sent something
    :param carried: what an earlier part of this try did, where nothing else remembers it
    """
    try_number = context["ti"].try_number
    memories: list[Memory] = []
    if (store := context.get("task_state_store")) is not None:
        memories.append(PagedMemory(TaskStateValues(store), owner=try_number, name=identity.upload))
    if ledger_path:
        from airflow.sdk import ObjectStoragePath

        ledger = LedgerValues(ObjectStoragePath(ledger_path) / identity.key)
        memories.append(PagedMemory(ledger, owner=try_number, name=identity.upload))
    if not memories:
        return OwnMemory(carried)
    memory = memories[0] if len(memories) == 1 else SeveralMemories(*memories)
    if try_number <= 1 and not is_resumed and memory.read() is None:
        memory.write(Record())
    return memory


class WallClock:
    """
    The machine's clock; a pause is slept through.

    :param rest: sleeps for so many seconds; default: nothing wakes it up
    """

    def __init__(self, rest: Callable[[float], None] | None = None) -> None:
        self._rest = rest or time.sleep

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float, *, until: float) -> None:
        """Let time pass."""
        self._rest(seconds)


class SuspendingClock(WallClock):
    """The machine's clock for deferrable tasks: after some short pauses it suspends to the end of the doubt."""

    def __init__(self, rest: Callable[[float], None] | None = None) -> None:
        super().__init__(rest)
        self._slept = 0.0

    def sleep(self, seconds: float, *, until: float) -> None:
        """Let a short time pass, or raise."""
        if self._slept + seconds > _PATIENCE:
            raise SuspendedError(until)
        self._slept += seconds
        super().sleep(seconds, until=until)
