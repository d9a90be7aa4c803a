from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.triggers.graine import GraineBatchTrigger, GraineCampaignTrigger
from tests.compat import deserialize, serialize


@pytest.fixture
def batch_id(hook: GraineHook, campaign_id: str) -> str:
    people = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": "A"}} for i in range(20)]
    return hook.create_batch(campaign_id=campaign_id, contacts=people).batch_id


def fire(trigger: Any, meanwhile: Callable[[], Awaitable[None]] | None = None) -> dict[str, Any]:
    """Run a trigger to its event, while something happens beside it."""

    async def run() -> dict[str, Any]:
        beside = asyncio.ensure_future(meanwhile()) if meanwhile else None
        events = [event async for event in trigger.run()]
        if beside:
            await beside
        (event,) = events
        return dict(event.payload)

    return asyncio.run(asyncio.wait_for(run(), timeout=30))


def in_thread(function: Callable[..., Any], *args: Any) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(function, *args)

    return run


@pytest.mark.parametrize(
    "trigger",
    [
        GraineBatchTrigger(batch_ids=["a", "b"], graine_conn_id="c", poll_interval=5, deadline=12.5),
        GraineBatchTrigger(batch_ids=["a"]),
        GraineCampaignTrigger(campaign_id="a", graine_conn_id="c", poll_interval=5, deadline=None),
    ],
)
def test_serialised_trigger_is_built_again_as_it_was(trigger: Any) -> None:
    path, kwargs = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
    again = type(trigger)(**deserialize(serialize(kwargs)))
    assert again.serialize() == (path, kwargs)


def test_batches_that_end_fire_one_event(sandbox: Sandbox, batch_id: str) -> None:
    event = fire(GraineBatchTrigger(batch_ids=[batch_id], poll_interval=0.1), in_thread(sandbox.run_until_idle))

    assert event["status"] == "done"
    assert event["batch_ids"] == [batch_id]
    assert sum(event["counts"].values()) <= 20
    assert event["message"].startswith("All calls are done")


def test_campaign_that_ends_fires_one_event(sandbox: Sandbox, campaign_id: str, batch_id: str) -> None:
    event = fire(GraineCampaignTrigger(campaign_id=campaign_id, poll_interval=0.1), in_thread(sandbox.run_until_idle))

    assert event["status"] == "done"
    assert event["campaign_id"] == campaign_id
    assert sum(event["counts"].values()) == 20


def test_cancelled_batch(sandbox: Sandbox, hook: GraineHook, batch_id: str) -> None:
    event = fire(GraineBatchTrigger(batch_ids=[batch_id], poll_interval=0.1), in_thread(hook.cancel_batch, batch_id))
    assert event["status"] == "failed"
    assert f"{batch_id} is cancelled" in event["message"]


def test_deadline(sandbox: Sandbox, batch_id: str) -> None:
    began = time.time()
    event = fire(GraineBatchTrigger(batch_ids=[batch_id], poll_interval=60, deadline=began + 0.5))
    assert event["status"] == "timed_out"
    assert time.time() - began < 10


def test_blip_ends_nothing(sandbox: Sandbox, batch_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_GRAINE_DEFAULT", sandbox.connection_json().replace("{", '{"extra": {"retries": 0}, ', 1)
    )
    sandbox.fault("GET /batches/{batch_id}", "status", status=503, times=3)
    sandbox.fault("GET /batches/{batch_id}", "drop", times=2, after=3)
    sandbox.fault("GET /batches/{batch_id}", "html", times=2, after=5)
    sandbox.run_until_idle()

    event = fire(GraineBatchTrigger(batch_ids=[batch_id], poll_interval=0.05))

    assert event["status"] == "done"
    assert sum(request.method == "GET" for request in sandbox.requests) == 8


def test_revoked_token_ends_the_wait_with_its_own_error(sandbox: Sandbox, batch_id: str) -> None:
    sandbox.rotate_token("gat_other_token")
    event = fire(GraineBatchTrigger(batch_ids=[batch_id], poll_interval=0.05))
    sandbox.rotate_token("gat_sandbox")
    assert (event["status"], event["error"]) == ("error", "AuthenticationError")
    assert "gat_" not in event["message"]


def test_ended_batches_are_not_asked_for_again(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, batch_id: str
) -> None:
    hook.cancel_batch(batch_id)
    other = hook.create_batch(
        campaign_id=campaign_id,
        contacts=[{"phone_number": "+919876500099", "call_variables": {"callee_name": "A"}}],
    ).batch_id
    before = len(sandbox.requests)

    async def later() -> None:
        await asyncio.sleep(0.6)
        await asyncio.to_thread(sandbox.run_until_idle)

    fire(GraineBatchTrigger(batch_ids=[batch_id, other], poll_interval=0.1), later)

    asked = [request.path.rpartition("/")[2] for request in sandbox.requests[before:] if request.method == "GET"]
    assert asked.count(batch_id) == 1
    assert asked.count(other) >= 3


def test_cancelled_wait_stops_nothing_and_closes_its_connections(sandbox: Sandbox, batch_id: str) -> None:
    async def run() -> None:
        waiting = asyncio.ensure_future(anext(GraineBatchTrigger(batch_ids=[batch_id], poll_interval=0.05).run()))
        await asyncio.sleep(0.5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())
    assert sandbox.batches[batch_id]["status"] == "in_progress"
    assert not [request for request in sandbox.requests if request.path.endswith(("cancel", "pause"))]


def test_event_loop_is_not_blocked(sandbox: Sandbox, batch_id: str) -> None:
    longest = 0.0

    async def ticker() -> None:
        nonlocal longest
        end = time.monotonic() + 2.0
        while (last := time.monotonic()) < end:
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - last)
        await asyncio.to_thread(sandbox.run_until_idle)

    sandbox.fault("GET /batches/{batch_id}", "hang", seconds=0.5, times=1, after=1)
    fire(GraineBatchTrigger(batch_ids=[batch_id], poll_interval=0.1), ticker)
    assert longest < 0.4, "the hanging answer was waited for on the loop itself"
