"""Watchers on a triggerer that shares their looks and keeps what was told (Airflow 3.3 and newer)."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome, SharedStreamProducer

from airflow_provider_graine.exceptions import AuthenticationError, NotFoundError, ServiceUnavailableError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.triggers import batch_events
from airflow_provider_graine.triggers.batch_events import GraineBatchEventTrigger
from tests.connections import little_to_collect, nothing_leaks
from tests.triggers.watching import FAST, Database, Triggerer, database

__all__ = ["database", "little_to_collect", "nothing_leaks"]

Add = Callable[[], str]


@pytest.fixture(autouse=True)
def at_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """No look has been before, and none is repeated by the session itself."""
    monkeypatch.setattr(batch_events, "_due", {})
    connection = json.loads(sandbox.connection_json()) | {"extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))


@pytest.fixture
def add(hook: GraineHook, campaign_id: str) -> Iterator[Add]:
    """Start the calls of one more batch."""
    numbers = iter(range(10_000))

    def add() -> str:
        people = [
            {"phone_number": f"+9198765{next(numbers):05}", "call_variables": {"callee_name": "Testina"}}
            for _ in range(3)
        ]
        return hook.create_batch(campaign_id=campaign_id, contacts=people).batch_id

    return add


def run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(what, timeout=30))


def asked(sandbox: Sandbox, end: str) -> int:
    return sum(request.path.endswith(end) for request in sandbox.requests)


def looks_at(sandbox: Sandbox) -> Callable[[], int]:
    return lambda: asked(sandbox, "/stats")


def test_each_batch_that_ends_is_told_once(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, database: Database, add: Add
) -> None:
    old = add()
    sandbox.run_until_idle()
    cancelled, expired, completed = add(), add(), add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))
            await asyncio.to_thread(hook.cancel_batch, cancelled)
            await triggerer.until(lambda: len(database.events) == 1)
            await asyncio.to_thread(sandbox.expire_batch, expired)
            await triggerer.until(lambda: len(database.events) == 2)
            await asyncio.to_thread(sandbox.run_until_idle)
            await triggerer.looks(looks_at(sandbox), 15)

    run(watch())
    assert database.told() == [(cancelled, "cancelled"), (expired, "expired"), (completed, "completed")]
    assert old not in dict(database.told())


def test_event_says_what_a_dag_needs_and_nothing_personal(
    sandbox: Sandbox, campaign_id: str, database: Database, add: Add
) -> None:
    batch_id = add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))
            await asyncio.to_thread(sandbox.run_until_idle)
            await triggerer.until(lambda: len(database.events) == 1)

    run(watch())
    [(_, payload)] = database.events
    counts = payload.pop("counts")
    assert payload == {
        "batch_id": batch_id,
        "campaign_id": campaign_id,
        "graine_conn_id": "graine_default",
        "status": "completed",
        "total": 3,
    }
    assert counts == sandbox.batches[batch_id]["counters"]
    assert "98765" not in json.dumps(database.events)
    assert "Testina" not in json.dumps(database.events)


def test_only_the_ends_that_were_asked_for_are_told(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, database: Database, add: Add
) -> None:
    first, second = add(), add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, statuses=["completed"], **FAST), "done")
            triggerer.watch(GraineBatchEventTrigger(campaign_id, statuses=["cancelled", "expired"], **FAST), "stopped")
            await triggerer.looks(looks_at(sandbox))
            await asyncio.to_thread(hook.cancel_batch, first)
            await asyncio.to_thread(sandbox.run_until_idle)
            await triggerer.until(lambda: len(database.events) == 2)
            await triggerer.looks(looks_at(sandbox))

    run(watch())
    assert database.told("done") == [(second, "completed")]
    assert database.told("stopped") == [(first, "cancelled")]


def test_after_a_restart_what_ended_meanwhile_is_told_and_nothing_else(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, database: Database, add: Add
) -> None:
    old = add()
    hook.cancel_batch(old)
    before, meanwhile, later = add(), add(), add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))
            await asyncio.to_thread(hook.cancel_batch, before)
            await triggerer.until(lambda: len(database.events) == 1)
            await triggerer.looks(looks_at(sandbox))
        await asyncio.to_thread(hook.cancel_batch, meanwhile)
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.until(lambda: len(database.events) == 2)
            await asyncio.to_thread(hook.cancel_batch, later)
            await triggerer.until(lambda: len(database.events) == 3)
            await triggerer.looks(looks_at(sandbox))
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))

    run(watch())
    assert [batch_id for batch_id, _ in database.told()] == [before, meanwhile, later]


@pytest.mark.parametrize("other", [{"graine_conn_id": "graine_eu"}, {"statuses": ["cancelled"]}])
def test_another_connection_or_choice_is_another_watch(
    sandbox: Sandbox,
    hook: GraineHook,
    campaign_id: str,
    database: Database,
    add: Add,
    monkeypatch: pytest.MonkeyPatch,
    other: dict[str, Any],
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_EU", os.environ["AIRFLOW_CONN_GRAINE_DEFAULT"])
    meanwhile, later = add(), add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))
        await asyncio.to_thread(hook.cancel_batch, meanwhile)
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **other, **FAST))
            await triggerer.looks(looks_at(sandbox))
            await asyncio.to_thread(hook.cancel_batch, later)
            await triggerer.until(lambda: len(database.events) == 1)

    run(watch())
    assert database.told() == [(later, "cancelled")]


def test_a_campaign_without_ended_batches_has_a_beginning_too(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, database: Database, add: Add
) -> None:
    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))
        await asyncio.to_thread(add)
        await asyncio.to_thread(sandbox.run_until_idle)
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.until(lambda: len(database.events) == 1)

    run(watch())


@pytest.mark.parametrize("stores", [False, True])
def test_a_crash_repeats_what_was_not_stored_and_nothing_that_was(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, database: Database, add: Add, stores: bool
) -> None:
    batch_id = add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))
        async with Triggerer(database, stores=stores) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))
            await asyncio.to_thread(hook.cancel_batch, batch_id)
            await triggerer.until(lambda: triggerer.yielded == 1)
            await triggerer.looks(looks_at(sandbox))  # told once by one triggerer, stored or not
            assert triggerer.yielded == 1
        assert bool(database.events) == stores
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))

    run(watch())
    assert database.told() == [(batch_id, "cancelled")]


def test_watchers_of_one_campaign_share_their_looks(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, database: Database, add: Add
) -> None:
    batch_id = add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            for number in range(20):
                triggerer.watch(GraineBatchEventTrigger(campaign_id, poll_interval=0.3), f"asset {number}")
            await triggerer.looks(looks_at(sandbox), 2)  # so the first one is over
            await asyncio.to_thread(hook.cancel_batch, batch_id)
            await triggerer.until(lambda: len(database.events) == 20)

    began = time.monotonic()
    run(watch())
    assert {name for name, _ in database.events} == {f"asset {number}" for number in range(20)}
    assert looks_at(sandbox)() <= 2 + (time.monotonic() - began) / 0.27


def test_what_is_shared() -> None:
    def key(**how: Any) -> Any:
        return GraineBatchEventTrigger(**{"campaign_id": "cmp_1", **how}).shared_stream_key()

    assert key() == key(statuses=["expired"]) == key(poll_interval=60)
    assert len({key(), key(campaign_id="cmp_2"), key(graine_conn_id="other"), key(poll_interval=30)}) == 4


def test_one_watcher_for_several_assets_remembers_with_each(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, database: Database, add: Add
) -> None:
    first, second = add(), add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST), "a")
            await triggerer.looks(looks_at(sandbox))
            await asyncio.to_thread(hook.cancel_batch, first)
            await triggerer.until(lambda: len(database.events) == 1)
            await triggerer.looks(looks_at(sandbox))
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST), "a", "b")
            await triggerer.looks(looks_at(sandbox))
        await asyncio.to_thread(hook.cancel_batch, second)
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST), "b")
            await triggerer.until(lambda: len(database.events) == 2)

    run(watch())
    assert database.events[0][0] == "a"
    assert database.told("b") == [(second, "cancelled")]


def test_storage_that_fails_is_made_up_for(
    sandbox: Sandbox,
    hook: GraineHook,
    campaign_id: str,
    database: Database,
    add: Add,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batch_id = add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.until(lambda: database.writes == 1)
            database.fails = True
            await asyncio.to_thread(hook.cancel_batch, batch_id)
            await triggerer.until(lambda: "would be told again" in caplog.text)
            database.fails = False
            await triggerer.until(lambda: database.writes == 2)
            await triggerer.looks(looks_at(sandbox))
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.looks(looks_at(sandbox))

    run(watch())
    assert database.told() == [(batch_id, "cancelled")]
    assert database.writes == 2, "written although nothing was new"


def test_blips_end_nothing(
    sandbox: Sandbox,
    hook: GraineHook,
    campaign_id: str,
    database: Database,
    add: Add,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batch_id = add()
    sandbox.fault("GET /campaigns/{campaign_id}/stats", "status", status=503, times=2)
    sandbox.fault("GET /campaigns/{campaign_id}/stats", "drop", times=2, after=2)
    sandbox.fault("GET /campaigns/{campaign_id}/batches", "html", times=2)

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.until(lambda: database.writes == 1, within=20)
            await asyncio.to_thread(hook.cancel_batch, batch_id)
            await triggerer.until(lambda: len(database.events) == 1)

    with caplog.at_level(logging.WARNING):
        run(watch())
    assert database.told() == [(batch_id, "cancelled")]
    said = [record.getMessage() for record in caplog.records if record.name.endswith("batch_events")]
    assert 1 <= len(said) < 6, "told, but not each time"
    assert all(campaign_id in each for each in said)


def test_the_service_says_how_long_to_leave_it_alone(
    sandbox: Sandbox, campaign_id: str, database: Database, add: Add
) -> None:
    sandbox.fault("GET /campaigns/{campaign_id}/stats", "status", status=429, retry_after=1, times=1)

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.until(lambda: asked(sandbox, "/stats") == 1)
            began = time.monotonic()
            await triggerer.until(lambda: asked(sandbox, "/stats") == 2)
            assert time.monotonic() - began > 0.8

    run(watch())


def test_a_token_that_is_not_accepted_fails_the_watcher_at_once_and_is_not_asked_with_again_and_again(
    sandbox: Sandbox, campaign_id: str, database: Database
) -> None:
    sandbox.rotate_token("gat_other_token")
    failures = 0

    async def watch() -> None:
        nonlocal failures
        end = time.monotonic() + 1.5
        async with Triggerer(database) as triggerer:
            while time.monotonic() < end:  # Airflow starts it again and again
                task = triggerer.watch(GraineBatchEventTrigger(campaign_id, poll_interval=0.5))
                with pytest.raises(AuthenticationError):
                    await task
                failures += 1

    try:
        run(watch())
    finally:
        sandbox.rotate_token("gat_sandbox")
    assert 2 <= failures <= 5
    assert looks_at(sandbox)() <= 2 * failures, "a 401 is repeated once, with the token read anew"


@pytest.mark.parametrize(("seconds_a_look", "looks_at_least"), [(360, 20), (3_600, 11)])
def test_an_outage_of_hours_ends_nothing_and_a_longer_one_fails_the_watcher(
    sandbox: Sandbox,
    campaign_id: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    seconds_a_look: float,
    looks_at_least: int,
) -> None:
    passed = itertools.count(1.8e9, seconds_a_look)
    monkeypatch.setattr(batch_events, "time", SimpleNamespace(time=lambda: next(passed), monotonic=time.monotonic))
    sandbox.fault("GET /campaigns/{campaign_id}/stats", "status", status=503, times=None)

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            with pytest.raises(ServiceUnavailableError):
                await triggerer.watch(GraineBatchEventTrigger(campaign_id, poll_interval=0.02))

    run(watch())
    assert looks_at_least <= looks_at(sandbox)() <= looks_at_least + 1


def test_a_campaign_that_is_not_there_fails_the_watcher(sandbox: Sandbox, database: Database) -> None:
    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            with pytest.raises(NotFoundError):
                await triggerer.watch(GraineBatchEventTrigger("cmp_nowhere", poll_interval=0.02))

    run(watch())


def test_only_failures_in_a_row_count(sandbox: Sandbox, campaign_id: str, database: Database) -> None:
    for already in (0, 5, 10):
        sandbox.fault("GET /campaigns/{campaign_id}/stats", "status", status=404, times=4, after=already)

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, poll_interval=0.02))
            await triggerer.until(lambda: looks_at(sandbox)() >= 16)

    run(watch())
    assert [request.status for request in sandbox.requests if request.path.endswith("/stats")].count(404) == 12


def test_a_connection_that_is_corrected_during_an_outage_takes_effect(
    sandbox: Sandbox, campaign_id: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = os.environ["AIRFLOW_CONN_GRAINE_DEFAULT"]
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        wrong = {**json.loads(right), "host": f"http://127.0.0.1:{nobody_listens.getsockname()[1]}"}
        monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(wrong))

        async def watch() -> None:
            async with Triggerer(database) as triggerer:
                triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
                await asyncio.sleep(0.3)
                assert looks_at(sandbox)() == 0
                monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", right)
                await triggerer.looks(looks_at(sandbox))

        run(watch())


def test_when_airflow_cannot_say_whose_events_were_stored_nothing_is_taken_for_told(campaign_id: str) -> None:
    producer = GraineBatchEventTrigger.create_shared_stream_producer(
        GraineBatchEventTrigger(campaign_id).serialize()[1]
    )
    kept: list[str] = []

    def look(name: str) -> Any:
        async def keep() -> None:
            kept.append(name)

        return batch_events._Look(ended=[], once_stored=[keep])

    outcomes = {"a": AdvanceOutcome(acked=1, failed=1), "b": AdvanceOutcome(acked=2, failed=0)}
    run(producer.advance([AdvanceItem(look(name), outcome) for name, outcome in outcomes.items()]))
    assert kept == ["b"]


def test_what_one_look_costs(sandbox: Sandbox, campaign_id: str, database: Database, add: Add) -> None:
    for _ in range(60):
        add()
    sandbox.run_until_idle()
    last = add()

    async def watch() -> None:
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            await triggerer.until(lambda: looks_at(sandbox)() == 9)
            assert asked(sandbox, f"{campaign_id}/batches") == 3, "61 batches: two pages and an empty one, once"
            await asyncio.to_thread(sandbox.advance, 30)  # calls go on: nothing a watcher must know
            assert sandbox.batches[last]["status"] == "in_progress"
            await triggerer.until(lambda: looks_at(sandbox)() == 10)
            assert asked(sandbox, f"{campaign_id}/batches") == 3
            await triggerer.until(lambda: looks_at(sandbox)() == 12)
            assert asked(sandbox, f"{campaign_id}/batches") == 6, "every tenth time"
            await asyncio.to_thread(sandbox.run_until_idle)
            await triggerer.until(lambda: len(database.events) == 1)

    run(watch())


def test_the_event_loop_is_not_blocked(sandbox: Sandbox, campaign_id: str, database: Database, add: Add) -> None:
    sandbox.fault("GET /campaigns/{campaign_id}/stats", "hang", seconds=0.5, times=1, after=1)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        async with Triggerer(database) as triggerer:
            triggerer.watch(GraineBatchEventTrigger(campaign_id, **FAST))
            end = time.monotonic() + 1.5
            while (last := time.monotonic()) < end:
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - last)
            await triggerer.looks(looks_at(sandbox))

    run(watch())
    assert longest < 0.4, "the hanging answer was waited for on the loop itself"


def test_what_looks_has_all_that_airflow_asks_of_it(campaign_id: str) -> None:
    producer = GraineBatchEventTrigger.create_shared_stream_producer(
        GraineBatchEventTrigger(campaign_id).serialize()[1]
    )
    assert isinstance(producer, SharedStreamProducer)
    assert inspect.isasyncgenfunction(producer.open_stream)
