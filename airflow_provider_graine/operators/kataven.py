"""Operators for Kataven campaigns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import ConfigurationError, NotFoundError, UnclearOutcomeError, WaitTimeoutError
from airflow_provider_graine.operators.batch_ids import flat
from airflow_provider_graine.operators.change_state import ChangesCampaignState
from airflow_provider_graine.operators.given_list import FromContacts
from airflow_provider_graine.operators.kataven_report import KatavenReportOperator
from airflow_provider_graine.operators.kataven_start import StartsCampaigns
from airflow_provider_graine.operators.kataven_upload import KatavenUploadOperator
from airflow_provider_graine.operators.kataven_wait import kept_campaign_ids, wait_for_campaigns
from airflow_provider_graine.operators.links import KatavenCallsLink, push_links

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.xcom_arg import XComArg

    from airflow_provider_graine.hooks.kataven import KatavenHook

__all__ = [
    "KatavenCreateCampaignOperator",
    "KatavenDeleteCampaignOperator",
    "KatavenPauseCampaignOperator",
    "KatavenReportOperator",
    "KatavenResumeCampaignOperator",
    "KatavenStartCampaignOperator",
    "KatavenStopCampaignOperator",
]

_UI_COLOR = "#e3eaf6"


class _KatavenOperator(BaseOperator):
    """What the small operators share."""

    ui_color = _UI_COLOR
    operator_extra_links = (KatavenCallsLink(),)
    template_fields: Sequence[str] = ("campaign_id", "kataven_conn_id")

    def __init__(self, *, campaign_id: str, kataven_conn_id: str = "kataven_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.kataven_conn_id = kataven_conn_id

    @cached_property
    def hook(self) -> KatavenHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.kataven import KatavenHook

        return KatavenHook(self.kataven_conn_id)


class KatavenCreateCampaignOperator(FromContacts, KatavenUploadOperator):
    """
    Create a campaign for a short list of people that stands in the DAG or comes from another task.

    It is a draft, which calls nobody until it is started: by :class:`KatavenStartCampaignOperator`, or by this operator
    with ``start=True``. A retry uses the draft of an earlier try. Everything else is as in
    :class:`~airflow_provider_graine.operators.kataven_upload.KatavenUploadOperator`, whose arguments this operator
    takes.

    :param contacts: the people, each ``{"phone_number": …, "callee_name": …, <custom field>: …}``. Not templated, since
        rendered fields are stored and shown; may be the output of a task, which is then stored as XCom: for real lists
        use a query or a file
    :param start: whether the campaign is started as well; default no
    """

    def __init__(self, *, contacts: Iterable[Mapping[str, Any]] | XComArg, start: bool = False, **kwargs: Any) -> None:
        super().__init__(contacts=contacts, start=start, **kwargs)


class KatavenStartCampaignOperator(StartsCampaigns):
    """
    Start campaigns: from now on everybody on them is called. Each is started once.

    A campaign that is no draft any more was started before, by an earlier try or by somebody else: it is left as it is.
    While the account's budget of parallel calls is used up, the task waits for it: with pauses at random, so that tasks
    that wait together don't come back together. Source: https://docs.kataven.ai/concepts/campaigns

    :param campaign_ids: one id, a list of them in the order in which they are to be started, or the output of a mapped
        upload, a list of lists (templated); give these or ``campaign_id``
    :param campaign_id: the campaign (templated)
    :param one_at_a_time: whether each is started only when the one before has ended; default: each as soon as the
        budget allows
    :param calling_hours: when people may be called: ``{"timezone": "Asia/Kolkata", "working_hours": {"monday":
        {"start": "09:00", "end": "18:00"}, …}}``, both as :class:`.GraineCreateCampaignOperator` has them; weekdays
        left out are days without calls (templated). Kataven keeps no hours itself. Outside of them the task waits for
        the opening before it starts anything. With ``wait_for_completion`` it keeps them to the end: it pauses
        what runs at closing time, and resumes what it has paused, and nothing else, at opening time. Without,
        **nobody keeps them after the start**. Default: any time
    :param start_timeout: seconds, or ``timedelta``, for which each campaign may wait for its start while the account's
        budget of parallel calls is used up, from when its turn comes; time outside the calling hours does not count.
        Then the task fails: what was not started stays a draft, which calls nobody. Default 21600 (6 hours); ``None``:
        any time
    :param wait_for_completion: whether to wait until the calls are done; default no
    :param poll_interval: seconds between looks while waiting; default 60. More while the service is out of reach and
        outside the calling hours
    :param wait_timeout: longest time of one try, in seconds or as ``timedelta``, for the start and the calls together;
        default: any time. Like ``execution_timeout``, it goes on while the task is deferred
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``. Otherwise the task
        holds its worker slot all the while
    :param on_kill: what happens to the campaigns when the task is killed, or a user fails, clears or succeeds it while
        it waits: ``"none"``: they go on; ``"pause"``: nobody new is called until somebody resumes them; ``"stop"``:
        they are over for good. Drafts stay drafts. Default: ``"pause"`` with ``calling_hours``, which nobody keeps
        then, else ``"none"``. What was paused so is never resumed by itself
    :param on_timeout: the same when ``start_timeout``, ``wait_timeout`` or ``execution_timeout`` is over; same default
    :param min_completed_share: share of all contacts, 0 to 1, whose call must be completed; else the wait fails;
        default: no rule
    :param max_failed_share: share of all contacts, 0 to 1, whose calls may fail; else the wait fails; default: no rule
    :param stalled_after: seconds without any progress after which the log warns; default 1800; ``None``: never
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :return: the list of campaign ids
    :raises StartTimeoutError: when a campaign could not be started in time
    :raises ConfigurationError: when an argument is wrong, or a campaign needs more than the account's whole budget
    :raises RequestRejectedError: when a campaign is ``scheduled``: the service starts it by itself
    :raises WaitError: when the calls ended in another way than completed
    :raises WaitTimeoutError: when ``wait_timeout`` was over first
    :raises TaskKilledError: when the task was stopped from outside
    """

    template_fields: Sequence[str] = ("campaign_ids", "campaign_id", "calling_hours", "kataven_conn_id")
    ui_color = "#d5eadf"

    def __init__(
        self,
        *,
        campaign_ids: str | Sequence[str | Sequence[str]] | None = None,
        campaign_id: str | None = None,
        one_at_a_time: bool = False,
        wait_for_completion: bool = False,
        poll_interval: float = 60.0,
        wait_timeout: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_ids = campaign_ids
        self.campaign_id = campaign_id
        self.one_at_a_time = one_at_a_time
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout

    @property
    def _longest_wait(self) -> float | None:
        return self.wait_timeout.total_seconds() if isinstance(self.wait_timeout, timedelta) else self.wait_timeout

    def _too_late(self, message: str) -> WaitTimeoutError:
        return WaitTimeoutError(message)

    def execute(self, context: Context) -> list[str]:
        """Start what can be started, and wait where something has to."""
        with self._ending_as_asked():
            self._check_arguments()
            push_links(self, context)
            campaign_ids = self._ids()
            if not campaign_ids:
                self.log.warning("There is no campaign to start")
                return []
            started: list[str] = self.start_campaigns(
                campaign_ids,
                context,
                one_at_a_time=self.one_at_a_time,
                until_ended=self.wait_for_completion and self.calling_hours is not None,
            )
            return started

    def campaigns_started(self, campaign_ids: Sequence[str], context: Context, *, have_ended: bool) -> list[str]:
        """Wait for the calls where asked to; of campaigns that have ended, see how."""
        if self.wait_for_completion:
            wait_for_campaigns(self, context, campaign_ids, poll_interval=self.poll_interval)
        return list(campaign_ids)

    def execute_complete(self, context: Context, event: Any = None) -> list[str]:
        """
        Take over from the trigger that waited for the calls.

        :param event: how the wait ended
        :return: the list of campaign ids
        :raises WaitError: when the calls ended in another way than completed
        """
        campaign_ids = kept_campaign_ids(context)
        self._statuses = dict.fromkeys(campaign_ids)
        self._read_event(event, context)
        return campaign_ids

    def _ids(self) -> list[str]:
        if (self.campaign_ids is None) == (self.campaign_id is None):
            raise ConfigurationError("Give campaign_ids or campaign_id, one of them. Nothing was sent.")
        if self.campaign_ids is None:
            return flat(self.campaign_id, "campaign_id")
        return flat(self.campaign_ids, "campaign_ids")

    def _check_arguments(self) -> None:
        self.check_start_arguments()
        if self.poll_interval <= 0:
            raise ConfigurationError("poll_interval must be above 0 seconds. Nothing was sent.")
        if self._longest_wait is not None and self._longest_wait <= 0:
            raise ConfigurationError("wait_timeout must be above 0 seconds, or None. Nothing was sent.")
        self._check_wait_arguments()


class KatavenResumeCampaignOperator(StartsCampaigns):
    """
    Let a paused campaign go on. Does nothing where it runs already.

    While the account's budget of parallel calls is used up, or it is outside the calling hours, the task waits.
    Source: https://docs.kataven.ai/concepts/campaigns

    :param campaign_id: the campaign (templated)
    :param calling_hours: when people may be called, as :class:`KatavenStartCampaignOperator` has it: the task waits for
        the opening. **Nobody keeps them after that**. Default: any time (templated)
    :param start_timeout: seconds, or ``timedelta``, for which it may wait, outside the calling hours not counted; then
        the task fails and the campaign stays paused. Default 21600 (6 hours); ``None``: any time
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :return: the campaign id
    :raises StartTimeoutError: when it could not be resumed in time
    :raises RequestRejectedError: when the campaign is neither paused nor running
    """

    template_fields: Sequence[str] = ("campaign_id", "calling_hours", "kataven_conn_id")
    ui_color = _UI_COLOR
    poll_interval = 60.0
    _longest_wait = None

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**{"on_kill": "none", "on_timeout": "none", **kwargs})
        self.campaign_id = campaign_id

    def _too_late(self, message: str) -> WaitTimeoutError:
        return WaitTimeoutError(message)

    def execute(self, context: Context) -> str:
        """Resume it as soon as that is possible, and return the campaign id."""
        with self._ending_as_asked():
            self.check_start_arguments()
            self._check_wait_arguments()
            push_links(self, context)
            resumed: str = self.start_campaigns([self.campaign_id], context, verb="resume")
            return resumed

    def campaigns_started(self, campaign_ids: Sequence[str], context: Context, *, have_ended: bool) -> str:
        """Return the campaign id."""
        return campaign_ids[0]


class _CampaignStateOperator(ChangesCampaignState, _KatavenOperator):
    """Base of the operators that hold or stop a campaign."""


class KatavenPauseCampaignOperator(_CampaignStateOperator):
    """
    Hold a campaign: nobody new is called until it is resumed. What becomes of live calls is not documented.

    Does nothing where it is paused already. Source: https://docs.kataven.ai/concepts/campaigns

    :param campaign_id: the campaign (templated)
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :return: the campaign id
    """

    verb = "pause"
    target = frozenset({"paused"})


class KatavenStopCampaignOperator(_CampaignStateOperator):
    """
    Stop a running campaign for good: whoever was not called yet is skipped, live calls end on their own.

    Does nothing where it has ended already. That a paused campaign can be stopped is not documented; a draft is deleted
    with :class:`KatavenDeleteCampaignOperator`. Source: https://docs.kataven.ai/concepts/campaigns

    :param campaign_id: the campaign (templated)
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :return: the campaign id
    """

    verb = "stop"
    target = frozenset({"completed", "failed"})


class KatavenDeleteCampaignOperator(_KatavenOperator):
    """
    Delete a draft. One that is gone counts as deleted; one that was ever started cannot be.

    Source: https://docs.kataven.ai/concepts/campaigns

    :param campaign_id: the campaign (templated)
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :raises RequestRejectedError: when it is no draft (any more)
    """

    def execute(self, context: Context) -> None:
        """Delete it."""
        try:
            self.hook.delete_campaign(self.campaign_id)
        except NotFoundError:
            self.log.info("Campaign %s is gone already", self.campaign_id)
            return
        except UnclearOutcomeError as unclear:
            try:
                self.hook.get_campaign(self.campaign_id)
            except NotFoundError:
                self.log.warning("%s But campaign %s is gone now, as asked for", unclear, self.campaign_id)
                return
            raise
        self.log.info("Deleted campaign %s", self.campaign_id)
