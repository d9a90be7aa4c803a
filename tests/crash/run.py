"""One DAG run of a crash test: its tries, each in processes of its own, and the means to kill them."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from airflow_provider_graine.sandbox import Sandbox
from tests.crash import runner
from tests.crash.wire import Request, Wire

_STARTED = re.compile(r"/task-instances/[^/]+/run$")
#: Who is on the list; the DAG file has the same.
PEOPLE = [f"+9198765{number:05}" for number in range(10)]
_LONGEST = 60.0  # seconds; a slice takes some


class Airflow:
    """
    An Airflow without a scheduler: tests decide what happens when.

    :param core: a :class:`~tests.crash.runner.Core` in its own process
    :param context: forks workers off a process that has imported Airflow already
    :param home: ``AIRFLOW_HOME``
    """

    def __init__(self, core: Any, context: ForkServerContext, home: Path) -> None:
        self.core = core
        self.context = context
        self.home = home
        self.task_pids: list[int] = []
        self.wire = Wire(core.port(), watch=self._note_pid)

    def _note_pid(self, request: Request) -> None:
        if request.method == "PATCH" and _STARTED.search(request.path):
            self.task_pids.append(request.json()["pid"])


class Worker:
    """
    A worker at work on one slice of a try: the supervisor, and the task runner it has forked.

    :param run: what it works on
    :param process: the supervisor
    """

    def __init__(self, run: Run, process: Any) -> None:
        self._run = run
        self._process = process
        self._task: int | None = None

    def kill(self) -> None:
        """Let the machine die under both."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        if self._task is None:
            self._task = self._run.airflow.task_pids[-1]  # later there may be another
        for pid in (self._process.pid, self._task):
            os.kill(pid, number)

    def end(self) -> str:
        """Wait for its end, let Airflow notice where it has not told, and return the task's state."""
        self.join()
        if self._run.task["state"] == "running":
            self._run.notice_loss()
        return str(self._run.task["state"])

    def join(self) -> None:
        self._process.join(_LONGEST)
        assert self._process.exitcode is not None, "the worker does not come to an end"


