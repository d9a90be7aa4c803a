from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest

DAY = 86_400
OFFICE = {"start": "09:00", "end": "17:00", "enabled": True}


def test_a_batch_runs_to_its_end_and_completes_its_campaign(api, sandbox):
    campaign_id = api.campaign()
    assert api.ok("GET", f"/campaigns/{campaign_id}")["status"] == "draft"
    batch_id = api.batch(campaign_id, 50)
    sandbox.run_until_idle()
    assert api.status(batch_id) == "completed"
    assert api.ok("GET", f"/campaigns/{campaign_id}")["status"] == "completed"
    assert Counter(api.statuses(batch_id)) == {"completed": 50}
    assert set(sandbox.attempts.values()) == {1}


def test_a_new_batch_makes_a_completed_campaign_active_again(api, sandbox):
    campaign_id = api.campaign()
    api.batch(campaign_id)
    sandbox.run_until_idle()
    api.batch(campaign_id)
    assert api.ok("GET", f"/campaigns/{campaign_id}")["status"] == "active"


def test_pausing_a_batch_lets_live_calls_finish_and_dials_nobody_else(api, sandbox):
    batch_id = api.batch(api.campaign(), 20, concurrency_limit=5)
    sandbox.advance(3)
    paused = api.ok("POST", f"/batches/{batch_id}/pause")
    assert paused == {"batch_id": batch_id, "status": "paused", "message": "Batch paused successfully"}
    sandbox.advance(DAY)
    assert Counter(api.statuses(batch_id)) == {"completed": 5, "pending": 15}
    resumed = api.ok("POST", f"/batches/{batch_id}/resume")
    assert resumed == {"batch_id": batch_id, "status": "in_progress", "message": "Batch resumed successfully"}
    sandbox.run_until_idle()
    assert api.status(batch_id) == "completed"
    assert set(sandbox.attempts.values()) == {1}


def test_a_retry_that_comes_due_during_a_pause_waits_for_the_resume(start):
    sandbox, api = start(scripts={"+14155550001": ["busy", "completed"]}, outcomes={"completed": 1})
    batch_id = api.batch(api.campaign(), ["+14155550001"])
    sandbox.advance(60)
    api.ok("POST", f"/batches/{batch_id}/pause")
    sandbox.advance(DAY)
    assert api.statuses(batch_id) == ["retrying"]
    assert sandbox.attempts["+14155550001"] == 1
    api.ok("POST", f"/batches/{batch_id}/resume")
    assert api.statuses(batch_id) == ["dispatched"]
    sandbox.run_until_idle()
    assert api.statuses(batch_id) == ["completed"]


def test_cancelling_a_batch_skips_all_but_live_calls(start):
    scripts = {"+14155550000": "busy", "+14155550001": "follow_up", "+14155550002": "completed"}
    sandbox, api = start(scripts=scripts, outcomes={"completed": 1})
    campaign_id = api.campaign()
    batch_id = api.batch(campaign_id, 3, concurrency_limit=1)
    rest = api.batch(campaign_id, [f"+1415555100{index}" for index in range(3)], concurrency_limit=1)
    while api.statuses(batch_id) != ["retrying", "followup_scheduled", "in_progress"]:
        sandbox.advance(1)
    cancelled = api.ok("POST", f"/batches/{batch_id}/cancel")
    assert cancelled == {"batch_id": batch_id, "status": "cancelled", "message": "Batch cancelled successfully"}
    assert api.statuses(batch_id) == ["skipped", "skipped", "in_progress"]
    sandbox.run_until_idle()
    assert api.statuses(batch_id) == ["skipped", "skipped", "completed"]
    assert [len(contact["call_records"]) for contact in sandbox.contacts(batch_id)] == [1, 1, 1]
    assert all(contact["next_retry_at"] is None for contact in sandbox.contacts(batch_id))
    assert api.status(batch_id) == "cancelled"
    assert api.status(rest) == "completed"
    assert api.ok("GET", f"/campaigns/{campaign_id}")["status"] == "completed"


def test_a_skipped_contact_may_have_been_rung(api, sandbox):
    batch_id = api.batch(api.campaign(), 2, concurrency_limit=1)
    assert api.statuses(batch_id) == ["dispatched", "pending"]
    api.ok("POST", f"/batches/{batch_id}/cancel")
    sandbox.run_until_idle()
    rung, spared = sandbox.contacts(batch_id)
    assert (rung["status"], spared["status"]) == ("skipped", "skipped")
    assert rung["current_call"]["call_status"] == "completed"
    assert rung["last_attempted_at"] is not None
    assert spared["last_attempted_at"] is None
    assert spared["current_call"] is None


