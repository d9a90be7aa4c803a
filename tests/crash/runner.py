"""
The parts of Airflow that a try of a task goes through. The only module of these tests that knows Airflow's inside.

:class:`Core` has the metadata database and the Execution API, and does on request what the scheduler and the triggerer
do. :func:`work` is what the LocalExecutor does with a task: the supervisor, which forks the task runner. Each lives in
a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
import urllib.request
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from airflow import __version__ as _airflow_version

AIRFLOW_3_2_PLUS = tuple(int(part) for part in _airflow_version.split(".")[:2]) >= (3, 2)
HAS_TASK_STATE = tuple(int(part) for part in _airflow_version.split(".")[:2]) >= (3, 3)
#: Where the Execution API is mounted.
PREFIX = "/execution"


def work(workload: str, server: str, environment: dict[str, str]) -> None:
    """
    Run one slice of a try to its end, as a worker does.

    :param workload: what the scheduler hands to the executor, as JSON
    :param server: URL of the Execution API
    :param environment: added to the worker's environment
    """
    os.environ.update(environment)
    _write_to("worker.log")
    from airflow.executors.workloads import ExecuteTask
    from airflow.sdk.execution_time import supervisor

    supervise = supervisor.supervise_task if hasattr(supervisor, "supervise_task") else supervisor.supervise
    task = ExecuteTask.model_validate_json(workload)
    supervise(
        ti=task.ti,
        dag_rel_path=task.dag_rel_path,
        bundle_info=task.bundle_info,
        token="",  # nobody checks it
        server=server,
        log_path=task.log_path,
    )


def create_database() -> None:
    """Create an empty metadata database; in the main thread, as Airflow wants it."""
    _write_to("core.log")
    from airflow.utils.db import initdb

    initdb()


class Core:
    """The database and the Execution API of an Airflow of its own, and the deeds of scheduler and triggerer."""

    def __init__(self) -> None:
        self.read_dags()
        self._port = _serve_execution_api()

    def port(self) -> int:
        """Return the loopback port of the Execution API."""
        return self._port

    def read_dags(self) -> None:
        """Take the DAG files into the database, as the DAG processor does."""
        from airflow.dag_processing.bundles.manager import DagBundlesManager

        if AIRFLOW_3_2_PLUS:
            from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
        else:
            from airflow.models.dagbag import BundleDagBag, sync_bag_to_db

        manager = DagBundlesManager()
        manager.sync_bundles_to_db()
        for bundle in manager.get_all_dag_bundles():
            bundle.initialize()
            named = {"bundle_name": bundle.name} if AIRFLOW_3_2_PLUS else {}
            bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, **named)
            assert not bag.import_errors, bag.import_errors
            sync_bag_to_db(bag, bundle.name, bundle.version)

    def start(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a DAG run and return its id."""
        from airflow.api.common.trigger_dag import trigger_dag
        from airflow.utils.session import create_session
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunTriggeredByType

        with create_session() as session:
            run = trigger_dag(
                dag_id=dag_id,
                triggered_by=DagRunTriggeredByType.TEST,
                run_id=f"manual__{datetime.now(UTC).isoformat()}",
                conf=conf,
                session=session,
            )
            session.merge(run).state = DagRunState.RUNNING
            return str(run.run_id)

    def schedule(self, dag_id: str, run_id: str) -> str | None:
        """Hand the run's task to a worker if it is due: return the workload as JSON, or ``None``."""
        from airflow.executors.workloads import ExecuteTask
        from airflow.models.dagbag import DBDagBag
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState

        with create_session() as session:
            run = self._run(dag_id, run_id, session)
            run.dag = DBDagBag().get_dag_for_run(dag_run=run, session=session)
            due = run.task_instance_scheduling_decisions(session=session).schedulable_tis
            run.schedule_tis(due, session=session)
            session.flush()
            session.expire_all()
            (ti,) = run.get_task_instances(session=session)
            if ti.state != TaskInstanceState.SCHEDULED:
                return None
            ti.state = TaskInstanceState.QUEUED
            session.flush()
            return ExecuteTask.make(ti).model_dump_json()

    def task(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return what the database knows of the run's task."""
        from airflow.utils.session import create_session

        with create_session() as session:
            (ti,) = self._run(dag_id, run_id, session).get_task_instances(session=session)
            return {
                "state": ti.state and str(getattr(ti.state, "value", ti.state)),
                "try_number": ti.try_number,
                "max_tries": ti.max_tries,
                "next_method": ti.next_method,
            }

    def xcom(self, dag_id: str, run_id: str, key: str) -> Any:
        """Return an XCom of the run's task."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            row = session.scalar(
                select(XComModel).where(XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.key == key)
            )
            return None if row is None else XComModel.deserialize_value(row)

    def fire(self, dag_id: str, run_id: str) -> Any:
        """Run the trigger that the run's task waits for to its first event, hand it in, and return the payload."""
        from airflow.models.trigger import Trigger
        from airflow.utils.session import create_session

        trigger_id, trigger = self._trigger(dag_id, run_id)

        async def first_event() -> Any:
            return await anext(trigger.run())

        event = asyncio.run(first_event())
        with create_session() as session:
            Trigger.submit_event(trigger_id, event, session=session)
        return event.payload

    def connect(self, connections: dict[str, str]) -> None:
        """Know the connections to the calling services, as environment variables."""
        os.environ.update(connections)

    def set_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Do what a user does who marks the task."""
        from airflow.utils.session import create_session

        with create_session() as session:
            (ti,) = self._run(dag_id, run_id, session).get_task_instances(session=session)
            ti.set_state(state, session=session)

    def begin_trigger(self, dag_id: str, run_id: str) -> None:
        """Run the trigger that the run's task waits for in the triggerer's own runner, until it is taken away."""
        self._triggerer = _Triggerer(
            *self._trigger(dag_id, run_id), execution_api=f"http://127.0.0.1:{self._port}{PREFIX}/"
        )

    def cancel_trigger(self) -> None:
        """Take it away, as the triggerer does when the trigger is not its own any more: again and again until it is."""
        self._triggerer.cancel()

    def _trigger(self, dag_id: str, run_id: str) -> tuple[int, Any]:
        from airflow.executors.workloads import ExecuteTask
        from airflow.models.trigger import Trigger
        from airflow.utils.session import create_session

        with create_session() as session:
            (ti,) = self._run(dag_id, run_id, session).get_task_instances(session=session)
            row = session.get(Trigger, ti.trigger_id)
            module, _, name = row.classpath.rpartition(".")
            trigger = getattr(import_module(module), name)(**row.kwargs)
            trigger.task_instance = ExecuteTask.make(ti).ti
            return ti.trigger_id, trigger

    def notice_loss(self, dag_id: str, run_id: str) -> None:
        """Do what is done with a task that is still running when its worker is gone."""
        from airflow.models.dagbag import DBDagBag
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState

        with create_session() as session:
            run = self._run(dag_id, run_id, session)
            dag = DBDagBag().get_dag_for_run(dag_run=run, session=session)
            (ti,) = run.get_task_instances(session=session)
            assert ti.state == TaskInstanceState.RUNNING, ti.state
            ti.refresh_from_task(dag.get_task(ti.task_id))
            ti.handle_failure(error="Task did not emit heartbeat within time limit", session=session)

    def clear(self, dag_id: str, run_id: str) -> None:
        """Do what the button does."""
        from airflow.models.taskinstance import clear_task_instances
        from airflow.utils.session import create_session
        from airflow.utils.state import DagRunState

        with create_session() as session:
            run = self._run(dag_id, run_id, session)
            clear_task_instances(run.get_task_instances(session=session), session=session)
            run.state = DagRunState.RUNNING

    def forget_task_state(self, dag_id: str, run_id: str) -> None:
        """Lose what tasks have stored, where this Airflow lets them."""
        if not HAS_TASK_STATE:
            return
        from airflow.models.task_state_store import TaskStateStoreModel
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            session.execute(
                delete(TaskStateStoreModel).where(
                    TaskStateStoreModel.dag_id == dag_id, TaskStateStoreModel.run_id == run_id
                )
            )

    @staticmethod
    def _run(dag_id: str, run_id: str, session: Any) -> Any:
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        return session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))


class _Triggerer:
    """
    One trigger in the triggerer's own runner, on an event loop of its own.

    :param trigger_id: its row
    :param trigger: the trigger
    :param execution_api: whom the triggerer asks
    """

    def __init__(self, trigger_id: int, trigger: Any, *, execution_api: str) -> None:
        from airflow.jobs import triggerer_job_runner
        from airflow.sdk.execution_time import task_runner

        task_runner.SUPERVISOR_COMMS = _Comms(execution_api)
        # What 3.3.0 to 3.3.2 say for a user's doing and for a move alike; before, they say nothing.
        message = getattr(triggerer_job_runner, "_USER_ACTION_CANCEL_MSG", None)
        self._message = () if message is None else (message,)
        self._runner = triggerer_job_runner.TriggerRunner()
        self._runner.triggers = {trigger_id: {"task": None, "is_watcher": False, "name": "trigger", "events": 0}}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

        async def begin() -> asyncio.Task[None]:
            return asyncio.create_task(self._runner.run_trigger(trigger_id, trigger))

        self._task = asyncio.run_coroutine_threadsafe(begin(), self._loop).result(60)

    def cancel(self) -> None:
        async def cancel() -> None:
            while not self._task.done():
                self._task.cancel(*self._message)
                await asyncio.wait([self._task], timeout=1.0)
            await asyncio.gather(*kill._at_work)  # what goes on although the triggerer waits no longer

        from airflow_provider_graine.triggers import kill

        asyncio.run_coroutine_threadsafe(cancel(), self._loop).result(60)
        assert not self._runner.events, "it has fired"


class _Comms:
    """
    What a supervisor answers to the question of a trigger: the real Execution API's answer.

    :param server: its URL
    """

    def __init__(self, server: str) -> None:
        from airflow.sdk.api.client import Client

        self._client = Client(base_url=server, token="")

    def send(self, message: Any) -> Any:
        from airflow.sdk.execution_time.comms import GetTaskStates, TaskStatesResult

        assert isinstance(message, GetTaskStates), message
        asked = message.model_dump(exclude={"type"})
        return TaskStatesResult.from_api_response(self._client.task_instances.get_task_states(**asked))


def _write_to(name: str) -> None:
    output = os.open(os.path.join(os.environ["AIRFLOW_HOME"], name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _serve_execution_api() -> int:
    """Let the real Execution API answer on a loopback port, for whoever asks."""
    import uvicorn
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI
    from airflow.sdk.api.datamodels._generated import API_VERSION
    from starlette.applications import Starlette
    from starlette.routing import Mount

    api = InProcessExecutionAPI().app
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[Mount(PREFIX, app=api)], lifespan=lambda _: api.router.lifespan_context(api)),
            host="127.0.0.1",
            port=0,
            log_config=None,
            access_log=False,
        )
    )
    thread = threading.Thread(target=server.run, name="execution-api", daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "The Execution API did not start; core.log in AIRFLOW_HOME says why."
        thread.join(0.02)
    port = int(server.servers[0].sockets[0].getsockname()[1])
    # The first request of a version takes longer than workers are ready to wait for an answer.
    first = urllib.request.Request(
        f"http://127.0.0.1:{port}{PREFIX}/health", headers={"Airflow-API-Version": API_VERSION}
    )
    with urllib.request.urlopen(first, timeout=60) as answer:
        answer.read()
    return port
