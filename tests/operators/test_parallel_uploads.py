"""Several batches created at once, over HTTP: whatever happens, everybody is on one batch, in the order of the list."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    CallingError,
    ConfigurationError,
    RequestRejectedError,
    TaskKilledError,
)
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.hooks.graine_batches import GraineBatches
from airflow_provider_graine.operators import upload_memory
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.uploads import progress
from tests.compat import AirflowTaskTimeout
from tests.task import StateStore, Task

NUMBERS = [f"+9198765{number:05}" for number in range(20)]
PEOPLE = [{"phone_number": number, "callee_name": "Person"} for number in NUMBERS]


def upload(campaign_id: str, **arguments: Any) -> GraineCreateBatchOperator:
    arguments = {"batch_size": 4, "resend_after": 300.0, "max_parallel_uploads": 8, "contacts": PEOPLE, **arguments}
    return GraineCreateBatchOperator(task_id="call", campaign_id=campaign_id, **arguments)


def called(sandbox: Sandbox, batch_ids: list[str]) -> list[str]:
    return [contact["phone_number"] for batch_id in batch_ids for contact in sandbox.contacts(batch_id)]


def changes(sandbox: Sandbox) -> list[str]:
    paths = [request.path.rpartition("/")[2] for request in sandbox.requests if request.method == "POST"]
    return [path for path in paths if path in ("pause", "cancel", "resume", "dispatch")]


def creates(sandbox: Sandbox) -> int:
    return sum((request.method, request.path) == ("POST", "/api/v1/batches/") for request in sandbox.requests)


@pytest.fixture
def virtual_time(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time only passes while somebody sleeps."""
    monkeypatch.setattr("time.sleep", sandbox.advance)
    monkeypatch.setattr(upload_memory.WallClock, "now", lambda _: sandbox.now)


class Meeting:
    """
    Lets creates end only when all are under way, and then one after the other.

    :param order: the position of each among the chunks, in the order of the ends
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, order: list[int]) -> None:
        self._turns = {index: threading.Event() for index in order}
        self._all_there = threading.Barrier(len(order))
        original = GraineBatches.create

        def create(batches: GraineBatches, chunk: Any, **arguments: Any) -> Any:
            self._all_there.wait(10)
            assert chunk.index == order[0] or self._turns[chunk.index].wait(10)
            batch = original(batches, chunk, **arguments)
            following = order.index(chunk.index) + 1
            if following < len(order):
                self._turns[order[following]].set()
            return batch

        monkeypatch.setattr(GraineBatches, "create", create)


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [0, 1, 2, 3, 4]], ids=str)
def test_order_of_the_answers_changes_nothing(
    sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch, order: list[int]
) -> None:
    with monkeypatch.context() as patch:
        Meeting(patch, order)
        batch_ids = task.run(upload(campaign_id, concurrency_limit=12))
    assert list(sandbox.batches) == [batch_ids[index] for index in order]
    assert called(sandbox, batch_ids) == NUMBERS
    assert [sandbox.batches[batch_id]["concurrency_limit"] for batch_id in batch_ids] == [3, 3, 2, 2, 2]
    assert task.run(upload(campaign_id, max_parallel_uploads=1)) == batch_ids
    task.store = None  # it is the same without a memory
    assert task.run(upload(campaign_id)) == batch_ids
    assert creates(sandbox) == 5


@pytest.mark.parametrize("number", [0, 33, -1])
def test_how_many_is_bounded(sandbox: Sandbox, campaign_id: str, task: Task, number: int) -> None:
    with pytest.raises(ConfigurationError, match=f"between 1 and 32, not {number}"):
        task.run(upload(campaign_id, max_parallel_uploads=number))
    assert not sandbox.batches


def test_by_default_one_is_created_after_the_other(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    operator = GraineCreateBatchOperator(task_id="call", campaign_id=campaign_id, contacts=PEOPLE, batch_size=4)
    assert operator.max_parallel_uploads == 1
    assert task.run(operator) == list(sandbox.batches)


# -- random faults -----------------------------------------------------------------------------------------------------


class LostError(BaseException):
    """The worker is gone."""


@dataclass
class DyingStore(StateStore):
    """Airflow's task state store, until the worker dies at one of its steps."""

    dies_at: int | None = None
    steps: int = field(default=0)

    def _step(self) -> None:
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise LostError
        self.steps += 1

    def get(self, key: str, default: Any = None) -> Any:
        self._step()
        return super().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self._step()
        super().set(key, value)
        self._step()