def test_cancelling_between_a_busy_call_and_its_retry_leaves_it_busy(start):
    sandbox, api = start(outcomes={"busy": 1})
    batch_id = api.batch(api.campaign(), 1)
    while api.statuses(batch_id) != ["busy"]:
        sandbox.advance(0.5)
    assert sandbox.contacts(batch_id)[0]["next_retry_at"] is not None
    api.ok("POST", f"/batches/{batch_id}/cancel")
    for _ in range(2):
        assert api.statuses(batch_id) == ["busy"]
        assert sandbox.contacts(batch_id)[0]["next_retry_at"] is None
        sandbox.run_until_idle()


def test_a_batch_that_expires_schedules_no_more_retries(start):
    sandbox, api = start(outcomes={"busy": 1})
    batch_id = api.batch(api.campaign(), 1)
    while api.statuses(batch_id) != ["busy"]:
        sandbox.advance(0.5)
    sandbox.expire_batch(batch_id)
    sandbox.run_until_idle()
    assert api.statuses(batch_id) == ["busy"]
    assert sandbox.contacts(batch_id)[0]["next_retry_at"] is None


def test_campaign_pause_and_resume_take_all_batches_with_them(api, sandbox):
    campaign_id = api.campaign()
    running = api.batch(campaign_id, 20, concurrency_limit=2)
    held = api.batch(campaign_id, 20, concurrency_limit=2)
    later = api.batch(campaign_id, 1, scheduled_start="2026-05-12T10:00:00Z")
    api.ok("POST", f"/batches/{held}/pause")
    paused = api.ok("POST", f"/campaigns/{campaign_id}/pause")
    assert (paused["campaign_id"], paused["status"]) == (campaign_id, "paused")
    assert paused["message"]
    assert [api.status(each) for each in (running, held, later)] == ["paused", "paused", "pending"]
    sandbox.advance(7200)
    # A scheduled batch is not in progress when its campaign is paused: its start is not held back.
    assert [api.status(each) for each in (running, held, later)] == ["paused", "paused", "completed"]
    resumed = api.ok("POST", f"/campaigns/{campaign_id}/resume")
    assert resumed["status"] == "active"
    assert [api.status(each) for each in (running, held)] == ["in_progress", "in_progress"]
    sandbox.run_until_idle()
    assert api.ok("GET", f"/campaigns/{campaign_id}")["status"] == "completed"


def test_a_batch_created_in_a_paused_campaign_is_dialled(api, sandbox):
    campaign_id = api.campaign()
    api.batch(campaign_id)
    api.ok("POST", f"/campaigns/{campaign_id}/pause")
    batch_id = api.batch(campaign_id, ["+14155559999"])
    assert api.statuses(batch_id) == ["dispatched"]


def test_campaign_cancel_is_for_good(api, sandbox):
    campaign_id = api.campaign()
    running = api.batch(campaign_id, 9, concurrency_limit=2)
    later = api.batch(campaign_id, 3, scheduled_start="2026-05-12T10:00:00Z")
    sandbox.advance(3)
    assert api.ok("POST", f"/campaigns/{campaign_id}/cancel")["status"] == "cancelled"
    assert [api.status(each) for each in (running, later)] == ["cancelled", "cancelled"]
    sandbox.run_until_idle()
    assert api.counts(campaign_id) == {"completed": 2, "skipped": 10}
    body = {"campaign_id": campaign_id, "contacts": [{"phone_number": "+14155550199"}]}
    assert api.refused("POST", "/batches/", 400, json=body) == "Campaign is cancelled"
    for verb in ("pause", "resume", "cancel"):
        api.refused("POST", f"/campaigns/{campaign_id}/{verb}", 400)
        api.refused("POST", f"/batches/{running}/{verb}", 400)


def test_calls_that_do_not_fit_the_status_are_400(api, sandbox):
    campaign_id = api.campaign()
    api.refused("POST", f"/campaigns/{campaign_id}/pause", 400)
    api.refused("POST", f"/campaigns/{campaign_id}/resume", 400)
    batch_id = api.batch(campaign_id, 1)
    assert "in_progress" in api.refused("POST", f"/batches/{batch_id}/resume", 400)
    api.ok("POST", f"/batches/{batch_id}/pause")
    for verb in ("pause", "dispatch"):
        api.refused("POST", f"/batches/{batch_id}/{verb}", 400)
    api.ok("POST", f"/batches/{batch_id}/resume")
    sandbox.run_until_idle()
    for verb in ("pause", "resume", "cancel", "dispatch"):
        api.refused("POST", f"/batches/{batch_id}/{verb}", 400)


