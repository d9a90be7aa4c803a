"""Waits for Kataven's campaigns on one event loop, by streams of events and by polls, on a service that misbehaves."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_graine.exceptions import AuthenticationError, NotFoundError
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import KatavenSettings, Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.services import limits
from airflow_provider_graine.services.kataven import requests
from airflow_provider_graine.waiting.decision import Decision, Step, Wait
from airflow_provider_graine.waiting.rules import WaitRules
from airflow_provider_graine.watching import kataven_poll
from airflow_provider_graine.watching.kataven_poll import MOST_STREAMS
from airflow_provider_graine.watching.kataven_polls import shared_watch
from tests.kataven_service import AGENT, MANY, NUMBER, Draft, draft, kataven
from tests.watching.polling import run, start, until

__all__ = ["draft", "kataven"]

INTERVAL = 0.2


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams are given up sooner than anybody would."""
    monkeypatch.setattr(kataven_poll, "FRESH", 0.6)
    monkeypatch.setattr(kataven_poll, "_REOPENED_AFTER", 0.05)


@pytest.fixture
def hook(kataven: KatavenAccount) -> Iterator[KatavenHook]:
    hook = KatavenHook()
    yield hook
    hook.close()


@pytest.fixture
def started(hook: KatavenHook, draft: Draft, kataven: KatavenAccount) -> Callable[..., str]:
    """Starts campaigns; the account's budget is no matter here."""
    kataven.settings.concurrent_max = 100_000

    def started(people: int = 3, **fields: Any) -> str:
        campaign_id = draft(people, **fields)
        hook.start_campaign(campaign_id)
        return campaign_id

    return started


@contextmanager
def passing(sandbox: Sandbox, *, step: float = 8.0, every: float = 0.02) -> Iterator[None]:
    """Let the service's time pass."""
    over = threading.Event()

    def pass_by() -> None:
        while not over.wait(every):
            sandbox.advance(step)

    thread = threading.Thread(target=pass_by)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def wait_for(
    *campaign_ids: str,
    interval: float = INTERVAL,
    deadline: float | None = None,
    rules: WaitRules | None = None,
    seen: list[Decision] | None = None,
) -> Decision:
    """Wait as a trigger does; gives the decision that ended the wait."""
    wait, pause = Wait(poll_interval=interval, deadline=deadline, rules=rules or WaitRules()), interval
    async with shared_watch("kataven_default", campaign_ids=campaign_ids) as watch:
        while True:
            decision = await watch.decide(wait, pause=pause)
            if seen is not None:
                seen.append(decision)
            if decision.step is not Step.WAIT:
                return decision
            pause = decision.pause


def asked(kataven: KatavenAccount) -> Counter[str]:
    """How often was what read: ``list``, ``campaign``, ``events``, ``contacts``."""
    kinds: Counter[str] = Counter()
    for request in kataven.requests:
        if request.method == "GET":
            parts = request.path.removeprefix("/v1/").split("/")
            kinds[{1: "list", 2: "campaign"}.get(len(parts)) or parts[2]] += 1
    return kinds


def all_is_free() -> None:
    """No place and no turn is held by anybody."""
    for limiter in limits._limiters.values():
        assert (limiter._streams, limiter._in_flight, limiter._unanswered) == (0, 0, 0)


def reached(seen: Sequence[Decision]) -> list[dict[str, int]]:
    return [each.counts for each in seen if each.counts]


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_stream_tells_without_a_request(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]
) -> None:
    campaign_id, seen = started(20, max_concurrent_calls=2), []
    before = len(kataven.requests)
    with passing(sandbox):
        (end,) = run(wait_for(campaign_id, seen=seen))
    assert end.step is Step.DONE
    kinds = asked(kataven)
    assert kinds == {"campaign": 2, "events": 1, "contacts": 1}, "first look, stream, last look, was anybody skipped"
    assert len(kataven.requests) - before == 4
    assert len({json.dumps(counts) for counts in reached(seen)}) > 5, "each step is seen"
    all_is_free()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("how", [{}, {"reset": True}, {"fraction": 0.0}], ids=str)
