"""One look at batches and campaigns, blocking and on an event loop: both must see, ask and decide the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_graine.exceptions import AuthenticationError, ServiceUnavailableError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.waiting.decision import Decision, Question, Step, Wait
from airflow_provider_graine.waiting.rules import WaitRules
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.graine_watch import BatchWatch, CampaignWatch, adecide, decide, moment

NIGHT = {
    "working_hours_enforced": True,
    "timezone": "Asia/Kolkata",
    "working_hours": {"monday": {"start": "09:00", "end": "18:00"}},
}
Look = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def do(request: pytest.FixtureRequest, hook: GraineHook) -> Look:
    """Call a method of a watch, or ``decide``, by its blocking name in one of its two forms."""

    def blocking(watch: Any, name: str, argument: Any = None) -> Any:
        if name == "decide":
            return decide(watch, hook, argument)
        return getattr(watch, name)(hook, *([] if argument is None else [argument]))

    def on_loop(watch: Any, name: str, argument: Any = None) -> Any:
        async def talk() -> Any:
            try:
                if name == "decide":
                    return await adecide(watch, hook, argument)
                return await getattr(watch, f"a{name}")(hook, *([] if argument is None else [argument]))
            finally:
                await hook.aclose()

        return asyncio.run(talk())

    return blocking if request.param == "sync" else on_loop


@pytest.fixture
def time_passes(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Callable[[float], None]:
    """Move the clock of the wait and of the service, which stand still otherwise."""
    passed = sandbox.now

    def pass_by(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        sandbox.advance(seconds)

    monkeypatch.setattr(clock, "wall", lambda: passed)
    return pass_by


def campaign(hook: GraineHook, **fields: Any) -> str:
    return hook.create_campaign(name="C", agent_id="a", phone_numbers=["+918045678900"], **fields).campaign_id


def batch(hook: GraineHook, campaign_id: str, **fields: Any) -> str:
    people = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": "A"}} for i in range(3)]
    return hook.create_batch(campaign_id=campaign_id, contacts=people, **fields).batch_id


def asked(sandbox: Sandbox) -> list[str]:
    """The GETs, without the prefix."""
    return [request.path.removeprefix("/api/v1") for request in sandbox.requests if request.method == "GET"]


def test_a_batch_that_has_ended_is_not_asked_for_again(sandbox: Sandbox, hook: GraineHook, do: Look) -> None:
    over, running = (batch(hook, campaign(hook)) for _ in range(2))
    hook.cancel_batch(over)
    watch = BatchWatch([over, running])

    for _ in range(3):
        parts = do(watch, "look")
        assert [(part.id, part.status) for part in parts] == [(over, "cancelled"), (running, "in_progress")]

    assert asked(sandbox) == [f"/batches/{over}", *[f"/batches/{running}"] * 3]


def test_campaigns_of_the_batches_that_run_are_known_after_a_look(hook: GraineHook, do: Look) -> None:
    first, second = campaign(hook), campaign(hook)
    batches = [batch(hook, first), batch(hook, second), batch(hook, first)]
    watch = BatchWatch(batches)
    assert watch.campaign_ids == []
    do(watch, "look")
    assert watch.campaign_ids == [first, second]
    hook.cancel_batch(batches[1])
    do(watch, "look")
    assert watch.campaign_ids == [first]


def test_start_of_a_pending_batch(sandbox: Sandbox, hook: GraineHook, do: Look) -> None:
    planned = batch(hook, campaign(hook, timezone="Asia/Kolkata"), scheduled_start="2026-05-13T03:30:00Z")
    watch = BatchWatch([planned])
    (part,) = do(watch, "look")
    assert (part.status, part.starts_at) == ("pending", moment("2026-05-13T09:00:00+05:30"))
    sandbox.advance(part.starts_at - sandbox.now + 1)
    (part,) = do(watch, "look")
    assert (part.status, part.starts_at) == ("in_progress", None)


@pytest.mark.parametrize("said", ["2026-05-13T03:30:00", "soon", None])
def test_start_that_cannot_be_read_as_utc_is_not_known(
    sandbox: Sandbox, hook: GraineHook, do: Look, said: str | None
) -> None:
    planned = batch(hook, campaign(hook), scheduled_start="2026-05-13T03:30:00Z")
    sandbox.fault("GET /batches/{batch_id}", "fields", fields={"scheduled_start": said})
    (part,) = do(BatchWatch([planned]), "look")
    assert (part.status, part.starts_at) == ("pending", None)


@pytest.mark.parametrize("text", ["", "2026-05-13T03:30", 5, None, {}, "2026-05-13"])
def test_what_is_no_moment(text: Any) -> None:
    assert moment(text) is None


def question(question: Question, batch_id: str | None = None) -> Decision:
    return Decision(step=Step.LOOK_CLOSER, message="", counts={}, question=question, about=batch_id)


def test_hours_are_those_of_the_campaign(sandbox: Sandbox, hook: GraineHook, do: Look) -> None:
    campaign_id = campaign(hook, **NIGHT)
    watch = BatchWatch([batch(hook, campaign_id)])
    do(watch, "look")
    hours = do(watch, "look_closer", question(Question.HOURS)).hours
    assert not hours.is_open(moment("2026-05-11T03:00:00Z"))
    assert hours.is_open(moment("2026-05-11T04:00:00Z"))
    assert asked(sandbox)[1:] == [f"/campaigns/{campaign_id}"]


def test_hours_of_several_campaigns_are_known_where_they_are_the_same(hook: GraineHook, do: Look) -> None:
    alike = BatchWatch([batch(hook, campaign(hook, **NIGHT)) for _ in range(2)])
    different = BatchWatch([batch(hook, campaign(hook, **fields)) for fields in (NIGHT, {})])
    for watch in (alike, different):
        do(watch, "look")
    assert do(alike, "look_closer", question(Question.HOURS)).hours is not None
    assert do(different, "look_closer", question(Question.HOURS)).hours is None


def test_hours_of_a_campaign_came_with_the_look(sandbox: Sandbox, hook: GraineHook, do: Look) -> None:
    campaign_id = campaign(hook, **NIGHT)
    batch(hook, campaign_id)
    watch = CampaignWatch(campaign_id)
    (part,) = do(watch, "look")
    assert (part.status, part.total) == ("active", 3)
    assert do(watch, "look_closer", question(Question.HOURS)).hours is not None
    assert asked(sandbox) == [f"/campaigns/{campaign_id}", f"/campaigns/{campaign_id}/stats"]
    assert do(watch, "look_closer", question(Question.DEBUG)).tip is None


def test_what_the_service_says_of_a_batch_that_stands_still(sandbox: Sandbox, hook: GraineHook, do: Look) -> None:
    sandbox.fault("POST /batches/", "lost_dispatch")
    began = sandbox.now
    still = batch(hook, campaign(hook))
    sandbox.advance(3600)
    found = do(BatchWatch([still]), "look_closer", question(Question.DEBUG, still))
    assert (found.stuck, found.error, found.hours) == (True, None, None)
    assert found.oldest_pending_at == began
    assert "dispatch" in found.tip


@pytest.mark.parametrize("what", [Question.HOURS, Question.DEBUG])
def test_closer_look_that_fails_is_an_answer(sandbox: Sandbox, hook: GraineHook, do: Look, what: Question) -> None:
    batch_id = batch(hook, campaign(hook))
    watch = BatchWatch([batch_id])
    do(watch, "look")
    sandbox.fault("GET *", "status", status=503, times=None)
    assert isinstance(do(watch, "look_closer", question(what, batch_id)).error, ServiceUnavailableError)


def test_decide_answers_all_questions_itself(
    sandbox: Sandbox, hook: GraineHook, do: Look, time_passes: Callable[[float], None]
) -> None:
    sandbox.fault("POST /batches/", "lost_dispatch")
    campaign_id = campaign(hook)
    batch_id = batch(hook, campaign_id)
    watch, wait = BatchWatch([batch_id]), Wait(rules=WaitRules(stalled_after=600.0))

    decisions = []
    for _ in range(6):
        decisions.append(do(watch, "decide", wait))
        time_passes(1000)

    assert {decision.step for decision in decisions} == {Step.WAIT}
    (warning,) = [decision.warning for decision in decisions if decision.warning]
    assert "dispatch" in warning
    assert asked(sandbox).count(f"/batches/{batch_id}/debug") == 1
    assert asked(sandbox)[:4] == [f"/batches/{batch_id}"] * 2 + [
        f"/campaigns/{campaign_id}",
        f"/batches/{batch_id}/debug",
    ]


def test_decide_goes_on_where_the_closer_look_fails(
    sandbox: Sandbox, hook: GraineHook, do: Look, time_passes: Callable[[float], None]
) -> None:
    sandbox.fault("POST /batches/", "lost_dispatch")
    watch, wait = BatchWatch([batch(hook, campaign(hook))]), Wait(rules=WaitRules(stalled_after=600.0))
    sandbox.fault("GET /campaigns/{campaign_id}", "status", status=503, times=None)
    sandbox.fault("GET /batches/{batch_id}/debug", "drop", times=None)
    for _ in range(4):
        assert do(watch, "decide", wait).step is Step.WAIT
        time_passes(1000)
    sandbox.clear_faults()
    time_passes(1000)
    sandbox.expire_batch(watch.look(hook)[0].id or "")
    assert do(watch, "decide", wait).step is Step.FAILED


def test_campaign_that_ends(sandbox: Sandbox, hook: GraineHook, do: Look) -> None:
    campaign_id = campaign(hook)
    batch(hook, campaign_id)
    watch, wait = CampaignWatch(campaign_id), Wait()
    assert do(watch, "decide", wait).step is Step.WAIT
    sandbox.run_until_idle()
    assert do(watch, "decide", wait).step is Step.DONE


def test_failed_look_is_the_waits_to_judge(sandbox: Sandbox, hook: GraineHook, do: Look) -> None:
    watch, wait = BatchWatch([batch(hook, campaign(hook))]), Wait()
    sandbox.fault("GET *", "status", status=503, times=5)
    assert do(watch, "decide", wait).step is Step.WAIT
    sandbox.fault("GET *", "status", status=403, times=None)
    with pytest.raises(AuthenticationError):
        do(watch, "decide", wait)


def test_hour_long_outage_ends_as_if_nothing_had_been(
    sandbox: Sandbox, hook: GraineHook, do: Look, time_passes: Callable[[float], None]
) -> None:
    batch_id = batch(hook, campaign(hook))
    watch, wait = BatchWatch([batch_id]), Wait(poll_interval=30)
    began = sandbox.now
    outage = sandbox.fault("GET *", "status", status=503, times=None)
    steps = []
    while not steps or steps[-1] is Step.WAIT:
        decision = do(watch, "decide", wait)
        steps.append(decision.step)
        time_passes(decision.pause)
        if sandbox.now - began > 3600:
            sandbox.clear_faults()
    assert steps[-1] is Step.DONE
    assert outage.hits > 5 * 12, "the outage was looked at, and each look was repeated"
    assert sandbox.now - began < 3600 + 600
    assert not [request for request in sandbox.requests if request.method == "POST"][2:], "nothing was sent again"