def test_a_campaign_with_open_batches_cannot_be_deleted(api, sandbox):
    campaign_id = api.campaign()
    batch_id = api.batch(campaign_id)
    api.refused("DELETE", f"/campaigns/{campaign_id}", 400)
    sandbox.run_until_idle()
    assert api.ok("DELETE", f"/campaigns/{campaign_id}")["campaign_id"] == campaign_id
    api.refused("GET", f"/campaigns/{campaign_id}", 404)
    assert api.status(batch_id) == "completed"


@pytest.mark.parametrize(
    ("zone", "asked", "starts"),
    [
        ("Asia/Kolkata", "2026-05-12T16:00:00", "2026-05-12T10:30:00Z"),
        ("Asia/Kolkata", "2026-05-12T16:00:00Z", "2026-05-12T16:00:00Z"),
        ("Asia/Kolkata", "2026-05-12T16:00:00+02:00", "2026-05-12T14:00:00Z"),
        (None, "2026-05-12T16:00:00", "2026-05-12T16:00:00Z"),
    ],
)
def test_scheduled_start(api, sandbox, zone, asked, starts):
    campaign_id = api.campaign(timezone=zone)
    body = {"campaign_id": campaign_id, "contacts": [{"phone_number": "+14155550199"}], "scheduled_start": asked}
    created = api.ok("POST", "/batches/", json=body)
    assert created["status"] == "pending"
    seen = api.get_batch(created["batch_id"])
    assert seen["scheduled_start"] == starts
    sandbox.run_until_idle()
    assert sandbox.contacts(created["batch_id"])[0]["last_attempted_at"] == starts


def test_a_start_in_the_past_means_now(api):
    assert api.status(api.batch(api.campaign(), scheduled_start="2020-01-01T00:00:00Z")) == "in_progress"


def test_pausing_a_scheduled_batch_holds_its_start_and_resuming_does_not_wait_for_it(api, sandbox):
    batch_id = api.batch(api.campaign(), 1, scheduled_start="2026-05-12T10:00:00Z")
    api.ok("POST", f"/batches/{batch_id}/pause")
    sandbox.advance(DAY)
    assert api.statuses(batch_id) == ["pending"]
    early = api.batch(api.campaign(), 1, scheduled_start="2026-06-12T10:00:00Z")
    for verb in ("pause", "resume"):
        api.ok("POST", f"/batches/{early}/{verb}")
    assert api.statuses(early) == ["dispatched"]


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ({"max_retries": 3, "strategy": "fixed", "cooldown_minutes": 10}, [10, 10, 10]),
        ({"max_retries": 3, "strategy": "exponential", "cooldown_minutes": 10}, [10, 20, 40]),
        ({"max_retries": 1}, [30]),
    ],
)
def test_retry_policy(start, policy, waits):
    sandbox, api = start(outcomes={"no_answer": 1})
    batch_id = api.batch(api.campaign(retry_policy=policy), 1)
    seen = []
    while api.status(batch_id) != "completed":
        contact = sandbox.contacts(batch_id)[0]
        if contact["status"] == "retrying" and contact["retry_count"] > len(seen):
            breakdown = api.ok("GET", "/batches/")[0]
            assert breakdown["counters"]["retrying"] == 1
            seen.append(contact)
            stats = api.ok("GET", f"/campaigns/{contact['campaign_id']}/stats")
            assert stats["retry_breakdown"] == {f"retry_{len(seen)}": 1}
        sandbox.advance(20)
    contact = sandbox.contacts(batch_id)[0]
    assert contact["status"] == "max_retries_reached"
    assert contact["retry_count"] == len(waits) == len(seen)
    calls = contact["call_records"]
    assert len(calls) == 1 + len(waits)
    for earlier, later, minutes in zip(calls, calls[1:], waits, strict=False):
        pause = datetime.fromisoformat(later["started_at"]) - datetime.fromisoformat(earlier["ended_at"])
        assert abs(pause.total_seconds() - 60 * minutes) <= 1


