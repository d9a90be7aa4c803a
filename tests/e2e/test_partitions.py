"""People in several partitions, shared out among mapped tasks, one of which dies in the middle of its upload."""

from __future__ import annotations

import csv
import os
import re
import signal
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.sandbox import ReceivedRequest, Sandbox
from tests.conftest import EXAMPLE_DAGS
from tests.e2e.conftest import PARTITIONED, Scene, patient_connection
from tests.e2e.distributed import WORKERS, Distributed
from tests.e2e.standalone import DagRun, Standalone

pytestmark = pytest.mark.e2e

DAG_ID, UPLOAD = "example_graine_partitions", "call_people"
SHARDS = 4
PEOPLE = list(PARTITIONED)
#: The same people in several files, as each of the files writes them.
FILES = {
    "north.csv": PEOPLE[:50],
    "south.csv": [f"0{number[3:8]} {number[8:]}" for number in PEOPLE[30:70]],
    "west.csv": [*(f"0091{number[3:]}" for number in PEOPLE[:10]), *PEOPLE[60:], *PEOPLE[75:]],
}
READ = sum(map(len, FILES.values()))


@dataclass
class Play:
    """A finished run, in which one mapped task was killed after the service had taken its batch."""

    airflow: Standalone
    sandbox: Sandbox
    folder: Path
    run: DagRun
    #: index of the mapped task that was killed
    killed: int = -1
    #: names of the machines on which each mapped task was seen, in that order
    hosts: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    @cached_property
    def campaign_id(self) -> str:
        return str(self.run.xcoms("create_campaign")["return_value"])

    def creates(self) -> list[ReceivedRequest]:
        """Give the requests that put this run's people onto batches."""
        ours = f'"{self.campaign_id}"'.encode()
        return [
            request
            for request in self.sandbox.requests
            if request.method == "POST" and request.path.endswith("/batches/") and ours in request.body
        ]

    def look(self) -> list[dict[str, Any]]:
        """Look where the mapped tasks are."""
        instances = self.run.instances(UPLOAD)
        for instance in instances:
            hosts = self.hosts[instance["map_index"]]
            if instance["hostname"] and instance["hostname"] not in hosts[-1:]:
                hosts.append(instance["hostname"])
        return instances