def test_a_torn_stream_is_opened_again(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str], times: int, how: dict[str, Any]
) -> None:
    campaign_id, seen = started(20, max_concurrent_calls=2), []
    kataven.fault("GET /campaigns/{campaign_id}/events", "tear", events=2, times=times, **how)
    with passing(sandbox):
        (end,) = run(wait_for(campaign_id, seen=seen))
    assert end.step is Step.DONE
    assert asked(kataven)["events"] == times + 1
    assert all(sum(counts.values()) == 20 for counts in reached(seen)), "half an event is none"
    all_is_free()


def test_a_silent_stream_is_given_up(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_SILENCE", 1.0)
    campaign_id = started(12, max_concurrent_calls=4)
    silent = kataven.fault("GET /campaigns/{campaign_id}/events", "silent", events=1, times=1)
    with passing(sandbox, step=2.0, every=0.03):
        (end,) = run(wait_for(campaign_id))
    assert end.step is Step.DONE
    assert silent.hits == 1
    kinds = asked(kataven)
    assert kinds["events"] >= 2, "opened again"
    assert kinds["campaign"] > 2, "polled while nothing was heard"


def test_a_service_without_streams_is_polled(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kataven_poll, "_REOPENED_AFTER", 0.2)
    campaign_id = started(20, max_concurrent_calls=2)
    kataven.fault("GET /campaigns/{campaign_id}/events", "status", status=404, detail="no route", times=None)
    with passing(sandbox, every=0.05):
        (end,) = run(wait_for(campaign_id))
    assert end.step is Step.DONE
    kinds = asked(kataven)
    assert kinds["campaign"] >= 8
    assert 1 < kinds["events"] < kinds["campaign"], "tried again, ever more rarely"


def test_the_end_is_read_from_the_campaign(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]
) -> None:
    """A stream that says it is over, of a campaign that is not, ends nothing."""
    campaign_id = started(20, max_concurrent_calls=2)
    kataven.settings.end_data = '{"status": "completed", "total": 20, "contacts": {"completed": 19, "failed": 1}}'
    kataven.fault("GET /campaigns/{campaign_id}", "fields", fields={"status": "running"}, times=3, after=1)
    with passing(sandbox):
        (end,) = run(wait_for(campaign_id))
    assert end.step is Step.DONE
    assert asked(kataven)["campaign"] == 5
    assert end.counts == {"completed": 19, "failed": 1}, "what the last event said is all there is"


def test_failed_campaign(sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]) -> None:
    campaign_id = started(20)

    async def fail() -> None:
        await until(lambda: asked(kataven)["events"])
        kataven.fail_campaign(campaign_id)

    end, _ = run(wait_for(campaign_id), fail())
    assert end.step is Step.FAILED
    assert f"{campaign_id} is failed" in end.message


def test_a_stopped_campaign_is_no_success(
    sandbox: Sandbox, kataven: KatavenAccount, hook: KatavenHook, started: Callable[..., str]
) -> None:
    """It shows as completed."""
    campaign_id = started(200)

    async def stop() -> None:
        await until(lambda: asked(kataven)["events"])
        await asyncio.to_thread(hook.stop_campaign, campaign_id)

    end, _ = run(wait_for(campaign_id), stop())
    assert kataven.campaigns[campaign_id]["status"] == "completed"
    assert end.step is Step.FAILED
    assert f"{campaign_id} is stopped" in end.message


@pytest.mark.parametrize("answer", [{"status": 400}, {"status": 404, "detail": "no such filter"}], ids=str)
def test_where_nobody_can_tell_a_stop_it_is_completed(
    kataven: KatavenAccount, hook: KatavenHook, started: Callable[..., str], answer: dict[str, Any]
) -> None:
    campaign_id = started(200)
    hook.stop_campaign(campaign_id)
    kataven.fault("GET /campaigns/{campaign_id}/contacts", "status", times=None, **answer)
    (end,) = run(wait_for(campaign_id))
    assert end.step is Step.DONE


# -- campaigns that call nobody ----------------------------------------------------------------------------------------


