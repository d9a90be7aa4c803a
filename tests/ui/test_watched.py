"""What is known of a connection: read with few requests, once for all who look, and kept through bad times."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_graine.exceptions import UnexpectedAnswerError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.services.graine.received import Batch, CampaignStats
from airflow_provider_graine.ui.graine_calls import LISTED_EVERY, GraineCalls
from airflow_provider_graine.ui.kataven_calls import KatavenCalls
from airflow_provider_graine.ui.watched import MOST_CONNECTIONS, AllWatched, Watched
from airflow_provider_graine.uploads.identity import RunIdentity
from tests.ui.conftest import Time

Look = Callable[..., Any]
WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def people(number: int, *, first: int = 0) -> list[dict[str, Any]]:
    return [{"phone_number": f"+9198{first + each:08d}"} for each in range(number)]


def asked(sandbox: Sandbox, since: int = 0) -> Counter[str]:
    """Count what was asked for, by the kind of request."""
    kinds = Counter[str]()
    for request in sandbox.requests[since:]:
        parts = request.path.removeprefix("/api/v1/").strip("/").split("/")
        kinds["/".join([parts[0], *("*" for _ in parts[1:2]), *parts[2:]])] += 1
    return kinds


def upload(hook: GraineHook, campaign_id: str, batches: int, size: int = 2) -> list[str]:
    identity = RunIdentity(dag_id="calls", run_id="r", task_id="t")
    return [
        hook.create_batch(
            campaign_id=campaign_id, contacts=people(size, first=size * each), metadata=identity.marked(None)
        ).batch_id
        for each in range(batches)
    ]


def test_two_hundred_batches_take_few_requests(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, look: Look, time: Time
) -> None:
    upload(hook, campaign_id, 200)
    before = len(sandbox.requests)

    async def watch(watched: Watched) -> list[Counter[str]]:
        told, mark = [], before
        for _ in range(8):
            await watched.look()
            told.append(asked(sandbox, mark))
            mark = len(sandbox.requests)
            time.passed += 5
        assert watched.error is None
        assert len(watched.calls.parts) == 200
        assert all(part.maker is not None for part in watched.calls.parts.values())
        sandbox.run_until_idle()
        time.passed += LISTED_EVERY
        await watched.look()
        mark = len(sandbox.requests)
        time.passed += 5
        await watched.look()  # nothing is under way any more
        told.append(asked(sandbox, mark))
        return told

    first, *others, last = look(GraineCalls(), watch)
    assert first == {"campaigns": 2, "batches": 3, "campaigns/*": 1, "campaigns/*/stats": 1, "batches/*": 40}
    metadata = sum(each["batches/*"] for each in others)
    assert metadata == 160  # each batch's once
    assert {each["batches"] for each in others[:5]} == {3}
    assert all(each.total() - each["batches/*"] <= 4 for each in others[:5])
    assert last.total() <= 1


def test_who_look_at_the_same_time_share_a_refresh(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, look: Look, time: Time
) -> None:
    upload(hook, campaign_id, 3)
    before = len(sandbox.requests)

    async def watch(watched: Watched) -> None:
        await asyncio.gather(*(watched.look() for _ in range(50)))
        await watched.look()
        assert len(watched.calls.parts) == 3

    look(GraineCalls(), watch)
    assert asked(sandbox, before) == {
        "campaigns": 2,
        "batches": 2,
        "campaigns/*": 1,
        "campaigns/*/stats": 1,
        "batches/*": 3,
    }


def test_only_what_has_not_ended_is_read_anew(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, look: Look, time: Time
) -> None:
    upload(hook, campaign_id, 4)
    sandbox.run_until_idle()
    [live] = upload(hook, campaign_id, 1, size=40)

    async def watch(watched: Watched) -> None:
        await watched.look()
        before = len(sandbox.requests)
        sandbox.advance(60)
        time.passed += 5
        await watched.look()
        news = [request.path for request in sandbox.requests[before:]]
        assert news == [f"/api/v1/batches/{live}"]
        assert dict(watched.calls.parts[live].counts) == sandbox.batches[live]["counters"]

    look(GraineCalls(), watch)


@pytest.mark.parametrize("fault", ["status", "drop", "html", "truncate"])
def test_the_last_known_state_outlives_an_outage(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, look: Look, time: Time, fault: Any, naps: list[float]
) -> None:
    upload(hook, campaign_id, 2)

    async def watch(watched: Watched) -> None:
        await watched.look()
        read_at = watched.read_at
        outage = sandbox.fault("GET *", fault, times=None)
        for _ in range(4):
            time.passed += 5
            await watched.look()
        assert watched.error is not None
        assert watched.read_at == read_at
        assert len(watched.calls.parts) == 2
        attempts = outage.hits
        await watched.look()  # not at once again
        assert outage.hits == attempts
        sandbox.clear_faults()
        time.passed += 60
        await watched.look()
        assert (watched.error, watched.read_at) == (None, time.wall())

    look(GraineCalls(), watch)


def test_a_part_that_cannot_be_read_does_not_hide_the_rest(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, look: Look, time: Time, naps: list[float]
) -> None:
    [batch_id] = upload(hook, campaign_id, 1, size=30)
    sandbox.fault("GET /campaigns/{campaign_id}/stats", "status", status=500, times=None)

    async def watch(watched: Watched) -> None:
        await watched.look()
        assert watched.error is not None
        sandbox.advance(120)
        time.passed += 20
        await watched.look()
        assert dict(watched.calls.parts[batch_id].counts) == sandbox.batches[batch_id]["counters"]

    look(GraineCalls(), watch)


def test_what_cannot_be_read_is_not_in_the_way_of_what_can(
    sandbox: Sandbox, hook: GraineHook, look: Look, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaigns = [
        hook.create_campaign(name=f"{n}", agent_id="a", phone_numbers=["+918045678900"]).campaign_id for n in range(8)
    ]
    batches = {upload(hook, each, 1, size=4)[0]: each for each in campaigns}
    sandbox.run_until_idle()
    broken = set(campaigns[:6])

    async def stats(self: GraineHook, campaign_id: str) -> CampaignStats:
        if campaign_id in broken:
            raise UnexpectedAnswerError("no document")
        return CampaignStats(campaign_id=campaign_id, contact_counts={"completed": 4}, batch_counts={})

    monkeypatch.setattr(GraineHook, "aget_campaign_stats", stats)

    async def watch(watched: Watched) -> None:
        for _ in range(4):
            await watched.look()
            time.passed += 60
        assert watched.error == "no document"
        assert all(watched.calls.parts[batch_id].maker is not None for batch_id in batches)
        assert {each for each in campaigns if watched.calls.campaigns[each].counts} == set(campaigns) - broken

    look(GraineCalls(), watch)


def test_a_cancel_shows_in_the_figures_too(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, look: Look, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People move from one state that a batch has no counter of to another."""
    [batch_id] = upload(hook, campaign_id, 1, size=10)
    counts = {"completed": 5, "followup_scheduled": 5}

    async def stats(self: GraineHook, campaign_id: str) -> CampaignStats:
        return CampaignStats(campaign_id=campaign_id, contact_counts=dict(counts), batch_counts={})

    monkeypatch.setattr(GraineHook, "aget_campaign_stats", stats)

    async def watch(watched: Watched) -> None:
        await watched.look()
        assert watched.calls.campaigns[campaign_id].counts == counts
        counters, saw = dict(watched.calls.parts[batch_id].counts), watched.calls._saw  # type: ignore[attr-defined]

        def saw_the_same_counters(batch: Batch) -> None:
            saw(batch)
            watched.calls.parts[batch_id].counts = counters

        monkeypatch.setattr(watched.calls, "_saw", saw_the_same_counters)
        hook.cancel_batch(batch_id)
        counts["skipped"] = counts.pop("followup_scheduled")
        for _ in range(2):
            time.passed += 30
            await watched.look()
        assert watched.calls.campaigns[campaign_id].counts == counts

    look(GraineCalls(), watch)


