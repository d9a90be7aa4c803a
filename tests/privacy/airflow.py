"""
What Airflow does with a task and a trigger, and all that it keeps and shows of them.

The task runner is Airflow's own, in this process: what it tells its supervisor is what the database gets. Nothing is
masked: what only Airflow's masking of secrets hides counts as out.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from traceback import format_exception
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from airflow.sdk import DAG

from airflow_provider_graine.watching.clock import clock
from tests.compat import AIRFLOW_VERSION
from tests.privacy.search import Search
from tests.task import Task

RUN_ID = "manual__2026-05-10T09:00:00+00:00"
_CHATTY = ("", "airflow", "asyncio", "duckdb", "fsspec", "httpcore", "httpx", "urllib3")


class Log:
    """Task log and trigger log as Airflow writes them, each line JSON, at DEBUG and with nobody kept quiet."""

    def __init__(self) -> None:
        self._written = io.BytesIO()

    @contextmanager
    def configured(self) -> Iterator[Log]:
        """Configure logging as the task runner does, and put it back as it was."""
        from airflow.sdk._shared.logging import configure_logging
        from airflow.sdk._shared.logging.structlog import PER_LOGGER_LEVELS

        before, before_levels = structlog.get_config(), dict(PER_LOGGER_LEVELS)
        root = logging.getLogger()
        handlers, levels = list(root.handlers), {name: logging.getLogger(name).level for name in _CHATTY}
        shown = warnings.showwarning
        configure_logging(json_output=True, log_level="DEBUG", output=_Kept(self._written))
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.DEBUG)
        try:
            yield self
        finally:
            structlog.configure(**before)
            PER_LOGGER_LEVELS.clear()
            PER_LOGGER_LEVELS.update(before_levels)
            root.handlers = handlers
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            warnings.showwarning = shown

    def take(self) -> str:
        """Return what was written since the last time."""
        written = self._written.getvalue().decode()
        self._written.seek(0)
        self._written.truncate()
        return written


class _Kept(io.RawIOBase):
    """Writes on: Airflow closes nothing but what it has opened, Python what it collects."""

    def __init__(self, into: io.BytesIO) -> None:
        self._into = into

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._into.write(data)


@dataclass
class Outcome:
    """
    How a task has ended.

    :param state: in Airflow's words
    :param error: what it was raised with, if it was
    :param operator: the one that ended
    """

    state: str
    error: BaseException | None
    operator: Any


@dataclass
class Airflow:
    """
    One Airflow, with nothing in it but what tests bring.

    :param search: what looks at all it keeps
    :param log: what tasks and triggers write
    :param before_event: what happens while a trigger waits
    """

    search: Search
    log: Log
    before_event: Callable[[], Any] = lambda: None
    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    deferred_to: list[str] = field(default_factory=list)
    _now: str = "task"

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def run(self, make: Callable[[], Any], *, tries: int = 1, max_tries: int = 0) -> Outcome:
        """
        Run a task to its end: tries, deferrals and reschedules, each with an operator of its own.

        :param make: makes the operator, within a DAG
        :param tries: how many tries there are at most
        :param max_tries: as it is in the database
        """
        self.keep_dag(make)
        self.xcoms.clear()
        self.states.clear()
        for number in range(1, tries + 1):
            ti_id = uuid4()
            outcome = self._slice(make, number, ti_id, max_tries=max(max_tries, tries - 1))
            slices = 1
            while outcome.state in ("deferred", "up_for_reschedule") and slices < 12:
                slices += 1
                if outcome.state == "deferred":
                    method, arguments = self._fire(self._deferred)
                    arguments = {"next_method": method, "next_kwargs": _on_the_wire(arguments)}
                else:
                    self.before_event()
                    arguments = {"task_reschedule_count": slices}
                outcome = self._slice(make, number, ti_id, max_tries=max(max_tries, tries - 1), **arguments)
            if outcome.state == "success":
                break
        return outcome

    def keep_dag(self, make: Callable[[], Any]) -> None:
        """Keep the DAG as the DAG processor does."""
        from airflow.serialization import serialized_objects

        serialization = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
        with self._logged("DAG file"), DAG("calls", schedule=None) as dag:
            operator = make()
        self.search.look("DAG serialised", json.dumps(serialization.to_dict(dag)))
        self.search.look("DAG repr", [repr(operator), str(operator)])

    def _slice(self, make: Callable[[], Any], number: int, ti_id: UUID, *, max_tries: int, **server: Any) -> Outcome:
        from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType, TIRunContext
        from airflow.sdk.execution_time import task_runner

        with DAG("calls", schedule=None):
            operator = make()
        operator.render_template_as_native_obj = False
        moment = datetime.fromtimestamp(clock.wall(), UTC)
        run: dict[str, Any] = {
            **{"dag_id": "calls", "run_id": RUN_ID, "logical_date": moment, "run_after": moment, "start_date": moment},
            **{"data_interval_start": moment, "data_interval_end": moment, "end_date": None, "clear_number": 0},
            **{"run_type": DagRunType.MANUAL, "state": DagRunState.RUNNING, "conf": {}, "consumed_asset_events": []},
        }
        if "partition_key" in DagRun.model_fields:
            run["partition_key"] = None
        context_from_server = TIRunContext(
            dag_run=DagRun(**run), max_tries=max_tries, should_retry=number <= max_tries, **server
        )
        ti = task_runner.RuntimeTaskInstance.model_construct(
            id=ti_id,
            task_id=operator.task_id,
            dag_id="calls",
            run_id=RUN_ID,
            try_number=number,
            map_index=-1,
            task=operator,
            max_tries=max_tries,
            start_date=moment,
            hostname="worker",
            bundle_instance=SimpleNamespace(name="dags", version=None),
            _ti_context_from_server=context_from_server,
        )
        with self._logged("task"), self._supervised(task_runner):
            logger = structlog.get_logger(logger_name="task")
            context = ti.get_template_context()
            self._deferred: Any = None
            state, _, error = task_runner.run(ti, context, logger)
            context["exception"] = error
            task_runner.finalize(ti, state, context, logger, error)
            if error is not None:
                self.search.look("exception of the task", error)
            self._tell_lineage(ti.task, ti, str(state.value))
        return Outcome(str(state.value), error, ti.task)

    @contextmanager
    def _supervised(self, task_runner: Any) -> Iterator[None]:
        handler, environment = signal.getsignal(signal.SIGTERM), dict(os.environ)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(task_runner, "SUPERVISOR_COMMS", self, raising=False)
            try:
                yield
            finally:
                signal.signal(signal.SIGTERM, handler)
                for name in os.environ.keys() - environment.keys():
                    self.search.look("environment of the task", os.environ.pop(name))

    @contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        before, self._now = self._now, what
        try:
            yield
        finally:
            self._now = before
            for line in self.log.take().splitlines():
                try:
                    logger = json.loads(line).get("logger", "")
                except ValueError:
                    logger = "as printed"
                self.search.look(f"log of the {what} ({logger})", line)

    def _tell_lineage(self, task: Any, ti: Any, state: str) -> None:
        """Have OpenLineage's provider ask the task, as its listener does, and its readers what hooks collected."""
        try:
            from airflow.providers.openlineage.extractors.manager import ExtractorManager
            from airflow.providers.openlineage.utils import utils
            from airflow.sdk import TaskInstanceState
            from openlineage.client.serde import Serde
        except ImportError:  # not there with the oldest Airflow
            return
        if state not in ("success", "failed"):
            return
        said = ExtractorManager().extract_metadata(
            dagrun=SimpleNamespace(run_id=RUN_ID),
            task=task,
            task_instance_state=TaskInstanceState(state),
            task_instance=SimpleNamespace(task_id=task.task_id, map_index=-1, xcom_pull=self.pulled),
        )
        for kind in ("inputs", "outputs", "run_facets", "job_facets"):
            told = getattr(said, kind)
            each = told.values() if isinstance(told, dict) else told
            self.search.look(f"OpenLineage {kind}", [Serde.to_json(one) for one in each])
        self.search.look("OpenLineage task", json.dumps(dict(utils.TaskInfo(task)), default=str))

    def pulled(self, *, task_ids: str, key: str, map_indexes: Any = None) -> Any:
        """Return an XCom, as ``xcom_pull`` does."""
        return self.xcoms.get((task_ids, key))

    # -- what the supervisor hears -------------------------------------------------------------------------------------

    def send(self, msg: Any = None) -> Any:
        """Take what a task says, as the supervisor does, and answer what it asks."""
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        kind = type(msg).__name__
        told = msg.model_dump(mode="json", exclude={"type", "ti_id"})
        if kind == "MaskSecret":  # meant for the supervisor alone: what it shall not let pass
            return comms.OKResponse(ok=True)
        names = {"SetXCom": "XCom", "SetRenderedFields": "rendered fields", "SetTaskStateStore": "task state store"}
        self.search.look(f"{names.get(kind, kind)} {told.get('key', '')}".strip(), told)
        if kind == "DeferTask":
            self._deferred = msg
            self.deferred_to.append(msg.classpath)
        elif kind == "SetXCom":
            self.xcoms[msg.task_id, msg.key] = msg.value
        elif kind == "GetXCom":
            return comms.XComResult(key=msg.key, value=self.xcoms.get((msg.task_id, msg.key)))
        elif kind == "SetTaskStateStore":
            self.states[msg.key] = msg.value
        elif kind == "GetTaskStateStore":
            if msg.key in self.states:
                return comms.TaskStateStoreResult(value=self.states[msg.key])
            return comms.ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND, detail={})
        elif kind == "GetTaskStates":
            return comms.TaskStatesResult(task_states={RUN_ID: {"call": "failed"}})
        elif kind == "GetConnection":
            if kept := os.environ.get(f"AIRFLOW_CONN_{msg.conn_id.upper()}"):
                fields = json.loads(kept)
                fields["extra"] = json.dumps(fields.get("extra", {}))
                return comms.ConnectionResult(conn_id=msg.conn_id, **fields)
            return comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail={"conn_id": msg.conn_id})
        elif kind == "GetVariable":
            return comms.ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": msg.key})
        elif kind == "ValidateInletsAndOutlets":
            return comms.InactiveAssetsResult(inactive_assets=[])
        elif kind == "GetTaskRescheduleStartDate":
            return comms.TaskRescheduleStartDate(start_date=datetime.now(UTC))
        return comms.OKResponse(ok=True)

    async def asend(self, msg: Any = None) -> Any:
        """Do the same on an event loop."""
        return self.send(msg)

    # -- triggers ------------------------------------------------------------------------------------------------------

    def _fire(self, deferred: Any) -> tuple[str, dict[str, Any]]:
        """Run the trigger that a task waits for, and return how the task goes on."""
        kwargs = deferred.trigger_kwargs
        if AIRFLOW_VERSION >= (3, 2):
            from airflow.sdk.serde import deserialize

            kwargs = deserialize(kwargs)
        self.search.look("trigger row", {"kwargs": kwargs, "next_kwargs": deferred.next_kwargs})
        module, _, name = deferred.classpath.rpartition(".")
        event = self.fire(getattr(import_module(module), name)(**kwargs))
        if isinstance(event, BaseException):
            traceback = format_exception(event)
            return "__fail__", {"error": "Trigger failure", "traceback": traceback}
        return deferred.next_method, {**(deferred.next_kwargs or {}), "event": event}

    def fire(self, trigger: Any, *, patience: float = 20.0, meanwhile: Callable[[], Any] | None = None) -> Any:
        """
        Run a trigger to its first event, or its exception.

        :param trigger: the trigger
        :param patience: seconds until it is cancelled
        :param meanwhile: what happens once it has begun to look
        """

        async def first() -> Any:
            events = trigger.run()
            event = asyncio.ensure_future(anext(events))
            try:
                if meanwhile is not None:
                    await asyncio.wait([event], timeout=0.3)
                    await asyncio.to_thread(meanwhile)
                return await asyncio.wait_for(event, patience)
            finally:
                await events.aclose()
                await trigger.cleanup()

        event = self._triggered(trigger, first)
        if not isinstance(event, BaseException):
            self.search.look("event of the trigger", [event.payload, repr(event)])
            return event.payload
        return event

    def kill(self, trigger: Any) -> None:
        """Cancel a trigger as the triggerer does when a user has ended the task."""

        async def kill() -> None:
            await trigger.on_kill()
            await trigger.cleanup()

        self._triggered(trigger, kill)

    def _triggered(self, trigger: Any, do: Callable[[], Any]) -> Any:
        from airflow.sdk.execution_time import task_runner

        self.search.look("trigger row", trigger.serialize())
        self.search.look("trigger repr", repr(trigger))
        trigger.task_instance = SimpleNamespace(
            dag_id="calls", run_id=RUN_ID, task_id="call", map_index=-1, try_number=1
        )
        with self._logged("trigger"), self._supervised(task_runner):
            self.before_event()
            try:
                return asyncio.run(do())
            except Exception as error:
                structlog.get_logger(logger_name="triggerer").exception("Trigger failed")
                self.search.look("exception of the trigger", error)
                return error

    # -- callbacks -----------------------------------------------------------------------------------------------------

    def notify(self, notifier: Any) -> None:
        """Let a notifier tell of the DAG run, as the DAG processor and the triggerer do."""
        run = SimpleNamespace(dag_id="calls", run_id=RUN_ID, start_date=datetime.now(UTC), clear_number=0)
        context: dict[str, Any] = {"dag_run": run, "run_id": RUN_ID, "reason": "task_failure"}
        self.attempt("callback", lambda: notifier(context))
        self.attempt("callback", lambda: asyncio.run(notifier.async_notify(context)))

    # -- everything else -----------------------------------------------------------------------------------------------

    def attempt(self, what: str, do: Callable[[], Any]) -> Any:
        """
        Do something outside of a task, and look at what it says and what it fails with.

        :param what: what it is, for the log
        :param do: does it
        """
        from airflow.sdk.execution_time import task_runner

        with self._logged(what), self._supervised(task_runner):
            try:
                return do()
            except Exception as error:
                logging.getLogger("airflow.task").exception("It failed")
                self.search.look(f"exception of the {what}", error)
                return error


def context_of(operator: Any) -> Any:
    """Return what an operator needs to be executed past Airflow's task runner."""
    return Task(task_id=operator.task_id, store=None).context()


def _on_the_wire(arguments: Mapping[str, Any]) -> Any:
    if AIRFLOW_VERSION >= (3, 2):
        from airflow.sdk.serde import serialize

        return serialize(dict(arguments))
    from airflow.serialization.serialized_objects import BaseSerialization

    return BaseSerialization.serialize(dict(arguments))
