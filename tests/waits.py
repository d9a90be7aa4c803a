"""Waits of every kind and mode, on a service and by a clock that only go on while somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_graine.exceptions import CallingError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sensors.graine import GraineBatchSensor, GraineCampaignSensor
from airflow_provider_graine.triggers.graine import GraineBatchTrigger
from airflow_provider_graine.waiting.decision import Step, Wait
from airflow_provider_graine.waiting.event import broke, ended
from airflow_provider_graine.watching.clock import Clock
from airflow_provider_graine.watching.graine_watch import BatchWatch, CampaignWatch, decide
from tests.compat import AirflowRescheduleException, TaskDeferred
from tests.task import Task

START = datetime(2026, 5, 10, 9, tzinfo=UTC).timestamp()
PEOPLE = [{"phone_number": f"+9198765{number:05}", "callee_name": "Person"} for number in range(20)]
INTERVAL = 300.0

#: What waits, and how.
MODES = [
    "operator",
    "deferrable operator",
    "batch sensor, poke",
    "batch sensor, reschedule",
    "batch sensor, deferrable",
    "campaign sensor, poke",
    "campaign sensor, reschedule",
    "campaign sensor, deferrable",
]


class VirtualClock:
    """
    Time that passes for the service and for Airflow alike, and only when somebody sleeps.

    :param sandbox: the service
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._due: list[tuple[float, Callable[[], Any]]] = []
        self.now = START
        self.naps: list[float] = []

    def after(self, seconds: float, happens: Callable[[], Any]) -> None:
        """Let something happen while somebody sleeps; what it raises breaks the sleep off, as a signal handler does."""
        self._due.append((self.now + seconds, happens))

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        until = self.now + seconds
        for each in sorted((each for each in self._due if each[0] <= until), key=lambda each: each[0]):
            self._due.remove(each)
            self._go_to(max(self.now, each[0]))
            each[1]()
        self._go_to(until)

    def _go_to(self, moment: float) -> None:
        self._sandbox.advance(moment - self.now)
        self.now = moment

    @property
    def passed(self) -> float:
        return self.now - START


