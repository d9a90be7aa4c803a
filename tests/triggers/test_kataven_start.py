"""The trigger that starts campaigns and keeps their hours: on a real server, and from one process to the next."""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger

from airflow_provider_graine.exceptions import AuthenticationError, ConfigurationError, StartTimeoutError
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.operators.kataven import KatavenResumeCampaignOperator, KatavenStartCampaignOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.triggers.kataven_start import KEEP, KatavenStartTrigger
from airflow_provider_graine.watching.clock import clock
from tests.kataven_service import Draft, calendar, changes, draft, kataven, status
from tests.operators.test_kataven import MONDAY, OFFICE
from tests.task import Task

__all__ = ["calendar", "draft", "kataven"]


def rebuilt(trigger: BaseTrigger) -> KatavenStartTrigger:
    """Return the trigger as a triggerer makes it of what lies in Airflow's database."""
    path, kwargs = trigger.serialize()
    assert path == "airflow_provider_graine.triggers.kataven_start.KatavenStartTrigger"
    return KatavenStartTrigger(**Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(kwargs)))


async def fired(trigger: KatavenStartTrigger) -> dict[str, Any]:
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    payload: dict[str, Any] = json.loads(json.dumps(events[0].payload))
    return payload


class Deferrals:
    """What Airflow does with a deferrable task: worker, triggerer, worker, until it ends."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.events: list[str] = []

    def run(self, make: Callable[[], Any]) -> Any:
        context = self.task.context()
        go: Callable[[], Any] = lambda: make().execute(context)  # noqa: E731
        while True:
            try:
                return go()
            except TaskDeferred as deferred:
                trigger, method = rebuilt(deferred.trigger), deferred.method_name
            event = asyncio.run(fired(trigger))
            self.events.append(event["status"])
            go = lambda event=event, method=method: make().resume_execution(method, {"event": event}, context)  # noqa: E731


def start(campaign_ids: Any, **how: Any) -> Callable[[], KatavenStartCampaignOperator]:
    return lambda: KatavenStartCampaignOperator(task_id="start", campaign_ids=campaign_ids, deferrable=True, **how)


def test_a_used_up_budget_is_waited_for(kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox) -> None:
    big, small = draft(people=300, max_concurrent_calls=8), draft(max_concurrent_calls=5)
    deferrals = Deferrals(task)
    assert deferrals.run(start([big])) == [big]
    assert deferrals.run(start([small])) == [small]
    assert deferrals.events == ["started"]
    assert kataven.campaigns[small]["started_at"] >= kataven.campaigns[big]["completed_at"]


def test_too_late(kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox) -> None:
    big, small = draft(people=3000, max_concurrent_calls=8), draft(max_concurrent_calls=5)
    deferrals = Deferrals(task)
    deferrals.run(start(big))
    with pytest.raises(StartTimeoutError, match="Nobody on it was dialled"):
        deferrals.run(start(small, start_timeout=1800))
    assert deferrals.events == ["not_started"]
    assert status(kataven, small) == "draft"


def test_resume_waits_for_the_budget(kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox) -> None:
    held, big = draft(max_concurrent_calls=5), draft(people=300, max_concurrent_calls=8)
    hook = KatavenHook()
    hook.start_campaign(held)
    hook.pause_campaign(held)
    hook.start_campaign(big)
    hook.close()
    deferrals = Deferrals(task)
    resumed = deferrals.run(lambda: KatavenResumeCampaignOperator(task_id="resume", campaign_id=held, deferrable=True))
    assert resumed == held
    assert deferrals.events == ["started"]


def test_hours_are_kept_from_trigger_to_trigger(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox
) -> None:
    campaign_id = draft(people=120, max_concurrent_calls=1)
    task.store = None  # an Airflow without a place for it
    deferrals = Deferrals(task)
    how = {"calling_hours": OFFICE, "wait_for_completion": True}
    assert deferrals.run(start(campaign_id, **how)) == [campaign_id]
    moves = changes(kataven)
    nights = moves.count(f"pause {campaign_id}")
    assert nights >= 1
    assert moves == [f"start {campaign_id}", *[f"pause {campaign_id}", f"resume {campaign_id}"] * nights]
    assert deferrals.events == [*[KEEP] * 2 * nights, "ended"]
    assert set(kataven.attempts.values()) == {1}


def test_a_triggerer_that_begins_anew_resumes_what_was_paused_and_not_what_a_user_has_paused_since(
    kataven: KatavenAccount, draft: Draft, calendar: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign_id = draft(people=500, max_concurrent_calls=1)
    order = {"campaign_ids": [campaign_id], "until_ended": True, "hours": _hours(), "poll_interval": 60.0}
    calendar.advance(MONDAY - calendar.now)
    paused = asyncio.run(fired(KatavenStartTrigger(**order)))
    assert paused["status"] == KEEP
    assert paused["kept"]["standing"]["held"] == [campaign_id]
    resumed = asyncio.run(fired(KatavenStartTrigger(**order, kept=paused["kept"])))
    assert resumed["status"] == KEEP
    assert resumed["kept"]["standing"]["held"] == []
    assert changes(kataven) == [f"{verb} {campaign_id}" for verb in ("start", "pause", "resume")]

    hook = KatavenHook()
    hook.pause_campaign(campaign_id)
    hook.close()
    forgetful = KatavenStartTrigger(**order, kept=resumed["kept"], deadline=calendar.now + 3 * 86400)
    assert asyncio.run(fired(forgetful))["status"] == "timed_out"
    assert status(kataven, campaign_id) == "paused"
    assert "it stays paused" in capsys.readouterr().out


def test_without_its_hours_it_starts_nothing(kataven: KatavenAccount, draft: Draft, calendar: Sandbox) -> None:
    broken = KatavenStartTrigger([draft()], hours={"timezone": "Mars/Olympus", "week": []})
    event = asyncio.run(fired(broken))
    assert (event["status"], event["error"]) == ("error", "ConfigurationError")
    assert not changes(kataven)


def test_an_error_reaches_the_task_in_its_own_class(
    kataven: KatavenAccount, draft: Draft, task: Task, calendar: Sandbox
) -> None:
    big, small = draft(people=300, max_concurrent_calls=8), draft(max_concurrent_calls=5)
    Deferrals(task).run(start(big))
    with pytest.raises(TaskDeferred) as deferred:
        start(small)().execute(task.context())
    kataven.rotate_token("sk_live_sandbox_1111")
    event = asyncio.run(fired(rebuilt(deferred.value.trigger)))
    with pytest.raises(AuthenticationError):
        start(small)().resume_execution("execute_started", {"event": event}, task.context())
    with pytest.raises(ConfigurationError):
        start(small)().resume_execution(
            "execute_started", {"event": {"status": "error", "error": "ConfigurationError"}}, task.context()
        )


class Fleet:
    """Time for several triggers on one event loop: it passes when all of them rest."""

    def __init__(self, sandbox: Sandbox, size: int) -> None:
        self._sandbox = sandbox
        self.alive = size
        self._resting: list[tuple[float, int, asyncio.Event]] = []
        self._number = count()

    async def wait(self, event: asyncio.Event, *, at_most: float) -> None:
        heapq.heappush(self._resting, (self._sandbox.now + at_most, next(self._number), event))
        self.go_on()
        await event.wait()

    def go_on(self) -> None:
        if self._resting and len(self._resting) == self.alive:
            moment, _, event = heapq.heappop(self._resting)
            self._sandbox.advance(max(0.0, moment - self._sandbox.now))
            event.set()


def test_ten_waiting_tasks_do_not_stampede(
    kataven: KatavenAccount, draft: Draft, calendar: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = draft(people=800, max_concurrent_calls=10)
    ids = [draft(people=2, max_concurrent_calls=5) for _ in range(10)]
    hook = KatavenHook()
    hook.start_campaign(big)
    hook.close()
    fleet = Fleet(calendar, len(ids))
    monkeypatch.setattr(clock, "wait", fleet.wait)
    began, at = calendar.now, []
    asked = KatavenHook.astart_campaign

    async def noted(hook: Any, campaign_id: str) -> Any:
        at.append(calendar.now - began)
        return await asked.__get__(hook, KatavenHook)(campaign_id)

    monkeypatch.setattr(KatavenHook, "astart_campaign", noted)

    async def one(campaign_id: str) -> dict[str, Any]:
        try:
            return await fired(KatavenStartTrigger([campaign_id]))
        finally:
            fleet.alive -= 1
            fleet.go_on()

    async def all_of_them() -> list[dict[str, Any]]:
        return await asyncio.gather(*map(one, ids))

    assert {event["status"] for event in asyncio.run(all_of_them())} == {"started"}
    assert sorted(changes(kataven))
    assert set(kataven.dialled.values()) == {1}
    settled = [moment for moment in at if moment > 300]
    assert len(settled) > 20, "they have waited for a while"
    assert max(sum(first <= moment < first + 60 for moment in settled) for first in settled) <= 12
    assert len({round(moment) for moment in settled}) > len(settled) / 2, "spread out"


def _hours() -> dict[str, Any]:
    from airflow_provider_graine.starting.calling_hours import read_calling_hours

    hours = read_calling_hours(OFFICE)
    assert hours is not None
    return hours.remembered()
