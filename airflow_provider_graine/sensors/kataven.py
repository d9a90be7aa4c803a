"""The sensor that waits for Kataven campaigns to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.operators.batch_ids import flat
from airflow_provider_graine.operators.kataven_wait import KatavenCallsWait
from airflow_provider_graine.sensors.calls_end import CallsEndSensor

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.watching.kataven_watch import KatavenCampaignWatch


class KatavenCampaignSensor(KatavenCallsWait, CallsEndSensor):
    """
    Wait until campaigns have ended: ``completed`` succeeds, ``failed`` fails.

    The service shows a campaign that somebody stopped as ``completed``, too; where people on it were ``skipped``, which
    is what a stop does, the sensor fails. A ``draft``, a ``scheduled`` and a ``paused`` campaign, and one in a state
    this provider does not know, keep it waiting; nothing is started or resumed.

    :param campaign_ids: one id, a list of them, or the output of a mapped upload, a list of lists (templated); give
        these or ``campaign_id``
    :param campaign_id: the campaign (templated)
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :param poke_interval: seconds between looks; default 60. A look is one or two of the account's 1,000 requests an
        hour, whatever the number of campaigns; with ``deferrable``, running campaigns are heard of without any
    :param timeout: longest wait in seconds, in every mode; default from ``[sensors] default_timeout``.
        ``execution_timeout`` counts in every mode from the start of the try, also while the task is deferred or
        waits to be rescheduled
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    :param on_kill: what happens to the campaigns when the task is killed, or a user fails, clears or succeeds it while
        it looks, sleeps or is deferred (a rescheduled sensor is nowhere between two looks): ``"none"`` (default), the
        calls go on; ``"pause"``, nobody new is called until somebody resumes them; ``"stop"``, they are over for good,
        live calls end on their own. A draft is left as it is: it calls nobody
    :param on_timeout: the same when ``timeout`` or ``execution_timeout`` is over; default ``"none"``
    :param min_completed_share: share of all contacts, 0 to 1, whose call must be completed; else the wait fails, as
        soon as that is certain; default: no rule. Where the counts did not come with the stream of events, all contacts
        are read at the end: a request for each 100
    :param max_failed_share: share of all contacts, 0 to 1, whose calls may fail; else the wait fails; default: no rule
    :param stalled_after: seconds without any progress after which the log warns; default 1800; ``None``: never.
        Progress is seen with ``deferrable`` only: outside of the stream of events the service gives no counts
    :raises WaitError: when the calls ended in another way than completed (``never_fail``: skipped)
    :raises AirflowSensorTimeout: when the time was over first (``soft_fail``, ``never_fail``: skipped)
    :raises TaskKilledError: when the task was stopped from outside
    """

    template_fields: Sequence[str] = ("campaign_ids", "campaign_id", "kataven_conn_id")

    def __init__(
        self,
        *,
        campaign_ids: str | Sequence[str | Sequence[str]] | None = None,
        campaign_id: str | None = None,
        poke_interval: float | timedelta = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.campaign_ids = campaign_ids
        self.campaign_id = campaign_id

    def _ids(self) -> list[str]:
        if (self.campaign_ids is None) == (self.campaign_id is None):
            raise ConfigurationError("Give campaign_ids or campaign_id, one of them. Nothing was sent.")
        if self.campaign_ids is None:
            return flat(self.campaign_id, "campaign_id")
        return flat(self.campaign_ids, "campaign_ids")

    def _calls(self) -> Mapping[str, str]:
        return dict.fromkeys(self._ids(), "")

    def _make_watch(self) -> KatavenCampaignWatch:
        from airflow_provider_graine.watching.kataven_watch import KatavenCampaignWatch

        return KatavenCampaignWatch(self._ids())

    def _make_trigger(self, **shared: Any) -> BaseTrigger:
        from airflow_provider_graine.triggers.kataven import KatavenCampaignTrigger

        return KatavenCampaignTrigger(self._ids(), kataven_conn_id=self.kataven_conn_id, **shared)
