"""Assets that a DAG can be scheduled on, and what their events say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.lineage.assets import create_graine_asset
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from tests.lineage.conftest import NUMBERS, run
from tests.task import Task

RESULTS = AssetAlias("renewal-results")


@pytest.fixture
def batch_ids(hook: GraineHook, campaign_id: str) -> list[str]:
    """As many batches as there are people."""
    ids = []
    for number in range(51):
        contact = {"phone_number": f"+9198764{number:05}", "call_variables": {"callee_name": "Asha"}}
        ids.append(hook.create_batch(campaign_id=campaign_id, contacts=[contact]).batch_id)
    return ids


def land(folder: Path, **arguments: Any) -> Any:
    operator = GraineToObjectStorageOperator(task_id="land", path=folder.as_uri(), kind="contacts", **arguments)
    return run(operator, Task(task_id="land"))


def added(events: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(each.dest_asset_key.uri, each.extra) for each in events[RESULTS].asset_alias_events]


def test_an_upload_says_in_the_events_what_came_about(
    sandbox: Sandbox, host: str, campaign_id: str, task: Task
) -> None:
    contacts = [{"phone_number": number, "callee_name": "Asha"} for number in [*NUMBERS, NUMBERS[0]]]
    campaign, other = create_graine_asset(campaign_id=campaign_id, host=host), Asset("people_called")
    operator = GraineCreateBatchOperator(
        task_id="call",
        campaign_id=campaign_id,
        contacts=contacts,
        batch_size=5,
        on_invalid="skip",
        outlets=[campaign, other, RESULTS],
    )
    events = run(operator, task)

    said = {
        "read": 9,
        "accepted": 8,
        "rejected": {"duplicate": 1},
        "batches": 2,
        "campaign_ids": [campaign_id],
        "batch_ids": list(sandbox.batches),
    }
    assert events[campaign].extra == events[other].extra == said
    assert added(events) == [(f"graine://{host}/campaigns/{campaign_id}", said)]
    assert not any(number[1:] in repr(events) or "Asha" in repr(events) for number in NUMBERS)


def test_a_landing_adds_its_files_to_an_alias(
    sandbox: Sandbox, campaign_id: str, batch_ids: list[str], tmp_path: Path
) -> None:
    first, second = (f"{tmp_path.as_uri()}/{batch_id}.jsonl" for batch_id in batch_ids[:2])
    own, other = Asset(first), Asset("results")
    events = land(tmp_path, batch_ids=batch_ids[:2], outlets=[RESULTS, own, other])

    assert [uri for uri, _ in added(events)] == [first, second]
    size = (tmp_path / f"{batch_ids[0]}.jsonl").stat().st_size
    extra = added(events)[0][1]
    assert {name: extra[name] for name in extra if name != "sha256"} == {
        "batch_id": batch_ids[0],
        "rows": 1,
        "contacts": 1,
        "bytes": size,
    }
    assert events[own].extra == extra
    assert events[other].extra == {
        "files": 2,
        "uris": [first, second],
        "rows": 2,
        "bytes": sum(file.stat().st_size for file in tmp_path.iterdir()),
        "campaign_ids": [campaign_id],
        "batch_ids": batch_ids[:2],
    }


def test_of_many_files_the_folder_is_added_and_a_merged_one_says_whose_it_is(
    sandbox: Sandbox, campaign_id: str, batch_ids: list[str], tmp_path: Path
) -> None:
    [(uri, extra)] = added(land(tmp_path / "many", campaign_id=campaign_id, outlets=[RESULTS]))
    assert uri == (tmp_path / "many").as_uri()
    assert (extra["files"], extra["rows"], len(extra["batch_ids"])) == (51, 51, 51)

    [(uri, extra)] = added(land(tmp_path / "all.jsonl", batch_ids=batch_ids[:3], merge=True, outlets=[RESULTS]))
    assert uri == (tmp_path / "all.jsonl").as_uri()
    assert (extra["rows"], extra["batch_ids"], extra["campaign_ids"]) == (3, batch_ids[:3], [campaign_id])


def test_what_the_author_says_in_an_event_stays(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    results = Asset("results")
    operator = GraineToObjectStorageOperator(
        task_id="land", batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind="contacts", outlets=[results]
    )
    context = Task(task_id="land").context()
    from airflow.sdk.execution_time.context import OutletEventAccessors

    context["outlet_events"] = OutletEventAccessors()
    operator.execute(context)
    context["outlet_events"][results].extra = {"rows": "many", "region": "IN"}
    operator.post_execute(context)
    extra = context["outlet_events"][results].extra
    assert (extra["rows"], extra["region"], extra["files"]) == ("many", "IN", 1)


def test_nobody_to_call_is_no_event_of_an_alias(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    results = Asset("called")
    operator = GraineCreateBatchOperator(
        task_id="call", campaign_id=campaign_id, contacts=[], outlets=[RESULTS, results]
    )
    events = run(operator, task)
    assert added(events) == []
    assert events[results].extra["batches"] == 0


# -- Airflow's own scheduling; its own warnings, raised while it runs a DAG in this process, are not judged here


@pytest.mark.filterwarnings("ignore")
def test_another_dag_goes_on_with_what_was_landed(
    sandbox: Sandbox, host: str, people: Path, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dags = Path(__file__).parent / "dags"
    bundle = {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
    monkeypatch.setenv(
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([{**bundle, "kwargs": {"path": str(dags)}}])
    )
    for name, value in {"FOLDER": people, "CAMPAIGN": campaign_id, "HOST": host}.items():
        monkeypatch.setenv(f"LINEAGE_{name}", str(value))
    queued = run_dags(dags)

    seen = json.loads((people / "seen.json").read_text())
    files = [f"{people.as_uri()}/results/{batch_id}.jsonl" for batch_id in sandbox.batches]
    assert seen["uris"] == files
    assert [extra["rows"] for extra in seen["files"]] == [3, 3, 1]
    assert seen["called"] == [
        {
            "read": 8,
            "accepted": 7,
            "rejected": {"suppressed": 1},
            "batches": 3,
            "campaign_ids": [campaign_id],
            "batch_ids": list(sandbox.batches),
        }
    ]
    assert queued == {"lineage_goes_on"}


def run_dags(folder: Path) -> set[str]:
    """Run the DAG that calls, then the one that goes on; gives which ones the scheduler would have started."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.asset import AssetDagRunQueue
    from airflow.models.dag import DagModel
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session
    from sqlalchemy import inspect, select, update

    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag, sync_bag_to_db  # type: ignore[no-redef]

    with create_session() as session:
        is_new = not inspect(session.get_bind()).has_table("dag")
    if is_new:
        initdb()
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(folder)
    assert bag.import_errors == {}
    sync_bag_to_db(bag, "dags-folder", None)
    with create_session() as session:
        session.execute(update(DagModel).values(is_paused=False))
    assert bag.dags["lineage_calls"].test().state == "success"
    with create_session() as session:
        queued = set(session.scalars(select(AssetDagRunQueue.target_dag_id)))
    assert bag.dags["lineage_goes_on"].test().state == "success"
    return queued
