"""The trigger that starts Kataven's campaigns as the budget allows, and keeps their calling hours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal

from airflow.triggers.base import TriggerEvent

from airflow_provider_graine.exceptions import CallingError, ConfigurationError
from airflow_provider_graine.starting.conduct import Conduct
from airflow_provider_graine.starting.order import POLL_INTERVAL, START_INTERVAL, START_TIMEOUT, Order
from airflow_provider_graine.starting.steps import Keep, Rest, Tell
from airflow_provider_graine.triggers.calls_end import imported
from airflow_provider_graine.triggers.kill import StopsKatavenCalls
from airflow_provider_graine.waiting.event import broke
from airflow_provider_graine.watching.clock import clock

__all__ = ["KEEP", "KatavenStartTrigger"]

#: Status of the event with which the trigger hands over what must outlive it.
KEEP: Final = "keep"

#: Airflow does not take it well when a trigger fires at once.
_LEAST_LIFE: Final = 1.0
#: Rests from this many seconds on are too long for an open connection.
_LONG_REST: Final = 15.0


class KatavenStartTrigger(StopsKatavenCalls):
    """
    Start campaigns as soon as the budget and the hours allow, and with ``until_ended`` keep the hours to the end.

    A trigger cannot store anything, and a triggerer that begins anew makes it again of the arguments it was first
    given. What must not be forgotten is which campaigns were paused because of the hours: nothing else may ever be
    resumed. So when that changes, the trigger ends with an event of the status ``keep``, and its task defers at once to
    another one that knows it. Between the pause and that event lie seconds; a triggerer that is lost in them leaves the
    campaign paused, and the log of the next one says so.

    :param campaign_ids: the campaigns, in the order in which they are started
    :param kataven_conn_id: the connection; default ``kataven_default``
    :param verb: ``"start"`` (default) for drafts, ``"resume"`` for paused campaigns
    :param until_ended: whether to go on until all have ended; default: until all are started
    :param one_at_a_time: whether each is started only when the one before has ended; default no
    :param hours: the calling hours, as :meth:`.CallingHours.remembered` gives them; default: any time
    :param start_timeout: seconds inside the hours for which each may wait for its start; default 21600. ``None``: any
    :param start_interval: longest pause, in seconds, between two attempts; default 300
    :param poll_interval: seconds between looks at campaigns that run; default 60
    :param deadline: wall-clock time, in seconds since the epoch, at which all of it has timed out; default: never
    :param kept: what an earlier trigger, or the task, has remembered; default: nothing
    :param on_kill: what happens to the campaigns when a user fails, clears or succeeds the deferred task: ``"none"``
        (default), ``"pause"`` or ``"stop"``
    """

    def __init__(
        self,
        campaign_ids: Sequence[str],
        kataven_conn_id: str = "kataven_default",
        *,
        verb: Literal["start", "resume"] = "start",
        until_ended: bool = False,
        one_at_a_time: bool = False,
        hours: Mapping[str, Any] | None = None,
        start_timeout: float | None = START_TIMEOUT,
        start_interval: float = START_INTERVAL,
        poll_interval: float = POLL_INTERVAL,
        deadline: float | None = None,
        kept: Mapping[str, Any] | None = None,
        on_kill: Literal["none", "pause", "stop"] = "none",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.order: dict[str, Any] = {
            "campaign_ids": list(campaign_ids),
            "verb": verb,
            "until_ended": until_ended,
            "one_at_a_time": one_at_a_time,
            "hours": dict(hours) if hours is not None else None,
            "start_timeout": start_timeout,
            "start_interval": start_interval,
            "poll_interval": poll_interval,
            "deadline": deadline,
        }
        self.kataven_conn_id = kataven_conn_id
        self.kept = dict(kept) if kept else None
        self.deadline = deadline
        self.kill_action = on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return "airflow_provider_graine.triggers.kataven_start.KatavenStartTrigger", {
            **self.order,
            "kataven_conn_id": self.kataven_conn_id,
            "kept": self.kept,
            "on_kill": self.kill_action,
        }

    def _watched(self) -> dict[str, Any]:
        return {"campaign_ids": self.order["campaign_ids"]}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Fire one event, for :meth:`.StartsCampaigns.execute_started`.

        Its ``status`` is ``started``, ``ended``, ``not_started``, ``timed_out``, ``keep`` or ``error``.
        """
        async with self.noticing_a_kill():
            event = await self._event()
        yield TriggerEvent({**event, "order": self.order})  # type: ignore[no-untyped-call]

    async def _event(self) -> dict[str, Any]:
        try:
            order = Order.from_kwargs(self.order)
        except ValueError as error:
            return broke(ConfigurationError(f"{error} Nothing was sent."))
        await self._rest(_LEAST_LIFE)
        try:
            return await self._carry_out(Conduct(order, kept=self.kept, now=clock.wall))
        except CallingError as error:
            return broke(error)

    async def _carry_out(self, conduct: Conduct) -> dict[str, Any]:
        conducting: Any = await imported("airflow_provider_graine.watching.kataven_conduct")
        hooks: Any = await imported("airflow_provider_graine.hooks.kataven")
        hook = hooks.KatavenHook(self.kataven_conn_id)
        steps, answer = conduct.run(), None
        try:
            while True:
                try:
                    step = steps.send(answer)
                except StopIteration as stop:
                    end = stop.value
                    return {"status": end.how.value, "message": end.message, "kept": conduct.remembered()}
                answer = None
                match step:
                    case Keep():
                        return {"status": KEEP, "message": "", "kept": conduct.remembered()}
                    case Tell():
                        (self.log.warning if step.is_warning else self.log.info)(step.sentence)
                    case Rest(seconds):
                        if seconds > _LONG_REST:
                            await hook.aclose()
                        await self._rest(seconds)
                    case _:
                        answer = await conducting.aanswer(step, hook)
        finally:
            await hook.aclose()

    @staticmethod
    async def _rest(seconds: float) -> None:
        await clock.wait(asyncio.Event(), at_most=seconds)
