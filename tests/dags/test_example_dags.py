"""The example DAGs parse without a warning, and each of them runs."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.definitions.mappedoperator import MappedOperator

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.notifications import one_call
from airflow_provider_graine.sandbox import Sandbox
from demo.warehouse import fill
from tests.conftest import EXAMPLE_DAGS
from tests.dags.conftest import ON_CALL

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

# Airflow's own warnings, raised while it runs a DAG in this process, are not for these tests to judge.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.filterwarnings("error:::airflow_provider_graine")]

DAG_IDS = [
    "example_graine_approval",
    "example_graine_batch",
    "example_graine_files",
    "example_graine_notifier",
    "example_graine_outcomes",
    "example_graine_partitions",
    "example_graine_results",
    "example_graine_sql",
    "example_graine_watch",
    "example_kataven_hours",
    "example_kataven_sql",
]


def test_all_of_them_are_parsed_without_error_or_warning(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == DAG_IDS
    assert {Path(dag.fileloc).name for dag in bag.dags.values()} == {file.name for file in EXAMPLE_DAGS.glob("*.py")}
    warnings = [line for lines in bag.captured_warnings.values() for line in lines]
    assert [line for line in warnings if "graine" in line] == []


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_it_is_serialized_for_the_scheduler(bag: DagBag, dag_id: str) -> None:
    from airflow.serialization import serialized_objects

    # Airflow 3.1 has one class for both.
    DagSerialization = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
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


@pytest.mark.parametrize(("answer", "called"), [("Approve", 29), ("Reject", 0)])
def test_nobody_is_called_before_somebody_approves(
    bag: DagBag, sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str], answer: str, called: int
) -> None:
    conf = _write_files(tmp_path, do_not_call="+918765400007") | {"campaign_id": _campaign(sandbox)}
    seen: list[tuple[str, int]] = []

    def answer_it() -> None:
        request = _answer("example_graine_approval", "approve", answer, lambda: len(sandbox.batches))
        seen.append(request)

    person = threading.Thread(target=answer_it, daemon=True)
    person.start()
    xcoms = _run(bag, "example_graine_approval", conf)
    person.join(5)

    [(asked, batches_then)] = seen
    assert batches_then == 0
    assert "Call 29 people?" in asked
    assert "would call **29** people" in asked
    assert "Left out: 1 (1 suppressed)." in asked
    assert set(sandbox.dialled.values()) == ({1} if called else set())
    assert len(sandbox.dialled) == called
    assert ("return_value" in xcoms["call_people"]) == bool(called)
    assert not re.search(r"87654|Testina", asked + json.dumps(xcoms, default=str) + str(capfd.readouterr()))


def test_landed_results_are_an_asset_that_schedules_another_dag(
    bag: DagBag, sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    conf = _write_files(tmp_path, do_not_call="") | {"campaign_id": _campaign(sandbox)}

    xcoms = _run(bag, "example_graine_results", conf)

    outcomes = bag.dags["example_graine_outcomes"]
    count_outcomes = outcomes.get_task("count_outcomes").python_callable
    asset = count_outcomes.__globals__["call_results"]
    assert _emitted(asset.uri) == ["land_results"]
    assert [each.uri for each in outcomes.timetable.asset_condition.objects] == [asset.uri]

    class Events:
        def __getitem__(self, changed: Any) -> list[Any]:
            assert changed is asset
            landed = SimpleNamespace(xcom_pull=lambda: xcoms["land_results"]["return_value"])
            return [SimpleNamespace(source_task_instance=landed)]

    counts = count_outcomes(triggering_asset_events=Events())
    assert sum(counts.values()) == 30
    assert "completed" in counts
    _assert_private(sandbox, xcoms, capfd.readouterr())


def test_people_chosen_in_python_are_called_by_a_task_for_each_region(
    bag: DagBag,
    sandbox_of_today: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sandbox = sandbox_of_today
    for region, first in (("north", 0), ("south", 30)):
        rows = [
            f"+91987654{number:05d},Testina Callee-{number},{'no' if number % 3 else 'yes'}\n"
            for number in range(first, first + 12)
        ]
        (tmp_path / f"{region}.csv").write_text("phone_number,callee_name,agreed\n" + "".join(rows), encoding="utf-8")

    conf = {"campaign_id": _campaign(sandbox), "people": tmp_path.as_uri()}
    monkeypatch.setattr(bag.dags["example_graine_notifier"], "deadline", None)  # as below
    xcoms = _run(bag, "example_graine_notifier", conf)

    assert sandbox.dialled == dict.fromkeys(
        (f"+91987654{number:05d}" for number in (*range(0, 12, 3), *range(30, 42, 3))), 1
    )
    batch_ids = [xcoms[f"call_people[{index}]"]["return_value"] for index in range(2)]
    assert sorted(each for ids in batch_ids for each in ids) == sorted(sandbox.batches)
    variables = sandbox.contacts(batch_ids[1][0])[0]["call_variables"]
    assert variables == {"callee_name": "Testina Callee-30", "region": "south"}
    assert ON_CALL not in sandbox.dialled
    _assert_private(sandbox, xcoms, capfd.readouterr())


def test_somebody_is_phoned_once_when_the_run_fails_and_once_when_it_is_late(
    bag: DagBag,
    sandbox_of_today: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    sandbox, dag_id = sandbox_of_today, "example_graine_notifier"
    monkeypatch.setenv("AIRFLOW_VAR_ON_CALL_CAMPAIGN", _campaign(sandbox))
    monkeypatch.setattr(one_call, "_LOOKS", (0.0, 0.1))
    if not hasattr(bag.dags[dag_id].get_task("choose_regions"), "retry_policy"):  # before Airflow 3.3
        bag.dags[dag_id].get_task("call_people").partial_kwargs["retries"] = 0
    (tmp_path / "north.csv").write_text("phone_number,callee_name,agreed\n+919876543210,Testina Callee,yes\n")
    conf = {"campaign_id": "cmp_none", "people": tmp_path.as_uri(), "regions": ["north"]}

    [alert] = bag.dags[dag_id].deadline
    monkeypatch.setattr(bag.dags[dag_id], "deadline", None)  # dag.test() has no queue, and cannot end with one in 3.3
    _run(bag, dag_id, conf, state="failed")

    assert _told(sandbox) == ["dag"]
    for _ in range(2):  # such as in another triggerer, when the first one is lost
        _miss_deadline(dag_id, alert)
    assert _told(sandbox) == ["dag", "deadline"]
    contacts = [contact for batch_id in sandbox.batches for contact in sandbox.contacts(batch_id)]
    assert {contact["phone_number"] for contact in contacts} == {ON_CALL}
    assert {contact["call_variables"]["callee_name"] for contact in contacts} == {"Testina On-Call"}
    said = "".join(capfd.readouterr()) + caplog.text
    assert all(f"Batch {batch_id} phones somebody about" in said for batch_id in sandbox.batches)
    assert "No retry: the service does not know the id" in said or "retry_policy" not in said
    assert not re.search(f"{ON_CALL[2:]}|Testina|9876543210", said)


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
    links: list[str] = []
    with create_session() as session:
        for xcom in session.scalars(select(XComModel).where(XComModel.run_id == run.run_id)):
            if xcom.key.endswith("_calls_link"):  # an address for the UI, in every task that deals with calls
                links.append(XComModel.deserialize_value(xcom))
                continue
            name = f"{xcom.task_id}[{xcom.map_index}]" if xcom.map_index >= 0 else xcom.task_id
            xcoms.setdefault(name, {})[xcom.key] = XComModel.deserialize_value(xcom)
    assert not re.search(r"Testina|%2B91|gat_", " ".join(links))
    return xcoms


def _campaign(sandbox: Sandbox) -> str:
    hook = GraineHook()
    try:
        return hook.create_campaign(name="One", agent_id="agent_1", phone_numbers=["+918045678900"]).campaign_id
    finally:
        hook.close()


def _answer(dag_id: str, task_id: str, option: str, look: Callable[[], int]) -> tuple[str, int]:
    """Answer a request for input as the API does; give what was asked, and what the look showed right before."""
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
    from airflow.models.hitl import HITLDetail
    from airflow.utils.session import create_session
    from sqlalchemy import select

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with create_session() as session:
            open_requests = select(HITLDetail).where(HITLDetail.responded_at.is_(None))
            for request in session.scalars(open_requests):
                ti = request.task_instance
                if (ti.dag_id, ti.task_id) == (dag_id, task_id) and ti.state in ("awaiting_input", "deferred"):
                    seen = f"{request.subject}\n{request.body}", look()
                    update_hitl_detail(
                        dag_id=dag_id,
                        dag_run_id=ti.run_id,
                        task_id=task_id,
                        update_hitl_detail_payload=UpdateHITLDetailPayload(chosen_options=[option]),
                        user=SimpleNamespace(get_id=lambda: "1", get_name=lambda: "someone"),
                        session=session,
                    )
                    return seen
        time.sleep(0.1)
    raise AssertionError("nobody was asked")


def _emitted(uri: str) -> list[str]:
    """Give the tasks that have changed an asset."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = select(AssetEvent.source_task_id).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        return [str(task_id) for task_id in session.scalars(events.where(AssetModel.uri == uri))]


