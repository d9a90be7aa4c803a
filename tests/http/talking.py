"""One way to speak of both sessions, so that each rule is tested on both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest
import tenacity

from airflow_provider_graine.http import AsyncSession, Session
from airflow_provider_graine.services.graine import requests
from airflow_provider_graine.services.request import Request
from airflow_provider_graine.services.settings import ServiceSettings

TOKEN = "gat_first_0123456789"
NEW_TOKEN = "gat_second_9876543210"
NUMBER = "+14155550123"

READ = requests.get_batch("btc_1")
BATCH = {"batch_id": "btc_1", "status": "in_progress", "total_contacts": 1}
CREATE = requests.create_batch(campaign_id="cmp_1", contacts=[{"phone_number": NUMBER}])
PAUSE = requests.pause_batch("btc_1")
EXPORT = requests.export_batch("btc_1")


def settings(url: str, **fields: Any) -> ServiceSettings:
    defaults = {"token": TOKEN, "timeout": 5.0, "documented_errors": requests.DOCUMENTED_ERRORS}
    return ServiceSettings(base_url=url, **{**defaults, **fields})


class Blocking:
    def send(
        self, settings: ServiceSettings, *sent: Request[Any] | float, reload: Callable[[], str] = lambda: TOKEN
    ) -> Any:
        """Send one after the other in one session; return the last answer. A number is a pause in seconds."""
        with closing(Session(settings, reload_token=reload)) as session:
            return [time.sleep(each) if isinstance(each, float) else session.send(each) for each in sent][-1]

    def download(self, settings: ServiceSettings, request: Request[Any], *, blocks: int | None = None) -> Any:
        with (
            closing(Session(settings, reload_token=lambda: TOKEN)) as session,
            session.stream(request) as download,
        ):
            read = []
            for block in download.blocks:
                read.append(block)
                if len(read) == blocks:
                    break
            return download.length, b"".join(read)


class OnLoop:
    def send(
        self, settings: ServiceSettings, *sent: Request[Any] | float, reload: Callable[[], str] = lambda: TOKEN
    ) -> Any:
        async def areload() -> str:
            return reload()

        async def talk() -> Any:
            session = AsyncSession(settings, reload_token=areload)
            try:
                return [await self._one(session, each) for each in sent][-1]
            finally:
                await session.close()

        return asyncio.run(talk())

    async def _one(self, session: AsyncSession, each: Request[Any] | float) -> Any:
        return await (asyncio.sleep(each) if isinstance(each, float) else session.send(each))

    def download(self, settings: ServiceSettings, request: Request[Any], *, blocks: int | None = None) -> Any:
        async def areload() -> str:
            return TOKEN

        async def talk() -> Any:
            session = AsyncSession(settings, reload_token=areload)
            try:
                async with session.stream(request) as download:
                    read = []
                    async for block in download.blocks:
                        read.append(block)
                        if len(read) == blocks:
                            break
                    return download.length, b"".join(read)
            finally:
                await session.close()

        return asyncio.run(talk())


def note_naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the time between two attempts be noted, and not waited."""
    naps: list[float] = []

    async def note(seconds: float) -> None:
        naps.append(seconds)

    monkeypatch.setattr(tenacity, "Retrying", partial(tenacity.Retrying, sleep=naps.append))
    monkeypatch.setattr(tenacity, "AsyncRetrying", partial(tenacity.AsyncRetrying, sleep=note))
    return naps


def whole_text(error: BaseException | None) -> str:
    """Everything that a printed error could say, its causes and contexts included."""
    said = ""
    while error is not None:
        said += f"{type(error).__name__} {error} {error!r} {getattr(error, '__notes__', '')} "
        error = error.__cause__ or error.__context__
    return said
