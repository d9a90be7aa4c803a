from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_graine.sandbox import KatavenSettings
from tests.sandbox.conftest import KatavenClient, number

MOVES = ("start", "pause", "resume", "stop")


@pytest.fixture
def scripted(start):
    """Start a sandbox with scripts; gives it and its client."""
    clients = []

    def scripted(**settings):
        sandbox, _ = start(kataven=KatavenSettings(rate_limits=False), **settings)
        client = KatavenClient(sandbox)
        clients.append(client)
        return sandbox, client

    yield scripted
    for client in clients:
        client.http.close()


def test_from_draft_to_completed(kataven, sandbox):
    campaign_id = kataven.draft(12, max_concurrent_calls=4)
    sandbox.advance(60)
    assert kataven.move(campaign_id, "start")["status"] == "running"
    assert Counter(kataven.statuses(campaign_id)) == {"calling": 4, "pending": 8}
    assert sandbox.kataven.dialled == {number(index): 1 for index in range(12)}
    sandbox.run_until_idle()
    campaign = kataven.ok("GET", f"/campaigns/{campaign_id}")
    assert campaign["status"] == "completed"
    assert campaign["started_at"] == "2026-05-12T09:01:00Z"
    assert campaign["completed_at"] > campaign["started_at"]
    assert sandbox.kataven.attempts == sandbox.kataven.dialled
    (one,) = (each for each in kataven.contacts(campaign_id) if each["phone_number"] == number(0))
    assert (one["status"], one["attempts"], one["last_outcome"]) == ("completed", 1, "completed")


@pytest.mark.parametrize(
    ("into", "allowed"),
    [
        ((), {"start"}),
        (("start",), {"pause", "stop"}),
        (("start", "pause"), {"start", "resume"}),
        (("start", "stop"), set()),
        (("start", "fail"), set()),
    ],
)
@pytest.mark.parametrize("move", MOVES)
def test_what_fits_a_status(kataven, sandbox, into, allowed, move):
    campaign_id = kataven.draft(5, max_concurrent_calls=1)
    for each in into:
        if each == "fail":
            sandbox.kataven.fail_campaign(campaign_id)
        else:
            kataven.move(campaign_id, each)
    before = kataven.status(campaign_id)
    answer = kataven.http.post(f"/campaigns/{campaign_id}/{move}")
    assert answer.status_code == (200 if move in allowed else 409)
    if move not in allowed:
        assert kataven.status(campaign_id) == before
        assert before in answer.text


def test_a_paused_campaign_can_be_stopped_if_so_wished(kataven, sandbox):
    sandbox.kataven.settings.stop_from = ("running", "paused")
    campaign_id = kataven.started(3)
    kataven.move(campaign_id, "pause")
    assert kataven.move(campaign_id, "stop")["status"] == "completed"


def test_moves_may_answer_nothing(kataven, sandbox):
    sandbox.kataven.settings.moves_answer = "nothing"
    answer = kataven.http.post(f"/campaigns/{kataven.draft()}/start")
    assert (answer.status_code, answer.content) == (204, b"")


def test_only_drafts_are_deleted(kataven, sandbox):
    draft, running = kataven.draft(), kataven.started()
    assert kataven.http.delete(f"/campaigns/{draft}").status_code == 204
    kataven.refused("DELETE", f"/campaigns/{running}", 409)
    kataven.refused("DELETE", f"/campaigns/{draft}", 404)
    assert list(sandbox.kataven.campaigns) == [running]


def test_the_budget(kataven, sandbox):
    first, second = kataven.draft(9, max_concurrent_calls=6), kataven.draft(9, max_concurrent_calls=4)
    third = kataven.draft(9, max_concurrent_calls=1)
    kataven.move(first, "start")
    kataven.move(second, "start")
    assert "budget" in kataven.refused("POST", f"/campaigns/{third}/start", 409)
    assert kataven.status(third) == "draft"
    kataven.move(second, "pause")
    kataven.move(third, "start")
    for how in ("resume", "start"):
        assert "budget" in kataven.refused("POST", f"/campaigns/{second}/{how}", 409)
    assert kataven.status(second) == "paused"
    kataven.move(first, "stop")  # its calls go on, its budget is free
    kataven.move(second, "resume")
    assert kataven.statuses(first).count("calling") == 6
    sandbox.run_until_idle()
    assert [kataven.status(each) for each in (first, second, third)] == ["completed"] * 3


def test_no_budget_at_all(kataven, sandbox):
    sandbox.kataven.settings.concurrent_max = 0
    kataven.refused("POST", f"/campaigns/{kataven.draft(max_concurrent_calls=1)}/start", 409)


def test_pause_lets_calls_end_and_dials_nobody_else(kataven, sandbox):
    campaign_id = kataven.started(6, max_concurrent_calls=2)
    kataven.move(campaign_id, "pause")
    assert kataven.statuses(campaign_id).count("calling") == 2
    sandbox.advance(86_400)
    assert kataven.statuses(campaign_id) == ["completed"] * 2 + ["pending"] * 4
    kataven.move(campaign_id, "start")
    sandbox.run_until_idle()
    assert kataven.statuses(campaign_id) == ["completed"] * 6
    assert set(sandbox.kataven.attempts.values()) == {1}


