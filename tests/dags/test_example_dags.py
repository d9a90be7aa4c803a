"""The example DAGs parse without a warning, and each of them runs."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.definitions.mappedoperator import MappedOperator

from airflow_provider_graine.sandbox import Sandbox
from demo.warehouse import fill
from tests.conftest import EXAMPLE_DAGS

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

# Airflow's own warnings, raised while it runs a DAG in this process, are not for these tests to judge.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.filterwarnings("error:::airflow_provider_graine")]

DAG_IDS = [
    "example_graine_batch",
    "example_graine_files",
    "example_graine_partitions",
    "example_graine_sql",
    "example_graine_watch",
    "example_kataven_hours",
    "example_kataven_sql",
]


def test_all_of_them_are_parsed_without_error_or_warning(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == DAG_IDS
    assert len(bag.dags) == len(list(EXAMPLE_DAGS.glob("*.py")))
    warnings = [line for lines in bag.captured_warnings.values() for line in lines]
    assert [line for line in warnings if "graine" in line] == []


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_it_is_serialized_for_the_scheduler(bag: DagBag, dag_id: str) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = bag.dags[dag_id]
    serialized = DagSerialization.to_dict(dag)
    json.dumps(serialized)
    assert set(DagSerialization.from_dict(serialized).task_dict) == set(dag.task_dict)


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_it_is_documented(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert dag.description
    assert dag.doc_md
    for task in dag.tasks:
        kind = task.operator_class if isinstance(task, MappedOperator) else type(task)
        documented = kind.__doc__
        assert documented, task.task_id
        if kind.__module__.startswith("airflow_provider_graine"):
            assert documented != kind.__mro__[1].__doc__, f"{kind.__name__} has no words of its own"
            assert ":param " in documented


def test_people_from_the_warehouse_are_called_and_results_land(
    bag: DagBag, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read = fill(tmp_path / "warehouse.duckdb")
    warehouse = {"conn_type": "duckdb", "host": str(tmp_path / "warehouse.duckdb")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(warehouse))
    results = tmp_path / "results"

    xcoms = _run(bag, "example_graine_sql", {"results": results.as_uri()})

    upload = xcoms["call_policy_holders"]
    assert upload["summary"] == {
        "read": read,
        "accepted": 365,
        "rejected": {
            "missing_number": 10,
            "invalid_number": 18,
            "missing_name": 4,
            "suppressed": 9,
            "duplicate": 14,
        },
        "batches": 4,
        "rejects_path": f"{results.as_uri()}/rejected.csv",
    }
    assert upload["return_value"] == list(sandbox.batches)
    assert len(sandbox.dialled) == 365
    assert set(sandbox.dialled.values()) == {1}

    landed = xcoms["land_results"]["return_value"]
    assert [file["batch_id"] for file in landed] == upload["return_value"]
    assert [set(file) for file in landed] == [{"batch_id", "uri", "bytes", "rows", "contacts", "sha256"}] * 4
    assert [file["rows"] for file in landed] == [100, 100, 100, 65]
    assert sorted(file.name for file in results.iterdir()) == sorted(
        ["rejected.csv", *(f"{batch_id}.csv" for batch_id in sandbox.batches)]
    )
    _assert_private(sandbox, xcoms, capfd.readouterr())


def test_people_from_files_are_called_and_their_calls_land(
    bag: DagBag, sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    conf = _write_files(tmp_path, do_not_call="+918765499999")

    xcoms = _run(bag, "example_graine_files", conf)

    assert xcoms["call_people"]["summary"] == {
        "read": 30,
        "accepted": 30,
        "rejected": {},
        "batches": 1,
        "rejects_path": f"{conf['results']}/rejected.csv",
    }
    assert xcoms["call_people"]["return_value"] == list(sandbox.batches)
    assert xcoms["wait_for_calls"] == {}
    assert set(sandbox.dialled.values()) == {1}
    [file] = xcoms["land_contacts"]["return_value"]
    landed = tmp_path / "results" / f"{file['batch_id']}.jsonl.gz"
    assert file["uri"] == landed.as_uri()
    contacts = [json.loads(line) for line in gzip.decompress(landed.read_bytes()).splitlines()]
    assert file["rows"] == len(contacts) == 30
    assert {contact["phone_number"] for contact in contacts} == set(sandbox.dialled)
    assert all(contact["call_records"] for contact in contacts)
    _assert_private(sandbox, xcoms, capfd.readouterr())


def test_people_in_two_partitions_are_called_once_and_land_in_one_file(
    bag: DagBag, sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    people = [f"+9187654{number:05d}" for number in range(60)]
    forms = {
        "north.csv": people[:40],
        "south.csv": [f"0{number[3:8]} {number[8:]}" for number in people[20:50]],  # national, and with a space
        "west.csv": [*(f"0091{number[3:]}" for number in people[:10]), *people[45:]],
    }
    (tmp_path / "people").mkdir()
    for name, numbers in forms.items():
        rows = "".join(f"{number},Testina Callee-{number[-4:]},Basic\n" for number in numbers)
        (tmp_path / "people" / name).write_text(f"phone_number,callee_name,plan\n{rows}", encoding="utf-8")
    results = tmp_path / "results"

    xcoms = _run(
        bag,
        "example_graine_partitions",
        {"people": f"{(tmp_path / 'people').as_uri()}/*.csv", "results": results.as_uri(), "shards": 3},
    )

    read = sum(map(len, forms.values()))
    shards = [xcoms[f"call_people[{index}]"] for index in range(3)]
    for index, shard in enumerate(shards):
        summary = shard["summary"]
        assert summary["shard"] == [index, 3]
        assert summary["read"] == read
        assert summary["accepted"] + sum(summary["rejected"].values()) + summary["elsewhere"] == read
        rejects = results / f"rejected-{index}-of-3.csv"
        assert summary["rejects_path"] == rejects.as_uri()
        assert len(rejects.read_text(encoding="utf-8").splitlines()) == 1 + sum(summary["rejected"].values())
        assert shard["return_value"], "this shard has nobody: it tests nothing"
    assert sum(shard["summary"]["accepted"] for shard in shards) == len(people)
    assert sum(shard["summary"]["rejected"]["duplicate"] for shard in shards) == read - len(people)
    assert sandbox.dialled == dict.fromkeys(people, 1)

    batch_ids = [batch_id for shard in shards for batch_id in shard["return_value"]]
    assert sorted(batch_ids) == sorted(sandbox.batches)
    assert sum(batch["concurrency_limit"] for batch in sandbox.batches.values()) == 40
    [file] = xcoms["land_results"]["return_value"]
    assert [batch["batch_id"] for batch in file["batches"]] == batch_ids
    assert file["rows"] == len(people)
    assert sorted(path.name for path in results.iterdir()) == [
        *(f"rejected-{index}-of-3.csv" for index in range(3)),
        "results.csv",
    ]
    assert len((results / "results.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(people)
    _assert_private(sandbox, xcoms, capfd.readouterr())


def test_a_list_with_somebody_who_must_not_be_called_stops_the_files_example(
    bag: DagBag, sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    conf = _write_files(tmp_path, do_not_call="+918765400007")

    xcoms = _run(bag, "example_graine_files", conf, state="failed")

    assert not sandbox.batches
    assert xcoms["call_people"] == {
        "summary": {
            "read": 30,
            "accepted": 29,
            "rejected": {"suppressed": 1},
            "batches": 0,
            "rejects_path": f"{conf['results']}/rejected.csv",
        }
    }
    assert "suppressed" in (tmp_path / "results" / "rejected.csv").read_text(encoding="utf-8")
    said = capfd.readouterr()
    assert "1 of 30 contacts were rejected: 1 suppressed" in said.out + said.err
    assert not re.search(r"8765400007|Testina", json.dumps(xcoms) + said.out + said.err)


def test_the_short_list_is_paused_and_goes_on(
    bag: DagBag, standing_sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox = standing_sandbox

    def call_once_resumed() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any(request.path.endswith("/resume") for request in sandbox.requests):
                sandbox.run_until_idle()
                return
            time.sleep(0.05)

    threading.Thread(target=call_once_resumed, daemon=True).start()
    xcoms = _run(bag, "example_graine_batch", {})

    [batch_id] = sandbox.batches
    [campaign_id] = sandbox.campaigns
    assert xcoms["call_people"] == {
        "return_value": [batch_id],
        "summary": {"read": 2, "accepted": 2, "rejected": {}, "batches": 1},
    }
    assert xcoms["pause"] == xcoms["resume"] == {"return_value": batch_id}
    assert xcoms["create_campaign"] == xcoms["greet_in_english"] == {"return_value": campaign_id}
    changes = [
        request.path.rpartition("/")[2]
        for request in sandbox.requests
        if request.method == "POST" and f"/batches/{batch_id}/" in request.path
    ]
    assert changes == ["pause", "resume"]
    assert sandbox.campaigns[campaign_id]["status"] == "completed"
    assert sandbox.campaigns[campaign_id]["default_call_variables"] == {"language": "en"}
    del xcoms["choose_people"]  # the list itself; the docs of the operator say what that means
    _assert_private(sandbox, xcoms, capfd.readouterr())


def test_a_run_is_for_each_batch_that_ended_once(bag: DagBag) -> None:
    dag = bag.dags["example_graine_watch"]
    choose_batches = dag.get_task("choose_batches").python_callable
    asset = choose_batches.__globals__["ended_batches"]
    ends = [SimpleNamespace(extra={"from_trigger": True, "payload": {"batch_id": each}}) for each in ("b", "a", "b")]

    chosen = choose_batches(triggering_asset_events={asset: ends})

    assert chosen == ["b", "a"]
    assert dag.is_paused_upon_creation, "it would watch a campaign that does not exist"
    [watcher] = asset.watchers
    assert watcher.trigger.serialize()[1]["statuses"] == ["completed", "expired"]


def _run(bag: DagBag, dag_id: str, conf: dict[str, Any], *, state: str = "success") -> dict[str, dict[str, Any]]:
    """Run a DAG to its end and give the XComs of its tasks; those of mapped ones by ``task_id[index]``."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    dag = bag.dags[dag_id]
    for task in dag.tasks:  # nobody races the tests: the waits need not be those of a real Airflow
        for interval in ("poll_interval", "poke_interval"):
            if isinstance(task, MappedOperator):
                task.partial_kwargs.update({interval: 0.5} if interval in task.partial_kwargs else {})
            elif hasattr(task, interval):
                setattr(task, interval, 0.5)
    run = dag.test(run_conf=conf)
    assert run.state == state
    xcoms: dict[str, dict[str, Any]] = {task_id: {} for task_id in dag.task_dict}
    with create_session() as session:
        for xcom in session.scalars(select(XComModel).where(XComModel.run_id == run.run_id)):
            name = f"{xcom.task_id}[{xcom.map_index}]" if xcom.map_index >= 0 else xcom.task_id
            xcoms.setdefault(name, {})[xcom.key] = XComModel.deserialize_value(xcom)
    return xcoms


