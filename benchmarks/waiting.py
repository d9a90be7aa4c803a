"""
What thousands of waits cost one triggerer: 2,000 of them in one event loop, beside a plain trigger.

Five processes: a sandbox; 2,000 ``GraineBatchTrigger``; 2,000 plain triggers on the same batches at the same time, each
with its own client and one GET per interval; an event loop with nothing to do; and this one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import random
import ssl
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.measuring import Line, airflow_home, report

SPEED = 60  # virtual seconds of the sandbox in one of ours
SECONDS_PER_CALL = 1.9  # of ours, on average, with the outcomes below
START_OVER = 1.0  # intervals over which the waits start
LONGEST_BLOCK = 0.05  # seconds
QUIET = 0.025  # seconds for which even an idle loop is held up where nothing else runs on the machine

Trigger = Any
Make = Callable[[str, str], Trigger]


@dataclass(frozen=True)
class Size:
    """
    :param campaigns: number of campaigns
    :param batches: number of batches in each, and of waits: one for each batch
    :param interval: seconds between looks
    :param seconds: roughly, from the start until the last batch ends
    """

    campaigns: int
    batches: int
    interval: float
    seconds: float

    @property
    def waits(self) -> int:
        return self.campaigns * self.batches


@dataclass(frozen=True)
class Run:
    """What one kind of trigger took; times are those of the machine's monotonic clock."""

    cpu: float
    growth: float
    longest_block: float
    longest_own: float
    longest_collection: float
    seen: dict[str, float]


# The service


def serve(pipe: Connection, size: Size) -> None:
    """Make the batches, let both kinds of triggers poll, and tell what was asked and when each batch ended."""
    from airflow_provider_graine.sandbox import Sandbox, app

    asked: Counter[str] = Counter()

    class Counting(app.Recorder):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                agent = dict(scope["headers"]).get(b"user-agent", b"").decode()
                asked[agent.partition("/")[0]] += 1
            await super().__call__(scope, receive, send)

    app.Recorder = Counting  # type: ignore[misc]
    with Sandbox(speed=SPEED, outcomes={"completed": 1}, record_requests=False) as sandbox:
        pipe.send((sandbox.connection_json(), sandbox.url, sandbox.token))
        made = pipe.recv()
        asked.clear()
        pipe.send(None)
        pipe.recv()
        ended = {}
        for batch_id in made:
            moment = datetime.fromisoformat(sandbox.batches[batch_id]["updated_at"]).timestamp()
            ended[batch_id] = time.monotonic() - (sandbox.now - moment) / SPEED
        pipe.send((dict(asked), ended))


def make_batches(size: Size) -> dict[str, str]:
    """Fill the service; gives batch id to campaign id. One call at a time, so a batch's size is its duration."""
    from airflow_provider_graine.hooks.graine import GraineHook

    hook, made, draw = GraineHook(), {}, random.Random(1)
    longest = size.seconds / SECONDS_PER_CALL
    for campaign in range(size.campaigns):
        campaign_id = hook.create_campaign(
            name=f"Campaign {campaign}", agent_id="agent_1", phone_numbers=["+918045678900"]
        ).campaign_id
        for batch in range(size.batches):
            people = [
                {"phone_number": f"+91{campaign:02}{batch:04}{i:04}", "call_variables": {"callee_name": "A"}}
                for i in range(max(1, int(draw.uniform(0.3, 1.0) * longest)))
            ]
            batch_id = hook.create_batch(campaign_id=campaign_id, contacts=people, concurrency_limit=1).batch_id
            made[batch_id] = campaign_id
    hook.close()
    return made


# The waits


def shared(interval: float, _url: str, _token: str) -> Make:
    from airflow_provider_graine.triggers.graine import GraineBatchTrigger

    return lambda batch_id, campaign_id: GraineBatchTrigger(
        batch_ids=[batch_id], campaign_id=campaign_id, poll_interval=interval
    )