def test_a_batch_outside_calling_hours_does_not_stand_still(
    sandbox: Sandbox, hook: GraineHook, look: Look, time: Time
) -> None:
    windows = {day: {"start": "13:00", "end": "18:00", "enabled": True} for day in WEEK}
    closed = hook.create_campaign(
        name="Closed", agent_id="a", phone_numbers=["+918045678900"], timezone="UTC", working_hours=windows
    )
    hook.create_batch(campaign_id=closed.campaign_id, contacts=people(3))
    sandbox.advance(7200)
    time.passed = 7200.0

    async def watch(watched: Watched) -> None:
        await watched.look()
        [part] = watched.calls.parts.values()
        assert (part.is_stalled, part.note) == (
            False,
            "outside calling hours, dialling resumes Sun 10 May 13:00 UTC",
        )
        assert watched.calls.campaigns[closed.campaign_id].hours == "Sun 10 May 13:00 UTC"
        assert sandbox.batches[part.id]["status"] == "in_progress"

    look(GraineCalls(), watch)
    assert "batches/*/debug" not in asked(sandbox)


def test_a_batch_that_should_get_on_and_does_not_stands_still(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, look: Look, time: Time
) -> None:
    sandbox.fault("POST /batches/", "lost_dispatch")
    hook.create_batch(campaign_id=campaign_id, contacts=people(3))
    sandbox.advance(7200)
    time.passed = 7200.0

    async def watch(watched: Watched) -> None:
        await watched.look()
        [part] = watched.calls.parts.values()
        assert part.is_stalled
        assert part.note == "no progress for 2 h 0 min; the service calls it stuck"
        for _ in range(3):
            time.passed += 5
            await watched.look()
        hook.dispatch_batch(part.id)
        sandbox.advance(60)
        time.passed += 5
        await watched.look()
        assert not part.is_stalled
        assert "no progress" not in (part.note or "")

    look(GraineCalls(), watch)
    assert asked(sandbox)["batches/*/debug"] == 1


