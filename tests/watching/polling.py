"""Waits as a trigger runs them, for the tests of shared polling."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.waiting.decision import Decision, Step, Wait
from airflow_provider_graine.watching.graine_polls import shared_watch
from airflow_provider_graine.watching.shared_watch import _connections

INTERVAL = 0.15


async def wait_for(
    batch_ids: Sequence[str] | None = None,
    campaign_id: str | None = None,
    *,
    conn_id: str = "graine_default",
    interval: float = INTERVAL,
    deadline: float | None = None,
    seen: list[Decision] | None = None,
) -> Decision:
    """Wait as a trigger does; gives the decision that ended the wait."""
    wait, pause = Wait(poll_interval=interval, deadline=deadline), interval
    async with shared_watch(conn_id, batch_ids=batch_ids, campaign_id=campaign_id) as watch:
        while True:
            decision = await watch.decide(wait, pause=pause)
            if seen is not None:
                seen.append(decision)
            if decision.step is not Step.WAIT:
                return decision
            pause = decision.pause


def run(*waits: Awaitable[Any], may_fail: bool = False) -> list[Any]:
    """
    Run waits on an event loop of their own, and see that they leave nothing behind.

    :param may_fail: give errors among the results
    """

    async def together() -> list[Any]:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            ended = list(await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30))
        except TimeoutError:
            # Most likely the others wait for what one of them did not come to do.
            for task in tasks:
                if task.done() and not task.cancelled() and (failure := task.exception()) is not None:
                    raise failure from None
            raise
        for each in ended:
            if isinstance(each, BaseException) and not (may_fail and isinstance(each, Exception)):
                raise each
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a poll goes on with nobody waiting"
        assert not _connections.get(asyncio.get_running_loop()), "a connection is open with nobody waiting"
        return ended

    return asyncio.run(together())


def start(*waits: Awaitable[Any]) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(wait) for wait in waits]


async def until(condition: Any, *, within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - the condition is the sandbox's, which has no events
            await asyncio.sleep(0.01)


def make(hook: GraineHook, batches: int = 1, **fields: Any) -> tuple[str, list[str]]:
    """A campaign with batches of two people each."""
    campaign_id = hook.create_campaign(name="C", agent_id="a", phone_numbers=["+918045678900"], **fields).campaign_id
    return campaign_id, [add(hook, campaign_id) for _ in range(batches)]


def add(hook: GraineHook, campaign_id: str, **fields: Any) -> str:
    people = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": "A"}} for i in range(2)]
    return hook.create_batch(campaign_id=campaign_id, contacts=people, **fields).batch_id


def asked(sandbox: Sandbox) -> Counter[str]:
    """How often was what read: ``batch``, ``list`` (first pages), ``page`` (all pages), ``campaign``, ``stats``."""
    kinds: Counter[str] = Counter()
    for request in sandbox.requests:
        path = request.path.removeprefix("/api/v1")
        if request.method != "GET":
            continue
        if re.fullmatch(r"/campaigns/\w+/batches", path):
            kinds["page"] += 1
            kinds["list"] += "skip=0" in request.query
        elif re.fullmatch(r"/campaigns/\w+/stats", path):
            kinds["stats"] += 1
        else:
            kinds[path.split("/")[1].removesuffix("es").removesuffix("s")] += 1
    return kinds


def of(sandbox: Sandbox, batch_id: str) -> int:
    """How often a batch was asked for by itself."""
    return sum(request.path == f"/api/v1/batches/{batch_id}" for request in sandbox.requests)


def expire(sandbox: Sandbox, batch_ids: Iterable[str]) -> None:
    for batch_id in batch_ids:
        sandbox.expire_batch(batch_id)
