"""The example DAGs on a real Airflow: scheduler, LocalExecutor, triggerer, DAG processor and API server."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import EXAMPLE_DAGS
from tests.e2e.conftest import BATCH, FILES, SQL, TOKEN, Scene

pytestmark = pytest.mark.e2e

UPLOADS = {SQL: "call_policy_holders", FILES: "call_people", BATCH: "call_people"}
RESUMED_BY_TRIGGER = ["deferred", "success"]


@pytest.mark.parametrize("dag_id", [SQL, FILES, BATCH])
def test_the_run_succeeds_at_the_first_try(scene: Scene, dag_id: str) -> None:
    run = scene.runs[dag_id]
    failures = run.failures()
    assert not failures, failures
    assert set(run.task_states().values()) == {"success"}
    assert run.state() == "success"
    assert {run.task(task_id)["try_number"] for task_id in run.task_states()} == {1}


def test_nobody_is_on_two_batches(scene: Scene) -> None:
    assert scene.sandbox.dialled
    assert [number for number, times in scene.sandbox.dialled.items() if times > 1] == []


@pytest.mark.parametrize(("dag_id", "task_id"), [(SQL, "call_policy_holders"), (FILES, "wait_for_calls")])
def test_the_triggerer_waits(scene: Scene, dag_id: str, task_id: str) -> None:
    assert "deferred" in scene.seen[dag_id, task_id]
    lines = scene.runs[dag_id].log(task_id)
    assert any(".trigger." in line["event"] for line in lines[:4]), "the triggerer's log is not shown with the task's"
    looks = [line["event"] for line in lines if line.get("logger", "").endswith("GraineBatchTrigger")]
    assert all("contacts" in look for look in looks)
    if dag_id == SQL:  # the other one looks once a minute
        assert looks


def test_the_rescheduled_sensor_frees_its_slot(scene: Scene) -> None:
    assert "up_for_reschedule" in scene.seen[BATCH, "wait_for_campaign"]


def test_the_warehouse_list_adds_up(scene: Scene) -> None:
    run = scene.runs[SQL]
    upload = run.xcoms("call_policy_holders")
    summary = upload["summary"]
    assert summary["read"] == scene.read_from_warehouse
    assert summary["accepted"] + sum(summary["rejected"].values()) == summary["read"]
    assert summary["batches"] == len(upload["return_value"]) == 4

    landed = run.xcoms("land_results")["return_value"]
    assert [file["batch_id"] for file in landed] == upload["return_value"]
    for file in landed:
        assert file == _manifest(scene.results(SQL) / f"{file['batch_id']}.csv", file["batch_id"])
    assert sum(file["rows"] for file in landed) == summary["accepted"]

    rejected = Counter(row["reason"] for row in _rows(scene.results(SQL) / "rejected.csv"))
    assert rejected == summary["rejected"]
    left_behind = {path.name for path in scene.results(SQL).iterdir()}
    assert left_behind == {"rejected.csv", *(f"{batch_id}.csv" for batch_id in upload["return_value"])}


def test_the_people_in_the_files_are_called_and_land(scene: Scene) -> None:
    run = scene.runs[FILES]
    upload = run.xcoms("call_people")
    assert upload["summary"] == {
        "read": 60,
        "accepted": 60,
        "rejected": {},
        "batches": 1,
        "rejects_path": (scene.results(FILES) / "rejected.csv").as_uri(),
    }
    [file] = run.xcoms("land_contacts")["return_value"]
    target = scene.results(FILES) / f"{file['batch_id']}.jsonl.gz"
    assert file["uri"] == target.as_uri()
    contacts = [json.loads(line) for line in gzip.decompress(target.read_bytes()).splitlines()]
    assert len(contacts) == file["rows"] == 60
    assert {contact["phone_number"] for contact in contacts} == {
        person["phone_number"] for person in scene.people_in_files
    }
    assert all(contact["call_records"] for contact in contacts)


def test_the_batch_is_paused_and_goes_on(scene: Scene) -> None:
    [batch_id] = scene.batch_ids(BATCH, "call_people")
    changes = [
        request.path.rpartition("/")[2]
        for request in scene.sandbox.requests
        if request.method == "POST" and f"/batches/{batch_id}/" in request.path and request.status == 200
    ]
    assert changes == ["pause", "resume"]
    assert scene.sandbox.batches[batch_id]["status"] == "completed"
    assert [contact["status"] for contact in scene.sandbox.contacts(batch_id)] == ["completed", "completed"]


def test_the_log_of_the_upload_tells_what_happened(scene: Scene) -> None:
    lines = scene.runs[SQL].log("call_policy_holders")
    ours = [line["event"] for line in lines if "airflow_provider_graine" in line.get("logger", "")]
    read = next(line for line in ours if line.startswith("Read 420"))
    assert re.fullmatch(r"Read 420 contacts: 365 accepted, 55 rejected \(.*\)", read)
    created = [line for line in ours if line.startswith("Created batch")]
    batch_ids = scene.batch_ids(SQL, "call_policy_holders")
    assert created == [
        f"Created batch {batch_id} with {size} contacts"
        for batch_id, size in zip(batch_ids, (100, 100, 100, 65), strict=True)
    ]
    looks = [line for line in ours if "of 365 contacts have an outcome" in line]
    assert len(looks) >= 2  # the worker's, and the triggerer's
    assert "The triggerer waits, with a look every 10 s" in ours
    assert ours[-1].startswith("All calls are done. 365 contacts: ")
    levels = {line.get("level", "info") for line in lines}
    assert levels == {"info"}, [line for line in lines if line.get("level", "info") != "info"]


def test_a_cleared_upload_finds_its_batches_and_creates_none(scene: Scene) -> None:
    run = scene.runs[SQL]
    before = run.xcoms("call_policy_holders")
    created = _creates(scene)
    run.clear("call_policy_holders")
    scene.airflow.wait_until(
        lambda: run.task("call_policy_holders")["try_number"] == 2 and run.has_ended(),
        "the cleared task has run again",
        timeout=90,
    )
    assert run.state() == "success"
    after = run.xcoms("call_policy_holders")
    assert (after["return_value"], after["summary"]) == (before["return_value"], before["summary"])
    assert _creates(scene) == created
    assert set(scene.sandbox.dialled.values()) == {1}
    log = [line["event"] for line in run.log("call_policy_holders", attempt=2)]
    assert any(line.startswith("Found 4 batches") for line in log)


def test_no_personal_data_and_no_token_is_left_in_airflow(scene: Scene) -> None:
    """XComs, rendered fields, trigger events and task state lie in the database, the logs in the home."""
    secrets = _people_of_the_warehouse(scene) | {TOKEN, scene.sandbox.kataven.token}
    for person in scene.people_in_files:
        secrets |= {person["phone_number"][1:], person["callee_name"]}
    examples = b"".join(path.read_bytes() for path in EXAMPLE_DAGS.glob("*.py"))
    secrets = {secret for secret in secrets if secret.encode() not in examples}  # DAG code is in the database
    assert len(secrets) > 600
    landed = next(scene.results(SQL).glob("btc_*.csv"))
    pattern = re.compile("|".join(map(re.escape, secrets)).encode())
    assert pattern.search(landed.read_bytes()), "nothing would be found anywhere"
    files = [path for path in scene.airflow.home.rglob("*") if path.is_file()]
    assert {"standalone.log", "attempt=1.log"} <= {path.name for path in files}
    database = scene.airflow.database.dump()
    assert all(batch_id.encode() in database for batch_id in scene.batch_ids(SQL, "call_policy_holders"))
    assert pattern.findall(database) == []
    found = {str(path.relative_to(scene.airflow.home)): len(pattern.findall(path.read_bytes())) for path in files}
    assert {path: hits for path, hits in found.items() if hits} == {}


def test_the_logs_do_not_show_the_list_in_the_dag_either(scene: Scene) -> None:
    pattern = re.compile("9876543210|9876543211|Rajesh Sharma|Priya Mehta")
    assert [path for path in _logs(scene) if pattern.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("dag_id", [SQL, FILES, BATCH])
def test_rendered_fields_show_arguments_and_no_people(scene: Scene, dag_id: str) -> None:
    run = scene.runs[dag_id]
    rendered = run.task(UPLOADS[dag_id])["rendered_fields"]
    assert rendered["campaign_id"] == run.xcoms("create_campaign")["return_value"]
    assert rendered["graine_conn_id"] == "graine_default"
    assert "contacts" not in rendered
    shown = json.dumps(rendered)
    assert not re.search(r"\+?\d{10,}", shown)
    assert TOKEN not in shown


def test_nothing_of_ours_is_deprecated_or_breaks(scene: Scene) -> None:
    ours = re.compile(r"(category=\w*Warning .*|File \")\S*(airflow_provider_graine|example_dags)/")
    lines = [line for path in _logs(scene) for line in path.read_text(encoding="utf-8").splitlines()]
    assert any("category=" in line for line in lines), "warnings are not shown: this test would see none"
    assert [line for line in lines if ours.search(line)] == []


def _creates(scene: Scene) -> int:
    return sum(request.method == "POST" and request.path.endswith("/batches/") for request in scene.sandbox.requests)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _manifest(path: Path, batch_id: str) -> dict[str, Any]:
    content = path.read_bytes()
    return {
        "batch_id": batch_id,
        "uri": path.as_uri(),
        "bytes": len(content),
        "rows": len(_rows(path)),
        "contacts": len(_rows(path)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _people_of_the_warehouse(scene: Scene) -> set[str]:
    with duckdb.connect(str(scene.folder / "warehouse.duckdb"), read_only=True) as database:
        people = database.execute("SELECT phone_number, callee_name FROM policy_holders").fetchall()
    numbers = {re.sub(r"\D", "", phone or "")[-10:] for phone, _ in people}
    names = {(name or "").strip() for _, name in people}
    return {number for number in numbers if len(number) == 10} | {name for name in names if name}


def _logs(scene: Scene) -> list[Path]:
    return [path for path in scene.airflow.home.rglob("*.log") if path.is_file()]
