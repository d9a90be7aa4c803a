"""Sensors that wait for Graine batches and campaigns to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.operators.batch_ids import flat
from airflow_provider_graine.operators.graine_wait import GraineCallsWait
from airflow_provider_graine.sensors.calls_end import CallsEndSensor

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.watching.graine_watch import BatchWatch, CampaignWatch


class GraineBatchSensor(GraineCallsWait, CallsEndSensor):
    """
    Wait until batches have ended: ``completed`` succeeds, ``cancelled`` and ``expired`` fail with the counts.

    A ``paused`` batch, and one in a state this provider does not know, keeps it waiting.

    :param batch_ids: one id, a list of them, or the output of a mapped upload, a list of lists (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :param poke_interval: seconds between looks; default 30
    :param timeout: longest wait in seconds, in every mode; default from ``[sensors] default_timeout``.
        ``execution_timeout`` counts in every mode from the start of the try, also while the task is deferred or
        waits to be rescheduled
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    :param on_kill: what happens to the batches when the task is killed, or a user fails, clears or succeeds it while it
        looks, sleeps or is deferred (a rescheduled sensor is nowhere between two looks): ``"none"`` (default), the
        calls go on; ``"pause"``, live calls end and no new ones begin until somebody resumes them; ``"cancel"``,
        they are over for good
    :param on_timeout: the same when ``timeout`` or ``execution_timeout`` is over; default ``"none"``
    :param min_completed_share: share of all contacts, 0 to 1, whose call must be completed; else the wait fails, as
        soon as that is certain; default: no rule
    :param max_failed_share: share of all contacts, 0 to 1, whose calls may fail; else the wait fails; default: no rule
    :param stalled_after: seconds without any progress, inside calling hours, after which the log warns with what the
        service says about it; default 1800; ``None``: never
    :raises WaitError: when the calls ended in another way than completed (``never_fail``: skipped)
    :raises AirflowSensorTimeout: when the time was over first (``soft_fail``, ``never_fail``: skipped)
    :raises TaskKilledError: when the task was stopped from outside
    """

    template_fields: Sequence[str] = ("batch_ids", "graine_conn_id")

    def __init__(self, *, batch_ids: str | Sequence[str | Sequence[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_ids = batch_ids

    def _ids(self) -> list[str]:
        return flat(self.batch_ids)

    def _calls(self) -> Mapping[str, str]:
        return dict.fromkeys(self._ids(), "")

    def _make_watch(self) -> BatchWatch:
        from airflow_provider_graine.watching.graine_watch import BatchWatch

        self._batches = BatchWatch(self._ids())
        return self._batches

    def _make_trigger(self, **shared: Any) -> BaseTrigger:
        from airflow_provider_graine.triggers.graine import GraineBatchTrigger

        campaigns = self._batches.campaign_ids
        campaign_id = campaigns[0] if len(campaigns) == 1 else None
        return GraineBatchTrigger(
            batch_ids=self._ids(), campaign_id=campaign_id, graine_conn_id=self.graine_conn_id, **shared
        )


class GraineCampaignSensor(GraineCallsWait, CallsEndSensor):
    """
    Wait until a campaign has ended, by its status and its live figures.

    ``completed``, or no batch and no contact left open, succeeds; ``cancelled`` fails with the counts. A ``draft``
    and a ``paused`` campaign keep it waiting.

    :param campaign_id: the campaign (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :param poke_interval: seconds between looks; default 30
    :param timeout: longest wait in seconds, in every mode; default from ``[sensors] default_timeout``.
        ``execution_timeout`` counts in every mode from the start of the try, also while the task is deferred or
        waits to be rescheduled
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    :param on_kill: what happens to the campaign when the task is killed, or a user fails, clears or succeeds it while
        it looks, sleeps or is deferred (a rescheduled sensor is nowhere between two looks): ``"none"`` (default), the
        calls go on; ``"pause"``, live calls end and no new ones begin until somebody resumes it; ``"cancel"``, it is
        over for good
    :param on_timeout: the same when ``timeout`` or ``execution_timeout`` is over; default ``"none"``
    :param min_completed_share: share of all contacts, 0 to 1, whose call must be completed; else the wait fails, as
        soon as that is certain; default: no rule
    :param max_failed_share: share of all contacts, 0 to 1, whose calls may fail; else the wait fails; default: no rule
    :param stalled_after: seconds without any progress, inside calling hours, after which the log warns with what the
        service says about it; default 1800; ``None``: never
    :raises WaitError: when the calls ended in another way than completed (``never_fail``: skipped)
    :raises AirflowSensorTimeout: when the time was over first (``soft_fail``, ``never_fail``: skipped)
    :raises TaskKilledError: when the task was stopped from outside
    """

    template_fields: Sequence[str] = ("campaign_id", "graine_conn_id")

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id

    _waits_for_campaign = True

    def _calls(self) -> Mapping[str, str]:
        return {self.campaign_id: ""}

    def _make_watch(self) -> CampaignWatch:
        from airflow_provider_graine.watching.graine_watch import CampaignWatch

        return CampaignWatch(self.campaign_id)

    def _make_trigger(self, **shared: Any) -> BaseTrigger:
        from airflow_provider_graine.triggers.graine import GraineCampaignTrigger

        return GraineCampaignTrigger(campaign_id=self.campaign_id, graine_conn_id=self.graine_conn_id, **shared)
