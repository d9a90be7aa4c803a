"""The part of Airflow's triggerer that runs watchers, with a metadata database that is only a dict."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time import comms, task_runner
from airflow.sdk.execution_time.context import AssetStateStoreAccessors
from airflow.triggers.shared_stream import SharedStreamManager

from airflow_provider_graine.triggers.batch_events import GraineBatchEventTrigger

FAST: dict[str, Any] = {"poll_interval": 0.05}


@dataclass
class Database:
    """What outlives a triggerer: the state of assets, and the events that were stored, by asset."""

    state: dict[tuple[str, str], Any] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails: bool = False
    writes: int = 0

    def told(self, asset: str = "calls") -> list[tuple[str, str]]:
        return [(payload["batch_id"], payload["status"]) for name, payload in self.events if name == asset]

    async def asend(self, message: Any) -> Any:
        """Answer as the supervisor does."""
        if isinstance(message, comms.GetAssetStateStoreByName):
            value = self.state.get((message.name, message.key))
            if value is None:
                return comms.ErrorResponse(error=comms.ErrorType.ASSET_STORE_NOT_FOUND)
            return comms.AssetStateStoreResult(value=json.loads(value))
        if isinstance(message, comms.SetAssetStateStoreByName):
            if self.fails:
                raise RuntimeError("the database is away")
            self.writes += 1
            assert len(json.dumps(message.value)) <= 65_535
            self.state[message.name, message.key] = json.dumps(message.value)
        return comms.OKResponse(ok=True)

    send = None


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    database = Database()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", database, raising=False)
    return database


class Triggerer:
    """
    Runs watchers as ``airflow.jobs.triggerer_job_runner.TriggerRunner`` does.

    :param database: where events are stored
    :param stores: whether events reach the database at all
    """

    def __init__(self, database: Database, *, stores: bool = True) -> None:
        self._database = database
        self._stores = stores
        self._streams = SharedStreamManager()
        self._unsent: list[tuple[list[str], dict[str, Any], int | None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.yielded = 0

    async def __aenter__(self) -> Self:
        self._syncing = asyncio.create_task(self._sync())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks, self._syncing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._streams.stop_all()

    def watch(self, trigger: GraineBatchEventTrigger, *assets: str) -> asyncio.Task[None]:
        names = list(assets or ["calls"])
        trigger.trigger_id = len(self._tasks) + 1
        trigger.asset_state_store = AssetStateStoreAccessors(inlets=[Asset(name=name) for name in names])
        self._tasks.append(asyncio.create_task(self._run(trigger, names)))
        return self._tasks[-1]

    async def _run(self, trigger: GraineBatchEventTrigger, assets: list[str]) -> None:
        key, number = trigger.shared_stream_key(), trigger.trigger_id
        stream = self._streams.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                self.yielded += 1
                seq = self._streams.bind_pending_event(trigger_id=number, key=key)
                self._unsent.append((assets, json.loads(json.dumps(event.payload)), seq))
        finally:
            await self._streams.unsubscribe(number, key)

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            if self._stores:
                unsent, self._unsent = self._unsent, []
                self._database.events += [(name, payload) for names, payload, _ in unsent for name in names]
                self._streams.confirm_persisted([seq for *_, seq in unsent if seq is not None])

    async def until(self, happened: Callable[[], bool], *, within: float = 10) -> None:
        async with asyncio.timeout(within):
            while not happened():
                for task in self._tasks:
                    if task.done() and not task.cancelled():
                        task.result()
                await asyncio.sleep(0.01)

    async def looks(self, count: Callable[[], int], more: int = 3) -> None:
        """Wait for some more looks."""
        before = count()
        await self.until(lambda: count() >= before + more)