def test_a_paused_campaign_does_not_complete(kataven, sandbox):
    campaign_id = kataven.started(1)
    kataven.move(campaign_id, "pause")
    sandbox.run_until_idle()
    assert (kataven.statuses(campaign_id), kataven.status(campaign_id)) == (["completed"], "paused")
    assert kataven.move(campaign_id, "resume")["status"] == "completed"


def test_stop_skips_who_waits_and_lets_calls_end(kataven, sandbox):
    campaign_id = kataven.started(5, max_concurrent_calls=2)
    assert kataven.move(campaign_id, "stop")["status"] == "completed"
    assert Counter(kataven.statuses(campaign_id)) == {"calling": 2, "skipped": 3}
    sandbox.run_until_idle()
    assert Counter(kataven.statuses(campaign_id)) == {"completed": 2, "skipped": 3}
    assert sum(sandbox.kataven.attempts.values()) == 2


def test_retries(scripted):
    scripts = {number(0): ["no_answer", "busy", "completed"], number(1): "voicemail", number(2): "unreachable"}
    sandbox, kataven = scripted(scripts=scripts, outcomes={"completed": 1})
    campaign_id = kataven.started(4, retries_per_contact=2, retry_delay_seconds=600)
    sandbox.advance(400)
    seen = {each["phone_number"]: each for each in kataven.contacts(campaign_id)}
    assert (seen[number(0)]["status"], seen[number(0)]["attempts"]) == ("pending", 1)  # and yet he was called
    assert seen[number(0)]["last_outcome"] == "no_answer"
    assert (seen[number(2)]["status"], seen[number(3)]["status"]) == ("failed", "completed")
    sandbox.kataven.settings.retry_status = "retrying"
    assert len(kataven.contacts(campaign_id, status="retrying")) == 2
    sandbox.run_until_idle()
    assert sandbox.kataven.attempts == {number(0): 3, number(1): 3, number(2): 1, number(3): 1}
    assert kataven.statuses(campaign_id) == ["completed", "completed", "failed", "failed"]
    assert kataven.status(campaign_id) == "completed"
    assert len(kataven.contacts(campaign_id, status="failed")) == 2
    assert kataven.contacts(campaign_id, status="nonsense") == []


def test_the_delay_of_a_retry_counts_from_the_end_of_the_call(scripted):
    sandbox, kataven = scripted(scripts={number(0): ["busy", "completed"]})
    kataven.started(1, retries_per_contact=1, retry_delay_seconds=60)
    sandbox.advance(60)
    assert sandbox.kataven.attempts[number(0)] == 1
    sandbox.advance(10)
    assert sandbox.kataven.attempts[number(0)] == 2


def test_retries_wait_for_the_end_of_a_pause(scripted):
    sandbox, kataven = scripted(outcomes={"no_answer": 1})
    campaign_id = kataven.started(2, retries_per_contact=1)
    sandbox.advance(60)
    kataven.move(campaign_id, "pause")
    sandbox.advance(86_400)
    assert sum(sandbox.kataven.attempts.values()) == 2
    kataven.move(campaign_id, "resume")
    sandbox.run_until_idle()
    assert sum(sandbox.kataven.attempts.values()) == 4


def test_nobody_is_called_again_after_a_stop(scripted):
    sandbox, kataven = scripted(outcomes={"no_answer": 1})
    campaign_id = kataven.started(3, retries_per_contact=5, max_concurrent_calls=2)
    sandbox.advance(60)
    calling = kataven.statuses(campaign_id).count("calling")
    assert calling
    kataven.move(campaign_id, "stop")
    sandbox.run_until_idle()
    skipped = kataven.contacts(campaign_id, status="skipped")
    assert any(each["attempts"] for each in skipped)  # no proof that he was not called
    assert Counter(kataven.statuses(campaign_id)) == {"skipped": 3 - calling, "failed": calling}
    assert sum(sandbox.kataven.attempts.values()) == 3


def test_a_failed_campaign_leaves_its_contacts_as_they_are(kataven, sandbox):
    campaign_id = kataven.started(5, max_concurrent_calls=2)
    sandbox.kataven.fail_campaign(campaign_id)
    sandbox.run_until_idle()
    assert kataven.status(campaign_id) == "failed"
    assert Counter(kataven.statuses(campaign_id)) == {"completed": 2, "pending": 3}


def test_a_campaign_with_nobody_completes_at_once(kataven):
    campaign_id = kataven.draft(0)
    assert kataven.move(campaign_id, "start")["status"] == "completed"


def test_both_services_dial_side_by_side(api, kataven, sandbox):
    batch_id = api.batch(api.campaign(), 3)
    campaign_id = kataven.started(3)
    sandbox.run_until_idle()
    assert (api.status(batch_id), kataven.status(campaign_id)) == ("completed", "completed")
    assert sandbox.attempts == sandbox.kataven.attempts == {number(index): 1 for index in range(3)}
