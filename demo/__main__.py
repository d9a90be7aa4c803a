"""
The main job, from a warehouse query to result files, without phoning anyone: ``python -m demo --service kataven``.

Starts a sandbox of the service on a free loopback port, fills a DuckDB warehouse, sets up a throw-away Airflow and runs
``example_dags/example_graine_sql.py`` or ``example_kataven_sql.py``. Everything it writes lies in ``.demo/``;
``~/airflow`` is never touched.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from airflow_provider_graine.sandbox import Sandbox
from demo import graine, kataven
from demo.warehouse import fill

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".demo"
RESULTS = WORK / "results"
LOG = WORK / "airflow.log"
SERVICES = {"graine": graine, "kataven": kataven}

console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


def main() -> int:
    """Run the demo and return the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m demo", description="The main job on embedded parts.")
    arguments.add_argument("--service", choices=SERVICES, default="graine", help="who calls; default: %(default)s")
    service = SERVICES[arguments.parse_args().service]
    shutil.rmtree(WORK, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    began = time.monotonic()
    read = fill(WORK / "warehouse.duckdb")
    console.print(f"Warehouse   {read} policy holders in {_shown(WORK / 'warehouse.duckdb')}")
    with Sandbox(speed=600, seed=3, record_requests=False) as sandbox:
        console.print(f"Service     a sandbox at {sandbox.root_url} (open it to watch the calls)")
        environment = _environment(sandbox, service)
        console.print(f"Airflow     a throw-away home in {_shown(WORK / 'airflow')}, its log in {_shown(LOG)}")
        with LOG.open("wb") as log:
            subprocess.run([_tool("airflow"), "db", "migrate"], env=environment, stdout=log, stderr=log, check=True)
            if (code := _run_dag(sandbox, service, environment, log)) != 0:
                console.print(f"[red]The DAG failed; its log is in {_shown(LOG)}[/red]")
                return code
    correct = _report(read, sandbox, service)
    console.print(f"\nDone in {time.monotonic() - began:.0f} s.")
    return 0 if correct else 1


def _environment(sandbox: Sandbox, service: ModuleType) -> dict[str, str]:
    home = WORK / "airflow"
    warehouse = {"conn_type": "duckdb", "host": str(WORK / "warehouse.duckdb")}
    name, connection = service.connection(sandbox)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    return {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        name: connection,
        "AIRFLOW_CONN_WAREHOUSE": json.dumps(warehouse),
        "NO_COLOR": "1",
    }


def _run_dag(sandbox: Sandbox, service: ModuleType, environment: dict[str, str], log: object) -> int:
    conf = {"results": RESULTS.as_uri()}
    command = [sys.executable, "-m", "demo.run_dag", service.DAG_ID, json.dumps(conf)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)  # type: ignore[call-overload]
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[states]}"),
        TimeElapsedColumn(),
    )
    said = ""
    with Progress(*columns, console=console, transient=console.is_terminal) as progress:
        bar = progress.add_task("Calls", total=None, states="")
        while process.poll() is None:
            counts = service.contact_states(sandbox)
            outcomes = sum(counts[state] for state in service.FINAL)
            states = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in counts.most_common())
            progress.update(bar, total=counts.total() or None, completed=outcomes, states=states)
            if not console.is_terminal and states != said:
                said = states
                console.print(f"Calls       {outcomes} of {counts.total()}: {states}")
            time.sleep(1)
    return process.returncode


def _report(read: int, sandbox: Sandbox, service: ModuleType) -> bool:
    files = sorted(RESULTS.glob(service.RESULTS))
    called = [row for file in files for row in _rows(file)]
    rejected = _rows(RESULTS / "rejected.csv")

    outcomes = Table("Outcome", "People", title="\nOutcomes")
    for outcome, number in Counter(row["status"] for row in called).most_common():
        outcomes.add_row(outcome.replace("_", " "), str(number))
    console.print(outcomes)

    reasons = Table("Source row", "Phone number as read", "Reason", title=f"\n{len(rejected)} rejected rows")
    for row in rejected:
        reasons.add_row(row["row"], row["phone_number"] or "-", row["reason"].replace("_", " "))
    console.print(reasons)

    console.print("\nFiles")
    for file in [*files, RESULTS / "rejected.csv"]:
        console.print(f"  {_shown(file)}  {file.stat().st_size:,} bytes")

    dialled = service.dialled(sandbox)
    twice = [number for number, times in dialled.items() if times > 1]
    correct = len(called) + len(rejected) == read and len(dialled) == len(called) and not twice
    console.print(
        f"\n{read} read = {len(called)} called + {len(rejected)} rejected; "
        f"{len(dialled)} different people were on the {service.UNIT}, {len(twice)} of them twice: "
        + ("[green]it adds up[/green]" if correct else "[red]it does not add up[/red]")
    )
    return correct


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


if __name__ == "__main__":
    sys.exit(main())
