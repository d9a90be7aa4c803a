"""The example DAGs for Kataven run: drafts, start, wait, results."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.services import limits
from airflow_provider_graine.watching.clock import clock
from demo.warehouse import fill
from tests.dags.test_example_dags import _run
from tests.kataven_service import AGENT, MANY, NUMBER, changes

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

# Airflow's own warnings, raised while it runs a DAG in this process, are not for these tests to judge.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.filterwarnings("error:::airflow_provider_graine")]


@pytest.fixture
def account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[KatavenAccount]:
    """An account where an hour takes a second."""
    connection = {**json.loads(sandbox.kataven.connection_json()), "extra": MANY}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    limits._limiters.clear()
    yield sandbox.kataven
    limits._limiters.clear()


def assert_private(account: KatavenAccount, xcoms: dict[str, Any], said: Any) -> None:
    """Neither the people who were called nor the key stand in XComs or in what was logged."""
    private = {account.token}
    for campaign_id in account.campaigns:
        for contact in account.contacts(campaign_id):
            private |= {contact["phone_number"][-10:], *filter(None, [contact["custom_fields"].get("callee_name")])}
    assert len(private) > 2
    text = said.out + said.err + json.dumps(xcoms)
    assert "land_results" in said.out, "nothing was logged: this would find nothing"
    assert [secret for secret in private if secret in text] == []


def test_people_from_the_warehouse_are_called_and_results_land(
    bag: DagBag,
    account: KatavenAccount,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    read = fill(tmp_path / "warehouse.duckdb")
    warehouse = {"conn_type": "duckdb", "host": str(tmp_path / "warehouse.duckdb")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(warehouse))
    results = tmp_path / "results"

    xcoms = _run(bag, "example_kataven_sql", {"results": results.as_uri()})

    upload = xcoms["call_policy_holders"]
    assert (upload["summary"]["read"], upload["summary"]["accepted"]) == (read, 365), "the same people as with Graine"
    assert sorted(upload["return_value"]) == sorted(account.campaigns)
    assert sum(each["max_concurrent_calls"] for each in account.campaigns.values()) == 10
    assert len(account.dialled) == 365
    assert set(account.dialled.values()) == {1}
    landed = xcoms["land_results"]["return_value"]
    assert [file["campaign_id"] for file in landed] == upload["return_value"]
    assert sum(file["rows"] for file in landed) == 365
    assert_private(account, xcoms, capfd.readouterr())


def test_drafts_are_started_one_after_the_other_in_office_hours(
    bag: DagBag,
    account: KatavenAccount,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    hook = KatavenHook()
    drafts = [
        hook.create_campaign(
            name="Drafts",
            agent_id=AGENT,
            phone_number_id=NUMBER,
            contacts=[{"phone_number": f"+91987654{number}{person:03}"} for person in range(30)],
        ).campaign_id
        for number in range(2)
    ]
    hook.close()
    monday, began = datetime(2026, 5, 11, 4, tzinfo=UTC).timestamp(), time.time()
    monkeypatch.setattr(clock, "wall", lambda: monday + time.time() - began)

    xcoms = _run(bag, "example_kataven_hours", {"campaign_ids": drafts, "results": (tmp_path / "results").as_uri()})

    assert xcoms["call_in_office_hours"]["return_value"] == drafts
    assert changes(account) == [f"start {each}" for each in drafts]
    first, second = (account.campaigns[each] for each in drafts)
    assert first["completed_at"] <= second["started_at"]
    assert [file["rows"] for file in xcoms["land_results"]["return_value"]] == [30, 30]
    assert_private(account, xcoms, capfd.readouterr())