@pytest.fixture
def clock(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    clock = VirtualClock(sandbox)
    monkeypatch.setattr(Clock, "wall", lambda _: clock.now)
    monkeypatch.setattr("time.sleep", clock.sleep)
    # The base class of sensors has clocks of its own.
    monkeypatch.setattr(
        "airflow.sdk.bases.sensor.time", SimpleNamespace(monotonic=lambda: clock.now, sleep=clock.sleep)
    )
    monkeypatch.setattr(
        "airflow.sdk.bases.sensor.timezone",
        SimpleNamespace(utcnow=lambda: datetime.fromtimestamp(clock.now, UTC)),
    )
    return clock


@dataclass
class Waiting:
    """
    One task that waits for the calls of one campaign.

    :param mode: one of :data:`MODES`
    :param clock: the time
    :param sandbox: the service
    :param hook: for the test's own requests
    :param campaign_id: the campaign
    """

    mode: str
    clock: VirtualClock
    sandbox: Sandbox
    hook: GraineHook
    campaign_id: str
    task: Task = field(default_factory=Task)
    #: The operator at work, for a test to kill.
    operator: Any = None
    deferred: TaskDeferred | None = None
    _batch_id: str = ""

    @property
    def is_operator(self) -> bool:
        return "operator" in self.mode

    @property
    def is_deferrable(self) -> bool:
        return "deferrable" in self.mode

    @property
    def batch_id(self) -> str:
        """The one batch there is, or will be."""
        if self.is_operator:
            (batch_id,) = self.sandbox.batches
            return batch_id
        if not self._batch_id:
            contacts = [
                {"phone_number": each["phone_number"], "call_variables": {"callee_name": "Person"}} for each in PEOPLE
            ]
            self._batch_id = self.hook.create_batch(campaign_id=self.campaign_id, contacts=contacts).batch_id
        return self._batch_id

    def make(self, **arguments: Any) -> Any:
        """Make the operator, with its longest wait called ``limit`` for all."""
        limit = arguments.pop("limit", None)
        if self.is_operator:
            return GraineCreateBatchOperator(
                task_id="call",
                campaign_id=self.campaign_id,
                contacts=PEOPLE,
                wait_for_completion=True,
                poll_interval=INTERVAL,
                deferrable=self.is_deferrable,
                wait_timeout=limit,
                **arguments,
            )
        common: dict[str, Any] = {"task_id": "wait", "poke_interval": INTERVAL, "deferrable": self.is_deferrable}
        common |= {"mode": "reschedule" if "reschedule" in self.mode else "poke", **arguments}
        if limit is not None:
            common["timeout"] = limit
        batch_id = self.batch_id
        if "batch" in self.mode:
            return GraineBatchSensor(batch_ids=[batch_id], **common)
        return GraineCampaignSensor(campaign_id=self.campaign_id, **common)

    def context(self, *, first: float | None = None) -> Any:
        """Make the context of one slice of the try."""
        context = self.task.context()
        self.task.tries = 1
        ti = context["ti"]
        ti.try_number = 1
        # With each reschedule Airflow takes the start anew.
        ti.start_date = datetime.fromtimestamp(self.clock.now if "reschedule" in self.mode else START, UTC)
        ti.get_first_reschedule_date = lambda _: None if first is None else datetime.fromtimestamp(first, UTC)
        ti.xcom_pull = lambda *, task_ids, key, map_indexes: self.task.xcom.get(key)
        return context

    def run(self, **arguments: Any) -> Any:
        """Do a whole try: each slice with an operator of its own, as each is a process of its own."""
        self.operator = self.make(**arguments)
        first = None
        while True:
            try:
                return self.operator.execute(self.context(first=first))
            except AirflowRescheduleException as later:
                first = START if first is None else first
                self.clock.sleep(later.reschedule_date.timestamp() - self.clock.now)
                self.operator = self.make(**arguments)
            except TaskDeferred as deferred:
                self.deferred = deferred
                return self.resume(deferred, self.fire(deferred.trigger), **arguments)

    def resume(self, deferred: TaskDeferred, event: Any, **arguments: Any) -> Any:
        """Go on with a trigger's event."""
        pushed = dict(self.task.xcom)
        self.operator = self.make(**arguments)
        context = self.context()
        self.task.xcom |= pushed
        return self.operator.resume_execution(deferred.method_name, {"event": event}, context)

    def fire(self, trigger: Any) -> dict[str, Any]:
        """Do what the trigger does, by this clock, and return its event."""
        wait = Wait(rules=trigger.rules, poll_interval=trigger.poll_interval, deadline=trigger.deadline)
        watched = trigger._watched()
        watch: BatchWatch | CampaignWatch
        if isinstance(trigger, GraineBatchTrigger):
            watch = BatchWatch(watched["batch_ids"])
        else:
            watch = CampaignWatch(watched["campaign_id"])
        pause = trigger.poll_interval
        while True:
            self.clock.sleep(min(pause, max(0.0, (trigger.deadline or 1e12) - self.clock.now)))
            try:
                decision = decide(watch, self.hook, wait)
            except CallingError as error:
                return {**broke(error), **watched}
            if decision.step is not Step.WAIT:
                return {**ended(decision), **watched}
            pause = decision.pause

    @property
    def stops(self) -> list[str]:
        """What the service was asked to do to the calls: ``pause batch``, ``cancel campaign``."""
        nouns = {"batches": "batch", "campaigns": "campaign"}
        parts = [request.path.split("/") for request in self.sandbox.requests if request.method == "POST"]
        return [f"{part[-1]} {nouns[part[-3]]}" for part in parts if part[-1] in ("pause", "cancel", "resume")]

    def stop(self, action: str) -> list[str]:
        """What :attr:`stops` is after one such action on what this task waits for."""
        return [] if action == "none" else [f"{action} {'campaign' if 'campaign' in self.mode else 'batch'}"]

    @property
    def creates(self) -> int:
        return sum((request.method, request.path) == ("POST", "/api/v1/batches/") for request in self.sandbox.requests)


@pytest.fixture(params=MODES)
def waiting(
    request: pytest.FixtureRequest, clock: VirtualClock, sandbox: Sandbox, hook: GraineHook, campaign_id: str
) -> Waiting:
    """A task of each kind and mode."""
    return Waiting(request.param, clock, sandbox, hook, campaign_id)
