from __future__ import annotations

import time

import httpx
import pytest

CREATE = "POST /batches/"
GET = "GET /batches/{batch_id}"
EXPORT = "GET /batches/{batch_id}/export.csv"


@pytest.fixture
def campaign_id(api):
    return api.campaign()


def body(campaign_id, count=1):
    return {"campaign_id": campaign_id, "contacts": [{"phone_number": f"+1415555{i:04d}"} for i in range(count)]}


def post(api, campaign_id, count=1, **how):
    return api.http.post("/batches/", json=body(campaign_id, count), **how)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", 1)])
def test_dropped_connection(api, sandbox, campaign_id, when, stored, reset):
    fault = sandbox.fault(CREATE, "drop", when=when, reset=reset)
    with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
        post(api, campaign_id)
    assert len(sandbox.batches) == sum(sandbox.dialled.values()) == stored
    assert fault.hits == 1
    assert sandbox.requests[-1].status is None
    assert sandbox.requests[-1].json()["campaign_id"] == campaign_id
    assert post(api, campaign_id).status_code == 200


@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", 1)])
def test_hanging(api, sandbox, campaign_id, when, stored):
    sandbox.fault(CREATE, "hang", when=when, seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        post(api, campaign_id, timeout=0.15)
    assert len(sandbox.batches) == stored


def test_a_request_that_hangs_before_is_processed_in_the_end(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "hang", when="before", seconds=0.2)
    with pytest.raises(httpx.ReadTimeout):
        post(api, campaign_id, timeout=0.05)
    assert not sandbox.batches
    give_up = time.monotonic() + 5
    while not sandbox.batches and time.monotonic() < give_up:
        time.sleep(0.02)
    assert len(sandbox.batches) == 1


def test_hanging_requests_do_not_hold_up_the_stop(start):
    sandbox, api = start()
    sandbox.fault("GET /campaigns/", "hang", seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        api.http.get("/campaigns/", timeout=0.1)
    begin = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408, 409])
@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", 1)])
def test_any_status(api, sandbox, campaign_id, status, when, stored):
    sandbox.fault(CREATE, "status", status=status, when=when, detail="no")
    answer = post(api, campaign_id)
    assert (answer.status_code, answer.json()) == (status, {"detail": "no"})
    assert "retry-after" not in answer.headers
    assert len(sandbox.batches) == stored
    assert sandbox.requests[-1].status == status


def test_retry_after(api, sandbox):
    sandbox.fault("GET /batches/", "status", status=429, retry_after=7)
    answer = api.http.get("/batches/")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


def test_limits(api, sandbox, campaign_id):
    contacts = sandbox.fault(CREATE, "limit", max_contacts=3, times=None)
    assert post(api, campaign_id, 3).status_code == 200
    assert post(api, campaign_id, 4).status_code == 413
    assert contacts.hits == 1
    sandbox.clear_faults()
    sandbox.fault("POST *", "limit", max_bytes=500, times=None)
    assert post(api, campaign_id, 1).status_code == 200
    assert post(api, campaign_id, 50).status_code == 413
    assert len(sandbox.batches) == 2


def test_html_in_place_of_json(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "html")
    answer = post(api, campaign_id)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(sandbox.batches) == 1


def test_truncated_json(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "truncate", fraction=0.6)
    answer = post(api, campaign_id)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()
    assert len(sandbox.batches) == 1


def collect(answer, received):
    for piece in answer.iter_raw():
        received.extend(piece)


@pytest.mark.parametrize("reset", [False, True])
def test_torn_export(api, sandbox, campaign_id, reset):
    batch_id = api.batch(campaign_id, 1500)
    whole = api.http.get(f"/batches/{batch_id}/export.csv").content
    sandbox.fault(EXPORT, "tear", fraction=0.5, reset=reset)
    received = bytearray()
    with api.http.stream("GET", f"/batches/{batch_id}/export.csv") as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
            collect(answer, received)
    assert whole.startswith(bytes(received))
    if not reset:
        assert len(received) == len(whole) // 2


def test_torn_json(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "tear")
    with pytest.raises(httpx.RemoteProtocolError):
        post(api, campaign_id)
    assert len(sandbox.batches) == 1


def test_late_in_lists_by_calls(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "late", list_calls=2)
    batch_id = api.batch(campaign_id)
    lists = (("/batches/", {}), (f"/campaigns/{campaign_id}/batches", {}), ("/batches/", {"campaign_id": campaign_id}))
    seen = [[each["batch_id"] for each in api.ok("GET", path, params=params)] for path, params in lists]
    assert seen == [[], [], [batch_id]]
    assert api.status(batch_id) == "in_progress"


def test_late_in_lists_by_time(api, sandbox):
    sandbox.fault("POST /campaigns/", "late", virtual_seconds=60)
    campaign_id = api.campaign()
    assert api.ok("GET", "/campaigns/") == []
    sandbox.advance(59)
    assert api.ok("GET", "/campaigns/") == []
    sandbox.advance(1)
    assert [each["campaign_id"] for each in api.ok("GET", "/campaigns/")] == [campaign_id]


def test_metadata_withheld(api, sandbox, campaign_id):
    batch_id = api.batch(campaign_id, metadata={"run": "r"})
    sandbox.fault(GET, "no_metadata")
    assert "metadata" not in api.get_batch(batch_id)
    assert api.get_batch(batch_id)["metadata"] == {"run": "r"}


@pytest.mark.parametrize("keep", [0, 2])
def test_partial_storage(api, sandbox, campaign_id, keep):
    sandbox.fault(CREATE, "partial", keep=keep)
    created = post(api, campaign_id, 5).json()
    assert created["total_contacts"] == keep
    contacts = api.ok("GET", f"/batches/{created['batch_id']}/contacts")
    assert [contact["phone_number"] for contact in contacts] == [f"+1415555{i:04d}" for i in range(keep)]
    assert sum(sandbox.dialled.values()) == keep


