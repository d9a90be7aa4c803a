"""Pauses of a task that hold no worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from airflow.triggers.base import TriggerEvent

from airflow_provider_graine.triggers.kill import StopsCallsOnKill, StopsGraineCalls, StopsKatavenCalls


class _Pause(StopsCallsOnKill):
    """Fires at a given time with what it was given to keep."""

    deadline = None
    until: float
    kept: dict[str, Any]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once the time has come; not at once, which some Airflow versions do not take well."""
        async with self.noticing_a_kill():
            await asyncio.sleep(max(1.0, self.until - time.time()))
        yield TriggerEvent(self.kept)  # type: ignore[no-untyped-call]


class PauseTrigger(StopsGraineCalls, _Pause):
    """
    Let a task go on at a given time, with what it gave the trigger to keep.

    :param until: wall-clock time in seconds since the epoch
    :param kept: JSON values that come back as the event
    :param batch_ids: the batches there are so far; default: none
    :param graine_conn_id: the connection they were created on; default ``graine_default``
    :param on_kill: what happens to them when a user fails, clears or succeeds the deferred task: ``"none"`` (default),
        ``"pause"`` or ``"cancel"``
    """

    def __init__(
        self,
        until: float,
        kept: dict[str, Any] | None = None,
        *,
        batch_ids: Sequence[str] = (),
        graine_conn_id: str = "graine_default",
        on_kill: Literal["none", "pause", "cancel"] = "none",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self.kept = kept or {}
        self.batch_ids = list(batch_ids)
        self.graine_conn_id = graine_conn_id
        self.kill_action = on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return "airflow_provider_graine.triggers.pause.PauseTrigger", {
            "until": self.until,
            "kept": self.kept,
            "batch_ids": self.batch_ids,
            "graine_conn_id": self.graine_conn_id,
            "on_kill": self.kill_action,
        }

    def _watched(self) -> dict[str, Any]:
        return {"batch_ids": self.batch_ids}


class KatavenPauseTrigger(StopsKatavenCalls, _Pause):
    """
    The same for a task that has campaigns of Kataven.

    :param until: wall-clock time in seconds since the epoch
    :param kept: JSON values that come back as the event
    :param campaign_ids: the campaigns there are so far; default: none
    :param kataven_conn_id: the connection they were created on; default ``kataven_default``
    :param on_kill: what happens to them when a user fails, clears or succeeds the deferred task: ``"none"`` (default),
        ``"pause"`` or ``"stop"``
    """

    def __init__(
        self,
        until: float,
        kept: dict[str, Any] | None = None,
        *,
        campaign_ids: Sequence[str] = (),
        kataven_conn_id: str = "kataven_default",
        on_kill: Literal["none", "pause", "stop"] = "none",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self.kept = kept or {}
        self.campaign_ids = list(campaign_ids)
        self.kataven_conn_id = kataven_conn_id
        self.kill_action = on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return "airflow_provider_graine.triggers.pause.KatavenPauseTrigger", {
            "until": self.until,
            "kept": self.kept,
            "campaign_ids": self.campaign_ids,
            "kataven_conn_id": self.kataven_conn_id,
            "on_kill": self.kill_action,
        }

    def _watched(self) -> dict[str, Any]:
        return {"campaign_ids": self.campaign_ids}