def test_kataven_is_asked_sparingly(sandbox: Sandbox, look: Look, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_graine.hooks.kataven import KatavenHook

    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", sandbox.kataven.connection_json())
    kataven = KatavenHook()
    contacts = b"phone_number\n" + b"".join(b"+9198%08d\n" % each for each in range(30))
    mark = RunIdentity(dag_id="calls", run_id="r", task_id="t", map_index=2).mark(chunk="0" * 16, people=30)
    ids = [
        kataven.create_campaign(
            name=f"Renewals {mark}",
            agent_id="5f0c6f0e-4c0f-4f57-9a7e-0a4f7f6f2a11",
            phone_number_id="0b9d2c1e-6a3f-4b58-8d21-3f5a9c7e1b22",
            contacts=contacts,
        ).campaign_id
        for _ in range(2)
    ]
    kataven.start_campaign(ids[0])
    kataven.close()
    sandbox.run_until_idle()
    before = len(sandbox.kataven.requests)

    async def watch(watched: Watched) -> None:
        for _ in range(20):
            await watched.look()
            time.passed += 5
        ended, draft = watched.calls.parts[ids[0]], watched.calls.parts[ids[1]]
        assert (ended.name, ended.total, ended.map_index, ended.status) == ("Renewals", 30, 2, "completed")
        assert sum(ended.counts.values()) == 30
        assert (draft.status, draft.is_stalled) == ("draft", False)
        assert draft.note == "not started: nobody is called until it is, which a wait does not do"

    look(KatavenCalls(), watch)
    kinds = Counter(request.path.rpartition("/")[2] for request in sandbox.kataven.requests[before:])
    # 100 seconds: the list each 12, twice more for its end; the contacts of the one that has ended, once.
    assert kinds["campaigns"] <= 7 + 2
    assert kinds["contacts"] <= 2
    assert kinds.total() <= 12


def test_connections_that_nobody_looks_at_are_forgotten(time: Time) -> None:
    made: list[str] = []

    def make(conn_id: str, service: str) -> Watched:
        made.append(conn_id)
        return Watched(conn_id, GraineHook, GraineCalls())

    async def main() -> None:
        all_watched = AllWatched(make)
        first = await all_watched.get("0", "graine")
        assert await all_watched.get("0", "graine") is first
        for number in range(MOST_CONNECTIONS):
            time.passed += 1
            (await all_watched.get(str(number + 1), "graine")).looked_at = time.now()
        assert await all_watched.get("0", "graine") is not first
        await all_watched.aclose()

    asyncio.run(main())
    assert made == ["0", *(str(number + 1) for number in range(MOST_CONNECTIONS)), "0"]
