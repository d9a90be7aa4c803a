"""A DAG that batches start by ending, on a real Airflow whose triggerer is restarted and killed meanwhile."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from tests.conftest import EXAMPLE_DAGS
from tests.e2e.standalone import DagRun, Standalone

pytestmark = pytest.mark.e2e

DAG_ID = "example_graine_watch"


@dataclass
class Watched:
    """A campaign and the Airflow that watches it; time stands still in the service."""

    airflow: Standalone
    sandbox: Sandbox
    hook: GraineHook
    campaign_id: str
    results: Path

    def batch(self) -> str:
        people = [{"phone_number": "+919876512345", "call_variables": {"callee_name": "Testina Callee"}}]
        return self.hook.create_batch(campaign_id=self.campaign_id, contacts=people).batch_id

    def runs(self) -> list[DagRun]:
        """Give all runs of the DAG, oldest first."""
        listed = self.airflow.request("GET", f"/dags/{DAG_ID}/dagRuns", params={"order_by": "run_after"})["dag_runs"]
        return [DagRun(self.airflow, dag_id=DAG_ID, run_id=run["dag_run_id"]) for run in listed]

    def events(self) -> list[dict[str, Any]]:
        listed = self.airflow.request("GET", "/assets/events", params={"order_by": "timestamp"})["asset_events"]
        return [event["extra"]["payload"] for event in listed]

    def after_looks(self, number: int = 2, *, within: float = 120) -> None:
        """Wait until the watcher has looked some more times."""
        before = self._looks()
        self.airflow.wait_until(lambda: self._looks() >= before + number, f"{number} more looks", timeout=within)

    def _looks(self) -> int:
        return sum(request.path.endswith("/stats") for request in self.sandbox.requests)

    def pause(self, is_paused: bool) -> None:
        self.airflow.request("PATCH", f"/dags/{DAG_ID}", json={"is_paused": is_paused})

    def wait_for_silence(self, *, within: float = 120) -> None:
        """Wait until nobody looks any more."""
        looks = -1

        def is_silent() -> bool:
            nonlocal looks
            before, looks = looks, self._looks()
            time.sleep(6)
            return looks == before

        self.airflow.wait_until(is_silent, "the watch has ended", timeout=within)

    def wait_for(self, what: Callable[[], bool], text: str) -> None:
        def has_happened() -> bool:
            try:
                return what()
            except httpx.TimeoutException:  # the API server is busy with something else
                return False

        self.airflow.wait_until(has_happened, text, timeout=180)

    def said(self, words: str) -> int:
        """Count how often Airflow's log has these words."""
        return self.airflow.output.read_text(encoding="utf-8").count(words)

    def wait_for_runs(self, number: int) -> None:
        self.wait_for(
            lambda: len(runs := self.runs()) >= number and all(run.has_ended() for run in runs),
            f"the {number} runs have ended",
        )


def example(folder: Path, *, campaign_id: str, results: Path) -> Path:
    """Have the example as a user makes it his own, with looks for the impatient."""
    code = (EXAMPLE_DAGS / f"{DAG_ID}.py").read_text(encoding="utf-8")
    for default, own in {
        '"cmp_abc123"': f'"{campaign_id}", poll_interval=2',
        "file:///tmp/graine/results": results.as_uri(),
        "is_paused_upon_creation=True": "is_paused_upon_creation=False",
    }.items():
        assert code.count(default) == 1, default
        code = code.replace(default, own)
    folder.mkdir()
    (folder / f"{DAG_ID}.py").write_text(code, encoding="utf-8")
    return folder


def test_each_batch_that_ends_starts_one_run_whatever_happens_to_the_triggerer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (tmp_path / "airflow").mkdir()
    with Sandbox(speed=0, start="2026-05-11T04:00:00Z") as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", sandbox.connection_json())
        hook = GraineHook()
        campaign_id = hook.create_campaign(name="R", agent_id="agent_1", phone_numbers=["+918045678900"]).campaign_id
        environment = {
            "AIRFLOW_CONN_GRAINE_DEFAULT": sandbox.connection_json(),
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",  # then a pause of the DAG is noticed
        }
        dags = example(tmp_path / "dags", campaign_id=campaign_id, results=results)
        starting = Standalone(tmp_path / "airflow", dags=dags, environment=environment)
        old = Watched(starting, sandbox, hook, campaign_id, results).batch()
        sandbox.run_until_idle()
        with starting as airflow:
            watched = Watched(airflow, sandbox, hook, campaign_id, results)
            told, stopped = _live_through(watched)
            _check(watched, told=told, not_told=[old, stopped])
        hook.close()


def _live_through(watched: Watched) -> tuple[list[str], str]:
    """Let batches end in all circumstances; give those that are to be told, and one that is not."""
    airflow, sandbox, hook = watched.airflow, watched.sandbox, watched.hook
    watched.after_looks()
    assert watched.events() == []

    first = watched.batch()
    sandbox.run_until_idle()
    watched.wait_for_runs(1)
    stopped = watched.batch()
    hook.cancel_batch(stopped)  # an end the DAG did not ask for
    watched.after_looks()

    second = watched.batch()
    airflow.stop_triggerer()
    sandbox.run_until_idle()
    airflow.start_triggerer()
    watched.wait_for_runs(2)
    watched.after_looks()

    third = watched.batch()
    airflow.kill_triggerer()
    sandbox.run_until_idle()
    airflow.start_triggerer()
    watched.wait_for_runs(3)
    watched.after_looks()

    fourth = watched.batch()
    watched.pause(True)
    watched.wait_for_silence()
    sandbox.run_until_idle()
    watched.pause(False)
    watched.wait_for_runs(4)
    watched.after_looks()

    fifth = watched.batch()
    token = sandbox.token
    sandbox.rotate_token("gat_another")
    watched.wait_for(lambda: watched.said("exited with error") >= 2, "the watch has failed, and once more")
    sandbox.run_until_idle()
    sandbox.rotate_token(token)
    watched.wait_for_runs(5)
    watched.after_looks(5)
    return [first, second, third, fourth, fifth], stopped


def _check(watched: Watched, *, told: list[str], not_told: list[str]) -> None:
    events = watched.events()
    assert [event["batch_id"] for event in events] == told
    for event in events:
        batch = watched.sandbox.batches[event["batch_id"]]
        assert event == {
            "batch_id": event["batch_id"],
            "campaign_id": watched.campaign_id,
            "graine_conn_id": "graine_default",
            "status": "completed",
            "total": 1,
            "counts": batch["counters"],
        }
    assert not re.search("9876512345|Testina", json.dumps(events))

    runs = watched.runs()
    failures = "\n".join(run.failures() for run in runs)
    assert not failures.strip(), failures
    assert [run.xcoms("choose_batches")["return_value"] for run in runs] == [[batch_id] for batch_id in told]
    assert {run.run_id.partition("__")[0] for run in runs} == {"asset_triggered"}
    assert {file.name for file in watched.results.iterdir()} == {f"{batch_id}.csv" for batch_id in told}
    for batch_id in not_told:
        assert not (watched.results / f"{batch_id}.csv").exists()

    assert watched.said("1 batches had ended before and are not told") == 1
    assert watched.said("goes on: 3 ended batches are known") == 1  # old, first, stopped
    assert watched.said("goes on: 4 ended batches are known") == 1
    assert watched.said("goes on: 5 ended batches are known") == 1
    refused = [request for request in watched.sandbox.requests if request.status == 401]
    assert 2 <= len(refused) <= watched.said("exited with error"), "asked more often than it failed"
    assert watched.said("AuthenticationError") >= 2
    assert not watched.said("Trigger runner failed")
