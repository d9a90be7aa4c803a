from __future__ import annotations

import json
import time
from collections import Counter

import httpx
import pytest

from airflow_provider_graine.sandbox import Sandbox
from tests.sandbox.conftest import KatavenClient, number


def test_connection_json(sandbox):
    connection = json.loads(sandbox.kataven.connection_json())
    assert connection == {
        "conn_type": "kataven",
        "host": f"{sandbox.root_url}/v1",
        "password": "sk_live_sandbox_0000",
    }
    jwt = json.loads(sandbox.kataven.connection_json(jwt=True))
    assert (jwt["password"][:3], jwt["extra"]) == ("eyJ", {"account_id": "sandbox"})


def test_requests_are_kept_apart_by_service(api, kataven, sandbox):
    campaign_id = kataven.draft()
    api.campaign()
    kataven.status(campaign_id)
    assert [request.path for request in sandbox.kataven.requests] == ["/v1/campaigns", f"/v1/campaigns/{campaign_id}"]
    assert [request.path for request in sandbox.requests] == ["/api/v1/campaigns/"]
    form = sandbox.kataven.requests[0].form()
    assert form["name"] == b"Renewals"
    assert form["contacts"].splitlines() == [b"phone_number", *(number(index).encode() for index in range(3))]
    with pytest.raises(ValueError, match="multipart"):
        sandbox.requests[0].form()


def test_requests_in_another_process_show_both_and_no_key(api, kataven, sandbox):
    kataven.draft()
    api.campaign()
    shown = api.ok("GET", f"{sandbox.root_url}/_sandbox/requests")
    assert [request["path"] for request in shown] == ["/v1/campaigns", "/api/v1/campaigns/"]
    assert sandbox.kataven.token not in json.dumps(shown)


def test_views_are_what_the_api_shows(kataven, sandbox):
    campaign_id = kataven.started(3)
    assert dict(sandbox.kataven.campaigns) == {campaign_id: kataven.ok("GET", f"/campaigns/{campaign_id}")}
    uploaded = sandbox.kataven.contacts(campaign_id)
    assert [each["phone_number"] for each in uploaded] == [number(index) for index in range(3)]
    assert sorted(uploaded, key=lambda each: each["id"]) == kataven.contacts(campaign_id)


def test_dialled_counts_contacts_of_started_campaigns_and_attempts_calls(kataven, sandbox):
    kataven.draft([number(0)])
    campaign_id = kataven.started([number(0), number(1), number(1)], max_concurrent_calls=1)
    kataven.started([number(0)])
    assert sandbox.kataven.dialled == Counter({number(0): 2, number(1): 2})
    assert sandbox.kataven.attempts == Counter({number(0): 2})
    kataven.move(campaign_id, "pause")
    kataven.move(campaign_id, "resume")
    assert sandbox.kataven.dialled == Counter({number(0): 2, number(1): 2})
    assert not sandbox.dialled


def test_reset_forgets_both_services(api, kataven, sandbox):
    api.batch(api.campaign())
    kataven.started()
    sandbox.kataven.fault("*", "status", times=None)
    sandbox.reset()
    assert (len(sandbox.kataven.campaigns), sandbox.kataven.dialled, sandbox.kataven.requests) == (0, Counter(), [])
    assert (len(sandbox.campaigns), sandbox.faults) == (0, [])
    assert kataven.post().status_code == 201


def test_the_same_seed_gives_the_same_ids_and_outcomes(start):
    def run(seed):
        sandbox, _ = start(seed=seed)
        client = KatavenClient(sandbox)
        campaign_id = client.started(30)
        client.http.close()
        sandbox.run_until_idle()
        return sandbox.kataven.contacts(campaign_id)

    assert run(5) == run(5) != run(6)


def test_the_overview_shows_both_services(api, kataven, sandbox):
    api.batch(api.campaign(name="In Graine"), 40)
    sandbox.advance(10)
    kataven.started(50, name="In Kataven")
    sandbox.advance(30)
    answer = httpx.get(f"{sandbox.root_url}/_sandbox/overview")
    seen = answer.json()
    assert "+1415" not in answer.text
    assert [(each["service"], each["name"]) for each in seen["campaigns"]] == [
        ("Kataven", "In Kataven"),
        ("Graine", "In Graine"),
    ]
    assert seen["total_contacts"] == sum(seen["contacts"].values()) == 90
    assert (seen["campaign_count"], seen["batch_count"]) == (2, 1)
    assert seen["calls"] == sum(sandbox.attempts.values()) + sum(sandbox.kataven.attempts.values())
    assert seen["live_calls"] == sum(each["live_calls"] for each in seen["campaigns"]) > 0
    assert {call["campaign"] for call in seen["recent_calls"]} == {"In Graine", "In Kataven"}
    assert len({call["id"] for call in seen["recent_calls"]}) == len(seen["recent_calls"])
    assert json.loads(seen["hint"]["kataven_connection"])["host"] == sandbox.kataven.url
    with Sandbox(speed=0, allow_remote=True) as remote:
        assert remote.kataven.token not in httpx.get(f"{remote.root_url}/_sandbox/overview").text


def test_a_hundred_thousand_contacts(kataven, sandbox):
    people = [f"+1415{index:07d}" for index in range(100_000)]
    campaign_id = kataven.draft(people, max_concurrent_calls=10)
    assert len(kataven.contacts(campaign_id, page=999)) == 100
    begin = time.monotonic()
    for page in (0, 500, 1000):
        assert len(kataven.contacts(campaign_id, page=page)) == (0 if page == 1000 else 100)
    assert time.monotonic() - begin < 0.6  # no sorting of 100,000 for each page
    kataven.move(campaign_id, "start")
    kataven.move(campaign_id, "stop")
    assert sum(sandbox.kataven.dialled.values()) == 100_000
    assert sum(sandbox.kataven.attempts.values()) == 10