UNCLEAR = st.builds(
    dict, what=st.sampled_from(["drop", "status", "html"]), when=st.sampled_from(["before", "after"])
) | st.builds(dict, what=st.just("tear"))
REFUSED = st.just({"what": "status", "status": 401, "when": "before"})
TOO_LARGE = st.just({"what": "limit", "max_contacts": 3})
LATE = st.builds(dict, what=st.just("late"), virtual_seconds=st.sampled_from([5.0, 20.0, 40.0]))
FAULTS = st.lists(st.tuples(UNCLEAR | UNCLEAR | REFUSED | TOO_LARGE | LATE, st.integers(0, 7)), max_size=4)


@given(
    faults=FAULTS,
    parallel=st.sampled_from([1, 2, 8]),
    dies_at=st.none() | st.integers(0, 30),
    forgets=st.booleans(),
)
@settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_everybody_is_on_exactly_one_batch(
    virtual_time: None,
    sandbox: Sandbox,
    hook: GraineHook,
    faults: list[tuple[dict[str, Any], int]],
    parallel: int,
    dies_at: int | None,
    forgets: bool,
) -> None:
    sandbox.reset()
    campaign_id = hook.create_campaign(name="Renewals", agent_id="agent_1", phone_numbers=["+918045678900"]).campaign_id
    for how, after in faults:
        sandbox.fault("POST /batches/", after=after, **how)
    store = DyingStore(dies_at=dies_at)
    task = Task(store=store)
    arguments: dict[str, Any] = {"concurrency_limit": 40, "max_parallel_uploads": parallel, "resend_after": 60.0}
    first: Any = None
    try:
        first = task.run(upload(campaign_id, **arguments))
    except (CallingError, LostError) as error:
        event(f"the first try ends with {type(error).__name__}")

    sandbox.clear_faults()
    store.dies_at = None
    if forgets:
        store.values.clear()
    batch_ids = task.run(upload(campaign_id, **arguments))

    assert first in (None, batch_ids)
    assert sandbox.dialled == dict.fromkeys(NUMBERS, 1)
    assert called(sandbox, batch_ids) == NUMBERS
    assert sum(batch["concurrency_limit"] for batch in sandbox.batches.values()) <= 40


# -- stopped from outside ----------------------------------------------------------------------------------------------


def when_all_are_under_way(
    monkeypatch: pytest.MonkeyPatch, number: int, happens: Callable[[], Any], *, slow: int, seconds: float
) -> None:
    """Let something happen in the main thread's place when so many creates are under way; one of them is slow."""
    together = threading.Barrier(number)
    original = GraineBatches.create

    def create(batches: GraineBatches, chunk: Any, **arguments: Any) -> Any:
        if together.wait(10) == 0:
            happens()
        together.wait(10)
        if chunk.index == slow:
            time.sleep(seconds)
        return original(batches, chunk, **arguments)

    monkeypatch.setattr(GraineBatches, "create", create)


@pytest.mark.parametrize("action", ["none", "pause", "cancel"])
def test_stopped_with_requests_in_flight(
    sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch, action: Any
) -> None:
    """What is on its way comes to be and is treated as it comes; the slow one keeps nobody waiting."""
    operator = upload(campaign_id, max_parallel_uploads=3, on_kill=action)
    treated: list[float] = []
    treat = GraineCreateBatchOperator._treat_calls

    def note(self: Any, *arguments: Any, **named: Any) -> None:
        treat(self, *arguments, **named)
        treated.extend([time.monotonic()] * (len(changes(sandbox)) - len(treated)))

    monkeypatch.setattr(GraineCreateBatchOperator, "_treat_calls", note)
    with monkeypatch.context() as patch:
        when_all_are_under_way(patch, 3, operator.on_kill, slow=1, seconds=2.0)
        with pytest.raises(TaskKilledError) as caught:
            task.run(operator)
    assert len(sandbox.batches) == 3
    assert {batch["status"] for batch in sandbox.batches.values()} == {
        {"none": "in_progress", "pause": "paused", "cancel": "cancelled"}[action]
    }
    if action == "none":
        assert changes(sandbox) == []
        assert "Nothing was done to the calls" in str(caught.value)
    else:
        assert changes(sandbox) == [action] * 3
        assert treated[2] - treated[1] > 1.0
        assert "Nothing was done" not in str(caught.value)

    assert len(task.run(upload(campaign_id))) == 5  # at once: no doubt was left behind
    assert sandbox.dialled == dict.fromkeys(NUMBERS, 1)


