from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.triggers import kill
from airflow_provider_graine.triggers.kataven import KatavenCampaignTrigger
from airflow_provider_graine.triggers.pause import KatavenPauseTrigger
from tests.compat import USER_ACTION, deserialize, serialize
from tests.kataven_service import Draft, changes, draft, kataven, status
from tests.triggers.test_graine import fire, in_thread

__all__ = ["draft", "kataven"]


@pytest.fixture
def hook(kataven: KatavenAccount) -> Iterator[KatavenHook]:
    kataven.settings.concurrent_max = 1000
    hook = KatavenHook()
    yield hook
    hook.close()


@pytest.fixture
def started(hook: KatavenHook, draft: Draft) -> Callable[..., str]:
    def started(people: int = 20) -> str:
        campaign_id = draft(people)
        hook.start_campaign(campaign_id)
        return campaign_id

    return started


@pytest.mark.parametrize(
    "trigger",
    [
        KatavenCampaignTrigger(["a", "b"], kataven_conn_id="c", poll_interval=5, deadline=12.5, on_kill="stop"),
        KatavenCampaignTrigger(campaign_ids=["a"]),
        KatavenPauseTrigger(12.5, {"looks": 2}, campaign_ids=["a"], kataven_conn_id="c", on_kill="pause"),
    ],
)
def test_serialised_trigger_is_built_again_as_it_was(trigger: Any) -> None:
    path, kwargs = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
    again = type(trigger)(**deserialize(serialize(kwargs)))
    assert again.serialize() == (path, kwargs)


def test_campaigns_that_end_fire_one_event(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]
) -> None:
    ids = [started(), started()]
    event = fire(KatavenCampaignTrigger(ids, poll_interval=0.2), in_thread(sandbox.run_until_idle))
    assert event["status"] == "done"
    assert event["campaign_ids"] == ids
    assert event["message"].startswith("All calls are done.")
    assert not {"phone_number", "contacts"} & event.keys()


def test_failed_and_stopped(kataven: KatavenAccount, hook: KatavenHook, started: Callable[..., str]) -> None:
    for end, word in ((kataven.fail_campaign, "failed"), (hook.stop_campaign, "stopped")):
        campaign_id = started(200)
        event = fire(KatavenCampaignTrigger([campaign_id], poll_interval=0.2), in_thread(end, campaign_id))
        assert event["status"] == "failed"
        assert f"{campaign_id} is {word}" in event["message"]


def test_deadline(started: Callable[..., str]) -> None:
    began = time.time()
    event = fire(KatavenCampaignTrigger([started()], poll_interval=60, deadline=began + 0.5))
    assert event["status"] == "timed_out"
    assert time.time() - began < 10


def test_revoked_token_ends_the_wait_with_its_own_error(kataven: KatavenAccount, started: Callable[..., str]) -> None:
    campaign_id = started()
    kataven.rotate_token("sk_live_sandbox_1111")
    event = fire(KatavenCampaignTrigger([campaign_id], poll_interval=0.05))
    kataven.rotate_token("sk_live_sandbox_0000")
    assert (event["status"], event["error"]) == ("error", "AuthenticationError")
    assert "sk_live" not in event["message"]


def test_event_loop_is_not_blocked(sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]) -> None:
    longest = 0.0

    async def ticker() -> None:
        nonlocal longest
        end = time.monotonic() + 1.5
        while (last := time.monotonic()) < end:
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - last)
        await asyncio.to_thread(sandbox.run_until_idle)

    kataven.fault("GET /campaigns/{campaign_id}", "hang", seconds=1.0, times=1)
    fire(KatavenCampaignTrigger([started()], poll_interval=0.1), ticker)
    assert longest < 0.6, "the hanging answer was waited for on the loop itself"


# -- a user ends the task ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["on_kill", "cancelled alone"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a kill comes: by ``on_kill`` (3.3 and newer), or as a mere cancellation."""
    if request.param != "on_kill":
        monkeypatch.setattr(kill, "CALLS_ON_KILL", False)
    monkeypatch.setattr(kill, "_LINGER", 0.0)
    monkeypatch.setattr(kill, "_OVERTAKEN", 0.1)
    return str(request.param)


def end(trigger: Any, version: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel a trigger that waits, when Airflow says that its task is in a state."""
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1)
    monkeypatch.setattr(
        RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: {"r": {"t": state}}), raising=False
    )

    async def run() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0.8)
        if version == "on_kill":
            await trigger.on_kill()
        waiting.cancel(*USER_ACTION)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await trigger.cleanup()

    asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize(("action", "becomes"), [("none", "running"), ("pause", "paused"), ("stop", "completed")])
@pytest.mark.parametrize("state", ["failed", "deferred"])
def test_a_users_end_stops_the_calls(
    kataven: KatavenAccount,
    started: Callable[..., str],
    version: str,
    action: Any,
    becomes: str,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    campaign_id = started(200)
    before = changes(kataven)
    end(KatavenCampaignTrigger([campaign_id], poll_interval=0.1, on_kill=action), version, state, monkeypatch)
    if state == "deferred":  # it was only moved
        assert changes(kataven) == before
        return
    assert status(kataven, campaign_id) == becomes
    assert changes(kataven)[len(before) :] == ([] if action == "none" else [f"{action} {campaign_id}"])
    assert ("The task was ended by a user." in capsys.readouterr().out) == (action != "none")


def test_a_users_end_of_a_pause(
    kataven: KatavenAccount, started: Callable[..., str], version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = started(200)
    trigger = KatavenPauseTrigger(time.time() + 100, campaign_ids=[campaign_id], on_kill="stop")
    end(trigger, version, "failed", monkeypatch)
    assert status(kataven, campaign_id) == "completed"