def plain(interval: float, url: str, token: str) -> Make:
    import httpx
    from airflow.triggers.base import BaseTrigger, TriggerEvent

    trust = ssl.create_default_context()  # one for all: most of what a client costs is no fault of polling

    class PlainTrigger(BaseTrigger):
        def __init__(self, batch_id: str) -> None:
            super().__init__()
            self.batch_id = batch_id

        def serialize(self) -> tuple[str, dict[str, Any]]:
            return f"{__name__}.PlainTrigger", {"batch_id": self.batch_id}

        async def run(self) -> Any:
            headers = {"Authorization": f"Bearer {token}", "User-Agent": "plain/1"}
            async with httpx.AsyncClient(base_url=url, headers=headers, verify=trust, timeout=30) as client:
                while True:
                    answer = await client.get(f"/batches/{self.batch_id}")
                    answer.raise_for_status()
                    if answer.json()["status"] in {"completed", "cancelled", "expired"}:
                        yield TriggerEvent({"status": "done"})
                        return
                    await asyncio.sleep(interval)

    return lambda batch_id, _campaign_id: PlainTrigger(batch_id)


def wait_for_all(pipe: Connection, kind: Callable[[float, str, str], Make], size: Size, url: str, token: str) -> None:
    """Be a triggerer with a trigger for each batch."""
    sys.stdout = sys.stderr = Path("/dev/null").open("w")  # noqa: SIM115 - log lines are made, as in a triggerer
    make = kind(size.interval, url, token)

    async def wait(trigger: Trigger) -> float:
        async for event in trigger.run():
            assert event.payload["status"] == "done", event.payload
        return time.monotonic()

    async def run(warm_up: tuple[str, str], made: dict[str, str]) -> Run:
        await wait(make(*warm_up))
        gc.collect()
        gc.freeze()  # what was imported; else each full collection goes through all of Airflow
        pipe.send(None)
        await asyncio.to_thread(pipe.recv)
        ticker = Ticker()
        cpu, memory = time.process_time(), resident()
        waits = {}
        for number, (batch_id, campaign_id) in enumerate(made.items(), 1):
            waits[batch_id] = asyncio.ensure_future(wait(make(batch_id, campaign_id)))
            if number % 20 == 0:
                await asyncio.sleep(START_OVER * size.interval * 20 / size.waits)
        await asyncio.sleep(size.interval)
        growth = (resident() - memory) / size.waits
        seen = dict(zip(waits, await asyncio.gather(*waits.values()), strict=True))
        ticker.stop()
        cpu = time.process_time() - cpu
        return Run(cpu, growth, ticker.longest, ticker.longest_own, ticker.longest_collection, seen)

    pipe.send(asyncio.run(run(*pipe.recv())))


class Ticker:
    """
    Notes for how long nobody else on the event loop got a turn.

    It wants a turn every 10 ms. A block is noted with the part of it that comes after the turn was due, so it may have
    been up to 10 ms longer; that much is added.
    """

    every = 0.01

    def __init__(self) -> None:
        self.longest = self.longest_own = self.longest_collection = 0.0
        self._loop = asyncio.get_running_loop()
        gc.callbacks.append(self._collection)
        self._tick = self._begin()

    def _begin(self) -> asyncio.TimerHandle:
        self._due, self._own = self._loop.time() + self.every, time.thread_time()
        return self._loop.call_at(self._due, self._turn)

    def _turn(self) -> None:
        late = self._loop.time() - self._due + self.every
        self.longest = max(self.longest, late)
        self.longest_own = max(self.longest_own, min(late, time.thread_time() - self._own))
        self._tick = self._begin()

    def _collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self.longest_collection = max(self.longest_collection, time.thread_time() - self._collecting)

    def stop(self) -> None:
        self._tick.cancel()
        gc.callbacks.remove(self._collection)


def idle(pipe: Connection) -> None:
    """Tell what the machine itself does to an event loop with nothing on it."""

    async def run() -> float:
        ticker = Ticker()
        await asyncio.to_thread(pipe.recv)
        ticker.stop()
        return ticker.longest

    pipe.recv()
    pipe.send(asyncio.run(run()))