@dataclass
class Run:
    """
    One run of a DAG of one task.

    :param airflow: where it runs
    :param service: the wire to the calling service
    :param sandbox: the calling service
    :param dag_id: the DAG
    :param conf: the run's parameters
    """

    airflow: Airflow
    service: Wire
    sandbox: Sandbox
    dag_id: str
    conf: dict[str, Any]
    run_id: str = ""
    events: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run_id = self.airflow.core.start(self.dag_id, self.conf)

    # The task, as Airflow knows it

    @property
    def task(self) -> dict[str, Any]:
        known: dict[str, Any] = self.airflow.core.task(self.dag_id, self.run_id)
        return known

    def xcom(self, key: str) -> Any:
        return self.airflow.core.xcom(self.dag_id, self.run_id, key)

    def log(self) -> str:
        """What the tries have logged, oldest first, one message or exception a line."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        lines = [line for file in sorted(folder.rglob("*.log")) for line in file.read_text().splitlines()]
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return "\n".join(
            str(text)
            for entry in entries
            for text in (entry["event"], *(error["exc_value"] for error in entry.get("error_detail") or ()))
        )

    # What happens to it

    def begin(self) -> Worker:
        """Let a worker begin with what is due."""
        workload = self.airflow.core.schedule(self.dag_id, self.run_id)
        assert workload is not None, f"nothing is due: {self.task}"
        process = self.airflow.context.Process(
            target=runner.work,
            args=(
                workload,
                f"http://127.0.0.1:{self.airflow.wire.port}{runner.PREFIX}/",
                connections(self.sandbox, self.service),
            ),
        )
        process.start()
        return Worker(self, process)

    def try_once(self) -> str:
        """Do a whole try, with all its deferrals, and return the state it ends in."""
        while (state := self.begin().end()) == "deferred":
            self.fire()
        return state

    def notice_loss(self) -> None:
        """Let the scheduler notice that heartbeats are missing."""
        self.airflow.core.notice_loss(self.dag_id, self.run_id)

    def fire(self) -> None:
        """Let the triggerer run the trigger that the task waits for."""
        self.airflow.core.connect(connections(self.sandbox, self.service))
        self.events.append(self.airflow.core.fire(self.dag_id, self.run_id))

    def kill_task(self) -> None:
        """Kill the task's process, as the kernel does when memory runs out; its supervisor lives to tell."""
        os.kill(self.airflow.task_pids[-1], signal.SIGKILL)

    def terminate_task(self) -> None:
        """Ask the task's process to end, as a worker that is shut down does."""
        os.kill(self.airflow.task_pids[-1], signal.SIGTERM)

    def mark_failed(self) -> None:
        """Do what the button does."""
        self.airflow.core.set_state(self.dag_id, self.run_id, "failed")

    def cancel_trigger(self, state: str | None, *, seen: Callable[[], bool]) -> None:
        """
        Let the triggerer run the trigger that the task waits for, and take it away.

        :param state: what a user makes of the task before; ``None``: nobody touches it, the trigger is only moved
        :param seen: tells when it has been at work for long enough
        """
        self.airflow.core.connect(connections(self.sandbox, self.service))
        self.airflow.core.begin_trigger(self.dag_id, self.run_id)
        while not seen():
            time.sleep(0.02)
        if state is not None:
            self.airflow.core.set_state(self.dag_id, self.run_id, state)
        self.airflow.core.cancel_trigger()

    @property
    def changes(self) -> list[str]:
        """What the service was asked to do to the calls, in the order in which it was asked."""
        paths = [request.path.rpartition("/")[2] for request in self.sandbox.requests if request.method == "POST"]
        return [path for path in paths if path in ("pause", "cancel", "resume", "dispatch")]

    def lose_task_state(self) -> None:
        self.airflow.core.forget_task_state(self.dag_id, self.run_id)

    def clear(self) -> None:
        self.airflow.core.clear(self.dag_id, self.run_id)


def connections(sandbox: Sandbox, wire: Wire) -> dict[str, str]:
    """The Airflow connections to a sandbox, by way of a wire, as environment variables."""
    graine = json.loads(sandbox.connection_json())
    graine["host"] = f"http://127.0.0.1:{wire.port}/api/v1"
    kataven = json.loads(sandbox.kataven.connection_json())
    kataven["host"] = f"http://127.0.0.1:{wire.port}/v1"
    kataven["extra"] = {"requests_per_minute": 10_000, "requests_per_hour": 100_000}
    return {"AIRFLOW_CONN_GRAINE_DEFAULT": json.dumps(graine), "AIRFLOW_CONN_KATAVEN_DEFAULT": json.dumps(kataven)}


def assert_everybody_is_on_one_batch(run: Run) -> None:
    """Nobody is dialled twice, nobody is lost, and the task says so."""
    assert run.sandbox.dialled == dict.fromkeys(PEOPLE, 1), run.log()
    assert sorted(run.xcom("return_value")) == sorted(run.sandbox.batches)
    assert run.xcom("summary") == {"read": 10, "accepted": 10, "rejected": {}, "batches": len(run.sandbox.batches)}


def assert_everybody_is_on_one_campaign(run: Run) -> None:
    """The same at the service whose campaigns are drafts first: what is not returned is a draft, and calls nobody."""
    account = run.sandbox.kataven
    assert account.dialled == dict.fromkeys(PEOPLE, 1), run.log()
    started = [each for each, campaign in account.campaigns.items() if campaign["status"] != "draft"]
    assert sorted(run.xcom("return_value")) == sorted(started)
    assert run.xcom("summary") == {"read": 10, "accepted": 10, "rejected": {}, "batches": len(started)}
