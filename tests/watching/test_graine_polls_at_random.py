"""Waits that come, go and are cancelled at random while batches end and the service has its moods: none is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.waiting.decision import Decision, Step
from tests.watching.polling import add, asked, make, run, wait_for

SPAN = 1.5  # seconds in which everything begins and ends
INTERVALS = (0.06, 0.1, 0.25)
LIST = "GET /campaigns/{campaign_id}/batches"


class Waiting:
    """One wait, and what is to become of it."""

    def __init__(self, draw: random.Random, campaigns: dict[str, list[str]]) -> None:
        campaign_id = draw.choice([*campaigns])
        together = draw.random() < 0.7
        there = campaigns[campaign_id] if together else [each for ids in campaigns.values() for each in ids]
        self.batch_ids = draw.sample(there, draw.choice([1, 1, 1, 2, 5]))
        self.campaign_id = campaign_id if together and draw.random() < 0.8 else None
        self.interval = draw.choice(INTERVALS)
        self.begins = draw.uniform(0, SPAN)
        self.is_cancelled_at = self.begins + draw.uniform(0, SPAN) if draw.random() < 0.25 else None
        self.decision: Decision | None = None
        self.ended_at = 0.0

    async def run(self, began: float) -> None:
        await asyncio.sleep(self.begins)
        task = asyncio.ensure_future(wait_for(self.batch_ids, self.campaign_id, interval=self.interval))
        if self.is_cancelled_at is not None:
            await asyncio.wait([task], timeout=self.is_cancelled_at - self.begins)
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                return
        self.decision = await task
        self.ended_at = time.monotonic() - began


@pytest.mark.parametrize("moods", ["none", "blips", "lagging list"])
@pytest.mark.parametrize("seed", range(2))
def test_every_wait_ends_when_its_batches_have(
    sandbox: Sandbox, hook: GraineHook, connect: Callable[..., None], seed: int, moods: str
) -> None:
    draw = random.Random(f"{seed} {moods}")
    campaigns: dict[str, list[str]] = {}
    for _ in range(3):
        campaign_id, batch_ids = make(hook, 6)
        campaigns[campaign_id] = batch_ids
        if moods == "lagging list":
            sandbox.fault("POST /batches/", "late", list_calls=draw.randrange(4))
            sandbox.fault("POST /batches/", "late", virtual_seconds=1e6)
            batch_ids += [add(hook, campaign_id), add(hook, campaign_id)]
    if moods == "blips":
        connect(extra={"retries": 0})
        for kind in ("drop", "html", "truncate"):
            sandbox.fault("GET *", kind, times=2, after=draw.randrange(30))  # type: ignore[arg-type]
        sandbox.fault(LIST, "status", status=503, times=3, after=draw.randrange(10))
        sandbox.fault("GET /batches/{batch_id}", "hang", seconds=0.2, times=3, after=draw.randrange(10))
    ends = {each: draw.uniform(0, 1.5 * SPAN) for batch_ids in campaigns.values() for each in batch_ids}
    waits = [Waiting(draw, campaigns) for _ in range(40)]

    async def all_of_it() -> None:
        began = time.monotonic()

        async def end(batch_id: str) -> None:
            await asyncio.sleep(ends[batch_id])
            sandbox.expire_batch(batch_id)
            ends[batch_id] = time.monotonic() - began

        await asyncio.gather(*map(end, ends), *(wait.run(began) for wait in waits))

    ended: list[Any] = run(all_of_it())
    assert ended == [None]

    for wait in waits:
        if wait.decision is None:
            assert wait.is_cancelled_at is not None, "a wait that nobody cancelled ends by itself"
            continue
        assert wait.decision.step is Step.FAILED
        named = [each for each in wait.batch_ids if f"{each} is expired" in wait.decision.message]
        assert named == wait.batch_ids
        last = max(wait.begins, *(ends[each] for each in wait.batch_ids))
        assert wait.ended_at >= last, "a wait ended before its batches"
        assert wait.ended_at - last < 10, "a wait was forgotten"
    assert any(wait.decision for wait in waits)
    assert asked(sandbox)["page"] > 0