def resident() -> float:
    """Memory of this process, in KB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4.096


# The comparison


def start(target: Callable[..., None], *args: Any) -> tuple[Any, Connection]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def benchmark(size: Size) -> int:
    with airflow_home():
        _, service = start(serve, size)
        connection, url, token = service.recv()
    with airflow_home(graine_default=connection):
        runs = {name: start(wait_for_all, kind, size, url, token)[1] for name, kind in KINDS.items()}
        _, nothing = start(idle)
        print(f"Making {size.waits} batches ...", flush=True)
        warm_up = next(iter(make_batches(Size(1, 1, 1.0, 4.0)).items()))
        made = make_batches(size)
        for pipe in runs.values():
            pipe.send((warm_up, made))
        for pipe in runs.values():
            pipe.recv()
        service.send(list(made))
        service.recv()
        print(f"Waiting for them; takes about {size.seconds:.0f} seconds ...", flush=True)
        nothing.send(None)
        began = time.monotonic()
        for pipe in runs.values():
            pipe.send(None)
        took = {name: pipe.recv() for name, pipe in runs.items()}
        nothing.send(None)
        service.send(None)
        asked, ended = service.recv()
        return compare(size, took, asked, ended, began=began, idle=nothing.recv())


KINDS = {"shared": shared, "plain": plain}


def compare(
    size: Size, took: dict[str, Run], asked: dict[str, int], ended: dict[str, float], *, began: float, idle: float
) -> int:
    ours, theirs = took["shared"], took["plain"]
    requests = {"shared": asked["airflow-provider-graine"], "plain": asked["plain"]}
    delays = {
        name: sorted(run.seen[each] - moment for each, moment in ended.items() if moment > began + 2 * size.interval)
        for name, run in took.items()
    }
    lines: list[Line] = []

    def both(what: str, shown: Callable[[Run, str], str], target: str = "", met: bool = True) -> None:
        lines.append(Line(what, f"{shown(ours, 'shared')} / {shown(theirs, 'plain')}", target, met))

    fewer = requests["plain"] / requests["shared"]
    cheaper = theirs.cpu / ours.cpu
    both("requests", lambda _, name: f"{requests[name]}", "at most 1/20", fewer >= 20)
    lines.append(Line("  one of ours for", f"{fewer:.1f}"))
    both("CPU seconds of the process", lambda run, _: f"{run.cpu:.1f}", "at most 1/5", cheaper >= 5)
    lines.append(Line("  one of ours for", f"{cheaper:.1f}"))
    both("memory for each wait, KB (growth of RSS)", lambda run, _: f"{run.growth:.1f}")
    is_quiet = idle < QUIET
    block = "under 50 ms" if is_quiet else "under 50 ms on the CPU"
    is_short = (ours.longest_block if is_quiet else ours.longest_own) < LONGEST_BLOCK
    both("longest block of the loop, ms", lambda run, _: f"{1000 * run.longest_block:.0f}", block, is_short)
    both("  on the CPU, ms", lambda run, _: f"{1000 * run.longest_own:.0f}")
    both("  longest garbage collection, ms", lambda run, _: f"{1000 * run.longest_collection:.0f}")
    lines.append(Line("  an idle loop beside them, ms", f"{1000 * idle:.0f}"))
    for what, figure in FIGURES.items():
        mine, other = figure(delays["shared"]), figure(delays["plain"])
        lines.append(Line(f"detection delay, {what}, s", f"{mine:.2f} / {other:.2f}", "not above plain", mine <= other))
    title = (
        f"{size.waits} waits on {size.campaigns} campaigns, a look every {size.interval:g} s, "
        f"{len(delays['shared'])} delays measured: shared / plain"
    )
    return report(title, lines)


FIGURES: dict[str, Callable[[list[float]], float]] = {
    "median": statistics.median,
    "95th percentile": lambda delays: delays[int(0.95 * len(delays))],
    "longest": max,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--campaigns", type=int, default=20)
    parser.add_argument("--batches", type=int, default=100, help="in each campaign, and a wait for each")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between looks")
    parser.add_argument("--seconds", type=float, default=150.0, help="until the last batch ends, roughly")
    return benchmark(Size(**vars(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