@pytest.fixture(scope="module", params=["LocalExecutor", "CeleryExecutor"])
def play(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    folder = tmp_path_factory.mktemp(request.param)
    _write(folder / "people")
    if request.param == "LocalExecutor":
        scene: Scene = request.getfixturevalue("scene")
        yield _play(scene.airflow, scene.sandbox, folder)
        return
    (folder / "airflow").mkdir()
    with Sandbox(speed=120, scripts=dict.fromkeys(PEOPLE, ("completed",))) as sandbox:
        environment = {"AIRFLOW_CONN_GRAINE_DEFAULT": patient_connection(sandbox.connection_json())}
        with Distributed(folder / "airflow", dags=EXAMPLE_DAGS, environment=environment) as airflow:
            yield _play(airflow, sandbox, folder)


def _write(folder: Path) -> None:
    folder.mkdir()
    for name, numbers in FILES.items():
        rows = "".join(f"{number},Testina Callee-{number[-4:]},Basic\n" for number in numbers)
        (folder / name).write_text(f"phone_number,callee_name,plan\n{rows}", encoding="utf-8")


def _play(airflow: Standalone, sandbox: Sandbox, folder: Path) -> Play:
    hang = sandbox.fault("POST /batches/", "hang", when="after", seconds=150)
    conf = {
        "people": f"{(folder / 'people').as_uri()}/*.csv",
        "shards": SHARDS,
        "results": (folder / "results").as_uri(),
    }
    play = Play(airflow, sandbox, folder, airflow.trigger(DAG_ID, conf))
    airflow.wait_until(lambda: _is_hanging(play), "the service has taken a batch without an answer", timeout=120)
    assert hang.hits == 1
    [hung] = [create for create in play.creates() if create.status is None]
    play.killed = hung.json()["metadata"]["airflow_map_index"]
    _kill(play)
    airflow.wait_until(lambda: bool(play.look()) and play.run.has_ended(), "the run has ended", timeout=150)
    return play


def _is_hanging(play: Play) -> bool:
    """Whether one create goes on without an answer while the others are through, so that all have been seen at work."""
    if len(play.look()) < SHARDS:
        return False
    answers = [create.status for create in play.creates()]
    return len(answers) == SHARDS and answers.count(None) == 1


def _kill(play: Play) -> None:
    instance = play.run.instances(UPLOAD)[play.killed]
    assert instance["state"] == "running"
    if isinstance(play.airflow, Distributed):
        play.airflow.kill_worker(instance["hostname"])
    else:
        os.kill(instance["pid"], signal.SIGKILL)


def test_the_run_succeeds_with_a_second_try_of_what_was_killed(play: Play) -> None:
    failures = play.run.failures()
    assert not failures, failures
    assert play.run.state() == "success"
    instances = play.run.instances(UPLOAD)
    assert [instance["map_index"] for instance in instances] == list(range(SHARDS))
    assert instances[play.killed]["try_number"] == 2


def test_each_person_is_on_one_batch(play: Play) -> None:
    dialled = {number: times for number, times in play.sandbox.dialled.items() if number in set(PEOPLE)}
    assert dialled == dict.fromkeys(PEOPLE, 1)
    assert len(play.creates()) == SHARDS, "the killed upload was sent again"


def test_the_second_try_finds_the_batch_of_the_first(play: Play) -> None:
    lines = [line["event"] for line in play.run.log(UPLOAD, attempt=2, map_index=play.killed)]
    assert any(line.startswith("Found 1 batches of this run on the service; everybody") for line in lines), lines


def test_the_counts_of_the_shards_make_up_the_list(play: Play) -> None:
    shards = [play.run.xcoms(UPLOAD, map_index=index) for index in range(SHARDS)]
    summaries = [shard["summary"] for shard in shards]
    for index, summary in enumerate(summaries):
        assert summary["shard"] == [index, SHARDS]
        assert summary["read"] == READ
        assert summary["accepted"] + sum(summary["rejected"].values()) + summary["elsewhere"] == READ
        with (play.folder / "results" / f"rejected-{index}-of-{SHARDS}.csv").open(encoding="utf-8") as file:
            assert len(list(csv.DictReader(file))) == sum(summary["rejected"].values())
    assert sum(summary["accepted"] for summary in summaries) == len(PEOPLE)
    assert sum(summary["rejected"].get("duplicate", 0) for summary in summaries) == READ - len(PEOPLE)
    batches = play.sandbox.batches
    own = [batch_id for batch_id in batches if batches[batch_id]["campaign_id"] == play.campaign_id]
    assert sorted(batch_id for shard in shards for batch_id in shard["return_value"]) == sorted(own)
    assert sum(batches[batch_id]["concurrency_limit"] for batch_id in own) == 40


def test_all_results_land_in_one_file(play: Play) -> None:
    [file] = play.run.xcoms("land_results")["return_value"]
    assert file["uri"] == (play.folder / "results" / "results.csv").as_uri()
    with (play.folder / "results" / "results.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == file["rows"] == len(PEOPLE)
    landed = {number for row in rows for number in re.findall(r"9176543\d{5}", ",".join(row.values()))}
    assert landed == {number[1:] for number in PEOPLE}


def test_the_calls_are_waited_for_in_the_triggerer(play: Play) -> None:
    unharmed = [each["map_index"] for each in play.run.instances(UPLOAD) if each["try_number"] == 1]
    assert unharmed
    for index in unharmed:  # a second try may come when all the calls are done
        lines = [line["event"] for line in play.run.log(UPLOAD, map_index=index)]
        assert any(line.startswith("The triggerer waits") for line in lines), lines
        assert any(line.startswith("All calls are done") for line in lines), lines


def test_the_workers_share_the_work_and_one_takes_over(play: Play) -> None:
    if not isinstance(play.airflow, Distributed):
        assert {len(hosts) for hosts in play.hosts.values()} == {1}
        return
    assert {hosts[0] for hosts in play.hosts.values()} == set(WORKERS)
    first, last = play.hosts[play.killed][0], play.hosts[play.killed][-1]
    assert (first, last) in (WORKERS, WORKERS[::-1])


def test_nobody_is_named_in_airflow(play: Play) -> None:
    private = re.compile(rb"9176 ?543 ?\d{5}|Testina Callee-\d{4}")
    assert private.search((play.folder / "results" / "results.csv").read_bytes()), "nothing would be found anywhere"
    files = [path for path in play.airflow.home.rglob("*") if path.is_file()]
    assert "attempt=2.log" in {path.name for path in files}
    assert [path.name for path in files if private.search(path.read_bytes())] == []
