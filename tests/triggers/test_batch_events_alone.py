"""The watcher by itself: its arguments, and its own looks on an Airflow that shares none (3.1, 3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.triggers import batch_events
from airflow_provider_graine.triggers.batch_events import GraineBatchEventTrigger
from airflow_provider_graine.triggers.told_batches import StateOfProcess
from tests.connections import little_to_collect, nothing_leaks

__all__ = ["little_to_collect", "nothing_leaks"]

PEOPLE = [{"phone_number": "+919876500001", "call_variables": {"callee_name": "Testina"}}]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_events, "_due", {})
    monkeypatch.setattr(StateOfProcess, "_values", {})


def test_it_may_watch_an_asset() -> None:
    trigger = GraineBatchEventTrigger("cmp_1")
    assert isinstance(trigger, BaseEventTrigger)
    asset = Asset(name="calls", watchers=[AssetWatcher(name="ends", trigger=trigger)])
    assert asset.watchers[0].trigger is trigger


def test_the_same_watch_is_written_the_same() -> None:
    written = [
        GraineBatchEventTrigger("cmp_1", poll_interval=interval, statuses=statuses).serialize()
        for interval in (60, 60.0)
        for statuses in (["expired", "completed"], ("completed", "expired", "completed"))
    ]
    assert all(each == written[0] for each in written)
    assert len({BaseEventTrigger.hash(*each) for each in written}) == 1
    assert written[0][1]["statuses"] == ["completed", "expired"]


@pytest.mark.parametrize("statuses", [[], "completed", ["in_progress"], ["completed", "done"]])
def test_statuses_are_ends_of_batches(statuses: Any) -> None:
    with pytest.raises(ConfigurationError, match="completed, cancelled, expired"):
        GraineBatchEventTrigger("cmp_1", statuses=statuses)


@pytest.mark.parametrize("poll_interval", [0, -1])
def test_looks_have_pauses(poll_interval: float) -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        GraineBatchEventTrigger("cmp_1", poll_interval=poll_interval)


def watch(trigger: GraineBatchEventTrigger, *meanwhile: Callable[[], object], looks: Callable[[], int]) -> list[str]:
    """Run a watcher while things happen one after the other, each a few looks after the one before; give who ended."""
    told: list[str] = []

    async def run() -> None:
        async with aclosing(trigger.run()) as events:  # type: ignore[type-var]
            async for event in events:
                told.append(event.payload["batch_id"])

    async def more_looks() -> None:
        before = looks()
        while looks() < before + 3:  # noqa: ASYNC110 - the looks are seen from outside
            await asyncio.sleep(0.01)

    async def both() -> None:
        watching = asyncio.create_task(run())
        await more_looks()
        for do in meanwhile:
            await asyncio.to_thread(do)
            await more_looks()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    asyncio.run(asyncio.wait_for(both(), timeout=30))
    return told


def test_alone_it_tells_what_ends_from_its_first_look_on(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, last = (hook.create_batch(campaign_id=campaign_id, contacts=PEOPLE).batch_id for _ in range(3))
    hook.cancel_batch(old)

    def looks() -> int:
        return sum(request.path.endswith("/stats") for request in sandbox.requests)

    trigger = GraineBatchEventTrigger(campaign_id, poll_interval=0.05)
    told = watch(trigger, lambda: hook.cancel_batch(new), sandbox.run_until_idle, looks=looks)

    assert told == [new, last]
    said = capsys.readouterr().out
    assert said.count("1 batches had ended before and are not told") == 1
    assert said.count("while no triggerer runs will not be told") == 1


def test_alone_it_goes_on_after_a_failure_and_begins_anew_in_another_process(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [hook.create_batch(campaign_id=campaign_id, contacts=PEOPLE).batch_id for _ in range(3)]

    def looks() -> int:
        return sum(request.path.endswith("/stats") for request in sandbox.requests)

    def started(*meanwhile: Callable[[], object]) -> list[str]:
        trigger = GraineBatchEventTrigger(campaign_id, poll_interval=0.05)
        trigger.trigger_id = 7
        return watch(trigger, *meanwhile, looks=looks)

    assert started(lambda: hook.cancel_batch(ids[0])) == [ids[0]]
    hook.cancel_batch(ids[1])
    assert started() == [ids[1]]
    hook.cancel_batch(ids[2])
    monkeypatch.setattr(StateOfProcess, "_values", {})  # as in a new process
    assert started() == []