def test_execution_timeout_with_requests_in_flight(
    sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow raises it wherever the task is. What is answered soon after is treated, what is not is found later."""
    operator = upload(campaign_id, max_parallel_uploads=3, on_timeout="pause", on_kill="cancel")
    under_way = threading.Event()
    is_stopped = operator._is_stopped

    def alarm() -> bool:
        if under_way.is_set():
            raise AirflowTaskTimeout("Timeout, PID: 1")
        return is_stopped()

    monkeypatch.setattr(operator, "_is_stopped", alarm)
    with monkeypatch.context() as patch:
        when_all_are_under_way(patch, 3, under_way.set, slow=1, seconds=3.0)
        began = time.monotonic()
        with pytest.raises(AirflowTaskTimeout):
            task.run(operator)
        assert time.monotonic() - began < 2.9
        assert len(sandbox.batches) == 2
        assert {batch["status"] for batch in sandbox.batches.values()} == {"paused"}
        assert len(task.store.values["upload.1"]["intents"]) == 1  # type: ignore[union-attr]
        until = time.monotonic() + 10
        while len(sandbox.batches) < 3 and time.monotonic() < until:
            time.sleep(0.05)
    assert len(task.run(upload(campaign_id))) == 5
    assert sandbox.dialled == dict.fromkeys(NUMBERS, 1)


def test_a_refusal_leaves_nothing_in_doubt(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    sandbox.fault("POST /batches/", "status", status=401, when="before", after=1, times=None)
    with pytest.raises(AuthenticationError):
        task.run(upload(campaign_id))
    assert len(sandbox.batches) == 1
    sandbox.clear_faults()
    began = time.monotonic()
    assert called(sandbox, task.run(upload(campaign_id))) == NUMBERS
    assert time.monotonic() - began < 30


# -- and what goes with it ---------------------------------------------------------------------------------------------


def test_long_uploads_tell_how_far_they_are(
    sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0

    def passes() -> float:
        nonlocal now
        now += 4.0
        return now

    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=passes))
    with caplog.at_level("INFO"):
        task.run(upload(campaign_id, max_parallel_uploads=1))
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Sent")]
    assert told == ["Sent 3 of 5 batches (12 of 20 contacts), 15 a minute"]


@pytest.mark.parametrize("parallel", [1, 8])
def test_compressed_requests(task: Task, monkeypatch: pytest.MonkeyPatch, parallel: int) -> None:
    people = [{"phone_number": number, "callee_name": "Person " * 20} for number in NUMBERS]
    with Sandbox(speed=0, gzip_requests=True) as sandbox:
        connection = sandbox.connection_json().removesuffix("}") + ', "extra": {"compress_requests": true}}'
        monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", connection)
        hook = GraineHook()
        campaign_id = hook.create_campaign(name="R", agent_id="a", phone_numbers=["+918045678900"]).campaign_id
        batch_ids = task.run(upload(campaign_id, contacts=people, batch_size=10, max_parallel_uploads=parallel))
        assert called(sandbox, batch_ids) == NUMBERS
        sent = [request for request in sandbox.requests if request.path == "/api/v1/batches/" and request.body]
        assert {request.headers["content-encoding"] for request in sent} == {"gzip"}
        assert sum(len(request.json()["contacts"]) for request in sent) == 20
        hook.close()


@pytest.mark.parametrize("parallel", [1, 8])
def test_service_that_takes_no_compressed_requests(
    sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    people = [{"phone_number": number, "callee_name": "Person " * 20} for number in NUMBERS]
    plain = sandbox.connection_json()
    monkeypatch.setenv(
        "AIRFLOW_CONN_GRAINE_DEFAULT", plain.removesuffix("}") + ', "extra": {"compress_requests": true}}'
    )
    operator = upload(campaign_id, contacts=people, batch_size=10, max_parallel_uploads=parallel)
    with pytest.raises(RequestRejectedError, match="Nothing was created or changed; turn compress_requests off"):
        task.run(operator)
    assert not sandbox.batches
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", plain)
    began = time.monotonic()
    assert called(sandbox, task.run(upload(campaign_id, contacts=people, batch_size=10))) == NUMBERS
    assert time.monotonic() - began < 30
