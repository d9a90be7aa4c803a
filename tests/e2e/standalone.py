"""A real Airflow with all its components, in a home of its own, for as long as a ``with`` block."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from demo import standalone
from tests import servers

_START_TIMEOUT = 180.0  # seconds; a start takes about twenty


class Standalone:
    """
    ``airflow standalone`` with PostgreSQL for its metadata, driven by its public REST API.

    :param home: an empty folder, which becomes ``AIRFLOW_HOME``
    :param dags: the DAGs folder
    :param environment: more environment variables, such as connections
    """

    def __init__(self, home: Path, *, dags: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.output = home / "standalone.log"
        api_port, worker_log_port, trigger_log_port = standalone.free_ports(3)
        self.url = f"http://127.0.0.1:{api_port}"
        self._environment = {
            **standalone.environment(home, dags=dags, port=api_port, log_ports=(worker_log_port, trigger_log_port)),
            "PYTHONWARNINGS": "default",  # deprecations are to be seen in the logs
            **environment,
        }
        self._started: list[subprocess.Popen[bytes]] = []
        self._servers = ExitStack()
        self._api = httpx.Client(base_url=self.url, timeout=120, trust_env=False)

    # Life

    def __enter__(self) -> Self:
        # SQLite lets one component write at a time, and on a busy machine the others give up.
        self.database = database = self._servers.enter_context(servers.postgres())
        self._environment |= {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url("psycopg2"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database.url("asyncpg"),
        }
        try:
            self._launch()
            self.wait_until(self._is_healthy, "Airflow is healthy", timeout=_START_TIMEOUT)
            self._api.headers["Authorization"] = f"Bearer {self._api.get('/auth/token').json()['access_token']}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        standalone.end(self._started)
        self._servers.close()

    def _launch(self) -> None:
        self._start("standalone")

    def _start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        started = standalone.start(
            *command, home=self.home, environment=self._environment | environment, output=self.output
        )
        self._started.append(started)
        return started

    def _processes(self) -> list[psutil.Process]:
        return standalone.processes(self._started)

    def _is_healthy(self) -> bool:
        assert all(each.poll() is None for each in self._started), self._with_output("Airflow ended by itself")
        try:
            health = self._api.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return False
        return health.is_success and all(health.json()[part]["status"] == "healthy" for part in standalone.COMPONENTS)

    def wait_until(self, happened: Callable[[], bool], what: str, *, timeout: float) -> None:
        """Wait for something to happen, and show what Airflow said where it does not."""
        deadline = time.monotonic() + timeout
        while not happened():
            assert time.monotonic() < deadline, self._with_output(f"Not so after {timeout:.0f} s: {what}")
            time.sleep(0.5)

    def _with_output(self, message: str) -> str:
        lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([message, *[line for line in lines if "[http.access]" not in line][-60:]])

    # What a platform does

    def kill_triggerer(self) -> None:
        """Kill all processes of the triggerer at once, as when its machine dies."""
        processes = self._triggerer()
        for process in processes:
            process.kill()
        self._see_end_of(processes)

    def stop_triggerer(self) -> None:
        """Ask the triggerer to end, and wait until it has."""
        processes = self._triggerer()
        processes[0].terminate()
        self._see_end_of(processes)

    def start_triggerer(self) -> None:
        """Start a triggerer in place of the one that has ended, and wait until it is at work."""
        before = self._triggerer_jobs()
        triggerer = self._start("triggerer")

        def is_at_work() -> bool:
            assert triggerer.poll() is None, self._with_output("The triggerer ended by itself")
            return bool(self._triggerer_jobs() - before)

        self.wait_until(is_at_work, "a new triggerer is at work", timeout=60)

    def restart_triggerer(self) -> None:
        """Restart the triggerer as an upgrade does."""
        self.stop_triggerer()
        self.start_triggerer()

    def _triggerer(self) -> list[psutil.Process]:
        """Give the processes of the triggerer, the main one first."""
        named = [process for process in self._processes() if (process.info["cmdline"] or [])[-1:] == ["triggerer"]]
        forked_off = {process.pid for process in named}
        [main] = [process for process in named if process.ppid() not in forked_off]
        return [main, *main.children(recursive=True)]

    def _triggerer_jobs(self) -> set[int]:
        jobs = self.request("GET", "/jobs", params={"job_type": "TriggererJob"})["jobs"]
        return {job["id"] for job in jobs}

    def _see_end_of(self, processes: list[psutil.Process]) -> None:
        pids = {process.pid for process in processes}
        self.wait_until(
            lambda: not pids & {process.pid for process in self._processes()}, f"{pids} have ended", timeout=90
        )

    # What a user does

    def request(self, method: str, path: str, **how: Any) -> Any:
        """Send a request to the public API and give the decoded answer."""
        answer = self._api.request(method, f"/api/v2{path}", **how)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def knows(self, dag_id: str) -> bool:
        return self._api.get(f"/api/v2/dags/{dag_id}").is_success

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> DagRun:
        self.wait_until(lambda: self.knows(dag_id), f"the DAG {dag_id} is parsed", timeout=60)
        run = self.request("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return DagRun(self, dag_id=dag_id, run_id=run["dag_run_id"])


class DagRun:
    """One run of a DAG, seen through the API."""

    def __init__(self, airflow: Standalone, *, dag_id: str, run_id: str) -> None:
        self._airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id
        self._path = f"/dags/{dag_id}/dagRuns/{run_id}"

    def __repr__(self) -> str:
        return f"{self.dag_id} {self.run_id}"

    def state(self) -> str:
        return str(self._airflow.request("GET", self._path)["state"])

    def has_ended(self) -> bool:
        return self.state() in {"success", "failed"}

    def task_states(self) -> dict[str, str | None]:
        listed = self._airflow.request("GET", f"{self._path}/taskInstances")["task_instances"]
        return {instance["task_id"]: instance["state"] for instance in listed}

    def task(self, task_id: str) -> dict[str, Any]:
        instance: dict[str, Any] = self._airflow.request("GET", f"{self._path}/taskInstances/{task_id}")
        return instance

    def instances(self, task_id: str) -> list[dict[str, Any]]:
        """Give the instances of a mapped task, in the order of their indices; none before it is expanded."""
        listed = self._airflow.request("GET", f"{self._path}/taskInstances", params={"limit": 100})["task_instances"]
        instances = [each for each in listed if each["task_id"] == task_id and each["map_index"] >= 0]
        return sorted(instances, key=lambda instance: instance["map_index"])

    def xcoms(self, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        entries, which = f"{self._path}/taskInstances/{task_id}/xcomEntries", {"map_index": map_index}
        keys = [entry["key"] for entry in self._airflow.request("GET", entries, params=which)["xcom_entries"]]
        return {key: self._airflow.request("GET", f"{entries}/{key}", params=which)["value"] for key in keys}

    def log(self, task_id: str, *, attempt: int = 1, map_index: int = -1) -> list[dict[str, Any]]:
        """Give the structured log lines, those of the trigger included."""
        path = f"{self._path}/taskInstances/{task_id}/logs/{attempt}"
        how = {"full_content": True, "map_index": map_index}
        lines: list[dict[str, Any]] = self._airflow.request("GET", path, params=how)["content"]
        return lines

    def failures(self) -> str:
        """Tell which tasks failed, with the ends of their logs; empty where none did."""
        told = []
        for failed in self._airflow.request("GET", f"{self._path}/taskInstances")["task_instances"]:
            if failed["state"] == "failed":
                task_id, map_index = failed["task_id"], failed["map_index"]
                lines = self.log(task_id, attempt=failed["try_number"], map_index=map_index)[-25:]
                told.append("\n".join([f"{self.dag_id}.{task_id}", *(_readable(line) for line in lines)]))
        return "\n\n".join(told)

    def mark(self, task_id: str, state: str) -> None:
        """Mark one task ``failed`` or ``success``, as from its page."""
        path = f"{self._path}/taskInstances/{task_id}"
        self._airflow.request("PATCH", path, json={"new_state": state})

    def mark_all(self, state: str) -> None:
        """Mark the run ``failed`` or ``success``, as from its page."""
        self._airflow.request("PATCH", self._path, json={"state": state})

    def terminate(self, task_id: str) -> None:
        """Send SIGTERM to the process that runs the task, as a worker does when it is shut down."""
        os.kill(self.task(task_id)["pid"], signal.SIGTERM)

    def clear(self, task_id: str) -> None:
        """Clear one finished task, as from its page."""
        body = {"dag_run_id": self.run_id, "task_ids": [task_id], "dry_run": False, "only_failed": False}
        self._airflow.request("POST", f"/dags/{self.dag_id}/clearTaskInstances", json=body)


def _readable(line: dict[str, Any]) -> str:
    errors = [f"\n    {error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or ()]
    return f"  {line['event']}{''.join(errors)}"
