"""Sensors that wait for Graine batches and campaigns to end."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, conf
from airflow.sdk import BaseSensorOperator

from airflow_provider_graine.exceptions import ConfigurationError, WaitError
from airflow_provider_graine.triggers.graine import GraineBatchTrigger, GraineCampaignTrigger
from airflow_provider_graine.waiting.decision import Step, Wait
from airflow_provider_graine.waiting.event import read_event

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.hooks.graine_watch import BatchWatch, CampaignWatch


class _CallsEndSensor(BaseSensorOperator):
    """Succeeds when the calls have ended as ``completed``; the same decisions in every mode."""

    ui_color = "#e3f1ea"

    def __init__(
        self,
        *,
        graine_conn_id: str = "graine_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("poke_interval", 30.0)
        super().__init__(**kwargs)
        self.graine_conn_id = graine_conn_id
        self.deferrable = deferrable

    @abstractmethod
    def _make_watch(self) -> BatchWatch | CampaignWatch:
        """Return what looks at the calls."""

    @abstractmethod
    def _make_trigger(self, deadline: float) -> BaseTrigger:
        """Return the trigger that waits in this sensor's place."""

    @cached_property
    def hook(self) -> GraineHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.graine import GraineHook

        return GraineHook(self.graine_conn_id)

    @cached_property
    def _watch(self) -> BatchWatch | CampaignWatch:
        return self._make_watch()

    @cached_property
    def _wait(self) -> Wait:
        return Wait()

    def poke(self, context: Context) -> bool:
        """
        Look once.

        :return: whether the calls are done
        :raises WaitError: when they ended in another way
        """
        from airflow_provider_graine.hooks.graine_watch import decide

        decision = decide(self._watch, self.hook, self._wait)
        if decision.warning:
            self.log.warning(decision.warning)
        self.log.info(decision.message)
        if decision.step is Step.FAILED:
            raise WaitError(decision.message)
        return decision.step is Step.DONE

    def execute(self, context: Context) -> Any:
        """Wait; in deferrable mode look once and leave the rest to the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        if self.poke(context):
            return None
        self.log.info("The triggerer waits, with a look every %g s", self.poke_interval)
        self.hook.close()
        self.defer(
            trigger=self._make_trigger(time.time() + self.timeout),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """
        Take over from the trigger.

        :param event: how the wait ended
        :raises WaitError: when the calls ended in another way than completed
        :raises AirflowSensorTimeout: when the time to wait was over
        """
        try:
            message = read_event(event)
        except TimeoutError as error:
            raise AirflowSensorTimeout(str(error)) from None
        self.log.info(message)


class GraineBatchSensor(_CallsEndSensor):
    """
    Wait until batches have ended: ``completed`` succeeds, ``cancelled`` and ``expired`` fail with the counts.

    A ``paused`` batch, and one in a state this provider does not know, keeps it waiting.

    :param batch_ids: one id or a list of them (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :param poke_interval: seconds between looks; default 30
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    """

    template_fields: Sequence[str] = ("batch_ids", "graine_conn_id")

    def __init__(self, *, batch_ids: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_ids = batch_ids

    def _ids(self) -> list[str]:
        ids = [self.batch_ids] if isinstance(self.batch_ids, str) else list(self.batch_ids or [])
        if any(not isinstance(batch_id, str) or not batch_id for batch_id in ids):
            raise ConfigurationError("batch_ids must be an id or a list of ids. Nothing was sent.")
        return list(dict.fromkeys(ids))

    def _make_watch(self) -> BatchWatch:
        from airflow_provider_graine.hooks.graine_watch import BatchWatch

        return BatchWatch(self._ids())

    def _make_trigger(self, deadline: float) -> BaseTrigger:
        return GraineBatchTrigger(
            batch_ids=self._ids(),
            graine_conn_id=self.graine_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )


class GraineCampaignSensor(_CallsEndSensor):
    """
    Wait until a campaign has ended, by its status and its live figures.

    ``completed``, or no batch and no contact left open, succeeds; ``cancelled`` fails with the counts. A ``draft``
    and a ``paused`` campaign keep it waiting.

    :param campaign_id: the campaign (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :param poke_interval: seconds between looks; default 30
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    """

    template_fields: Sequence[str] = ("campaign_id", "graine_conn_id")

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id

    def _make_watch(self) -> CampaignWatch:
        from airflow_provider_graine.hooks.graine_watch import CampaignWatch

        return CampaignWatch(self.campaign_id)

    def _make_trigger(self, deadline: float) -> BaseTrigger:
        return GraineCampaignTrigger(
            campaign_id=self.campaign_id,
            graine_conn_id=self.graine_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )
