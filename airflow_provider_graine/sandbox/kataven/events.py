"""A campaign's live metrics as server-sent events."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from ..faults import EventStream
from . import model, views

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..world import World
    from .model import Campaign

HEARTBEAT = b": heartbeat\n\n"


def stream(world: World, campaign: Campaign) -> EventStream:
    """
    Snapshots while the campaign runs, heartbeats all the time, and one last event when it has ended.

    Jumps of the clock are not made up for: whatever was due meanwhile comes once.

    :param world: whose clock it goes by
    :param campaign: which
    :return: the answer
    """
    return EventStream(_pieces(world, campaign, world.clock.now()))


async def _pieces(world: World, campaign: Campaign, begin: float) -> AsyncGenerator[bytes]:
    settings = world.kataven_settings
    tick, beat = begin + settings.tick_seconds, begin + settings.heartbeat_seconds
    with world.bell.listen() as rung:
        while True:
            rung.clear()
            with world.caught_up():
                now = world.clock.now()
                is_gone = world.kataven.simulation.campaigns.get(campaign.campaign_id) is not campaign
                if is_gone or world.stopping.is_set():
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
                async with asyncio.timeout(_real_seconds(world, min(tick, beat))):
                    await rung.wait()
            except TimeoutError:
                continue
    yield b"event: end\n\n" if settings.end_data is None else f"event: end\ndata: {settings.end_data}\n\n".encode()


def _next(due: float, seconds: float, now: float) -> float:
    """:return: the first moment after ``now`` in steps from ``due``"""
    return due + seconds * ((now - due) // seconds + 1)


def _real_seconds(world: World, moment: float) -> float | None:
    speed = world.clock.speed
    return max(0.0, (moment - world.clock.now()) / speed) if speed else None
