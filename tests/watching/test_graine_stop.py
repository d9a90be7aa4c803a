"""Pausing and cancelling calls: each once, in time, and said as it is."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.watching.graine_stop import Stopped, astop_calls, stop_calls

Stop = Callable[..., Stopped]


@pytest.fixture(params=["sync", "async"])
def stop(request: pytest.FixtureRequest, hook: GraineHook) -> Stop:
    """Stop calls in one of the two forms, within 5 s."""

    def blocking(**arguments: Any) -> Stopped:
        return stop_calls(hook.settings, **{"within": 5.0, **arguments})

    def on_loop(**arguments: Any) -> Stopped:
        async def run() -> Stopped:
            try:
                return await astop_calls(hook, **{"within": 5.0, **arguments})
            finally:
                await hook.aclose()

        return asyncio.run(run())

    return blocking if request.param == "sync" else on_loop


@pytest.fixture
def campaign_id(hook: GraineHook) -> str:
    return hook.create_campaign(name="Renewals", agent_id="agent_1", phone_numbers=["+918045678900"]).campaign_id


@pytest.fixture
def batch_ids(hook: GraineHook, campaign_id: str) -> list[str]:
    people = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": "A"}} for i in range(30)]
    return [hook.create_batch(campaign_id=campaign_id, contacts=people[i : i + 10]).batch_id for i in range(0, 30, 10)]


def changes(sandbox: Sandbox) -> list[str]:
    """What was asked for: ``btc_1/pause``, in the order of the ids."""
    paths = [request.path.split("/") for request in sandbox.requests if request.method == "POST"]
    return sorted("/".join(path[-2:]) for path in paths if path[-1] in ("pause", "cancel", "resume", "dispatch"))


def states(sandbox: Sandbox) -> list[str]:
    return [batch["status"] for batch in sandbox.batches.values()]


@pytest.mark.parametrize(("action", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_batches(sandbox: Sandbox, stop: Stop, batch_ids: list[str], action: Any, state: str) -> None:
    stopped = stop(batch_ids=batch_ids, action=action)
    assert states(sandbox) == [state] * 3
    assert changes(sandbox) == sorted(f"{each}/{action}" for each in batch_ids)
    assert (stopped.done, stopped.failed) == (3, 0)
    assert stopped.sentence.startswith(f"{state.capitalize()} 3 batches ({', '.join(batch_ids)}); ")


@pytest.mark.parametrize(("action", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_campaign(
    sandbox: Sandbox, stop: Stop, campaign_id: str, batch_ids: list[str], action: Any, state: str
) -> None:
    stopped = stop(campaign_id=campaign_id, action=action)
    assert sandbox.campaigns[campaign_id]["status"] == state
    assert states(sandbox) == [state] * 3
    assert changes(sandbox) == [f"{campaign_id}/{action}"]
    assert stopped.sentence.startswith(f"{state.capitalize()} campaign {campaign_id}; ")


def test_none_sends_nothing(sandbox: Sandbox, stop: Stop, batch_ids: list[str]) -> None:
    before = len(sandbox.requests)
    stopped = stop(batch_ids=batch_ids, action="none")
    assert (stopped.done, stopped.failed, len(sandbox.requests)) == (0, 0, before)
    assert "the service goes on calling" in stopped.sentence


def test_no_batches(stop: Stop) -> None:
    assert stop(batch_ids=[], action="cancel") == Stopped(sentence="There was no batch to cancel.")


def test_what_has_ended_or_is_so_already_is_left_alone(
    sandbox: Sandbox, hook: GraineHook, stop: Stop, batch_ids: list[str]
) -> None:
    hook.cancel_batch(batch_ids[0])
    hook.pause_batch(batch_ids[1])
    before = changes(sandbox)
    stopped = stop(batch_ids=batch_ids, action="pause")
    assert states(sandbox) == ["cancelled", "paused", "paused"]
    assert sorted([*before, f"{batch_ids[2]}/pause"]) == changes(sandbox)
    assert stopped.done == 1
    assert (
        f"Nothing to pause on 2 batches ({batch_ids[0]}, {batch_ids[1]}): ended or paused before." in stopped.sentence
    )


def test_what_is_known_to_have_ended_is_not_looked_at(sandbox: Sandbox, stop: Stop, batch_ids: list[str]) -> None:
    known = {batch_ids[0]: "completed", batch_ids[1]: "in_progress", batch_ids[2]: ""}
    before = len(sandbox.requests)
    stop(batch_ids=batch_ids, action="pause", known=known)
    assert not [request for request in sandbox.requests[before:] if batch_ids[0] in request.path]
    assert changes(sandbox) == sorted(f"{each}/pause" for each in batch_ids[1:])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "how", [{"what": "status", "status": 503}, {"what": "drop"}, {"what": "html"}], ids=lambda how: how["what"]
)
def test_an_unclear_answer_is_settled_by_the_state(
    sandbox: Sandbox, stop: Stop, batch_ids: list[str], how: dict[str, Any], when: str
) -> None:
    sandbox.fault(f"POST /batches/{batch_ids[1]}/cancel", times=None, when=when, **how)
    stopped = stop(batch_ids=batch_ids, action="cancel")
    assert len(changes(sandbox)) == 3, "each once"
    if when == "after":
        assert states(sandbox) == ["cancelled"] * 3
        assert (stopped.done, stopped.failed) == (3, 0)
    else:
        assert states(sandbox) == ["cancelled", "in_progress", "cancelled"]
        assert (stopped.done, stopped.failed) == (2, 1)
        # It may be carried out yet.
        assert f"Whether the service has cancelled batch {batch_ids[1]} is not known: look at it." in stopped.sentence


def test_a_refusal(sandbox: Sandbox, stop: Stop, batch_ids: list[str]) -> None:
    sandbox.fault(f"POST /batches/{batch_ids[1]}/cancel", "status", status=409, times=None, when="before")
    stopped = stop(batch_ids=batch_ids, action="cancel")
    assert (stopped.done, stopped.failed) == (2, 1)
    assert f"The service did not cancel batch {batch_ids[1]}: the calls go on." in stopped.sentence


def test_a_batch_that_ends_at_the_last_moment(sandbox: Sandbox, stop: Stop, batch_ids: list[str]) -> None:
    sandbox.fault(f"GET /batches/{batch_ids[0]}", "fields", fields={"status": "in_progress"})
    sandbox.run_until_idle()
    stopped = stop(batch_ids=batch_ids[:1], action="cancel")
    assert (stopped.done, stopped.failed) == (0, 0)
    assert stopped.sentence.startswith("Nothing to cancel on batch")


def test_nobody_knows(sandbox: Sandbox, stop: Stop, batch_ids: list[str]) -> None:
    sandbox.fault(f"POST /batches/{batch_ids[0]}/cancel", "drop", times=None)
    sandbox.fault(f"GET /batches/{batch_ids[0]}", "status", status=400, times=None)
    stopped = stop(batch_ids=batch_ids[:1], action="cancel")
    assert (stopped.done, stopped.failed) == (0, 1)
    assert stopped.sentence == f"Whether the service has cancelled batch {batch_ids[0]} is not known: look at it."


def test_a_refused_token_is_not_read_anew(sandbox: Sandbox, stop: Stop, hook: GraineHook, batch_ids: list[str]) -> None:
    assert hook.settings
    sandbox.rotate_token("gat_another_0123456789")
    stopped = stop(batch_ids=batch_ids, action="cancel")
    assert stopped.failed == 3
    assert "gat_" not in stopped.sentence
    assert states(sandbox) == ["in_progress"] * 3


def test_a_service_that_hangs_takes_no_longer_than_allowed(sandbox: Sandbox, stop: Stop, batch_ids: list[str]) -> None:
    sandbox.fault(f"POST /batches/{batch_ids[0]}/pause", "hang", seconds=30.0, times=None, when="before")
    sandbox.fault(f"GET /batches/{batch_ids[0]}", "hang", seconds=30.0, times=None, after=1)
    began = time.monotonic()
    stopped = stop(batch_ids=batch_ids, action="pause", within=0.9)
    assert time.monotonic() - began < 1.5
    assert states(sandbox)[1:] == ["paused", "paused"]
    assert (stopped.done, stopped.failed) == (2, 1)
    assert f"Whether the service has paused batch {batch_ids[0]} is not known" in stopped.sentence


def test_a_service_that_is_not_there(stop: Stop, connect: Callable[..., None], hook: GraineHook) -> None:
    connect(host="http://127.0.0.1:9/api/v1")
    stopped = stop(batch_ids=["btc_1"], action="cancel", within=2.0)
    assert (stopped.done, stopped.failed) == (0, 1)


def test_many_batches_at_a_time(sandbox: Sandbox, hook: GraineHook, stop: Stop, campaign_id: str) -> None:
    person = [{"phone_number": "+919876500000", "call_variables": {"callee_name": "A"}}]
    batch_ids = [hook.create_batch(campaign_id=campaign_id, contacts=person).batch_id for _ in range(40)]
    sandbox.fault("POST /batches/{batch_id}/cancel", "hang", seconds=0.1, times=None)
    began = time.monotonic()
    stopped = stop(batch_ids=batch_ids, action="cancel", within=20.0)
    assert stopped.done == 40
    assert time.monotonic() - began < 3.5, "one after the other they take more than 4 s"
    assert "and 20 more)" in stopped.sentence


def test_a_connection_that_cannot_be_read(batch_ids: list[str]) -> None:
    async def run() -> Stopped:
        return await astop_calls(GraineHook("none_such"), batch_ids=batch_ids, action="cancel", within=2.0)

    stopped = asyncio.run(run())
    assert stopped.failed == 3
    assert stopped.sentence.startswith("The service could not be asked to cancel 3 batches")


@pytest.fixture
def on_sigusr1() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Let something happen in a signal handler of the main thread."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda happens: signal.signal(signal.SIGUSR1, lambda *_: happens()) and None
    signal.signal(signal.SIGUSR1, before)


def test_in_a_signal_handler_whatever_lock_is_held(
    sandbox: Sandbox, hook: GraineHook, batch_ids: list[str], on_sigusr1: Callable[[Callable[[], None]], None]
) -> None:
    """The log's lock is held by the interrupted thread: telling has to wait, stopping does not."""
    lock = threading.Lock()
    settings, told, results = hook.settings, [], []

    def tell(sentence: str) -> None:
        with lock:
            told.append(sentence)

    def handle() -> None:
        results.append(stop_calls(settings, batch_ids=batch_ids, action="pause", within=4.0, tell=tell))

    on_sigusr1(handle)
    began = time.monotonic()
    with lock:
        os.kill(os.getpid(), signal.SIGUSR1)
        while not results:
            time.sleep(0.01)
        assert told == []
    assert time.monotonic() - began < 3.0
    assert results[0].done == 3
    deadline = time.monotonic() + 5
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told == [results[0].sentence]


def test_it_is_told_before_the_process_may_end(sandbox: Sandbox, hook: GraineHook, batch_ids: list[str]) -> None:
    told: list[str] = []

    def tell(sentence: str) -> None:
        time.sleep(0.1)
        told.append(sentence)

    stopped = stop_calls(hook.settings, batch_ids=batch_ids, action="pause", within=4.0, tell=tell)
    assert told == [stopped.sentence]


def test_in_a_signal_handler_in_the_middle_of_a_request(
    sandbox: Sandbox, hook: GraineHook, batch_ids: list[str], on_sigusr1: Callable[[Callable[[], None]], None]
) -> None:
    sandbox.fault(f"GET /batches/{batch_ids[0]}", "hang", seconds=0.8)
    settings, results = hook.settings, []
    on_sigusr1(lambda: results.append(stop_calls(settings, batch_ids=batch_ids[1:], action="pause", within=4.0)))
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGUSR1])
    timer.start()
    assert hook.get_batch(batch_ids[0]).status == "in_progress"
    timer.join()
    assert results[0].done == 2
