"""
Waits that are stopped, on a real Airflow, and what that does to the calls.

Each wait has a task, a campaign and three people of its own, or two campaigns of Kataven, of which one is called after
the other. All wait side by side; then the users act, then the triggerer dies twice, and at last the calls are made.
Time stands still in the sandbox until then.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import pytest

from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import ReceivedRequest, Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from tests.e2e.standalone import DagRun, Standalone
from tests.kataven_service import AGENT, NUMBER

pytestmark = pytest.mark.e2e

DAGS = Path(__file__).parent / "dags"
PEOPLE = 3

Act = Callable[[DagRun, str], None]
Moment = Literal["while waiting", "after the restarts"]


def mark_failed(run: DagRun, task_id: str) -> None:
    run.mark(task_id, "failed")


def mark_success(run: DagRun, task_id: str) -> None:
    run.mark(task_id, "success")


def mark_run_failed(run: DagRun, _: str) -> None:
    run.mark_all("failed")


def clear(run: DagRun, task_id: str) -> None:
    run.clear(task_id)


def sigterm(run: DagRun, task_id: str) -> None:
    run.terminate(task_id)


@dataclass(frozen=True)
class Stop:
    """
    One wait and what becomes of it.

    :param arguments: of the operator, where they are not the usual ones
    :param waits: ``upload``, a sensor for ``batches`` or a ``campaign``, or the start of drafts, each in its ``turn``
    :param dag_id: its DAG
    :param act: what a user or the platform does; default: nothing
    :param at: when it is done
    :param ends: last state of the task
    :param tries: how many there are
    :param asked: what the service is asked to do to the calls, once; default: nothing
    :param says: what the log says besides, as a pattern
    """

    arguments: Mapping[str, Any]
    _: KW_ONLY
    waits: Literal["upload", "batches", "campaign", "turn"] = "upload"
    dag_id: str = "waits"
    act: Act | None = None
    at: Moment = "while waiting"
    ends: str = "failed"
    tries: int = 1
    asked: Literal["pause", "cancel", "stop"] | None = None
    says: str = ""

    @property
    def mode(self) -> str:
        """State of the task while it waits."""
        if self.arguments.get("deferrable"):
            return "deferred"
        return "up_for_reschedule" if self.arguments.get("mode") == "reschedule" else "running"

    @property
    def lasts(self) -> bool:
        """Whether it ends only when the calls do."""
        return self.ends == "success" and self.act is not mark_success


DONE = {"pause": "Paused", "cancel": "Cancelled", "stop": "Stopped"}
DEFERRED = {"deferrable": True}
RESCHEDULED = {"mode": "reschedule", "poke_interval": 30}  # Airflow may fail what comes back sooner than it looks
KILLED = "TaskKilledError: The task was stopped from outside"

STOPS = {
    # The time is over. Longest first: all of it has to happen before the triggerer is killed.
    "execution_timeout": Stop(
        {"execution_timeout": 45, "on_timeout": "cancel", "on_kill": "pause"},
        asked="cancel",
        says="AirflowTaskTimeout",
    ),
    "execution_timeout_deferred": Stop(
        DEFERRED | {"execution_timeout": 45, "on_timeout": "pause", "on_kill": "cancel"},
        asked="pause",
        says="AirflowTaskTimeout",
    ),
    "wait_timeout": Stop(
        {"wait_timeout": 12, "on_timeout": "pause", "on_kill": "cancel"},
        asked="pause",
        says="WaitTimeoutError",
    ),
    "wait_timeout_deferred": Stop(
        DEFERRED | {"wait_timeout": 20, "on_timeout": "cancel", "on_kill": "pause"},
        asked="cancel",
        says="WaitTimeoutError",
    ),
    "timeout_poking": Stop(
        {"timeout": 15, "on_timeout": "cancel", "on_kill": "pause"},
        waits="batches",
        asked="cancel",
        says="AirflowSensorTimeout",
    ),
    "timeout_rescheduled": Stop(
        RESCHEDULED | {"timeout": 20, "on_timeout": "pause", "on_kill": "cancel"},
        waits="batches",
        asked="pause",
        says="AirflowSensorTimeout",
    ),
    "timeout_deferred_soft_fail": Stop(
        DEFERRED | {"timeout": 20, "on_timeout": "pause", "on_kill": "cancel", "soft_fail": True},
        waits="campaign",
        ends="skipped",
        asked="pause",
    ),
    # A user acts on a deferred task.
    "failed_none": Stop(DEFERRED, act=mark_failed),
    "failed_pause": Stop(DEFERRED | {"on_kill": "pause"}, act=mark_failed, asked="pause"),
    "failed_cancel": Stop(DEFERRED | {"on_kill": "cancel"}, act=mark_failed, asked="cancel"),
    "failed_pause_batches": Stop(DEFERRED | {"on_kill": "pause"}, waits="batches", act=mark_failed, asked="pause"),
    "failed_cancel_campaign": Stop(DEFERRED | {"on_kill": "cancel"}, waits="campaign", act=mark_failed, asked="cancel"),
    "run_failed_cancel": Stop(
        DEFERRED | {"on_kill": "cancel"}, dag_id="failed_run", act=mark_run_failed, asked="cancel"
    ),
    "succeeded_pause": Stop(DEFERRED | {"on_kill": "pause"}, act=mark_success, ends="success", asked="pause"),
    "cleared_none": Stop(DEFERRED, act=clear, ends="success", tries=2, says="everybody is on one of them"),
    "cleared_pause": Stop(
        DEFERRED | {"on_kill": "pause"},
        act=clear,
        ends="success",
        tries=2,
        asked="pause",
        says="is paused: nobody new is called until it is resumed",
    ),
    "cleared_cancel": Stop(
        DEFERRED | {"on_kill": "cancel"},
        act=clear,
        tries=2,
        asked="cancel",
        says="WaitError: Not everybody was called: .* is cancelled",
    ),
    "turn_failed_none": Stop(DEFERRED, waits="turn", act=mark_failed),
    "turn_failed_stop": Stop(DEFERRED | {"on_kill": "stop"}, waits="turn", act=mark_failed, asked="stop"),
    "turn_cleared_pause": Stop(
        DEFERRED | {"on_kill": "pause"}, waits="turn", act=clear, ends="success", tries=2, asked="pause"
    ),
    # A user acts on a task that is not deferred. Between two looks, a rescheduled one is nowhere to be stopped.
    "failed_running_pause": Stop({"on_kill": "pause"}, act=mark_failed, asked="pause", says=KILLED),
    "failed_rescheduled_pause": Stop(RESCHEDULED | {"on_kill": "pause"}, waits="batches", act=mark_failed),
    # The worker is told to stop.
    "terminated_none": Stop({}, act=sigterm, says=KILLED),
    "terminated_pause": Stop({"on_kill": "pause"}, act=sigterm, asked="pause", says=KILLED),
    "terminated_cancel_retried": Stop(
        {"on_kill": "cancel", "retries": 1, "retry_delay": 5}, act=sigterm, tries=2, asked="cancel", says=KILLED
    ),
    "terminated_cancel_batches": Stop({"on_kill": "cancel"}, waits="batches", act=sigterm, asked="cancel", says=KILLED),
    # The triggerer is killed, and restarted.
    "outlived": Stop(DEFERRED | {"on_kill": "cancel", "on_timeout": "cancel", "wait_timeout": 900}, ends="success"),
    "outlived_batches": Stop(DEFERRED | {"on_kill": "pause"}, waits="batches", ends="success"),
    "outlived_campaign": Stop(DEFERRED | {"on_kill": "pause"}, waits="campaign", ends="success"),
    "turn_outlived": Stop(DEFERRED | {"on_kill": "stop"}, waits="turn", ends="success"),
    "failed_after_restarts": Stop(
        DEFERRED | {"on_kill": "pause"}, act=mark_failed, at="after the restarts", asked="pause"
    ),
}


@dataclass
class Wait:
    """
    A wait in the scene: its task, and its campaign in the sandbox.

    :param next_campaign_id: the one whose turn comes after
    """

    name: str
    stop: Stop
    airflow: Standalone
    sandbox: Sandbox
    campaign_id: str
    next_campaign_id: str
    run: DagRun
    acted: bool = False
    received_before: int | None = None
    may_call: bool = False

    @property
    def batch_ids(self) -> list[str]:
        batches = self.sandbox.batches
        return [batch_id for batch_id in batches if batches[batch_id]["campaign_id"] == self.campaign_id]

    def task(self) -> dict[str, Any]:
        return self.run.task(self.name)

    def act(self) -> None:
        assert self.stop.act
        self.stop.act(self.run, self.name)
        self.acted = True
        self.received_before = None

    @property
    def _ids(self) -> re.Pattern[str]:
        return re.compile("|".join(filter(None, [self.campaign_id, self.next_campaign_id, *self.batch_ids])))

    def received(self) -> list[ReceivedRequest]:
        """Give what the provider has sent about this campaign and its batches."""
        about = self._ids
        requests = self.sandbox.kataven.requests if self.stop.waits == "turn" else self.sandbox.requests
        return [
            request
            for request in requests
            if request.headers["user-agent"].startswith("airflow-provider-graine")
            and (about.search(request.path) or about.search(request.body.decode()))
        ]

    def changes(self) -> list[tuple[str, int | None]]:
        """Give what the provider has asked for, creations included, and the statuses of the answers."""
        prefix = self.sandbox.kataven.settings.prefix if self.stop.waits == "turn" else "/api/v1"
        return [
            (self._ids.sub("…", f"{request.method} {request.path.removeprefix(prefix)}"), request.status)
            for request in self.received()
            if request.method != "GET"
        ]

    def expected(self) -> list[tuple[str, int | None]]:
        """Give what :meth:`changes` are to be."""
        if self.stop.waits == "turn":
            start = ("POST /campaigns/…/start", 200)
            asked = [(f"POST /campaigns/…/{self.stop.asked}", 200)] if self.stop.asked else []
            return [start, *asked, start] if self.stop.lasts and self.may_call else [start, *asked]
        upload: list[tuple[str, int | None]] = [("POST /batches/", 200)] if self.stop.waits == "upload" else []
        what = "campaigns" if self.stop.waits == "campaign" else "batches"
        return [*upload, (f"POST /{what}/…/{self.stop.asked}", 200)] if self.stop.asked else upload

    def lines(self) -> list[str]:
        """Give the log of all tries, with types and texts of errors."""
        tries = range(1, self.task()["try_number"] + 1)
        return [
            " ".join([line["event"], *(f"{error['exc_type']}: {error['exc_value']}" for error in errors)])
            for attempt in tries
            for line in self.run.log(self.name, attempt=attempt)
            for errors in [line.get("error_detail") or ()]
        ]

    def is_waiting(self, *, attempt: int = 1) -> bool:
        """Whether it waits in earnest: a deferred one in the triggerer, a running one after two looks."""
        if self.stop.waits == "turn":
            return self._is_looked_at()
        if self.stop.mode == "deferred":
            folder = self.airflow.home / f"logs/dag_id={self.run.dag_id}/run_id={self.run.run_id}/task_id={self.name}"
            return any(folder.glob(f"attempt={attempt}.log.trigger.*"))
        received = self.received()
        changed = [number for number, request in enumerate(received, start=1) if request.method != "GET"]
        return len(received) - max(changed, default=0) >= (2 if self.stop.mode == "running" else 1)

    def _is_looked_at(self) -> bool:
        if self.received_before is None:
            self.received_before = len(self.received())
        return len(self.received()) > self.received_before


@dataclass
class Scene:
    airflow: Standalone
    sandbox: Sandbox
    waits: dict[str, Wait]
    #: what did not happen in time, with Airflow's output; the play ends there
    missed: str = ""

    def states(self) -> dict[str, str | None]:
        listed = self.airflow.request("GET", "/dags/~/dagRuns/~/taskInstances", params={"limit": 100})
        return {instance["task_id"]: instance["state"] for instance in listed["task_instances"]}

    def going_on(self) -> list[Wait]:
        return [wait for wait in self.waits.values() if wait.stop.lasts or (wait.stop.act and not wait.acted)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("kill_suite")
    plans: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, stop in STOPS.items():
        people = {"contacts": _people(name)} if stop.waits == "upload" else {}
        plans[stop.dag_id][name] = (stop.waits, {**stop.arguments, **people})
    with Sandbox(speed=0) as sandbox:
        sandbox.kataven.settings.rate_limits = False  # they are per minute, and no minute passes
        environment = {
            "AIRFLOW_CONN_GRAINE_DEFAULT": sandbox.connection_json(),
            "AIRFLOW_CONN_KATAVEN_DEFAULT": sandbox.kataven.connection_json(),
            "STOPPED_WAITS": json.dumps(plans),
            "AIRFLOW__CORE__PARALLELISM": "12",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "50",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",  # a killed one is missed after that
        }
        with Standalone(home, dags=DAGS, environment=environment) as airflow:
            scene = _start(airflow, sandbox)
            try:
                _play(scene)
            except AssertionError as missed:
                scene.missed = str(missed)
            yield scene


def _people(name: str) -> list[dict[str, str]]:
    number = list(STOPS).index(name)
    return [
        {"phone_number": f"+9187654{number:02}{person:03}", "callee_name": f"Testina Callee-{number}-{person}"}
        for person in range(PEOPLE)
    ]


def _start(airflow: Standalone, sandbox: Sandbox) -> Scene:
    conf: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for name, stop in STOPS.items():
        if stop.waits == "turn":
            conf[stop.dag_id][name] = {"campaign_ids": _drafts(sandbox, name)}
            continue
        campaign = {"name": name, "agent_id": "agent_1", "phone_numbers": ["+918045678900"]}
        conf[stop.dag_id][name] = {"campaign_id": _post(sandbox, "/campaigns/", campaign)["campaign_id"]}
        if stop.waits != "upload":
            batch = {**conf[stop.dag_id][name], "concurrency_limit": 1, "contacts": _people(name)}
            conf[stop.dag_id][name]["batch_ids"] = _post(sandbox, "/batches/", batch)["batch_id"]
    runs = {dag_id: airflow.trigger(dag_id, given) for dag_id, given in conf.items()}
    waits = {}
    for name, stop in STOPS.items():
        given = conf[stop.dag_id][name]
        first, following = given.get("campaign_ids") or (given["campaign_id"], "")
        waits[name] = Wait(name, stop, airflow, sandbox, first, following, runs[stop.dag_id])
    return Scene(airflow, sandbox, waits)


def _drafts(sandbox: Sandbox, name: str) -> list[str]:
    """Create two drafts."""
    with patch.dict(os.environ, AIRFLOW_CONN_KATAVEN_DEFAULT=sandbox.kataven.connection_json()):
        hook = KatavenHook()
        drafts = [
            hook.create_campaign(
                name=f"{name} {part}",
                agent_id=AGENT,
                phone_number_id=NUMBER,
                max_concurrent_calls=1,  # all of them fit into the account's budget together
                contacts=[{"phone_number": f"+91{part}{person['phone_number'][4:]}"} for person in _people(name)],
            )
            for part in range(2)
        ]
        hook.close()
    return [draft.campaign_id for draft in drafts]


def _post(service: Sandbox | KatavenAccount, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the service for something as somebody else."""
    request = urllib.request.Request(
        service.url + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        decoded: dict[str, Any] = json.load(answer)
        return decoded


def _play(scene: Scene) -> None:
    airflow = scene.airflow
    _act(scene, "while waiting", timeout=300)
    _see_ends(scene, [name for name, stop in STOPS.items() if not stop.lasts and stop.at == "while waiting"])
    _let_them_ask(scene, "while waiting")
    _see_that_the_others_wait(scene)
    airflow.kill_triggerer()
    airflow.start_triggerer()
    _see_looks(scene)
    airflow.restart_triggerer()
    _see_looks(scene)
    _act(scene, "after the restarts", timeout=30)
    _let_them_ask(scene, "after the restarts")
    _make_the_calls(scene)
    _see_ends(scene, list(STOPS), calls=True)


def _act(scene: Scene, at: Moment, *, timeout: float) -> None:
    """Act on each wait in its turn as soon as it waits."""
    waits = [wait for wait in scene.waits.values() if wait.stop.act and wait.stop.at == at]

    def all_acted_on() -> bool:
        states = scene.states()
        for wait in waits:
            if not wait.acted and states.get(wait.name) == wait.stop.mode and wait.is_waiting():
                wait.act()
        return all(wait.acted for wait in waits)

    _wait_until(scene, all_acted_on, f"all was done that is done {at}", timeout=timeout)


def _see_that_the_others_wait(scene: Scene) -> None:
    def all_wait() -> bool:
        states = scene.states()
        return all(
            states[wait.name] == "deferred" and wait.is_waiting(attempt=wait.stop.tries) for wait in scene.going_on()
        )

    _wait_until(scene, all_wait, "all that last are in the triggerer", timeout=120)


def _see_looks(scene: Scene) -> None:
    """See that the present triggerer looks at the waits that were not stopped."""
    before = {wait.name: len(wait.received()) for wait in scene.going_on()}

    def all_looked_at() -> bool:
        return all(len(wait.received()) > before[wait.name] for wait in scene.going_on())

    _wait_until(scene, all_looked_at, "all are looked at", timeout=180)


def _let_them_ask(scene: Scene, at: Moment) -> None:
    """Give what is to be asked of the service the time it takes; whether it was asked is for the tests to say."""
    waits = [wait for wait in scene.waits.values() if wait.stop.at == at]
    deadline = time.monotonic() + 240  # the first question of a triggerer to Airflow takes long on a busy machine
    while time.monotonic() < deadline and not all(wait.changes() == wait.expected() for wait in waits):
        time.sleep(0.5)


def _make_the_calls(scene: Scene) -> None:
    for wait in scene.waits.values():
        wait.may_call = True
        if wait.stop.lasts and wait.stop.asked == "pause":
            if wait.stop.waits == "turn":
                _post(scene.sandbox.kataven, f"/campaigns/{wait.campaign_id}/resume", {})
            for batch_id in wait.batch_ids:
                _post(scene.sandbox, f"/batches/{batch_id}/resume", {})


def _see_ends(scene: Scene, names: list[str], *, calls: bool = False) -> None:
    def all_ended() -> bool:
        if calls:
            scene.sandbox.run_until_idle()  # again and again: a turn comes when the one before is over
        states = scene.states()
        return all(states.get(name) in {"success", "failed", "skipped"} for name in names)

    _wait_until(scene, all_ended, "the waits have ended", timeout=240)


def _wait_until(scene: Scene, happened: Callable[[], bool], what: str, *, timeout: float) -> None:
    try:
        scene.airflow.wait_until(happened, what, timeout=timeout)
    except AssertionError as late:
        acted = [wait.name for wait in scene.waits.values() if wait.acted]
        raise AssertionError(f"{late}\n{scene.states()}\nacted: {acted}") from late


@pytest.fixture(params=STOPS)
def wait(scene: Scene, request: pytest.FixtureRequest) -> Wait:
    return scene.waits[request.param]


def test_everything_happens_in_time(scene: Scene) -> None:
    assert not scene.missed, scene.missed


def test_the_task_ends_as_it_should(wait: Wait) -> None:
    task = wait.task()
    assert (task["state"], task["try_number"]) == (wait.stop.ends, wait.stop.tries), "\n".join(wait.lines())


def test_the_service_is_asked_for_exactly_that(wait: Wait) -> None:
    assert wait.changes() == wait.expected(), "\n".join(wait.lines())


def test_nobody_is_on_two_batches(scene: Scene) -> None:
    turns = [stop for stop in STOPS.values() if stop.waits == "turn"]
    assert len(scene.sandbox.dialled) == PEOPLE * (len(STOPS) - len(turns))
    assert len(scene.sandbox.kataven.dialled) == PEOPLE * (len(turns) + sum(stop.lasts for stop in turns))
    assert {*scene.sandbox.dialled.values(), *scene.sandbox.kataven.dialled.values()} == {1}


def test_the_log_says_what_was_done(wait: Wait) -> None:
    lines = wait.lines()
    is_campaign = wait.stop.waits in {"campaign", "turn"}
    target = f"campaign {wait.campaign_id}" if is_campaign else f"batch {wait.batch_ids[0]}"
    told = {verb for verb, done in DONE.items() if any(f"{done} {target};" in line for line in lines)}
    assert told == ({wait.stop.asked} if wait.stop.asked else set()), "\n".join(lines)
    assert any(re.search(wait.stop.says, line) for line in lines), "\n".join(lines)


@pytest.mark.parametrize("name", ["outlived", "outlived_batches", "outlived_campaign"])
def test_the_log_of_a_wait_that_goes_on_is_calm(scene: Scene, name: str) -> None:
    lines = scene.waits[name].run.log(name)
    looks = [line for line in lines if "contacts have an outcome" in line["event"]]
    assert len(looks) >= 4  # of the worker and of three triggerers
    alarming = {line["event"] for line in lines if line.get("level") in {"warning", "error"} and "category" not in line}
    assert not alarming  # what has a category is a warning of Python, from Airflow


def test_no_log_shows_who_is_called(scene: Scene) -> None:
    personal = re.compile(r"9187654\d{5}|Testina")
    logs = [path for path in scene.airflow.home.rglob("*.log") if path.is_file()]
    assert len(logs) > len(STOPS)
    assert [path for path in logs if personal.search(path.read_text(encoding="utf-8"))] == []
