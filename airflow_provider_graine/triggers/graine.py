"""Triggers that wait for Graine batches and campaigns to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_graine.triggers.batch_events import GraineBatchEventTrigger
from airflow_provider_graine.triggers.calls_end import CallsEndTrigger, imported
from airflow_provider_graine.triggers.kill import StopsGraineCalls

if TYPE_CHECKING:
    from airflow_provider_graine.watching.shared_watch import SharedWatch

__all__ = ["GraineBatchEventTrigger", "GraineBatchTrigger", "GraineCampaignTrigger"]


class _GraineTrigger(StopsGraineCalls, CallsEndTrigger):
    """Waits for Graine's calls; those on one campaign share its polls."""

    def __init__(self, *, graine_conn_id: str, **shared: Any) -> None:
        super().__init__(**shared)
        self.graine_conn_id = graine_conn_id

    def _connection(self) -> dict[str, str]:
        return {"graine_conn_id": self.graine_conn_id}

    async def _share(self) -> SharedWatch[Any]:
        polls: Any = await imported("airflow_provider_graine.watching.graine_polls")
        watch: SharedWatch[Any] = polls.shared_watch(self.graine_conn_id, **self._watched())
        return watch


class GraineBatchTrigger(_GraineTrigger):
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


class GraineCampaignTrigger(_GraineTrigger):
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
