"""Kataven's example DAG on a real Airflow, beside those of the other service."""

from __future__ import annotations

import csv

import pytest

from tests.e2e.conftest import KATAVEN, Scene

pytestmark = pytest.mark.e2e

UPLOAD = "call_policy_holders"


def test_the_run_succeeds_at_the_first_try(scene: Scene) -> None:
    run = scene.runs[KATAVEN]
    failures = run.failures()
    assert not failures, failures
    assert run.state() == "success"
    assert {run.task(task_id)["try_number"] for task_id in run.task_states()} == {1}


def test_the_triggerer_waits(scene: Scene) -> None:
    assert "deferred" in scene.seen[KATAVEN, UPLOAD]
    events = [line["event"] for line in scene.runs[KATAVEN].log(UPLOAD)]
    assert any(".trigger." in event for event in events[:4]), "the triggerer's log is not shown with the task's"


def test_everybody_is_called_once(scene: Scene) -> None:
    upload = scene.runs[KATAVEN].xcoms(UPLOAD)
    summary = upload["summary"]
    assert summary["read"] == scene.read_from_warehouse
    assert summary["accepted"] + sum(summary["rejected"].values()) == summary["read"]
    dialled = scene.sandbox.kataven.dialled
    assert len(dialled) == summary["accepted"]
    assert set(dialled.values()) == {1}
    assert list(scene.sandbox.kataven.campaigns) == upload["return_value"]
    assert {campaign["status"] for campaign in scene.sandbox.kataven.campaigns.values()} == {"completed"}


def test_the_results_land(scene: Scene) -> None:
    run = scene.runs[KATAVEN]
    landed = run.xcoms("land_results")["return_value"]
    campaigns = run.xcoms(UPLOAD)["return_value"]
    assert [file["campaign_id"] for file in landed] == campaigns
    assert len(campaigns) == 2
    people = []
    for file in landed:
        path = scene.results(KATAVEN) / f"{file['campaign_id']}.csv"
        assert file["uri"] == path.as_uri()
        with path.open(encoding="utf-8", newline="") as lines:
            people += [row["phone_number"] for row in csv.DictReader(lines)]
    assert sorted(people) == sorted(scene.sandbox.kataven.dialled)
    assert sum(file["rows"] for file in landed) == len(people)