def test_a_draft_is_waited_for_without_a_stream(
    sandbox: Sandbox, kataven: KatavenAccount, hook: KatavenHook, draft: Draft
) -> None:
    campaign_id, seen = draft(5), []

    async def start_it() -> None:
        await until(lambda: len(seen) > 4)
        assert asked(kataven)["events"] == 0
        await asyncio.to_thread(hook.start_campaign, campaign_id)

    with passing(sandbox):
        end, _ = run(wait_for(campaign_id, seen=seen), start_it())
    assert end.step is Step.DONE
    (warning,) = [each.warning for each in seen if each.warning]
    assert f"Campaign {campaign_id} is not started: nobody is called until it is" in warning


def test_a_paused_campaign_gives_its_place_back(
    sandbox: Sandbox, kataven: KatavenAccount, hook: KatavenHook, started: Callable[..., str]
) -> None:
    campaign_id, seen = started(100, max_concurrent_calls=1), []

    def streams() -> int:
        return sum(limiter._streams for limiter in limits._limiters.values())

    async def pause_for_a_while() -> None:
        await until(lambda: reached(seen))
        assert streams() == 1
        await asyncio.to_thread(hook.pause_campaign, campaign_id)
        await until(lambda: any(each.warning for each in seen))
        await until(lambda: streams() == 0)
        await asyncio.to_thread(hook.resume_campaign, campaign_id)
        await until(lambda: streams() == 1)
        await asyncio.to_thread(hook.stop_campaign, campaign_id)

    with passing(sandbox, step=1.0):
        end, _ = run(wait_for(campaign_id, seen=seen), pause_for_a_while())
    assert end.step is Step.FAILED
    (warning,) = [each.warning for each in seen if each.warning]
    assert "paused: nobody new is called until it is resumed" in warning


# -- many --------------------------------------------------------------------------------------------------------------


def test_two_hundred_waits_in_one_event_loop(
    sandbox: Sandbox, kataven: KatavenAccount, hook: KatavenHook, started: Callable[..., str], draft: Draft
) -> None:
    """Each ends as its campaign does, and nothing stays open: :func:`run` looks for tasks and connections."""
    kataven.settings.requests_in_flight = 20
    kataven.settings.rate_limits = True
    kataven.settings.requests_per_minute = kataven.settings.requests_per_hour = 10**6
    kataven.settings.requests_per_day = 10**6
    called = [started(3 + number % 5, max_concurrent_calls=2) for number in range(180)]
    failing, stopped, later = started(50), started(500), [draft(2) for _ in range(18)]
    before = len(kataven.requests)
    most = 0

    def all_streams_are_open() -> bool:
        """At some moment: one may have ended by the next."""
        nonlocal most
        most = max(most, *(limiter._streams for limiter in limits._limiters.values()))
        return most >= MOST_STREAMS

    async def meanwhile() -> None:
        await until(lambda: all_streams_are_open() and asked(kataven)["events"] >= MOST_STREAMS)
        for each in later:
            await asyncio.to_thread(hook.start_campaign, each)
        await asyncio.to_thread(hook.stop_campaign, stopped)
        kataven.fail_campaign(failing)

    ids = [*called, failing, stopped, *later]
    with passing(sandbox, every=0.05):
        *ends, _ = run(*map(wait_for, ids), meanwhile())

    assert most == MOST_STREAMS
    assert Counter(each.step for each in ends) == {Step.DONE: 198, Step.FAILED: 2}
    by_id = dict(zip(ids, ends, strict=True))
    assert (by_id[failing].step, by_id[stopped].step) == (Step.FAILED, Step.FAILED)
    kinds = asked(kataven)
    assert kinds["list"] > 3
    assert kinds["campaign"] < 60, "those without a stream are read by one list"
    assert not [each for each in kataven.requests[before:] if each.status == 429]
    all_is_free()


def test_waits_share_a_stream(sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]) -> None:
    one, other = started(20, max_concurrent_calls=2), started(10, max_concurrent_calls=2)
    with passing(sandbox):
        ends = run(wait_for(one), wait_for(one), wait_for(one, other), wait_for(other, one))
    assert {each.step for each in ends} == {Step.DONE}
    assert asked(kataven)["events"] == 2