def test_max_retries_override(start):
    sandbox, api = start(outcomes={"busy": 1})
    campaign_id = api.campaign(retry_policy={"max_retries": 3})
    none = api.batch(campaign_id, ["+14155550001"], max_retries_override=0)
    two = api.batch(campaign_id, ["+14155550002"], max_retries_override=2)
    sandbox.run_until_idle()
    assert api.statuses(none) == ["busy"]
    assert api.statuses(two) == ["max_retries_reached"]
    assert sandbox.attempts == {"+14155550001": 1, "+14155550002": 3}


def test_an_unreachable_number_is_not_retried(start):
    sandbox, api = start(outcomes={"completed": 1})
    sandbox_script, other = start(scripts={"+14155550001": "unreachable"})
    wrong = api.batch(api.campaign(), ["12345"])
    dead = other.batch(other.campaign(), ["+14155550001"])
    for each, client, batch_id in ((sandbox, api, wrong), (sandbox_script, other, dead)):
        each.run_until_idle()
        assert client.statuses(batch_id) == ["failed"]
        assert len(each.contacts(batch_id)[0]["call_records"]) == 1


def test_follow_up(start):
    sandbox, api = start(scripts={"+14155550001": ["follow_up", "no_answer"], "+14155550002": "follow_up"})
    batch_id = api.batch(api.campaign(), ["+14155550001", "+14155550002"])
    while "followup_scheduled" not in api.statuses(batch_id):
        sandbox.advance(5)
    assert api.status(batch_id) == "in_progress"
    sandbox.run_until_idle()
    assert api.statuses(batch_id) == ["completed", "completed"]
    for contact in sandbox.contacts(batch_id):
        assert contact["follow_up_count"] == 1
        assert contact["retry_count"] == 0
        assert [call["is_follow_up"] for call in contact["call_records"]] == [False, True]


def live_calls(sandbox, *batch_ids):
    live = ("dispatched", "in_progress")
    return sum(sandbox_contact["status"] in live for each in batch_ids for sandbox_contact in sandbox.contacts(each))


def test_limits_of_batch_and_campaign(api, sandbox):
    campaign_id = api.campaign(metadata={"concurrency_limit": 7})
    ids = [api.batch(campaign_id, 20, concurrency_limit=3) for _ in range(4)]
    most = 0
    while api.ok("GET", f"/campaigns/{campaign_id}")["status"] == "active":
        assert max(live_calls(sandbox, each) for each in ids) <= 3
        total = live_calls(sandbox, *ids)
        assert total <= 7
        most = max(most, total)
        sandbox.advance(4)
    assert most == 7


def test_limits_add_up_when_the_campaign_has_none(api, sandbox):
    campaign_id = api.campaign()
    ids = [api.batch(campaign_id, 20, concurrency_limit=3) for _ in range(4)]
    assert live_calls(sandbox, *ids) == 12


def test_limit_by_default_and_inherited(start):
    sandbox, api = start(default_concurrency=4)
    free, capped = api.campaign(), api.campaign(metadata={"concurrency_limit": 2})
    assert live_calls(sandbox, api.batch(free, 20)) == 4
    assert live_calls(sandbox, api.batch(capped, 20)) == 2


def test_raising_the_campaign_limit_counts_at_once(api, sandbox):
    campaign_id = api.campaign(metadata={"concurrency_limit": 2})
    batch_id = api.batch(campaign_id, 20)
    api.ok("PATCH", f"/campaigns/{campaign_id}", json={"metadata": {"concurrency_limit": 6}})
    assert live_calls(sandbox, batch_id) == 6


def dialled_at(sandbox, batch_id):
    return [contact["last_attempted_at"] for contact in sandbox.contacts(batch_id)]


@pytest.mark.parametrize(
    ("zone", "week", "first"),
    [
        ("UTC", {"tuesday": OFFICE}, "2026-05-12T09:00:00Z"),
        ("America/New_York", {"tuesday": OFFICE}, "2026-05-12T13:00:00Z"),
        ("Asia/Kolkata", {"tuesday": OFFICE}, "2026-05-12T09:00:00Z"),
        ("Asia/Tokyo", {"tuesday": OFFICE, "wednesday": OFFICE}, "2026-05-13T00:00:00Z"),
        ("UTC", {"tuesday": {**OFFICE, "enabled": False}, "thursday": OFFICE}, "2026-05-14T09:00:00Z"),
        ("UTC", {"tuesday": {**OFFICE, "end": "09:00"}}, "2026-05-12T09:00:00Z"),
        ("UTC", {"monday": {"start": "22:00", "end": "10:00", "enabled": True}}, "2026-05-12T09:00:00Z"),
        ("UTC", {"tuesday": {"start": "08:00", "end": "08:59", "enabled": True}}, "2026-05-19T08:00:00Z"),
        ("UTC", {"monday": {"start": "22:00", "end": "09:00", "enabled": True}}, "2026-05-18T22:00:00Z"),
    ],
)
def test_working_hours(api, sandbox, zone, week, first):
    campaign_id = api.campaign(timezone=zone, working_hours=week, working_hours_enforced=True)
    batch_id = api.batch(campaign_id, 1)
    sandbox.run_until_idle()
    assert dialled_at(sandbox, batch_id) == [first]


