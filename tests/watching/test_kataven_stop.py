"""Pausing and stopping Kataven's campaigns: each once, in time, and said as it is, whatever state it is in."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.services import limits
from airflow_provider_graine.watching.kataven_stop import Stopped, astop_calls, stop_calls
from tests.kataven_service import MANY, Draft, changes, draft, kataven, status

__all__ = ["draft", "kataven"]

Stop = Callable[..., Stopped]


@pytest.fixture
def hook(kataven: KatavenAccount) -> Iterator[KatavenHook]:
    kataven.settings.concurrent_max = 1000
    hook = KatavenHook()
    yield hook
    hook.close()


@pytest.fixture(params=["sync", "async"])
def stop(request: pytest.FixtureRequest, hook: KatavenHook) -> Stop:
    """Stop calls in one of the two forms, within 5 s."""

    def blocking(**arguments: Any) -> Stopped:
        return stop_calls(hook.settings, **{"within": 5.0, **arguments})

    def on_loop(**arguments: Any) -> Stopped:
        async def run() -> Stopped:
            try:
                return await astop_calls(hook, **{"within": 5.0, **arguments})
            finally:
                await hook.aclose()

        return asyncio.run(run())

    return blocking if request.param == "sync" else on_loop


@pytest.fixture
def running(hook: KatavenHook, draft: Draft, kataven: KatavenAccount) -> list[str]:
    ids = [draft(30) for _ in range(3)]
    for each in ids:
        hook.start_campaign(each)
    return ids


def since(kataven: KatavenAccount, before: list[str]) -> list[str]:
    return sorted(changes(kataven)[len(before) :])


@pytest.mark.parametrize(("action", "word", "state"), [("pause", "Paused", "paused"), ("stop", "Stopped", "completed")])
def test_running_ones(
    kataven: KatavenAccount, stop: Stop, running: list[str], action: Any, word: str, state: str
) -> None:
    before = changes(kataven)
    stopped = stop(campaign_ids=running, action=action)
    assert [status(kataven, each) for each in running] == [state] * 3
    assert since(kataven, before) == sorted(f"{action} {each}" for each in running)
    assert (stopped.done, stopped.failed) == (3, 0)
    assert stopped.sentence.startswith(f"{word} 3 campaigns ({', '.join(running)}); ")


def test_none_sends_nothing(kataven: KatavenAccount, stop: Stop, running: list[str]) -> None:
    before = len(kataven.requests)
    assert (stop(campaign_ids=running, action="none").done, len(kataven.requests)) == (0, before)


def test_a_draft_is_left_for_the_next_attempt(
    kataven: KatavenAccount, stop: Stop, running: list[str], draft: Draft
) -> None:
    waiting, before = draft(3), changes(kataven)
    stopped = stop(campaign_ids=[*running, waiting], action="stop")
    assert since(kataven, before) == sorted(f"stop {each}" for each in running)
    assert status(kataven, waiting) == "draft"
    assert (stopped.done, stopped.failed) == (3, 0)
    assert f"nobody new is called unless somebody starts or resumes: campaign {waiting}." in stopped.sentence


def test_a_paused_one_is_paused_already(
    kataven: KatavenAccount, hook: KatavenHook, stop: Stop, running: list[str]
) -> None:
    hook.pause_campaign(running[0])
    before = changes(kataven)
    stopped = stop(campaign_ids=running[:1], action="pause")
    assert since(kataven, before) == []
    assert f"Nothing to pause on campaign {running[0]}: ended or paused before." in stopped.sentence


@pytest.mark.parametrize("takes_it", [True, False])
def test_a_paused_one_is_never_resumed_to_be_stopped(
    kataven: KatavenAccount, hook: KatavenHook, stop: Stop, running: list[str], takes_it: bool
) -> None:
    """Whether the service stops a paused campaign is not documented."""
    kataven.settings.stop_from = ("running", "paused") if takes_it else ("running",)
    hook.pause_campaign(running[0])
    before = changes(kataven)
    stopped = stop(campaign_ids=running[:1], action="stop")
    assert since(kataven, before) == [f"stop {running[0]}"]
    assert (stopped.done, stopped.failed) == (int(takes_it), 0)
    if takes_it:
        assert status(kataven, running[0]) == "completed"
    else:
        assert status(kataven, running[0]) == "paused"
        assert f"nobody new is called unless somebody starts or resumes: campaign {running[0]}." in stopped.sentence


def test_a_scheduled_one_that_the_service_does_not_stop_is_named(
    kataven: KatavenAccount, stop: Stop, draft: Draft
) -> None:
    scheduled = draft(3, scheduled_at="2099-01-01T00:00:00Z")
    stopped = stop(campaign_ids=[scheduled], action="stop")
    assert (stopped.done, stopped.failed) == (0, 1)
    assert f"The service did not stop campaign {scheduled}" in stopped.sentence


def test_what_has_ended_is_left_alone(
    kataven: KatavenAccount, hook: KatavenHook, stop: Stop, running: list[str]
) -> None:
    hook.stop_campaign(running[0])
    kataven.fail_campaign(running[1])
    before = changes(kataven)
    assert stop(campaign_ids=running, action="stop").done == 1
    assert since(kataven, before) == [f"stop {running[2]}"]


def test_an_answer_without_a_word_is_one(kataven: KatavenAccount, stop: Stop, running: list[str]) -> None:
    kataven.settings.moves_answer = "nothing"
    assert stop(campaign_ids=running, action="stop").done == 3


@pytest.mark.parametrize("what", ["drop", "html"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_unclear_answer_is_settled_by_reading(
    kataven: KatavenAccount, stop: Stop, running: list[str], what: Any, when: Any
) -> None:
    kataven.fault("POST /campaigns/{campaign_id}/stop", what, when=when, times=None)
    before = changes(kataven)
    stopped = stop(campaign_ids=running[:1], action="stop")
    assert since(kataven, before) == [f"stop {running[0]}"], "once"
    done = status(kataven, running[0]) == "completed"
    assert done == (when == "after")
    assert stopped.done == done
    not_done = {"drop": "is not known", "html": "The service did not stop"}[what]
    assert (not_done in stopped.sentence) == (not done)


def test_a_used_up_limit_does_not_hold_up_a_kill(
    kataven: KatavenAccount, hook: KatavenHook, running: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker has 4 seconds, and the interrupted thread may hold the limiter."""
    connection = {**json.loads(kataven.connection_json()), "extra": {**MANY, "requests_per_minute": 2}}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    killed = KatavenHook()
    (limiter,) = limits._limiters.values()  # by now it has let pass what created and started the campaigns
    began = time.monotonic()
    with limiter._lock:
        assert stop_calls(killed.settings, campaign_ids=running, action="stop", within=4.0).done == 3
    assert time.monotonic() - began < 3.0
    killed.close()
