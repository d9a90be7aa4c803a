"""
Starting Kataven campaigns within the account's budget and the calling hours, for every operator that starts some.

How an operator uses it::

    class MyOperator(StartsCampaigns):

        def execute(self, context):
            with self._ending_as_asked():
                self.check_start_arguments()                    # before anything is sent
                ids = ...                                       # the drafts
                return self.start_campaigns(ids, context, one_at_a_time=..., until_ended=...)

        def campaigns_started(self, campaign_ids, context, *, have_ended):
            ...                                                 # all have been started: wait on, or return
            return campaign_ids

``start_campaigns`` starts what it can at once. While something has to wait (the budget is used up, the hours are
closed, the campaign before has not ended) it sleeps, or defers: then it raises ``TaskDeferred``, and Airflow comes back
through ``execute_started``. Either way, once everything is started, ``campaigns_started`` is called, and what that
returns is the task's result. It may be called in another process than ``start_campaigns`` was: what it needs beyond the
ids has to come from the operator's arguments, or from XCom.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from airflow_provider_graine.exceptions import ConfigurationError, NotFoundError, StartTimeoutError
from airflow_provider_graine.operators.kataven_wait import CAMPAIGN_IDS_KEY, KatavenCallsWait
from airflow_provider_graine.starting.order import START_TIMEOUT, Order
from airflow_provider_graine.starting.standing import GONE, named
from airflow_provider_graine.starting.steps import How, Keep, Rest, Tell
from airflow_provider_graine.waiting.event import read_event
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.watching.kataven_stop import Action

__all__ = ["START_TIMEOUT", "StartsCampaigns"]

#: Where a task keeps which campaigns it has paused because of the hours: Airflow's task state store (3.3 and later),
#: which outlives the try.
_HELD_KEY: Final = "held_for_calling_hours"
#: Seconds for which a deferrable task sleeps before it gives its slot up.
_PATIENCE: Final = 15.0


class StartsCampaigns(KatavenCallsWait):
    """
    Base of the operators that start campaigns.

    :param calling_hours: when people may be called: ``{"timezone": "Asia/Kolkata", "working_hours": {"monday":
        {"start": "09:00", "end": "18:00"}, …}}``, both as :class:`.GraineCreateCampaignOperator` has them; weekdays
        left out are days without calls (templated). Kataven keeps no hours itself: nothing is started outside of them,
        and for as long as this task waits, what it has started is paused at closing time and resumed at opening time.
        Default: any time
    :param start_timeout: seconds, or ``timedelta``, for which each campaign may wait for its start while the account's
        budget of parallel calls is used up, from when its turn comes; time outside the calling hours does not count.
        Then the task fails: what was not started stays a draft, which calls nobody. Default 21600 (6 hours); ``None``:
        any time
    :param on_kill: what happens to the campaigns when the task is killed or a user ends it: ``"none"``, ``"pause"`` or
        ``"stop"``. Default: ``"pause"`` with ``calling_hours``, which nobody keeps then, else ``"none"``
    :param on_timeout: the same when the time to wait is over; the same default
    """

    poll_interval: float

    def __init__(
        self,
        *,
        calling_hours: Mapping[str, Any] | None = None,
        start_timeout: float | timedelta | None = START_TIMEOUT,
        on_kill: Action | None = None,
        on_timeout: Action | None = None,
        **kwargs: Any,
    ) -> None:
        unattended: Action = "none" if calling_hours is None else "pause"
        super().__init__(on_kill=on_kill or unattended, on_timeout=on_timeout or unattended, **kwargs)
        self.calling_hours = calling_hours
        self.start_timeout = start_timeout
        self._statuses: Mapping[str, str | None] = {}

    def _calls(self) -> Mapping[str, str]:
        return {each: status or "" for each, status in self._statuses.items()}

    @property
    def _longest_start(self) -> float | None:
        return self.start_timeout.total_seconds() if isinstance(self.start_timeout, timedelta) else self.start_timeout

    def check_start_arguments(self) -> None:
        """
        Fail in the author's words before anything is sent.

        :raises ConfigurationError: when ``calling_hours`` or ``start_timeout`` is not as described
        """
        from airflow_provider_graine.starting.calling_hours import read_calling_hours

        read_calling_hours(self.calling_hours)
        if self._longest_start is not None and self._longest_start <= 0:
            raise ConfigurationError("start_timeout must be above 0 seconds, or None. Nothing was sent.")

    def start_campaigns(
        self,
        campaign_ids: Sequence[str],
        context: Context,
        *,
        one_at_a_time: bool = False,
        until_ended: bool = False,
        verb: Literal["start", "resume"] = "start",
    ) -> Any:
        """
        Start campaigns, each once; those that were started before are left as they are.

        :param campaign_ids: the campaigns, in the order in which they are to be started
        :param context: the task's context
        :param one_at_a_time: whether each is started only when the one before has ended; default: each as soon as the
            budget allows
        :param until_ended: whether to go on until all have ended, and to keep the calling hours meanwhile; default:
            until all are started
        :param verb: ``"start"`` (default) for drafts, ``"resume"`` for paused campaigns
        :return: what :meth:`campaigns_started` returns
        :raises StartTimeoutError: when ``start_timeout`` was over first
        :raises WaitTimeoutError: when the operator's own time to wait was over first
        :raises TaskDeferred: in deferrable mode, when something has to wait
        """
        from airflow_provider_graine.starting.calling_hours import read_calling_hours

        order = Order(
            campaign_ids=tuple(campaign_ids),
            verb=verb,
            until_ended=until_ended,
            one_at_a_time=one_at_a_time,
            hours=read_calling_hours(self.calling_hours),
            start_timeout=self._longest_start,
            poll_interval=self.poll_interval,
            deadline=self._deadline(context, start=clock.wall()),
        )
        return self._carry_out(order, context)

    @abstractmethod
    def campaigns_started(self, campaign_ids: Sequence[str], context: Context, *, have_ended: bool) -> Any:
        """
        Go on once all are started; the operator's own.

        :param campaign_ids: as given to :meth:`start_campaigns`
        :param context: the task's context
        :param have_ended: whether all of them were seen to have ended, in whatever way; only with ``until_ended``
        :return: the task's result
        """

    def execute_started(self, context: Context, event: Any = None) -> Any:
        """
        Take over from the trigger; the method that Airflow calls after the deferral.

        :param event: what the trigger says
        :return: what :meth:`campaigns_started` returns
        """
        from airflow_provider_graine.triggers.kataven_start import KEEP

        if not isinstance(event, dict) or event.get("status") not in (*How, KEEP):
            read_event(event)
        order = Order.from_kwargs(event["order"])
        standing = event["kept"]["standing"]
        self._statuses = {each: standing["statuses"].get(each) for each in order.campaign_ids}
        if order.hours is not None:
            self._keep(context, standing["held"])
        if event["status"] == KEEP:
            self._hand_conduct_over(order, event["kept"], context)
        return self._ended(How(event["status"]), event["message"], order, context, is_resumed=True)

    # -- the work ------------------------------------------------------------------------------------------------------

    def _carry_out(self, order: Order, context: Context) -> Any:
        from airflow_provider_graine.starting.conduct import Conduct
        from airflow_provider_graine.watching.kataven_conduct import answer as answered

        self._settings = self.hook.settings
        conduct = Conduct(order, kept=self._recalled(context), now=clock.wall)
        self._statuses = conduct.statuses
        steps, answer, rested = conduct.run(), None, 0.0
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                end = stop.value
                return self._ended(end.how, end.message, order, context)
            answer = None
            match step:
                case Keep():
                    self._keep(context, sorted(conduct.held))
                case Tell():
                    (self.log.warning if step.is_warning else self.log.info)(step.sentence)
                case Rest(seconds):
                    rested += seconds
                    if self.deferrable and rested > _PATIENCE:
                        self._hand_conduct_over(order, conduct.remembered(), context)
                    self._rest(seconds)
                case _:
                    self._make_sure_to_go_on()
                    answer = answered(step, self.hook)

    def _hand_conduct_over(self, order: Order, kept: dict[str, Any], context: Context) -> NoReturn:
        from airflow_provider_graine.triggers.kataven_start import KatavenStartTrigger

        self.log.info("The triggerer goes on with %s", named(order.campaign_ids))
        self.hook.close()
        context["ti"].xcom_push(key=CAMPAIGN_IDS_KEY, value=list(order.campaign_ids))
        backstop = None
        if order.deadline is not None:
            backstop = timedelta(seconds=max(0.0, order.deadline - clock.wall()) + 2 * order.poll_interval + 60.0)
        trigger = KatavenStartTrigger(
            **order.as_kwargs(), kataven_conn_id=self.kataven_conn_id, kept=kept, on_kill=self.kill_action
        )
        self.defer(trigger=trigger, method_name="execute_started", timeout=backstop)
        raise AssertionError("defer() raises")

    def _ended(self, how: How, message: str, order: Order, context: Context, *, is_resumed: bool = False) -> Any:
        if how is How.TIMED_OUT:
            raise self._timed_out(message, context, is_resumed=is_resumed)
        if how is How.NOT_STARTED:
            if is_resumed:
                self._settings = self.hook.settings
            self._treat_late_calls()
            raise StartTimeoutError(f"{message} {self._done_to_calls}".strip())
        self.log.info(message)
        if gone := [each for each, status in self._statuses.items() if status == GONE]:
            raise NotFoundError(
                f"The service does not know {named(gone)}: deleted, or not the right id. {message}", status_code=404
            )
        return self.campaigns_started(list(order.campaign_ids), context, have_ended=how is How.ENDED)

    # -- what outlives the try -----------------------------------------------------------------------------------------

    def _keep(self, context: Context, held: Sequence[str]) -> None:
        """Note what was paused because of the hours, for a later try; below Airflow 3.3 there is no place for it."""
        from airflow_provider_graine.operators.upload_memory import TaskStateValues

        store: Any = context.get("task_state_store")
        if store is not None:
            TaskStateValues(store).set(_HELD_KEY, list(held))

    def _recalled(self, context: Context) -> dict[str, Any] | None:
        store: Any = context.get("task_state_store")
        held = store.get(_HELD_KEY) if store is not None else None
        return {"standing": {"held": held}} if held else None