def _miss_deadline(dag_id: str, alert: Any) -> None:
    """Do what the scheduler does when the latest run is late, and then what the triggerer does."""
    from airflow.models.dagrun import DagRun
    from airflow.models.deadline import Deadline
    from airflow.sdk.module_loading import import_string
    from airflow.utils.session import create_session
    from sqlalchemy import select

    async def run(trigger: Any) -> list[Any]:
        return [event.payload["state"] async for event in trigger.run()]

    with create_session() as session:
        dag_run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc())).first()
        assert dag_run is not None
        deadline = session.scalar(select(Deadline).where(Deadline.dagrun_id == dag_run.id))
        if deadline is None:
            more = {"deadline_alert_id": None} if "deadline_alert_id" in Deadline.__table__.columns else {}
            deadline = Deadline(deadline_time=datetime.now(UTC), callback=alert.callback, dagrun_id=dag_run.id, **more)
            session.add(deadline)
            session.flush()
        deadline.handle_miss(session=session)
        session.flush()
        stored = deadline.trigger if hasattr(deadline, "trigger") else deadline.callback.trigger
        session.refresh(stored)
        path, kwargs = stored.classpath, stored.kwargs
    assert ON_CALL not in json.dumps(kwargs, default=str)
    assert asyncio.run(run(import_string(path)(**kwargs))) == ["running", "success"]


def _told(sandbox: Sandbox) -> list[str]:
    """Give what people were phoned about, in the order of the batches."""
    return [sandbox.contacts(batch_id)[0]["call_variables"]["failure"] for batch_id in sandbox.batches]


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
