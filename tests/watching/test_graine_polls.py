"""Waits that share their polls: what is asked, who is told, and that nobody disturbs anybody."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from collections.abc import Callable

import pytest

from airflow_provider_graine.exceptions import AuthenticationError, ConfigurationError, NotFoundError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.services.working_hours import DAYS
from airflow_provider_graine.waiting.decision import Decision, Step
from airflow_provider_graine.watching import graine_shared, shared_hook
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.graine_polls import shared_watch
from tests.watching.polling import INTERVAL, add, asked, expire, make, of, run, start, until, wait_for

pytestmark = pytest.mark.usefixtures("hook")
LIST = "GET /campaigns/{campaign_id}/batches"


# What is asked


def test_a_hundred_waits_of_a_campaign_cost_two_requests_a_look(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 100)

    async def end() -> None:
        await until(lambda: asked(sandbox)["list"] >= 4)
        expire(sandbox, batch_ids)

    *decisions, _ = run(*(wait_for([each], campaign_id) for each in batch_ids), end())

    assert [each.step for each in decisions] == [Step.FAILED] * 100
    kinds = asked(sandbox)
    assert kinds["page"] <= 2 * kinds["list"]
    assert kinds["batch"] == 0
    assert kinds["campaign"] <= 1, "the hours, once for all"


def test_waits_of_one_wait_for_many_batches_share_as_well(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 60)
    expire(sandbox, batch_ids)
    (decision,) = run(wait_for(batch_ids, campaign_id))
    assert decision.step is Step.FAILED
    assert asked(sandbox) == {"page": 2, "list": 1}


def test_a_lonely_batch_is_asked_for_by_itself(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (batch_id, *_) = make(hook, 60)

    async def end() -> None:
        await until(lambda: of(sandbox, batch_id) >= 3)
        expire(sandbox, [batch_id])

    run(wait_for([batch_id], campaign_id), end())
    assert asked(sandbox)["page"] == 0


def test_few_batches_at_the_end_of_a_long_list_are_not_listed_again(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 160)  # the newest come first
    oldest = batch_ids[:3]

    async def end() -> None:
        await until(lambda: of(sandbox, oldest[0]) >= 4)
        expire(sandbox, oldest)

    run(*(wait_for([each], campaign_id) for each in oldest), end())
    assert asked(sandbox)["list"] == 1


def test_what_has_ended_is_not_asked_for_again(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (over, running) = make(hook, 2)
    expire(sandbox, [over])

    async def end() -> None:
        await until(lambda: of(sandbox, running) >= 3)
        expire(sandbox, [running])

    run(wait_for([over, running], campaign_id), end())
    assert (asked(sandbox)["page"], of(sandbox, over)) == (1, 0)


def test_waits_for_a_campaign_share_its_figures(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, _ = make(hook, 2)

    async def end() -> None:
        await until(lambda: asked(sandbox)["stats"] >= 3)
        sandbox.run_until_idle()

    *decisions, _ = run(*(wait_for(None, campaign_id) for _ in range(20)), end())
    assert [each.step for each in decisions] == [Step.DONE] * 20
    kinds = asked(sandbox)
    assert kinds["stats"] <= 8
    assert kinds["campaign"] <= kinds["stats"] + 1
    assert kinds["page"] == kinds["batch"] == 0


def test_campaigns_nobody_named_are_learned_by_one_look_at_each_batch(sandbox: Sandbox, hook: GraineHook) -> None:
    (_, first), (_, second) = make(hook, 5), make(hook, 5)

    async def end() -> None:
        await until(lambda: asked(sandbox)["list"] >= 6)
        expire(sandbox, second)
        await asyncio.sleep(3 * INTERVAL)
        assert not waiting.done()
        expire(sandbox, first)

    async def together() -> Decision:
        nonlocal waiting
        waiting = asyncio.current_task()
        return await wait_for([*first, *second])

    waiting: asyncio.Task[Decision]
    decision, _ = run(together(), end())
    assert decision.step is Step.FAILED
    assert {of(sandbox, each) for each in first + second} == {1}


def test_hours_are_asked_for_once_by_all_who_stand_still(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 30)

    async def end() -> None:
        await until(lambda: asked(sandbox)["list"] >= 4)
        expire(sandbox, batch_ids)

    run(*(wait_for([each], campaign_id) for each in batch_ids), end())
    assert asked(sandbox)["campaign"] == 1


def test_outside_calling_hours_looks_are_rare(sandbox: Sandbox, hook: GraineHook) -> None:
    never = {day: {"enabled": False} for day in DAYS}
    campaign_id, (batch_id,) = make(hook, 1, working_hours_enforced=True, timezone="UTC", working_hours=never)
    seen: list[Decision] = []

    async def rest() -> None:
        waiting = start(wait_for([batch_id], campaign_id, seen=seen))[0]
        await until(lambda: seen and seen[-1].pause > 60)
        looks = of(sandbox, batch_id)
        await asyncio.sleep(6 * INTERVAL)
        assert of(sandbox, batch_id) == looks
        waiting.cancel()
        await asyncio.wait([waiting])

    run(rest())


def test_start_of_a_pending_batch_is_asked_for_once(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, _ = make(hook, 0)
    planned = [add(hook, campaign_id, scheduled_start="2026-05-20T09:00:00Z") for _ in range(3)]
    seen: list[Decision] = []

    async def end() -> None:
        await until(lambda: asked(sandbox)["list"] >= 3)
        expire(sandbox, planned)

    run(*(wait_for([each], campaign_id, seen=seen) for each in planned), end())
    assert {of(sandbox, each) for each in planned} == {1}


# Who is told


def test_batches_that_end_while_the_list_is_being_read(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 100)
    newest, oldest = batch_ids[-1], batch_ids[0]
    sandbox.fault(LIST, "hang", after=1, seconds=0.5, when="before")  # the second page of the first list

    async def end() -> None:
        await until(lambda: asked(sandbox)["page"] == 2)
        expire(sandbox, [newest, oldest])  # on the page that has been read, and on the one that has not
        await asyncio.sleep(1)
        expire(sandbox, set(batch_ids) - {newest, oldest})

    decisions = run(*(wait_for([each], campaign_id) for each in batch_ids), end())
    assert [each.step for each in decisions[:-1]] == [Step.FAILED] * 100


def test_row_that_slips_between_two_pages(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 40)
    sandbox.fault("POST /batches/", "late", list_calls=1)  # hidden from the first page, and before the second begins
    slipped = add(hook, campaign_id)
    batch_ids += [slipped, *(add(hook, campaign_id) for _ in range(20))]
    expire(sandbox, batch_ids)
    decisions = run(*(wait_for([each], campaign_id) for each in batch_ids))
    assert [each.step for each in decisions] == [Step.FAILED] * 61
    assert asked(sandbox) == {"page": 2, "list": 1, "batch": 1}
    assert of(sandbox, slipped) == 1


def test_list_that_lags(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 3)
    sandbox.fault("POST /batches/", "late", virtual_seconds=1e6)
    hidden = add(hook, campaign_id)

    async def end() -> None:
        await until(lambda: of(sandbox, hidden) >= 2)
        expire(sandbox, [hidden])

    async def end_others(waiting: asyncio.Task[Decision]) -> Decision:
        decision = await waiting
        expire(sandbox, batch_ids)
        return decision

    async def all_of_it() -> list[Decision]:
        waits = start(*(wait_for([each], campaign_id) for each in [*batch_ids, hidden]))
        await asyncio.gather(end(), end_others(waits[-1]))
        return await asyncio.gather(*waits)

    (decisions,) = run(all_of_it())
    assert [each.step for each in decisions] == [Step.FAILED] * 4
    assert f"{hidden} is expired" in decisions[-1].message
    assert all(of(sandbox, each) == 0 for each in batch_ids)


def test_batch_of_another_campaign_than_named(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, mine = make(hook, 3)
    _, (foreign,) = make(hook, 1)
    expire(sandbox, [*mine, foreign])
    (decision,) = run(wait_for([*mine, foreign], campaign_id))
    assert decision.step is Step.FAILED
    assert f"{foreign} is expired" in decision.message


def test_batch_that_is_not_found_fails_its_own_wait_alone(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 3)

    async def end() -> None:
        await until(lambda: of(sandbox, "btc_gone") == 5)
        await asyncio.sleep(3 * INTERVAL)
        expire(sandbox, batch_ids)

    ids = [*batch_ids, "btc_gone"]
    *decisions, gone, ending = run(
        *(wait_for([each], campaign_id, interval=0.05) for each in ids), end(), may_fail=True
    )
    assert ending is None
    assert isinstance(gone, NotFoundError)
    assert [each.step for each in decisions] == [Step.FAILED] * 3
    assert of(sandbox, "btc_gone") == 5


@pytest.mark.parametrize("status", [404, 422])
def test_campaign_that_cannot_be_listed(sandbox: Sandbox, hook: GraineHook, status: int) -> None:
    campaign_id, batch_ids = make(hook, 4)
    sandbox.fault(LIST, "status", status=status, times=None)
    expire(sandbox, batch_ids)
    decisions = run(*(wait_for([each], campaign_id) for each in batch_ids))
    assert [each.step for each in decisions] == [Step.FAILED] * 4


@pytest.mark.parametrize(
    "fault",
    [
        {"what": "status", "status": 503},
        {"what": "drop"},
        {"what": "html"},
        {"what": "truncate"},
        {"what": "tear", "reset": True},
    ],
)
def test_list_that_fails_is_looked_at_again(
    sandbox: Sandbox, hook: GraineHook, connect: Callable[..., None], fault: dict[str, object]
) -> None:
    connect(extra={"retries": 0})
    campaign_id, batch_ids = make(hook, 4)
    sandbox.fault(LIST, **fault, times=3)  # type: ignore[arg-type]
    expire(sandbox, batch_ids)
    seen: list[Decision] = []
    decisions = run(*(wait_for([each], campaign_id, seen=seen) for each in batch_ids))
    assert [each.step for each in decisions] == [Step.FAILED] * 4
    assert [each.step for each in seen] == [Step.WAIT] * 12 + [Step.FAILED] * 4
    assert asked(sandbox) == {"page": 4, "list": 4}


def test_wait_is_woken_by_news_and_by_nothing_else(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (slow, fast) = make(hook, 2)
    seen: list[Decision] = []

    async def end() -> None:
        await until(lambda: seen)
        looks = asked(sandbox)["list"]
        await until(lambda: asked(sandbox)["list"] >= looks + 4)
        assert len(seen) == 1, "four looks of the other wait had nothing new"
        expire(sandbox, [slow])
        await until(lambda: len(seen) == 2)
        expire(sandbox, [fast])

    slowly = wait_for([slow], campaign_id, interval=60, seen=seen)
    ended, *_ = run(slowly, wait_for([fast], campaign_id, interval=0.1), end())
    assert ended.step is Step.FAILED


def test_deadline_is_kept_while_a_look_hangs(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (batch_id,) = make(hook, 1)
    sandbox.fault("GET *", "hang", seconds=5, times=None)
    began = time.time()
    (decision,) = run(wait_for([batch_id], campaign_id, interval=0.1, deadline=began + 0.5))
    assert decision.step is Step.TIMED_OUT
    assert 0.5 <= time.time() - began < 2.5


@pytest.mark.parametrize("left", [-3600.0, 0.4])
def test_a_wait_taken_up_late_looks_before_it_gives_up(sandbox: Sandbox, hook: GraineHook, left: float) -> None:
    """As when the triggerer was away: the calls may be done."""
    campaign_id, batch_ids = make(hook, 2)
    sandbox.run_until_idle()
    (decision,) = run(wait_for(batch_ids, campaign_id, interval=30.0, deadline=time.time() + left))
    assert decision.step is Step.DONE


def test_a_wait_taken_up_late_times_out_on_what_it_sees(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (batch_id,) = make(hook, 1)
    (decision,) = run(wait_for([batch_id], campaign_id, interval=30.0, deadline=time.time() - 3600))
    assert decision.step is Step.TIMED_OUT
    assert decision.counts


def test_deadline_is_kept_while_a_closer_look_hangs(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (batch_id,) = make(hook, 1)
    sandbox.fault("GET /campaigns/{campaign_id}", "hang", seconds=5, times=None)
    began = time.time()
    (decision,) = run(wait_for([batch_id], campaign_id, interval=0.1, deadline=began + 0.7))
    assert decision.step is Step.TIMED_OUT
    assert 0.7 <= time.time() - began < 2.5


def test_no_look_comes_too_often(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (batch_id,) = make(hook, 1)

    async def hasty() -> None:
        from airflow_provider_graine.waiting.decision import Wait

        wait, end = Wait(), time.monotonic() + 1
        async with shared_watch("graine_default", batch_ids=[batch_id], campaign_id=campaign_id) as watch:
            while time.monotonic() < end:
                await watch.decide(wait, pause=0.0)

    run(hasty())
    assert 5 < asked(sandbox)["batch"] <= 21


# Who comes and goes


def test_wait_that_joins_while_a_look_is_under_way(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (first, second) = make(hook, 2)
    sandbox.fault(f"GET /batches/{first}", "hang", seconds=0.5, when="before")

    async def all_of_it() -> None:
        early = start(wait_for([first], campaign_id))[0]
        await until(lambda: of(sandbox, first) == 1)
        expire(sandbox, [second])
        began = time.monotonic()
        assert (await wait_for([second], campaign_id)).step is Step.FAILED
        assert time.monotonic() - began < 0.5 + 2 * INTERVAL + 1
        expire(sandbox, [first])
        assert (await early).step is Step.FAILED

    run(all_of_it())


def test_wait_that_is_cancelled_in_the_middle_of_a_look(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 4)
    sandbox.fault(LIST, "hang", seconds=0.4, when="before")

    async def all_of_it() -> None:
        gone, *others = start(*(wait_for([each], campaign_id) for each in batch_ids))
        await until(lambda: asked(sandbox)["page"] == 1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await until(lambda: asked(sandbox)["page"] >= 3)
        expire(sandbox, batch_ids[1:])
        assert [each.step for each in await asyncio.gather(*others)] == [Step.FAILED] * 3

    run(all_of_it())
    assert sandbox.batches[batch_ids[0]]["status"] == "in_progress"


def test_what_nobody_waits_for_any_more_is_not_asked_for(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, (stays, goes) = make(hook, 2)

    async def all_of_it() -> None:
        staying, going = start(*(wait_for([each], campaign_id) for each in (stays, goes)))
        await until(lambda: asked(sandbox)["list"] == 1)
        going.cancel()
        await until(lambda: of(sandbox, stays) >= 2)
        listed = asked(sandbox)["list"]
        await until(lambda: of(sandbox, stays) >= 4)
        assert asked(sandbox)["list"] == listed, "one batch is left: it needs no list"
        assert of(sandbox, goes) == 0
        expire(sandbox, [stays])
        await staying

    run(all_of_it())


def test_hours_still_come_when_the_wait_that_asked_is_cancelled(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 3)
    sandbox.fault("GET /campaigns/{campaign_id}", "hang", seconds=0.5, when="before")

    async def all_of_it() -> None:
        first, *others = start(*(wait_for([each], campaign_id) for each in batch_ids))
        await until(lambda: asked(sandbox)["campaign"] == 1)
        first.cancel()
        await asyncio.sleep(0.7)
        expire(sandbox, batch_ids)
        assert [each.step for each in await asyncio.gather(*others)] == [Step.FAILED] * 2

    run(all_of_it())
    assert asked(sandbox)["campaign"] == 1


def test_all_waits_are_cancelled_with_their_loop_and_a_new_loop_begins_afresh(
    sandbox: Sandbox, hook: GraineHook
) -> None:
    campaign_id, batch_ids = make(hook, 3)

    async def interrupted() -> None:
        start(*(wait_for([each], campaign_id, interval=0.05) for each in batch_ids), wait_for(None, campaign_id))
        await until(lambda: asked(sandbox)["stats"] >= 2)

    for _ in range(2):
        before = asked(sandbox)["stats"]
        asyncio.run(interrupted())
        assert asked(sandbox)["stats"] >= max(2, before)

    expire(sandbox, batch_ids)
    assert [each.step for each in run(*(wait_for([each], campaign_id) for each in batch_ids))] == [Step.FAILED] * 3


def test_waits_that_follow_each_other_on_one_loop(sandbox: Sandbox, hook: GraineHook) -> None:
    campaign_id, batch_ids = make(hook, 3)
    expire(sandbox, batch_ids)

    async def one_by_one() -> list[Step]:
        return [(await wait_for([each], campaign_id)).step for each in batch_ids]

    assert run(one_by_one()) == [[Step.FAILED] * 3]


# Connections


def test_connection_is_read_once_for_all(sandbox: Sandbox, hook: GraineHook, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    settings = GraineHook._asettings

    async def noting(self: GraineHook) -> object:
        read.append(self.conn_id)
        return await settings(self)

    monkeypatch.setattr(GraineHook, "_asettings", noting)
    campaigns = [make(hook, 2) for _ in range(10)]
    expire(sandbox, [each for _, batch_ids in campaigns for each in batch_ids])
    run(*(wait_for([each], campaign_id) for campaign_id, batch_ids in campaigns for each in batch_ids))
    assert read == ["graine_default"]


def test_connections_do_not_disturb_each_other(
    sandbox: Sandbox, hook: GraineHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(sandbox.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_CONN_REVOKED", json.dumps({**connection, "password": "gat_revoked"}))
    campaign_id, batch_ids = make(hook, 2)

    async def end() -> None:
        await until(lambda: asked(sandbox)["list"] >= 6)
        expire(sandbox, batch_ids)

    connections = ("graine_default", "other", "revoked", "missing")
    waits = [wait_for([each], campaign_id, conn_id=conn_id) for conn_id in connections for each in batch_ids]
    *ended, ending = run(*waits, end(), may_fail=True)
    assert ending is None
    assert [each.step for each in ended[:4]] == [Step.FAILED] * 4
    assert [type(each) for each in ended[4:6]] == [AuthenticationError] * 2
    assert all("missing" in str(each) for each in ended[6:])


def test_corrected_connection_takes_effect(
    sandbox: Sandbox, hook: GraineHook, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_hook, "_LEAST_LIFE", 0.0)
    campaign_id, batch_ids = make(hook, 2)
    expire(sandbox, batch_ids)
    connect(host="http://127.0.0.1:1/api/v1", extra={"retries": 0})
    seen: list[Decision] = []

    async def correct() -> None:
        await until(lambda: len(seen) >= 3)
        connect()

    *decisions, _ = run(*(wait_for([each], campaign_id, interval=0.05, seen=seen) for each in batch_ids), correct())
    assert [each.step for each in decisions] == [Step.FAILED] * 2


def test_connection_is_not_read_anew_all_the_time_in_an_outage(
    sandbox: Sandbox, hook: GraineHook, connect: Callable[..., None]
) -> None:
    campaign_id, batch_ids = make(hook, 2)
    expire(sandbox, batch_ids)
    connect(extra={"retries": 0})
    sandbox.fault("GET *", "status", status=503, times=9)
    made: list[GraineHook] = []
    begin = graine_shared.GraineHook.__init__

    def noting(self: GraineHook, conn_id: str) -> None:
        made.append(self)
        begin(self, conn_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graine_shared.GraineHook, "__init__", noting)
        run(*(wait_for([each], campaign_id, interval=0.05) for each in batch_ids))
    assert len(made) == 1


def test_wait_for_nothing_is_refused(sandbox: Sandbox) -> None:
    (error,) = run(wait_for(), may_fail=True)
    assert isinstance(error, ConfigurationError)


def test_polls_do_not_log_as_the_wait_that_came_first(
    sandbox: Sandbox, hook: GraineHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id, (batch_id,) = make(hook, 1)
    expire(sandbox, [batch_id])
    whose = contextvars.ContextVar("whose", default="nobody's")
    found: list[str] = []
    settings = GraineHook._asettings

    async def noting(self: GraineHook) -> object:
        found.append(whose.get())
        return await settings(self)

    monkeypatch.setattr(GraineHook, "_asettings", noting)

    async def first() -> None:
        whose.set("the first one's")
        await wait_for([batch_id], campaign_id)

    run(first())
    assert found == ["nobody's"]


# Long


def test_hour_long_outage_ends_as_if_nothing_had_been(
    sandbox: Sandbox, hook: GraineHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the waits is the sandbox's: where the poll would wait, that much time passes."""

    async def pass_by(event: asyncio.Event, *, at_most: float) -> None:
        if at_most == float("inf"):
            await event.wait()
        for _ in range(50):  # whoever has been told gets to ask for the next look
            await asyncio.sleep(0)
        if not event.is_set():
            sandbox.advance(at_most)
            if sandbox.now - began > 3600:
                sandbox.clear_faults()

    for name in ("wall", "now"):
        monkeypatch.setattr(clock, name, lambda: sandbox.now)
    monkeypatch.setattr(clock, "wait", pass_by)
    campaign_id, batch_ids = make(hook, 10)
    began, placed = sandbox.now, len(sandbox.requests)
    outage = sandbox.fault("GET *", "status", status=503, times=None)

    decisions = run(*(wait_for([each], campaign_id, interval=30.0, deadline=began + 86400) for each in batch_ids))

    assert [each.step for each in decisions] == [Step.DONE] * 10
    assert 3600 < sandbox.now - began < 3600 + 6 * 3600
    assert outage.hits > 5 * 12, "the outage was looked at, and each look was repeated"
    assert not [request for request in sandbox.requests[placed:] if request.method != "GET"]
