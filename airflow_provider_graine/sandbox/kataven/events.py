"""A campaign's live metrics as server-sent events."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from ..faults import EventStream
from . import model, views

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ..service import Surroundings
    from .model import Campaign
    from .settings import KatavenSettings

HEARTBEAT = b": heartbeat\n\n"


def stream(
    around: Surroundings, campaign: Campaign, settings: KatavenSettings, *, is_there: Callable[[], bool]
) -> EventStream:
    """
    Snapshots while the campaign runs, heartbeats all the time, and one last event when it has ended.

    Jumps of the clock are not made up for: whatever was due meanwhile comes once.

    :param around: whose clock it goes by
    :param campaign: which
    :param settings: how often what is sent
    :param is_there: whether the campaign has not been deleted yet; asked with the lock held
    :return: the answer
    """
    return EventStream(_pieces(around, campaign, settings, is_there, around.clock.now()))


async def _pieces(
    around: Surroundings,
    campaign: Campaign,
    settings: KatavenSettings,
    is_there: Callable[[], bool],
    begin: float,
) -> AsyncGenerator[bytes]:
    tick, beat = begin + settings.tick_seconds, begin + settings.heartbeat_seconds
    with around.bell.listen() as rung:
        while True:
            rung.clear()
            with around.caught_up():
                now = around.clock.now()
                if around.stopping.is_set() or not is_there():
                    return
                if campaign.status in model.ENDED:
                    break
                data = views.snapshot(campaign, settings)
            if now >= beat:
                beat = _next(beat, settings.heartbeat_seconds, now)
                yield HEARTBEAT
            if now >= tick:
                tick = _next(tick, settings.tick_seconds, now)
                if data["status"] == model.RUNNING:
                    yield f"data: {json.dumps(data)}\n\n".encode()
            await asyncio.sleep(settings.tick_pause)
            try:
                async with asyncio.timeout(_real_seconds(around, min(tick, beat))):
                    await rung.wait()
            except TimeoutError:
                continue
    yield b"event: end\n\n" if settings.end_data is None else f"event: end\ndata: {settings.end_data}\n\n".encode()


def _next(due: float, seconds: float, now: float) -> float:
    """:return: the first moment after ``now`` in steps from ``due``"""
    return due + seconds * ((now - due) // seconds + 1)


def _real_seconds(around: Surroundings, moment: float) -> float | None:
    speed = around.clock.speed
    return max(0.0, (moment - around.clock.now()) / speed) if speed else None
