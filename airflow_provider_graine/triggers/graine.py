"""Triggers that wait for Graine batches and campaigns to end."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_graine.exceptions import CallingError
from airflow_provider_graine.waiting.decision import Step, Wait

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine_watch import BatchWatch, CampaignWatch


class _CallsEndTrigger(BaseTrigger):
    """Looks at the calls at intervals and fires once, when the waiting core says that the wait is over."""

    def __init__(self, *, graine_conn_id: str, poll_interval: float, deadline: float | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graine_conn_id = graine_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    @abstractmethod
    def _watched(self) -> dict[str, Any]:
        """Return what is waited for, as kwargs of the trigger; also part of the event."""

    @abstractmethod
    def _watch(self) -> BatchWatch | CampaignWatch:
        """Return what looks at it."""

    def _kwargs(self) -> dict[str, Any]:
        return {
            **self._watched(),
            "graine_conn_id": self.graine_conn_id,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire one event: ``status`` is ``done``, ``failed``, ``timed_out`` or ``error``, with message and counts."""
        from airflow_provider_graine.hooks.graine import GraineHook
        from airflow_provider_graine.hooks.graine_watch import adecide

        hook = GraineHook(self.graine_conn_id)
        watch = self._watch()
        wait = Wait(deadline=self.deadline)
        said = ""
        try:
            while True:
                await asyncio.sleep(self._pause())
                decision = await adecide(watch, hook, wait)
                if decision.step is not Step.WAIT:
                    yield self._event(decision.step.value, decision.message, decision.counts)
                    return
                if decision.warning:
                    self.log.warning(decision.warning)
                if decision.message != said:
                    said = decision.message
                    self.log.info(decision.message)
        except CallingError as error:
            yield self._event("error", str(error), {}, error=type(error).__name__)
        finally:
            await hook.aclose()

    def _pause(self) -> float:
        if self.deadline is None:
            return self.poll_interval
        return max(0.0, min(self.poll_interval, self.deadline - time.time()))

    def _event(self, status: str, message: str, counts: dict[str, int], *, error: str | None = None) -> TriggerEvent:
        payload = {"status": status, "message": message, "counts": counts, "error": error, **self._watched()}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]


class GraineBatchTrigger(_CallsEndTrigger):
    """
    Wait until batches have ended.

    :param batch_ids: the batches
    :param graine_conn_id: the connection; default ``graine_default``
    :param poll_interval: seconds between looks; the first look comes after one interval; default 30
    :param deadline: wall-clock time, in seconds since the epoch, at which the wait has timed out; default: never
    """

    def __init__(
        self,
        batch_ids: Sequence[str],
        graine_conn_id: str = "graine_default",
        poll_interval: float = 30.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__(graine_conn_id=graine_conn_id, poll_interval=poll_interval, deadline=deadline)
        self.batch_ids = list(batch_ids)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return "airflow_provider_graine.triggers.graine.GraineBatchTrigger", self._kwargs()

    def _watched(self) -> dict[str, Any]:
        return {"batch_ids": self.batch_ids}

    def _watch(self) -> BatchWatch:
        from airflow_provider_graine.hooks.graine_watch import BatchWatch

        return BatchWatch(self.batch_ids)


class GraineCampaignTrigger(_CallsEndTrigger):
    """
    Wait until a campaign has ended.

    :param campaign_id: the campaign
    :param graine_conn_id: the connection; default ``graine_default``
    :param poll_interval: seconds between looks; the first look comes after one interval; default 30
    :param deadline: wall-clock time, in seconds since the epoch, at which the wait has timed out; default: never
    """

    def __init__(
        self,
        campaign_id: str,
        graine_conn_id: str = "graine_default",
        poll_interval: float = 30.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__(graine_conn_id=graine_conn_id, poll_interval=poll_interval, deadline=deadline)
        self.campaign_id = campaign_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return "airflow_provider_graine.triggers.graine.GraineCampaignTrigger", self._kwargs()

    def _watched(self) -> dict[str, Any]:
        return {"campaign_id": self.campaign_id}

    def _watch(self) -> CampaignWatch:
        from airflow_provider_graine.hooks.graine_watch import CampaignWatch

        return CampaignWatch(self.campaign_id)
