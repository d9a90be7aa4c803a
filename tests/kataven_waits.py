"""Waits for Kataven's campaigns, of every kind and mode, by a clock that only goes on while somebody sleeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_graine.exceptions import CallingError, WaitTimeoutError
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.operators.kataven_wait import KatavenCallsWait, kept_campaign_ids, wait_for_campaigns
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.sensors.kataven import KatavenCampaignSensor
from airflow_provider_graine.waiting.decision import Step, Wait
from airflow_provider_graine.waiting.event import broke, ended
from airflow_provider_graine.watching.kataven_watch import KatavenCampaignWatch
from airflow_provider_graine.watching.watch import decide
from tests.kataven_service import Draft, changes
from tests.waits import INTERVAL, VirtualClock, Waiting

MODES = ["operator", "deferrable operator", "sensor, poke", "sensor, reschedule", "sensor, deferrable"]


class WaitingOperator(KatavenCallsWait):
    """What an operator does that waits for campaigns it has started."""

    def __init__(self, *, campaign_ids: Sequence[str], wait_timeout: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_ids = campaign_ids
        self.wait_timeout = wait_timeout
        self._waited_for: list[str] = []

    @property
    def _longest_wait(self) -> float | None:
        return self.wait_timeout

    def _calls(self) -> dict[str, str]:
        return dict.fromkeys(self._waited_for, "")

    def _too_late(self, message: str) -> Exception:
        return WaitTimeoutError(message)

    def execute(self, context: Any) -> list[str]:
        with self._ending_as_asked():
            self._check_wait_arguments()
            self._waited_for = list(self.campaign_ids)
            wait_for_campaigns(self, context, self._waited_for, poll_interval=INTERVAL)
            return self._waited_for

    def execute_complete(self, context: Any, event: Any = None) -> list[str]:
        self._read_event(event, context)
        return self._waited_for

    def _resume(self, next_method: str, next_kwargs: Any, context: Any) -> Any:
        self._waited_for = kept_campaign_ids(context)
        return super()._resume(next_method, next_kwargs, context)


@dataclass
class KatavenWaiting(Waiting):
    """
    One task that waits for the calls of some campaigns.

    :param kataven: the account
    :param campaign_ids: the campaigns, which run
    """

    kataven: KatavenAccount = None  # type: ignore[assignment]
    campaign_ids: list[str] = field(default_factory=list)

    def make(self, **arguments: Any) -> Any:
        limit = arguments.pop("limit", None)
        if self.is_operator:
            return WaitingOperator(
                task_id="call",
                campaign_ids=self.campaign_ids,
                deferrable=self.is_deferrable,
                wait_timeout=limit,
                **arguments,
            )
        common: dict[str, Any] = {"task_id": "wait", "poke_interval": INTERVAL, "deferrable": self.is_deferrable}
        common |= {"mode": "reschedule" if "reschedule" in self.mode else "poke", **arguments}
        if limit is not None:
            common["timeout"] = limit
        return KatavenCampaignSensor(campaign_ids=self.campaign_ids, **common)

    def fire(self, trigger: Any) -> dict[str, Any]:
        wait = Wait(rules=trigger.rules, poll_interval=trigger.poll_interval, deadline=trigger.deadline)
        watched = trigger._watched()
        watch, pause = KatavenCampaignWatch(watched["campaign_ids"]), trigger.poll_interval
        while True:
            self.clock.sleep(min(pause, max(0.0, (trigger.deadline or 1e12) - self.clock.now)))
            try:
                decision = decide(watch, self.hook, wait)
            except CallingError as error:
                return {**broke(error), **watched}
            if decision.step is not Step.WAIT:
                return {**ended(decision), **watched}
            pause = decision.pause

    @property
    def stops(self) -> list[str]:
        """What the service was asked to do to the calls since they were started."""
        return [each for each in changes(self.kataven) if not each.startswith("start ")]

    def stop(self, action: str) -> list[str]:
        return [] if action == "none" else [f"{action} {each}" for each in self.campaign_ids]


@pytest.fixture(params=MODES)
def waiting(
    request: pytest.FixtureRequest, clock: VirtualClock, sandbox: Sandbox, kataven: KatavenAccount, draft: Draft
) -> Any:
    """A task of each kind and mode, and two campaigns that run."""
    hook = KatavenHook()
    ids = [draft(40, max_concurrent_calls=1) for _ in range(2)]
    for each in ids:
        hook.start_campaign(each)
    yield KatavenWaiting(request.param, clock, sandbox, hook, "", kataven=kataven, campaign_ids=ids)  # type: ignore[arg-type]
    hook.close()
