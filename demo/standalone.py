"""How a whole Airflow is started for a while, on this machine alone, and ended without a trace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import psutil

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
_STOP_TIMEOUT = 15.0  # seconds


def environment(home: Path, *, dags: Path, port: int, log_ports: tuple[int, int]) -> dict[str, str]:
    """
    Return the environment of ``airflow standalone``: nothing of the caller's own Airflow, and nobody has to log in.

    :param home: what becomes ``AIRFLOW_HOME``
    :param dags: the DAGs folder
    :param port: where the interface and the API are
    :param log_ports: where the logs of workers and of the triggerer are served
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    url = f"http://127.0.0.1:{port}"
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NO_COLOR": "1",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # a cold server on a busy machine
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
    }


def start(*command: str, home: Path, environment: Mapping[str, str], output: Path) -> subprocess.Popen[bytes]:
    """
    Start a command of Airflow in a session of its own: its components outlive it, the session is what is ended.

    :param command: arguments of ``airflow``
    :param home: working directory
    :param environment: environment
    :param output: file to which everything said is added
    """
    with output.open("ab") as said:
        return subprocess.Popen(
            [Path(sys.executable).with_name("airflow"), *command],
            env=dict(environment),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def processes(started: Iterable[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    """
    Return all processes that have come of some commands and still live.

    :param started: as :func:`start` returned them
    """
    sessions = set()
    for each in started:
        each.poll()  # else it stays a zombie
        sessions.add(each.pid)
    return [process for process in psutil.process_iter(["cmdline"]) if _session(process) in sessions]


def end(started: Iterable[subprocess.Popen[bytes]]) -> None:
    """
    End some commands with all that has come of them.

    :param started: as :func:`start` returned them
    """
    started = list(started)
    for process in processes(started):
        process.terminate()
    deadline = time.monotonic() + _STOP_TIMEOUT
    while (alive := processes(started)) and time.monotonic() < deadline:
        psutil.wait_procs(alive, timeout=0.2)
    while alive := processes(started):
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=1)
    for each in started:
        each.wait()


def free_ports(number: int) -> list[int]:
    """
    Find ports that nobody listens on.

    :param number: how many
    """
    with ExitStack() as held:
        listeners = [held.enter_context(socket.socket()) for _ in range(number)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def _session(process: psutil.Process) -> int | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getsid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None
