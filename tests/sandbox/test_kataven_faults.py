from __future__ import annotations

import time

import httpx
import pytest

CREATE = "POST /campaigns"
START = "POST /campaigns/{campaign_id}/start"
GET = "GET /campaigns/{campaign_id}"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", 1)])
def test_a_create_whose_answer_is_lost(kataven, sandbox, when, stored, reset):
    fault = sandbox.kataven.fault(CREATE, "drop", when=when, reset=reset)
    with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
        kataven.post()
    assert (len(sandbox.kataven.campaigns), fault.hits) == (stored, 1)
    (request,) = sandbox.kataven.requests
    assert (request.status, request.form()["name"], request.form()["contacts"][:12]) == (
        None,
        b"Renewals",
        b"phone_number",
    )
    assert kataven.post().status_code == 201


@pytest.mark.parametrize(("when", "status"), [("before", "draft"), ("after", "running")])
@pytest.mark.parametrize("what", ["drop", "hang", "status", "html"])
def test_a_start_whose_answer_is_lost(kataven, sandbox, when, status, what):
    campaign_id = kataven.draft()
    sandbox.kataven.fault(START, what, when=when, seconds=30)
    try:
        answer = kataven.http.post(f"/campaigns/{campaign_id}/start", timeout=0.15 if what == "hang" else 5)
    except httpx.TransportError:
        assert what in ("drop", "hang")
    else:
        assert answer.status_code == (200 if what == "html" else 503)
    assert kataven.status(campaign_id) == status


def test_a_slow_answer(kataven, sandbox):
    campaign_id = kataven.draft()
    sandbox.kataven.fault(GET, "hang", seconds=0.2)
    begin = time.monotonic()
    assert kataven.status(campaign_id) == "draft"
    assert time.monotonic() - begin >= 0.2


def test_errors_are_plain_text(kataven, sandbox):
    sandbox.kataven.fault("GET /campaigns", "status", status=500, detail="Database error")
    assert kataven.refused("GET", "/campaigns", 500) == "Database error"
    sandbox.kataven.fault("GET /campaigns", "status", status=429, retry_after=7)
    answer = kataven.http.get("/campaigns")
    assert (answer.text, answer.headers["retry-after"]) == ("Error 429", "7")


def test_limits(kataven, sandbox):
    sandbox.kataven.fault(CREATE, "limit", max_contacts=3, times=None)
    assert (kataven.post(3).status_code, kataven.post(4).status_code) == (201, 413)
    sandbox.clear_faults()
    sandbox.kataven.fault(CREATE, "limit", max_bytes=900, times=None)
    assert (kataven.post(1).status_code, kataven.post(100).status_code) == (201, 413)
    assert len(sandbox.kataven.campaigns) == 2


def test_a_draft_that_lists_show_late(kataven, sandbox):
    sandbox.kataven.fault(CREATE, "late", list_calls=2)
    campaign_id = kataven.draft()
    seen = [[each["id"] for each in kataven.ok("GET", "/campaigns")["campaigns"]] for _ in range(3)]
    assert seen == [[], [], [campaign_id]]
    sandbox.kataven.fault(CREATE, "late", virtual_seconds=60)
    other = kataven.draft()
    assert kataven.status(other) == "draft"
    assert len(kataven.ok("GET", "/campaigns")["campaigns"]) == 1
    sandbox.advance(60)
    assert len(kataven.ok("GET", "/campaigns")["campaigns"]) == 2


def test_a_file_of_which_a_part_is_stored(kataven, sandbox):
    sandbox.kataven.fault(CREATE, "partial", keep=2)
    campaign_id = kataven.draft(5)
    assert len(kataven.contacts(campaign_id)) == 2
    kataven.move(campaign_id, "start")
    assert sum(sandbox.kataven.dialled.values()) == 2


