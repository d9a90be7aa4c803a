"""What tasks share that wait for Kataven's campaigns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, get_args

from airflow_provider_graine.operators.calls_wait import CallsWait
from airflow_provider_graine.operators.links import KatavenCallsLink
from airflow_provider_graine.watching.kataven_stop import Action, stop_calls

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.hooks.kataven import KatavenHook
    from airflow_provider_graine.services.settings import ServiceSettings
    from airflow_provider_graine.watching.stop import Stopped

#: XCom with the campaigns that a deferred task waits for.
CAMPAIGN_IDS_KEY: Final = "campaign_ids"


class KatavenCallsWait(CallsWait):
    """
    Base of the tasks that wait for Kataven's campaigns.

    :param kataven_conn_id: the connection (templated)
    """

    operator_extra_links = (KatavenCallsLink(),)
    _actions = get_args(Action)

    def __init__(self, *, kataven_conn_id: str = "kataven_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kataven_conn_id = kataven_conn_id

    @cached_property
    def hook(self) -> KatavenHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.kataven import KatavenHook

        return KatavenHook(self.kataven_conn_id)

    def _stop_calls(
        self, settings: ServiceSettings, calls: Mapping[str, str], action: Any, *, within: float
    ) -> Stopped:
        return stop_calls(
            settings, campaign_ids=list(calls), known=calls, action=action, within=within, tell=self.log.warning
        )


def wait_for_campaigns(
    operator: KatavenCallsWait, context: Context, campaign_ids: Sequence[str], *, poll_interval: float = 60.0
) -> None:
    """
    Wait in an operator until campaigns have ended. In deferrable mode the task goes on in ``execute_complete``.

    :param operator: the task at work, within ``_ending_as_asked()``; its ``_calls()`` gives the campaigns
    :param context: its context
    :param campaign_ids: the campaigns
    :param poll_interval: seconds between looks; default 60
    :raises WaitError: when one ended in another way than completed, or was stopped
    :raises WaitTimeoutError: when the time to wait was over first
    """
    from airflow_provider_graine.watching.kataven_watch import KatavenCampaignWatch

    def make_trigger(**shared: Any) -> BaseTrigger:
        from airflow_provider_graine.triggers.kataven import KatavenCampaignTrigger

        return KatavenCampaignTrigger(campaign_ids, kataven_conn_id=operator.kataven_conn_id, **shared)

    operator._settings = operator.hook.settings
    operator._wait_until_done(
        KatavenCampaignWatch(campaign_ids),
        context,
        poll_interval=poll_interval,
        make_trigger=make_trigger,
        kept=(CAMPAIGN_IDS_KEY, campaign_ids),
    )


def kept_campaign_ids(context: Context) -> list[str]:
    """Return the campaigns that this task waited for when it was deferred, also where its trigger never answered."""
    ti = context["ti"]
    kept: Any = ti.xcom_pull(task_ids=ti.task_id, key=CAMPAIGN_IDS_KEY, map_indexes=ti.map_index)
    return list(kept or [])
