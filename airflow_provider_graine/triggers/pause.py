"""A pause of a task that holds no worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class PauseTrigger(BaseTrigger):
    """
    Let a task go on at a given time, with what it gave the trigger to keep.

    :param until: wall-clock time in seconds since the epoch
    :param kept: JSON values that come back as the event
    """

    def __init__(self, until: float, kept: dict[str, Any] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self.kept = kept or {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return "airflow_provider_graine.triggers.pause.PauseTrigger", {"until": self.until, "kept": self.kept}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once the time has come; not at once, which some Airflow versions do not take well."""
        await asyncio.sleep(max(1.0, self.until - time.time()))
        yield TriggerEvent(self.kept)  # type: ignore[no-untyped-call]