def _write_files(folder: Path, *, do_not_call: str) -> dict[str, str]:
    """Write two files of people; give the DAG's conf."""
    people = [f"+9187654{number:05d},Testina Callee-{number},Basic\n" for number in range(30)]
    (folder / "people").mkdir()
    for name, part in (("north.csv", people[:20]), ("south.csv", people[20:])):
        (folder / "people" / name).write_text("phone_number,callee_name,plan\n" + "".join(part), encoding="utf-8")
    (folder / "do_not_call.csv").write_text(f"phone_number\n{do_not_call}\n", encoding="utf-8")
    return {
        "people": f"{(folder / 'people').as_uri()}/*.csv",
        "do_not_call": (folder / "do_not_call.csv").as_uri(),
        "results": (folder / "results").as_uri(),
    }


def _assert_private(sandbox: Sandbox, xcoms: dict[str, Any], said: Any) -> None:
    """Neither the people who were called nor the token stand in XComs or in what Airflow logged."""
    private = {sandbox.token}
    for batch_id in sandbox.batches:
        for contact in sandbox.contacts(batch_id):
            private |= {contact["phone_number"][-10:], contact["call_variables"]["callee_name"]}
    assert len(private) > 2
    logged = said.out + said.err
    assert "contacts: " in logged, "nothing was logged: this would find nothing"
    text = logged + json.dumps(xcoms)
    assert [secret for secret in private if secret in text] == []