def test_no_window_at_all_means_no_call(api, sandbox):
    week = {"monday": {**OFFICE, "enabled": False}}
    batch_id = api.batch(api.campaign(working_hours=week, working_hours_enforced=True), 1)
    sandbox.advance(60 * DAY)
    assert api.statuses(batch_id) == ["pending"]
    assert api.ok("GET", f"/batches/{batch_id}/debug")["diagnostics"]["stuck_pending"] is True


def test_hours_that_are_not_enforced_do_not_matter(api):
    batch_id = api.batch(api.campaign(working_hours={"sunday": OFFICE}), 1)
    assert api.statuses(batch_id) == ["dispatched"]


def test_dialling_stops_at_closing_time_and_goes_on_the_next_morning(api, sandbox):
    week = {day: OFFICE for day in ("tuesday", "wednesday")}
    campaign_id = api.campaign(working_hours=week, working_hours_enforced=True)
    batch_id = api.batch(campaign_id, 400, concurrency_limit=1)
    sandbox.run_until_idle()
    assert api.status(batch_id) == "completed"
    moments = [moment for moment in dialled_at(sandbox, batch_id)]
    assert {moment[:10] for moment in moments} == {"2026-05-12", "2026-05-13"}
    assert all("09:00" <= moment[11:16] < "17:00" for moment in moments)
    assert "2026-05-13T09:00:00Z" in moments


def test_a_retry_waits_for_the_window(start):
    sandbox, api = start(scripts={"+14155550001": ["busy", "completed"]})
    week = {"tuesday": {**OFFICE, "end": "09:20"}, "wednesday": OFFICE}
    batch_id = api.batch(api.campaign(working_hours=week, working_hours_enforced=True), ["+14155550001"])
    sandbox.run_until_idle()
    assert dialled_at(sandbox, batch_id) == ["2026-05-13T09:00:00Z"]


def test_new_hours_apply_at_once(api, sandbox):
    campaign_id = api.campaign(working_hours={"friday": OFFICE}, working_hours_enforced=True)
    batch_id = api.batch(campaign_id, 1)
    api.ok("PATCH", f"/campaigns/{campaign_id}", json={"working_hours": {"tuesday": OFFICE}})
    assert api.statuses(batch_id) == ["dispatched"]


def test_hours_over_a_clock_change(start):
    # Berlin goes to summer time on 2026-03-29: nine o'clock is 08:00 UTC before and 07:00 UTC after.
    sandbox, api = start(start="2026-03-28T20:00:00Z", outcomes={"completed": 1})
    week = {"sunday": OFFICE}
    batch_id = api.batch(api.campaign(timezone="Europe/Berlin", working_hours=week, working_hours_enforced=True), 1)
    sandbox.run_until_idle()
    assert dialled_at(sandbox, batch_id) == ["2026-03-29T07:00:00Z"]


def test_dispatch_publishes_pending_contacts_and_nobody_twice(api, sandbox):
    batch_id = api.batch(api.campaign(), 10, concurrency_limit=4)
    answer = api.ok("POST", f"/batches/{batch_id}/dispatch")
    assert list(answer) == ["batch_id", "status", "dispatched_count", "message"]
    assert (answer["status"], answer["dispatched_count"]) == ("in_progress", 6)
    sandbox.run_until_idle()
    assert set(sandbox.attempts.values()) == {1}


def test_expired(api, sandbox):
    campaign_id = api.campaign()
    batch_id = api.batch(campaign_id, 5, concurrency_limit=2)
    sandbox.advance(3)
    sandbox.expire_batch(batch_id)
    sandbox.run_until_idle()
    assert api.status(batch_id) == "expired"
    assert Counter(api.statuses(batch_id)) == {"completed": 2, "pending": 3}
    assert "expired" not in api.ok("GET", f"/campaigns/{campaign_id}/stats")["batch_counts"]
    with pytest.raises(Exception, match="expired"):
        sandbox.expire_batch(batch_id)
