"""The event loop belongs to all triggers of a triggerer: nothing of ours may hold it up."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from tests.watching.polling import expire, make, run, wait_for

#: A trigger in a process that has imported what a triggerer has; tells what was imported, and which certificates were
#: loaded, by the thread that runs the event loop.
FIRST_WAIT = """
import asyncio, json, ssl, sys, threading
import airflow.sdk, airflow.triggers.base
from airflow_provider_graine.triggers.graine import GraineBatchTrigger

main, on_loop = threading.main_thread(), []

def note(what):
    if threading.current_thread() is main:
        on_loop.append(what)

class Watching:
    def find_spec(self, name, path=None, target=None):
        note(name)

real = ssl.SSLContext.load_verify_locations

def load(self, *args, **kwargs):
    note("certificates")
    return real(self, *args, **kwargs)

ssl.SSLContext.load_verify_locations = load
sys.meta_path.insert(0, Watching())

async def run():
    trigger = GraineBatchTrigger(batch_ids=[sys.argv[1]], poll_interval=0.1)
    return [event.payload["status"] async for event in trigger.run()]

print(json.dumps([asyncio.run(run()), on_loop, "httpx" in sys.modules]))
"""

HEAVY = {"anyio", "certifi", "h11", "httpcore", "httpx", "pydantic", "pydantic_core", "tenacity", "certificates"}


def test_first_wait_imports_nothing_heavy_on_the_loop(sandbox: Sandbox, hook: GraineHook) -> None:
    _, (batch_id,) = make(hook, 1)
    expire(sandbox, [batch_id])
    environment = {**os.environ, "AIRFLOW_CONN_GRAINE_DEFAULT": sandbox.connection_json()}
    told = subprocess.run(
        [sys.executable, "-c", FIRST_WAIT, batch_id], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    statuses, on_loop, has_httpx = json.loads(told.stdout.splitlines()[-1])
    assert (statuses, has_httpx) == (["failed"], True)
    ours = {name for name in on_loop if name.startswith("airflow_provider_graine.")}
    assert {name for name in on_loop if name.partition(".")[0] in HEAVY} | ours == set()


def test_loop_has_turns_while_many_are_told(sandbox: Sandbox, hook: GraineHook) -> None:
    campaigns = [make(hook, 100) for _ in range(3)]
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        await asyncio.sleep(0.5)
        expire(sandbox, [each for _, batch_ids in campaigns for each in batch_ids])
        end = time.monotonic() + 1.5
        while (last := time.monotonic()) < end:
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - last)

    run(*(wait_for([each], campaign_id) for campaign_id, batch_ids in campaigns for each in batch_ids), tick())
    assert longest < 0.4
