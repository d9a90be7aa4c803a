"""The example DAGs, run side by side on a real Airflow against one sandbox."""

from __future__ import annotations

import csv
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airflow_provider_graine.sandbox import Sandbox
from demo.warehouse import fill
from tests.conftest import EXAMPLE_DAGS
from tests.e2e.standalone import DagRun, Standalone

SQL, FILES, BATCH = "example_graine_sql", "example_graine_files", "example_graine_batch"
KATAVEN = "example_kataven_sql"
TOKEN = "gat_nobody_may_see_me_3f9c"
_LIST_OF_BATCH_DAG = ("+919876543210", "+919876543211")
#: Who is called by the DAG of partitions, each at the first attempt.
PARTITIONED = tuple(f"+9176543{number:05d}" for number in range(80))


@dataclass
class Scene:
    """Finished DAG runs, and all that is left of them."""

    airflow: Standalone
    sandbox: Sandbox
    folder: Path
    read_from_warehouse: int
    people_in_files: list[dict[str, str]]
    runs: dict[str, DagRun] = field(default_factory=dict)
    #: task states in the order in which they were seen, by DAG and task
    seen: dict[tuple[str, str], list[str | None]] = field(default_factory=lambda: defaultdict(list))

    def results(self, dag_id: str) -> Path:
        return self.folder / "results" / dag_id

    def batch_ids(self, dag_id: str, task_id: str) -> list[str]:
        ids: list[str] = self.runs[dag_id].xcoms(task_id)["return_value"]
        return ids


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("e2e")
    for name in ("airflow", "people"):
        (folder / name).mkdir()
    read = fill(folder / "warehouse.duckdb")
    people = _write_people(folder)
    # Two minutes pass in a second: retries and follow-ups take a minute. It is Monday morning in India. The short list
    # does not answer at first, so that its batch is still running when it is paused.
    sandbox = Sandbox(
        speed=120,
        seed=3,
        token=TOKEN,
        start="2026-05-11T03:31:00Z",
        scripts={
            **dict.fromkeys(_LIST_OF_BATCH_DAG, ("no_answer", "completed")),
            **dict.fromkeys(PARTITIONED, ("completed",)),
        },
    )
    environment = {
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "duckdb", "host": f"{folder}/warehouse.duckdb"}),
        "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "1",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
    }
    with sandbox:
        environment["AIRFLOW_CONN_GRAINE_DEFAULT"] = patient_connection(sandbox.connection_json())
        environment["AIRFLOW_CONN_KATAVEN_DEFAULT"] = patient_connection(sandbox.kataven.connection_json())
        with Standalone(folder / "airflow", dags=EXAMPLE_DAGS, environment=environment) as airflow:
            sandbox.reset()  # the day begins once Airflow is there
            scene = Scene(airflow, sandbox, folder, read, people)
            _run(scene)
            yield scene


def patient_connection(connection: str) -> str:
    """Give a connection to a service that may take its time to answer, on a busy machine or because it is told to."""
    return json.dumps({**json.loads(connection), "extra": {"timeout": 120}})


def _write_people(folder: Path) -> list[dict[str, str]]:
    people = [
        {"phone_number": f"+9187654{number:05d}", "callee_name": f"Testina Callee-{number}", "plan": "Basic"}
        for number in range(60)
    ]
    for file, part in (("north.csv", people[:40]), ("south.csv", people[40:])):
        with (folder / "people" / file).open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, fieldnames=list(people[0]))
            writer.writeheader()
            writer.writerows(part)
    (folder / "do_not_call.csv").write_text("phone_number\n+918765499999\n", encoding="utf-8")
    return people


def _run(scene: Scene) -> None:
    for dag_id in (SQL, FILES, BATCH, KATAVEN):
        scene.results(dag_id).mkdir(parents=True)
    conf = {
        SQL: {"results": scene.results(SQL).as_uri()},
        FILES: {
            "people": f"{(scene.folder / 'people').as_uri()}/*.csv",
            "do_not_call": (scene.folder / "do_not_call.csv").as_uri(),
            "results": scene.results(FILES).as_uri(),
        },
        BATCH: {},
        KATAVEN: {"results": scene.results(KATAVEN).as_uri()},
    }
    scene.runs = {dag_id: scene.airflow.trigger(dag_id, given) for dag_id, given in conf.items()}

    def all_ended() -> bool:
        for run in scene.runs.values():
            for task_id, state in run.task_states().items():
                seen = scene.seen[run.dag_id, task_id]
                if not seen or seen[-1] != state:
                    seen.append(state)
        time.sleep(0.5)
        return all(run.has_ended() for run in scene.runs.values())

    scene.airflow.wait_until(all_ended, "the DAG runs have ended", timeout=300)