def test_faults_combine(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "partial", keep=1)
    sandbox.fault(CREATE, "late", list_calls=1)
    sandbox.fault(CREATE, "drop")
    with pytest.raises(httpx.RemoteProtocolError):
        post(api, campaign_id, 3)
    assert api.ok("GET", "/batches/") == []
    assert api.ok("GET", "/batches/")[0]["total_contacts"] == 1


def test_redirect(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "redirect")
    answer = post(api, campaign_id)
    assert (answer.status_code, answer.headers["location"]) == (307, f"{sandbox.url}/batches")
    sandbox.fault(CREATE, "redirect", location="https://elsewhere.invalid/")
    assert post(api, campaign_id).headers["location"] == "https://elsewhere.invalid/"
    assert not sandbox.batches


def test_fields_overwritten(api, sandbox, campaign_id):
    batch_id = api.batch(campaign_id)
    sandbox.fault(GET, "fields", fields={"status": "reviewing", "new": 1})
    seen = api.get_batch(batch_id)
    assert (seen["status"], seen["new"], seen["batch_id"]) == ("reviewing", 1, batch_id)
    sandbox.fault("GET /batches/", "fields", fields={"status": "reviewing"})
    assert [each["status"] for each in api.ok("GET", "/batches/")] == ["reviewing"]


def test_lost_dispatch(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "lost_dispatch")
    batch_id = api.batch(campaign_id, 3)
    sandbox.advance(1700)
    assert api.ok("GET", f"/batches/{batch_id}/debug")["diagnostics"]["stuck_pending"] is False
    sandbox.advance(200)
    assert set(api.statuses(batch_id)) == {"pending"}
    assert api.ok("GET", f"/batches/{batch_id}/debug")["diagnostics"]["stuck_pending"] is True
    assert api.ok("POST", f"/batches/{batch_id}/dispatch")["dispatched_count"] == 3
    sandbox.run_until_idle()
    assert api.status(batch_id) == "completed"


def test_lost_webhooks(api, sandbox, campaign_id):
    sandbox.fault(CREATE, "lost_webhooks")
    batch_id = api.batch(campaign_id, 3)
    sandbox.advance(86_400)
    contacts = sandbox.contacts(batch_id)
    assert [contact["status"] for contact in contacts] == ["dispatched"] * 3
    assert contacts[0]["current_call"]["call_status"] == "trying"
    assert contacts[0]["current_call"]["duration_seconds"] == 0
    assert len(api.http.get(f"/batches/{batch_id}/export.csv").text.splitlines()) == 4


def test_after_and_times(api, sandbox):
    fault = sandbox.fault("GET /batches/", "status", after=1, times=2)
    assert [api.http.get("/batches/").status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert fault.hits == 2
    sandbox.fault("GET /batches/", "status", times=None)
    assert {api.http.get("/batches/").status_code for _ in range(5)} == {503}


def test_where_a_fault_applies(api, sandbox, campaign_id):
    one, other = api.batch(campaign_id), api.batch(campaign_id)
    sandbox.fault(f"GET /batches/{one}", "status")
    assert [api.http.get(f"/batches/{each}").status_code for each in (other, one)] == [200, 503]
    sandbox.fault(GET, "status", status=500)
    assert api.http.get(f"/batches/{one}/debug").status_code == 200
    assert api.http.get(f"/batches/{other}").status_code == 500
    sandbox.fault("* /batches/", "status", status=501)
    assert api.http.get("/campaigns/").status_code == 200
    assert api.http.get("/batches/").status_code == 501
    sandbox.fault("*", "status", status=502)
    assert api.http.delete(f"/campaigns/{campaign_id}").status_code == 502
    sandbox.fault("PATCH *", "status", status=504)
    assert api.http.get("/campaigns/").status_code == 200
    assert api.http.patch(f"/campaigns/{campaign_id}", json={}).status_code == 504


@pytest.mark.parametrize(
    ("on", "what", "how"),
    [
        ("POST /batch/", "drop", {}),
        ("POST /batches", "drop", {}),
        ("GET /batches/{id}", "drop", {}),
        (CREATE, "explode", {}),
        (CREATE, "drop", {"when": "later"}),
        ("GET /batches/", "late", {}),
        ("POST *", "partial", {}),
        (CREATE, "no_metadata", {}),
    ],
)
def test_a_fault_that_could_never_happen_is_refused(sandbox, on, what, how):
    with pytest.raises(ValueError, match=r"there are|is for|when is"):
        sandbox.fault(on, what, **how)
    assert sandbox.faults == []


def test_faults_over_http(api, sandbox):
    root = f"{sandbox.root_url}/_sandbox/faults"
    added = api.ok("POST", root, json={"on": "GET /batches/", "what": "status", "status": 500, "times": None})
    api.ok("POST", root, json={"on": "GET /campaigns/", "what": "status", "status": 500, "times": None})
    assert [api.http.get(path).status_code for path in ("/batches/", "/campaigns/")] == [500, 500]
    assert [fault["hits"] for fault in api.ok("GET", root)] == [1, 1]
    api.ok("DELETE", f"{root}/{added['id']}")
    assert [api.http.get(path).status_code for path in ("/batches/", "/campaigns/")] == [200, 500]
    assert api.ok("DELETE", root) == []
    assert api.http.get("/campaigns/").status_code == 200
    for wrong in ({"on": "GET /nothing", "what": "drop"}, {"on": "*"}, {"on": "*", "what": "drop", "where": 1}):
        assert isinstance(api.refused("POST", root, 422, json=wrong), str)
