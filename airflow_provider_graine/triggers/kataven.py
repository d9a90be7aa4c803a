"""The trigger that waits for Kataven campaigns to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_graine.triggers.calls_end import CallsEndTrigger, imported
from airflow_provider_graine.triggers.kill import StopsKatavenCalls

if TYPE_CHECKING:
    from airflow_provider_graine.watching.shared_watch import SharedWatch

__all__ = ["KatavenCampaignTrigger"]


class KatavenCampaignTrigger(StopsKatavenCalls, CallsEndTrigger):
    """
    Wait until campaigns have ended, by their streams of events and, where there is none, by looking at them.

    :param campaign_ids: the campaigns
    :param kataven_conn_id: the connection; default ``kataven_default``
    :param poll_interval: seconds between looks at what has no stream; default 60
    :param deadline: wall-clock time, in seconds since the epoch, at which the wait has timed out; default: never
    :param on_kill: what happens to the campaigns when a user fails, clears or succeeds the deferred task: ``"none"``
        (default), ``"pause"`` or ``"stop"``
    :param min_completed_share: share of the contacts, 0 to 1, below which the wait fails; default: any will do
    :param max_failed_share: share of the contacts, 0 to 1, above which the wait fails; default: any will do
    :param stalled_after: seconds without progress after which the log says so; default 1800. ``None``: never
    """

    def __init__(
        self,
        campaign_ids: Sequence[str],
        kataven_conn_id: str = "kataven_default",
        poll_interval: float = 60.0,
        deadline: float | None = None,
        *,
        on_kill: Literal["none", "pause", "stop"] = "none",
        min_completed_share: float | None = None,
        max_failed_share: float | None = None,
        stalled_after: float | None = 1800.0,
    ) -> None:
        super().__init__(
            poll_interval=poll_interval,
            deadline=deadline,
            on_kill=on_kill,
            min_completed_share=min_completed_share,
            max_failed_share=max_failed_share,
            stalled_after=stalled_after,
        )
        self.campaign_ids = list(campaign_ids)
        self.kataven_conn_id = kataven_conn_id

    def _watched(self) -> dict[str, Any]:
        return {"campaign_ids": self.campaign_ids}

    def _connection(self) -> dict[str, str]:
        return {"kataven_conn_id": self.kataven_conn_id}

    async def _share(self) -> SharedWatch[Any]:
        polls: Any = await imported("airflow_provider_graine.watching.kataven_polls")
        watch: SharedWatch[Any] = polls.shared_watch(self.kataven_conn_id, campaign_ids=self.campaign_ids)
        return watch
