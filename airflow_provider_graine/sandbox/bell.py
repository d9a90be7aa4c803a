"""Wakes what waits in the server's event loop when time is moved by hand."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bell:
    """Rung from any thread, heard in every event loop."""

    def __init__(self) -> None:
        self._listening: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def ring(self) -> None:
        """Set the event of everybody who listens."""
        for event, loop in list(self._listening.items()):
            with suppress(RuntimeError):  # that loop has closed meanwhile
                loop.call_soon_threadsafe(event.set)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Event]:
        """:return: an event that is set at each ring, to be cleared by who waits for it"""
        event = asyncio.Event()
        self._listening[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            del self._listening[event]
