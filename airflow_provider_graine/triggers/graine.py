"""Triggers that wait for Graine batches and campaigns to end."""

from __future__ import annotations

import asyncio
import importlib
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from airflow.triggers.base import TriggerEvent

from airflow_provider_graine.exceptions import CallingError
from airflow_provider_graine.triggers.batch_events import GraineBatchEventTrigger
from airflow_provider_graine.triggers.kill import StopsCallsOnKill
from airflow_provider_graine.waiting.decision import Step, Wait
from airflow_provider_graine.waiting.event import broke, ended
from airflow_provider_graine.waiting.rules import WaitRules

__all__ = ["GraineBatchEventTrigger", "GraineBatchTrigger", "GraineCampaignTrigger"]


_polls: Any = None


async def _shared_polls() -> Any:
    """Import what shares the polls, off the event loop: it takes a while, and the loop belongs to all triggers."""
    global _polls  # noqa: PLW0603
    if _polls is None:
        _polls = await asyncio.to_thread(importlib.import_module, "airflow_provider_graine.watching.graine_polls")
    return _polls


class _CallsEndTrigger(StopsCallsOnKill):
    """
    Fires once, when the waiting core says that the wait is over.

    All waits of one triggerer on one connection share its session, and those on one campaign its polls.
    """

    def __init__(
        self,
        *,
        graine_conn_id: str,
        poll_interval: float,
        deadline: float | None,
        on_kill: Literal["none", "pause", "cancel"],
        min_completed_share: float | None,
        max_failed_share: float | None,
        stalled_after: float | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graine_conn_id = graine_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.kill_action = on_kill
        self.rules = WaitRules(
            min_completed_share=min_completed_share, max_failed_share=max_failed_share, stalled_after=stalled_after
        )

    @abstractmethod
    def _watched(self) -> dict[str, Any]:
        """Return what is waited for, as kwargs of the trigger; also part of the event."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{type(self).__module__}.{type(self).__name__}", {
            **self._watched(),
            "graine_conn_id": self.graine_conn_id,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "on_kill": self.kill_action,
            **self.rules.as_kwargs(),
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire one event: ``status`` is ``done``, ``failed``, ``timed_out`` or ``error``, with message and counts."""
        async with self.noticing_a_kill():
            end = await self._end()
        yield TriggerEvent({**end, **self._watched()})  # type: ignore[no-untyped-call]

    async def _end(self) -> dict[str, Any]:
        polls = await _shared_polls()
        wait = Wait(rules=self.rules, poll_interval=self.poll_interval, deadline=self.deadline)
        pause = self.poll_interval
        try:
            async with polls.shared_watch(self.graine_conn_id, **self._watched()) as watch:
                while True:
                    decision = await watch.decide(wait, pause=pause)
                    if decision.warning:
                        self.log.warning(decision.warning)
                    if decision.step is not Step.WAIT:
                        return ended(decision)
                    if decision.worth_telling:
                        self.log.info(decision.message)
                    pause = decision.pause
        except CallingError as error:
            return broke(error)


class GraineBatchTrigger(_CallsEndTrigger):
    """
    Wait until batches have ended.

    :param batch_ids: the batches
    :param graine_conn_id: the connection; default ``graine_default``
    :param poll_interval: seconds between looks; the first look comes after at most one interval; default 30
    :param deadline: wall-clock time, in seconds since the epoch, at which the wait has timed out; default: never
    :param campaign_id: the campaign of the batches, where they are all of one: saves a look at each; default: asked for
    :param on_kill: what happens to the batches when a user fails, clears or succeeds the deferred task: ``"none"``
        (default), ``"pause"`` or ``"cancel"``
    :param min_completed_share: share of the contacts, 0 to 1, below which the wait fails; default: any will do
    :param max_failed_share: share of the contacts, 0 to 1, above which the wait fails; default: any will do
    :param stalled_after: seconds without progress, inside calling hours, after which the service is asked why;
        default 1800. ``None``: never
    """

    def __init__(
        self,
        batch_ids: Sequence[str],
        graine_conn_id: str = "graine_default",
        poll_interval: float = 30.0,
        deadline: float | None = None,
        *,
        campaign_id: str | None = None,
        on_kill: Literal["none", "pause", "cancel"] = "none",
        min_completed_share: float | None = None,
        max_failed_share: float | None = None,
        stalled_after: float | None = 1800.0,
    ) -> None:
        super().__init__(
            graine_conn_id=graine_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
            on_kill=on_kill,
            min_completed_share=min_completed_share,
            max_failed_share=max_failed_share,
            stalled_after=stalled_after,
        )
        self.batch_ids = list(batch_ids)
        self.campaign_id = campaign_id

    def _watched(self) -> dict[str, Any]:
        return {"batch_ids": self.batch_ids, "campaign_id": self.campaign_id}


class GraineCampaignTrigger(_CallsEndTrigger):
    """
    Wait until a campaign has ended.

    :param campaign_id: the campaign
    :param graine_conn_id: the connection; default ``graine_default``
    :param poll_interval: seconds between looks; the first look comes after at most one interval; default 30
    :param deadline: wall-clock time, in seconds since the epoch, at which the wait has timed out; default: never
    :param on_kill: what happens to the campaign when a user fails, clears or succeeds the deferred task: ``"none"``
        (default), ``"pause"`` or ``"cancel"``
    :param min_completed_share: share of the contacts, 0 to 1, below which the wait fails; default: any will do
    :param max_failed_share: share of the contacts, 0 to 1, above which the wait fails; default: any will do
    :param stalled_after: seconds without progress, inside calling hours, after which the log says so; default 1800.
        ``None``: never
    """

    def __init__(
        self,
        campaign_id: str,
        graine_conn_id: str = "graine_default",
        poll_interval: float = 30.0,
        deadline: float | None = None,
        *,
        on_kill: Literal["none", "pause", "cancel"] = "none",
        min_completed_share: float | None = None,
        max_failed_share: float | None = None,
        stalled_after: float | None = 1800.0,
    ) -> None:
        super().__init__(
            graine_conn_id=graine_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
            on_kill=on_kill,
            min_completed_share=min_completed_share,
            max_failed_share=max_failed_share,
            stalled_after=stalled_after,
        )
        self.campaign_id = campaign_id

    def _watched(self) -> dict[str, Any]:
        return {"campaign_id": self.campaign_id}