def test_fewer_streams_where_the_limits_say_so(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(kataven.connection_json()), "extra": {**MANY, "requests_in_flight": 4}}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    ids = [started(10, max_concurrent_calls=1) for _ in range(6)]
    open_at_once: list[int] = []

    async def watch() -> None:
        while len(asyncio.all_tasks()) > 2:
            open_at_once.extend(limiter._streams for limiter in limits._limiters.values())
            await asyncio.sleep(0.02)

    with passing(sandbox):
        *ends, _ = run(*map(wait_for, ids), watch())
    assert {each.step for each in ends} == {Step.DONE}
    assert max(open_at_once) == 2
    assert asked(kataven)["list"] > 0


def test_one_wait_that_is_cancelled_disturbs_nobody(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]
) -> None:
    one, other = started(20, max_concurrent_calls=2), started(20, max_concurrent_calls=2)

    async def both() -> Any:
        going, staying = start(wait_for(one), wait_for(one, other))
        await until(lambda: asked(kataven)["events"] >= 2)
        going.cancel()
        return await staying

    with passing(sandbox):
        (end,) = run(both())
    assert end.step is Step.DONE


# -- a service that is away --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["status", "drop"])
def test_an_outage_ends_as_if_nothing_had_been(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str], what: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(kataven.connection_json()), "extra": {**MANY, "retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    ids = [started(200, max_concurrent_calls=2) for _ in range(4)]
    seen: list[Decision] = []
    kataven.fault("GET /campaigns/{campaign_id}/events", "tear", events=2, times=4)

    async def outage() -> None:
        await until(lambda: reached(seen))
        fault = kataven.fault("*", what, times=None)
        await until(lambda: fault.hits > 12, within=25)
        sandbox.clear_faults()

    with passing(sandbox, step=20.0):
        *ends, _ = run(wait_for(ids[0], seen=seen), *map(wait_for, ids[1:]), outage())
    assert {each.step for each in ends} == {Step.DONE}
    all_is_free()


def test_a_revoked_token_ends_the_wait(
    kataven: KatavenAccount, started: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = started()
    connection = {**json.loads(kataven.connection_json()), "password": "sk_live_other_1", "extra": MANY}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    (error,) = run(wait_for(campaign_id), may_fail=True)
    assert isinstance(error, AuthenticationError)
    assert "sk_live" not in str(error)


def test_a_campaign_that_does_not_exist(kataven: KatavenAccount) -> None:
    (error,) = run(wait_for("33333333-3333-4333-8333-333333333333", interval=0.05), may_fail=True)
    assert isinstance(error, NotFoundError)


def test_the_time_is_over(sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]) -> None:
    from airflow_provider_graine.watching.clock import clock

    (end,) = run(wait_for(started(50), interval=30, deadline=clock.wall() + 1.0))
    assert end.step is Step.TIMED_OUT


# -- what came of the calls --------------------------------------------------------------------------------------------


def test_shares_are_counted_at_the_end(sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]) -> None:
    campaign_id = started(250, max_concurrent_calls=100)
    sandbox.run_until_idle()
    people = Counter(each["status"] for each in kataven.contacts(campaign_id))
    share = people["completed"] / 250
    for asked_for, step in ((share, Step.DONE), (share + 0.001, Step.FAILED)):
        (end,) = run(wait_for(campaign_id, rules=WaitRules(min_completed_share=asked_for)))
        assert end.step is step
        assert end.counts == people


