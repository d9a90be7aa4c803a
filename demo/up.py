"""
A whole Airflow to click through, without phoning anyone: ``python -m demo.up``.

Starts a sandbox of both services and ``airflow standalone`` with the example DAGs, their connections and a warehouse,
all on this machine alone, and ends everything on Ctrl-C. Everything it writes lies in ``.work/up/``, and the results
where the DAGs put them; ``~/airflow`` is never touched.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
from rich.console import Console

from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.settings import KatavenSettings
from demo import standalone
from demo.warehouse import fill

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work" / "up"
LOG = WORK / "airflow.log"
_START_TIMEOUT = 300.0  # seconds

console = Console(highlight=False)


def main() -> int:
    """Run until interrupted and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.up", description="Airflow with a sandbox, to click through.")
    parser.add_argument("--port", type=int, default=8080, help="where Airflow is to be; default: %(default)s")
    parser.add_argument("--speed", type=float, default=60, help="virtual seconds of calls in a real one; default: 60")
    arguments = parser.parse_args()
    if _is_taken(arguments.port):
        console.print(f"[red]Something else listens on port {arguments.port}.[/red] Choose another: --port 8090")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has started this in the background
    shutil.rmtree(WORK, ignore_errors=True)
    home = WORK / "airflow"
    home.mkdir(parents=True)
    people = fill(WORK / "warehouse.duckdb")
    account = KatavenSettings(rate_limits=False)  # a minute takes a second here, and nobody wants to wait for it
    with Sandbox(speed=arguments.speed, seed=3, record_requests=False, kataven=account) as sandbox:
        worker_logs, trigger_logs = standalone.free_ports(2)
        environment = {
            **standalone.environment(
                home, dags=ROOT / "example_dags", port=arguments.port, log_ports=(worker_logs, trigger_logs)
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW_CONN_GRAINE_DEFAULT": sandbox.connection_json(),
            "AIRFLOW_CONN_KATAVEN_DEFAULT": sandbox.kataven.connection_json(),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "duckdb", "host": str(WORK / "warehouse.duckdb")}),
        }
        airflow = standalone.start("standalone", home=home, environment=environment, output=LOG)
        try:
            with console.status("Airflow starts; that takes half a minute or more …"):
                if not _is_there(airflow, environment["AIRFLOW__API__BASE_URL"]):
                    console.print(f"[red]Airflow did not start.[/red] What it said is in {LOG.relative_to(ROOT)}")
                    return 1
            _tell(environment["AIRFLOW__API__BASE_URL"], sandbox, people)
            airflow.wait()
            console.print(f"Airflow ended by itself. What it said is in {LOG.relative_to(ROOT)}")
            return 1
        except (KeyboardInterrupt, SystemExit):
            return 0
        finally:
            console.print("Ending everything …")
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough
            standalone.end([airflow])


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _is_there(airflow: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until all parts of Airflow are at work."""
    deadline = time.monotonic() + _START_TIMEOUT
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        while airflow.poll() is None and time.monotonic() < deadline:
            try:
                health = client.get("/api/v2/monitor/health")
                if health.is_success and all(
                    health.json()[part]["status"] == "healthy" for part in standalone.COMPONENTS
                ):
                    return True
            except httpx.TransportError:
                pass
            time.sleep(1)
    return False


def _tell(url: str, sandbox: Sandbox, people: int) -> None:
    console.print(f"\nOpen  [bold]{url}[/bold]   nobody has to log in, and nobody is phoned\n")
    console.print(
        f"  {url}/dags/example_graine_sql   trigger it: {people} policy holders are read, checked and called",
        soft_wrap=True,
    )
    console.print(
        f"  {url}/plugin/graine-calls       Calls: watch them; the task's page links there, too", soft_wrap=True
    )
    console.print(
        f"  {sandbox.root_url}                   the other end of the line, should you want to see it\n", soft_wrap=True
    )
    console.print("Ctrl-C ends everything.")


if __name__ == "__main__":
    sys.exit(main())
