"""Every end of a batch is seen at the next look, although most looks list nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ServiceUnavailableError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.watching.graine_listing import LOOKS_PER_LISTING, CampaignListing
from tests.service import campaign_id, hook, sandbox, shared_sandbox

__all__ = ["campaign_id", "hook", "sandbox", "shared_sandbox"]

DEEDS = st.sampled_from(["create", "schedule", "cancel", "expire", "pause", "resume", "call", "finish"])
BETWEEN_LOOKS = st.lists(st.lists(st.tuples(DEEDS, st.integers(0, 9)), max_size=4), max_size=8)


@pytest.fixture(scope="module")
def watched() -> Iterator[Sandbox]:
    with Sandbox(speed=0, start="2026-05-10T09:00:00Z") as sandbox:
        yield sandbox


def do(sandbox: Sandbox, hook: GraineHook, campaign_id: str, deed: str, which: int) -> None:
    """Do something to one of the batches, where it can be done to it."""
    if deed in ("create", "schedule"):
        people = [{"phone_number": f"+9198765{which:05}", "call_variables": {"callee_name": "T"}}]
        start = "2026-06-01T09:00:00Z" if deed == "schedule" else None
        hook.create_batch(campaign_id=campaign_id, contacts=people, scheduled_start=start)
        return
    if deed == "call":
        sandbox.advance(20.0 * which)
        return
    if deed == "finish":
        sandbox.run_until_idle()
        return
    open_ones = [id for id, batch in sandbox.batches.items() if batch["status"] in ("pending", "in_progress", "paused")]
    if not open_ones:
        return
    batch_id = open_ones[which % len(open_ones)]
    status = sandbox.batches[batch_id]["status"]
    if deed == "cancel":
        hook.cancel_batch(batch_id)
    elif deed == "expire":
        sandbox.expire_batch(batch_id)
    elif deed == "pause" and status == "in_progress":
        hook.pause_batch(batch_id)
    elif deed == "resume" and status == "paused":
        hook.resume_batch(batch_id)


@given(BETWEEN_LOOKS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_look_knows_each_state(
    watched: Sandbox, monkeypatch: pytest.MonkeyPatch, between: list[list[tuple[str, int]]]
) -> None:
    watched.reset()
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", watched.connection_json())

    async def look_again_and_again() -> None:
        looking = GraineHook()
        listing = CampaignListing(campaign_id)
        try:
            for deeds in [[], *between]:
                for deed, which in deeds:
                    await asyncio.to_thread(do, watched, hook, campaign_id, deed, which)
                seen = {batch.batch_id: batch.status for batch in await listing.alook(looking)}
                assert seen == {batch_id: batch["status"] for batch_id, batch in watched.batches.items()}
        finally:
            await looking.aclose()

    with closing(GraineHook()) as hook:
        campaign_id = hook.create_campaign(name="R", agent_id="a", phone_numbers=["+918045678900"]).campaign_id
        asyncio.run(look_again_and_again())


def test_figures_that_are_late_hide_an_end_for_ten_looks_at_most(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str
) -> None:
    batch_id = hook.create_batch(campaign_id=campaign_id, contacts=[{"phone_number": "+919876500001"}]).batch_id
    figures = hook.get_campaign_stats(campaign_id).model_dump(exclude_none=True)
    sandbox.fault("GET /campaigns/{campaign_id}/stats", "fields", fields=figures, times=None)

    async def looks() -> list[str]:
        looking = GraineHook()
        listing = CampaignListing(campaign_id)
        try:
            await listing.alook(looking)
            await asyncio.to_thread(hook.cancel_batch, batch_id)
            return [(await listing.alook(looking))[0].status for _ in range(LOOKS_PER_LISTING)]
        finally:
            await looking.aclose()

    seen = asyncio.run(looks())
    assert seen == ["in_progress"] * (LOOKS_PER_LISTING - 1) + ["cancelled"]


def test_a_listing_that_fails_half_way_is_made_again(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_GRAINE_DEFAULT", sandbox.connection_json().replace("{", '{"extra": {"retries": 0}, ', 1)
    )
    ids = [
        hook.create_batch(campaign_id=campaign_id, contacts=[{"phone_number": "+919876500001"}]).batch_id
        for _ in range(70)
    ]
    sandbox.fault("GET /campaigns/{campaign_id}/batches", "status", status=503, after=1)

    async def looks() -> set[str]:
        looking = GraineHook()
        listing = CampaignListing(campaign_id)
        try:
            with pytest.raises(ServiceUnavailableError):
                await listing.alook(looking)
            return {batch.batch_id for batch in await listing.alook(looking)}
        finally:
            await looking.aclose()

    assert asyncio.run(looks()) == set(ids)