@pytest.mark.parametrize("again", ["resume", "start"])
def test_a_start_of_which_the_dispatcher_does_not_hear(kataven, sandbox, again):
    sandbox.kataven.fault(START, "lost_dispatch")
    campaign_id = kataven.started()
    sandbox.advance(86_400)
    assert (kataven.status(campaign_id), kataven.statuses(campaign_id)) == ("running", ["pending"] * 3)
    kataven.move(campaign_id, "pause")
    kataven.move(campaign_id, again)
    sandbox.run_until_idle()
    assert kataven.status(campaign_id) == "completed"


def test_calls_of_which_nothing_is_heard(kataven, sandbox):
    sandbox.kataven.fault(START, "lost_webhooks")
    campaign_id = kataven.started(3)
    sandbox.advance(86_400)
    assert (kataven.status(campaign_id), kataven.statuses(campaign_id)) == ("running", ["calling"] * 3)
    kataven.move(campaign_id, "stop")
    sandbox.advance(86_400)
    assert kataven.statuses(campaign_id) == ["calling"] * 3


def test_fields_overwritten_and_answers_cut(kataven, sandbox):
    campaign_id = kataven.draft()
    sandbox.kataven.fault(GET, "fields", fields={"status": "reviewing"})
    assert (kataven.status(campaign_id), kataven.status(campaign_id)) == ("reviewing", "draft")
    sandbox.kataven.fault(GET, "truncate")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        kataven.status(campaign_id)
    sandbox.kataven.fault(GET, "tear")
    with pytest.raises(httpx.RemoteProtocolError):
        kataven.status(campaign_id)
    sandbox.kataven.fault(GET, "redirect")
    answer = kataven.http.get(f"/campaigns/{campaign_id}")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{sandbox.kataven.url}/campaigns/{campaign_id}/")


def test_each_service_has_its_own_faults(api, kataven, sandbox):
    campaign_id = api.campaign()
    mine = sandbox.kataven.fault("GET *", "status", times=None)
    assert api.ok("GET", f"/campaigns/{campaign_id}")
    assert mine.hits == 0
    other = sandbox.fault(GET, "status", times=None)
    draft = kataven.draft()
    assert kataven.http.get(f"/campaigns/{draft}").status_code == 503
    assert (mine.hits, other.hits) == (1, 0)
    assert [fault.service for fault in sandbox.faults] == ["kataven", "graine"]


def test_one_campaign_in_place_of_all(kataven, sandbox):
    one, other = kataven.draft(), kataven.draft()
    sandbox.kataven.fault(f"* /campaigns/{one}/start", "status")
    assert kataven.http.post(f"/campaigns/{one}/start").status_code == 503
    assert kataven.http.post(f"/campaigns/{other}/start").status_code == 200


@pytest.mark.parametrize(
    ("on", "what"),
    [
        ("POST /campaigns/", "drop"),
        ("POST /batches/", "drop"),
        ("GET /campaigns", "late"),
        ("GET /campaigns", "silent"),
        (CREATE, "lost_dispatch"),
        (GET, "no_metadata"),
    ],
)
def test_a_fault_that_could_never_happen_is_refused(sandbox, on, what):
    with pytest.raises(ValueError, match=r"there are|is for"):
        sandbox.kataven.fault(on, what)
    with pytest.raises(ValueError, match="no service"):
        sandbox.fault("*", "drop", service="other")
    with pytest.raises(ValueError, match="another service"):
        sandbox.fault("GET /batches/", "silent")


def test_faults_over_http(api, kataven, sandbox):
    root = f"{sandbox.root_url}/_sandbox/faults"
    api.ok("POST", root, json={"on": "GET /campaigns", "what": "status", "service": "kataven", "times": None})
    assert kataven.http.get("/campaigns").status_code == 503
    assert [fault["hits"] for fault in api.ok("GET", root)] == [1]
    assert api.ok("DELETE", root) == []
    assert kataven.http.get("/campaigns").status_code == 200