def test_a_count_that_breaks_off_goes_on(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(kataven.connection_json()), "extra": {**MANY, "retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    campaign_id = started(450, max_concurrent_calls=100)
    sandbox.run_until_idle()
    kataven.fault("GET /campaigns/{campaign_id}/contacts", "status", status=503, times=2, after=4)
    (end,) = run(wait_for(campaign_id, rules=WaitRules(max_failed_share=1.0)))
    assert end.step is Step.DONE
    assert sum(end.counts.values()) == 450
    pages = [each.query for each in kataven.requests if each.path.endswith("/contacts") and "status" not in each.query]
    assert [page.split("=")[-1] for page in pages] == ["0", "1", "2", "3", "3", "3", "4", "5"]


def test_what_is_certain_ends_the_wait_early(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody joins a campaign that exists, and the stream says how many were left out."""
    campaign_id = started(20, max_concurrent_calls=1)
    said = {"status": "running", "contacts": {"pending": 15, "skipped": 5}, "total": 20}
    monkeypatch.setattr("airflow_provider_graine.sandbox.kataven.views.snapshot", lambda *_: said)
    with passing(sandbox, step=2.0):
        (end,) = run(wait_for(campaign_id, rules=WaitRules(min_completed_share=0.8)))
    assert end.step is Step.FAILED
    assert "15 of 20 contacts" in end.message
    assert kataven.campaigns[campaign_id]["status"] == "running"


def test_standing_still_is_told_with_what_the_account_says(
    sandbox: Sandbox, kataven: KatavenAccount, started: Callable[..., str]
) -> None:
    kataven.fault("POST /campaigns/{campaign_id}/start", "lost_dispatch")
    kataven.settings.daily_calls_max = 0
    campaign_id, seen = started(20), []

    async def seen_enough() -> None:
        await until(lambda: any(each.warning for each in seen))
        kataven.fail_campaign(campaign_id)

    with passing(sandbox):
        end, _ = run(wait_for(campaign_id, rules=WaitRules(stalled_after=1.0), seen=seen), seen_enough())
    assert end.step is Step.FAILED
    (warning,) = [each.warning for each in seen if each.warning]
    assert f"20 contacts of campaign {campaign_id} are due" in warning
    assert 'It says: "daily_calls_max: 0"' in warning
    assert "force dispatch" not in warning


# -- many events, and those who do not keep up -------------------------------------------------------------------------


def test_ten_thousand_events_and_a_slow_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has looked at yet is replaced by what is newer."""
    settings = KatavenSettings(tick_pause=0.0, rate_limits=False)
    heard = 0
    hear = kataven_poll._Campaign.heard

    def counting(self: Any, snapshot: Any) -> None:
        nonlocal heard
        heard += 1
        hear(self, snapshot)

    monkeypatch.setattr(kataven_poll._Campaign, "heard", counting)
    limits._limiters.clear()
    with Sandbox(speed=1e6, kataven=settings) as sandbox:
        account = sandbox.kataven
        connection = {**json.loads(account.connection_json()), "extra": MANY}
        monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
        account.fault("POST /campaigns/{campaign_id}/start", "lost_webhooks")  # calls without an end
        hook = KatavenHook()
        people = [{"phone_number": f"+9198765{number:05}"} for number in range(20)]
        campaign_id = hook.create_campaign(
            name="Long", agent_id=AGENT, phone_number_id=NUMBER, contacts=people, max_concurrent_calls=5
        ).campaign_id
        hook.start_campaign(campaign_id)
        hook.close()
        looks = 0

        async def slow() -> Decision:
            nonlocal looks
            wait = Wait(poll_interval=INTERVAL)
            async with shared_watch("kataven_default", campaign_ids=[campaign_id]) as watch:
                while (decision := await watch.decide(wait, pause=INTERVAL)).step is Step.WAIT:
                    looks += 1
                    await asyncio.sleep(0.2)
                return decision

        async def fail_it() -> None:
            await until(lambda: heard >= 10_000, within=60)
            account.fail_campaign(campaign_id)

        end, _ = run(slow(), fail_it())
    assert end.step is Step.FAILED
    assert heard >= 10_000
    assert looks < heard / 50
    all_is_free()
    limits._limiters.clear()


# -- privacy -----------------------------------------------------------------------------------------------------------


def test_nobody_is_named(
    sandbox: Sandbox,
    kataven: KatavenAccount,
    hook: KatavenHook,
    started: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "airflow_provider_graine")
    campaign_id = started(150, name="Ann Example", max_concurrent_calls=100)
    kataven.fault("GET /campaigns/{campaign_id}/events", "tear", events=1, times=4)
    seen: list[Decision] = []
    with passing(sandbox):
        (end,) = run(wait_for(campaign_id, rules=WaitRules(max_failed_share=1.0), seen=seen))
    assert end.step is Step.DONE
    told = caplog.text + "".join(f"{each.message}{each.warning}{each.counts}" for each in seen)
    assert "+91" not in told
    assert "Ann" not in told
    assert "sk_live" not in told
