from __future__ import annotations

import csv
import io
import json

import pytest

CAMPAIGN_FIELDS = {
    "campaign_id", "name", "organization_id", "agent_id", "status", "phone_numbers", "phone_number_strategy",
    "working_hours_enforced", "timezone", "working_hours", "retry_policy", "default_call_variables",
    "completed_calls", "failed_calls", "busy_calls", "no_answer_calls", "follow_up_calls", "created_at", "updated_at",
}  # fmt: skip
BATCH_FIELDS = {
    "batch_id", "campaign_id", "organization_id", "status", "total_contacts", "concurrency_limit", "scheduled_start",
    "counters", "created_at", "updated_at",
}  # fmt: skip
COUNTERS = ["pending", "dispatched", "in_flight", "retrying", "completed", "failed", "busy", "no_answer"]
CONTACT_COUNTS = [
    "pending", "dispatched", "in_progress", "retrying", "completed", "failed", "busy", "no_answer", "skipped",
    "followup_scheduled", "max_retries_reached",
]  # fmt: skip
HOURS = {"monday": {"start": "09:00", "end": "18:00", "enabled": True}}


def test_token_is_checked_everywhere(api, sandbox):
    assert api.ok("GET", "/api-tokens/validate-token") == {"valid": True, "organization_id": "org_sandbox"}
    for headers in ({"Authorization": "Bearer gat_other"}, {"Authorization": "gat_sandbox"}, {"Authorization": ""}):
        for method, path in (("GET", "/campaigns/"), ("POST", "/batches/"), ("GET", "/api-tokens/validate-token")):
            assert api.refused(method, path, 401, headers=headers) == "Invalid or expired token"
    assert not sandbox.campaigns


def test_create_campaign_answers_200_with_five_fields(api):
    body = {"name": "Q2", "agent_id": "agent_1", "phone_numbers": ["+14155550100"], "metadata": {"a": 1}}
    created = api.ok("POST", "/campaigns/", json=body)
    assert list(created) == ["campaign_id", "name", "status", "organization_id", "agent_id"]
    assert created["campaign_id"].startswith("cmp_")
    assert {**created, "campaign_id": ""} == {
        "campaign_id": "",
        "name": "Q2",
        "status": "draft",
        "organization_id": "org_sandbox",
        "agent_id": "agent_1",
    }
    assert set(api.ok("POST", "/campaigns/create", json=body)) == set(created)


def test_get_campaign_shows_the_whole_document(api):
    sent = {
        "phone_number_strategy": "random",
        "working_hours_enforced": True,
        "timezone": "Asia/Kolkata",
        "working_hours": HOURS,
        "retry_policy": {"max_retries": 1, "strategy": "exponential", "cooldown_minutes": 5},
        "default_call_variables": {"language": "en"},
        "metadata": {"run": "r1", "concurrency_limit": 4},
    }
    seen = api.ok("GET", f"/campaigns/{api.campaign(**sent)}")
    assert set(seen) == CAMPAIGN_FIELDS | {"metadata"}
    assert {key: seen[key] for key in sent} == sent
    assert seen["created_at"] == "2026-05-12T09:00:00Z"


def test_campaign_defaults(api):
    seen = api.ok("GET", f"/campaigns/{api.campaign()}")
    assert seen["retry_policy"] == {"max_retries": 3, "strategy": "fixed", "cooldown_minutes": 30}
    assert seen["phone_number_strategy"] == "round_robin"
    assert seen["working_hours_enforced"] is False


@pytest.mark.parametrize("field", ["name", "agent_id", "phone_numbers"])
@pytest.mark.parametrize("empty", [None, "missing", ""])
def test_campaign_required_fields(api, field, empty):
    body = {"name": "Q2", "agent_id": "agent_1", "phone_numbers": ["+14155550100"], field: empty}
    if empty == "missing":
        del body[field]
    assert api.refused("POST", "/campaigns/", 400, json=body) == f"{field} is required"


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": 7}, ["body", "name"]),
        ({"phone_numbers": "+14155550100"}, ["body", "phone_numbers"]),
        ({"timezone": "Mars/Olympus"}, ["body", "timezone"]),
        ({"phone_number_strategy": "loudest"}, ["body", "phone_number_strategy"]),
        ({"retry_policy": {"max_retries": -1}}, ["body", "retry_policy", "max_retries"]),
        ({"working_hours": {"monday": {"start": "9", "end": "18:00"}}}, ["body", "working_hours", "monday", "start"]),
        ({"working_hours": {"monday": {"start": "09:00", "end": "25:00"}}}, ["body", "working_hours", "monday", "end"]),
        ({"metadata": []}, ["body", "metadata"]),
    ],
)  # fmt: skip
def test_wrong_types_in_a_campaign_are_422_with_a_list(api, fields, place):
    body = {"name": "Q2", "agent_id": "agent_1", "phone_numbers": ["+14155550100"], **fields}
    detail = api.refused("POST", "/campaigns/", 422, json=body)
    assert detail[0]["loc"] == place
    campaign_id = api.campaign()
    assert api.refused("PATCH", f"/campaigns/{campaign_id}", 422, json=fields)[0]["loc"] == place


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'{"a": \xff}'])
def test_a_body_that_is_no_object_is_422(api, content):
    for path in ("/campaigns/", "/batches/"):
        assert isinstance(api.refused("POST", path, 422, content=content), list)


def test_foreign_organization(api):
    body = {"name": "Q2", "agent_id": "agent_1", "phone_numbers": ["+14155550100"], "organization_id": "org_other"}
    api.refused("POST", "/campaigns/", 403, json=body)
    campaign_id = api.campaign(organization_id="org_sandbox")
    batch = {"campaign_id": campaign_id, "contacts": [{"phone_number": "+14155550199"}]}
    detail = api.refused("POST", "/batches/", 404, json={**batch, "organization_id": "org_other"})
    assert detail == "Campaign not found or does not belong to this org"
    api.ok("POST", "/batches/", json={**batch, "organization_id": "org_sandbox"})
    for path in ("/campaigns/", "/batches/", f"/campaigns/{campaign_id}/batches"):
        assert api.ok("GET", path, params={"organization_id": "org_other"}) == []
        assert len(api.ok("GET", path, params={"organization_id": "org_sandbox"})) == 1


def test_patch_changes_what_is_sent_and_replaces_nested_objects(api):
    campaign_id = api.campaign(working_hours=HOURS, metadata={"a": 1})
    path = f"/campaigns/{campaign_id}"
    changed = api.ok(
        "PATCH", path, json={"name": "New", "working_hours": {"friday": HOURS["monday"]}, "status": "active"}
    )
    assert changed["name"] == "New"
    assert "metadata" not in changed
    seen = api.ok("GET", path)
    assert seen["working_hours"] == {"friday": HOURS["monday"]}
    assert seen["status"] == "draft"
    assert seen["metadata"] == {"a": 1}
    assert seen["agent_id"] == "agent_1"


def test_list_campaigns_is_a_bare_array_newest_first(api):
    ids = [api.campaign(name=f"c{index}", metadata={"index": index}) for index in range(5)]
    api.batch(ids[0])
    listed = api.ok("GET", "/campaigns/")
    assert [each["campaign_id"] for each in listed] == ids[::-1]
    assert set(listed[0]) == CAMPAIGN_FIELDS
    page = api.ok("GET", "/campaigns/", params={"skip": 1, "limit": 2})
    assert [each["campaign_id"] for each in page] == [ids[3], ids[2]]
    assert [each["campaign_id"] for each in api.ok("GET", "/campaigns/", params={"status": "active"})] == [ids[0]]
    assert api.ok("GET", "/campaigns/", params={"status": "no such"}) == []


def test_unknown_ids_are_404(api):
    for method, tail in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel"),
        ("GET", "/stats"), ("GET", "/batches"),
    ):  # fmt: skip
        assert api.refused(method, f"/campaigns/cmp_none{tail}", 404) == "Campaign not found"
    for method, tail in (
        ("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel"), ("POST", "/dispatch"),
        ("GET", "/debug"), ("GET", "/contacts"), ("GET", "/export.csv"),
    ):  # fmt: skip
        assert api.refused(method, f"/batches/btc_none{tail}", 404) == "Batch not found"
    detail = api.refused(
        "POST", "/batches/", 404, json={"campaign_id": "cmp_none", "contacts": [{"phone_number": "+1"}]}
    )
    assert detail == "Campaign not found or does not belong to this org"


def test_create_batch_answers_200_and_dials_at_once(api, sandbox):
    campaign_id = api.campaign()
    body = {"campaign_id": campaign_id, "contacts": [{"phone_number": "+14155550199"}], "metadata": {"chunk": "a"}}
    created = api.ok("POST", "/batches/", json=body)
    assert created == {
        "batch_id": created["batch_id"],
        "campaign_id": campaign_id,
        "organization_id": "org_sandbox",
        "status": "in_progress",
        "total_contacts": 1,
        "created_at": "2026-05-12T09:00:00Z",
    }
    assert api.statuses(created["batch_id"]) == ["dispatched"]
    assert api.ok("GET", f"/campaigns/{campaign_id}")["status"] == "active"
    assert set(api.ok("POST", "/batches/upload", json=body)) == set(created)
    assert sandbox.dialled == {"+14155550199": 2}


def test_get_batch_has_metadata_and_lists_have_not(api):
    campaign_id = api.campaign(metadata={"concurrency_limit": 9})
    fields = {"metadata": {"run": "r1"}, "call_context": {"x": [1]}, "max_retries_override": 0}
    batch_id = api.batch(campaign_id, 3, **fields)
    seen = api.get_batch(batch_id)
    assert set(seen) == BATCH_FIELDS | {"metadata", "call_context", "max_retries_override"}
    assert {key: seen[key] for key in fields} == fields
    assert seen["concurrency_limit"] == 9
    assert list(seen["counters"]) == COUNTERS
    assert sum(seen["counters"].values()) == seen["total_contacts"] == 3
    assert set(api.ok("GET", "/batches/")[0]) == BATCH_FIELDS
    assert list(api.ok("GET", f"/campaigns/{campaign_id}/batches")[0]) == [
        "batch_id", "campaign_id", "status", "total_contacts", "counters", "retry_breakdown", "created_at",
    ]  # fmt: skip


def test_batch_required_fields_and_types(api, sandbox):
    campaign_id = api.campaign()
    whole = {"campaign_id": campaign_id, "contacts": [{"phone_number": "+14155550199"}]}
    for field in whole:
        for empty in (None, "", []):
            assert api.refused("POST", "/batches/", 400, json={**whole, field: empty}) == f"{field} is required"
    nameless = [{"phone_number": "+14155550199"}, {"call_variables": {}}]
    detail = api.refused("POST", "/batches/", 400, json={**whole, "contacts": nameless})
    assert detail == "contacts[1].phone_number is required"
    for fields in (
        {"contacts": {"phone_number": "+1"}}, {"contacts": ["+14155550199"]}, {"contacts": [{"phone_number": 1415}]},
        {"contacts": [{"phone_number": "+1", "call_variables": []}]}, {"scheduled_start": "tomorrow"},
        {"concurrency_limit": 0}, {"concurrency_limit": "many"}, {"max_retries_override": -1}, {"metadata": "m"},
    ):  # fmt: skip
        assert isinstance(api.refused("POST", "/batches/", 422, json={**whole, **fields}), list)
    assert not sandbox.batches
    assert not sandbox.dialled


def test_list_batches_filters_and_pages(api):
    first, second = api.campaign(), api.campaign()
    ids = [api.batch(first, 1) for _ in range(4)]
    other = api.batch(second, 1)
    api.ok("POST", f"/batches/{ids[1]}/pause")

    def listed(path="/batches/", **params):
        return [each["batch_id"] for each in api.ok("GET", path, params=params)]

    assert listed() == [other, *ids[::-1]]
    assert listed(campaign_id=first) == listed(f"/campaigns/{first}/batches") == ids[::-1]
    assert listed(campaign_id=first, status="paused") == [ids[1]]
    assert listed(f"/campaigns/{first}/batches", status="paused") == [ids[1]]
    assert listed(campaign_id=first, skip=1, limit=2) == [ids[2], ids[1]]
    assert listed(f"/campaigns/{first}/batches", skip=3) == [ids[0]]
    assert listed(skip=99) == []


@pytest.mark.parametrize("params", [{"skip": -1}, {"limit": 0}, {"skip": "x"}, {"limit": "many"}])
def test_wrong_paging_is_422(api, params):
    batch_id = api.batch(api.campaign())
    for path in ("/batches/", "/campaigns/", f"/batches/{batch_id}/contacts"):
        assert api.refused("GET", path, 422, params=params)[0]["loc"] == ["query", next(iter(params))]


def test_default_page_lengths(api):
    campaign_id = api.campaign()
    batch_id = api.batch(campaign_id, 120)
    for _ in range(54):
        api.batch(campaign_id, 1)
    assert len(api.ok("GET", "/batches/")) == 50
    assert len(api.ok("GET", f"/campaigns/{campaign_id}/batches")) == 50
    assert len(api.ok("GET", f"/batches/{batch_id}/contacts")) == 100


def test_a_limit_above_the_longest_page_is_cut(start):
    _, api = start(max_page=10)
    batch_id = api.batch(api.campaign(), 30)
    assert len(api.ok("GET", f"/batches/{batch_id}/contacts", params={"limit": 25})) == 10


def test_contacts(api, sandbox):
    campaign_id = api.campaign()
    batch_id = api.batch(campaign_id, 30, concurrency_limit=2)
    contacts = api.ok("GET", f"/batches/{batch_id}/contacts", params={"skip": 1, "limit": 3})
    assert [contact["phone_number"] for contact in contacts] == [f"+1415555{index:04d}" for index in (1, 2, 3)]
    assert list(contacts[0]) == [
        "contact_id", "batch_id", "campaign_id", "phone_number", "call_variables", "status", "retry_count",
        "follow_up_count", "last_attempted_at", "next_retry_at", "latest_retry_count",
    ]  # fmt: skip
    assert contacts[0]["call_variables"] == {"callee_name": "Name 1"}
    assert contacts[0]["last_attempted_at"] == "2026-05-12T09:00:00Z"
    assert contacts[2]["last_attempted_at"] is None
    pending = api.ok("GET", f"/batches/{batch_id}/contacts", params={"status": "pending"})
    assert len(pending) == 28
    sandbox.run_until_idle()
    called = api.ok("GET", f"/batches/{batch_id}/contacts", params={"include_calls": "true"})
    call = called[0]["current_call"]
    assert called[0]["call_records"] == [call]
    assert call["call_status"] == "completed"
    assert 20 <= call["duration_seconds"] <= 180
    assert call["sentiment"] in ("positive", "neutral", "negative")
    assert "Name 0" in call["transcript"]
    assert call["summary"]
    assert (call["hangup_by"], call["hangup_reason"]) == ("assistant", "goal_completed")
    assert len({contact["contact_id"] for contact in called}) == 30
    assert len({contact["current_call"]["execution_id"] for contact in called}) == 30


def test_default_call_variables_reach_the_call_and_not_the_contact(api, sandbox):
    campaign_id = api.campaign(default_call_variables={"callee_name": "neighbour"})
    body = {"campaign_id": campaign_id, "contacts": [{"phone_number": "+14155550199"}]}
    batch_id = api.ok("POST", "/batches/", json=body)["batch_id"]
    sandbox.run_until_idle()
    contact = sandbox.contacts(batch_id)[0]
    assert "neighbour" in contact["current_call"]["transcript"]
    assert contact["call_variables"] == {}


def test_a_call_in_the_making(start):
    sandbox, api = start(outcomes={"completed": 1})
    batch_id = api.batch(api.campaign(), 1)
    seen = []
    for _ in range(240):
        contact = sandbox.contacts(batch_id)[0]
        state = (contact["status"], contact["current_call"]["call_status"])
        if state not in seen:
            seen.append(state)
        sandbox.advance(1)
    assert seen == [
        ("dispatched", "trying"),
        ("in_progress", "ringing"),
        ("in_progress", "in-progress"),
        ("completed", "completed"),
    ]


def test_stats(start):
    sandbox, api = start()
    campaign_id = api.campaign()
    api.batch(campaign_id, 200, concurrency_limit=50)
    api.batch(campaign_id, 10, scheduled_start="2027-01-01T00:00:00Z")
    for _ in range(40):
        sandbox.advance(300)
        stats = api.ok("GET", f"/campaigns/{campaign_id}/stats")
        counts = stats["contact_counts"]
        assert list(counts) == CONTACT_COUNTS
        assert sum(counts.values()) == 210
        in_flight = ("dispatched", "in_progress", "retrying", "followup_scheduled")
        assert stats["in_flight_contacts"] == sum(counts[status] for status in in_flight)
        assert sum(stats["retry_breakdown"].values()) == counts["retrying"]
    assert list(stats) == [
        "campaign_id", "contact_counts", "batch_counts", "call_counters", "retry_breakdown", "in_flight_contacts",
        "total_call_attempts", "follow_up_attempts",
    ]  # fmt: skip
    assert stats["batch_counts"] == {"pending": 1, "in_progress": 0, "paused": 0, "completed": 1, "cancelled": 0}
    assert stats["total_call_attempts"] == sum(sandbox.attempts.values()) > 200
    assert stats["total_call_attempts"] == sum(stats["call_counters"].values())
    assert stats["follow_up_attempts"] == stats["call_counters"]["follow_up_calls"] > 0
    assert counts["max_retries_reached"] > 0
    document = api.ok("GET", f"/campaigns/{campaign_id}")
    assert {key: document[key] for key in stats["call_counters"]} == stats["call_counters"]


def test_export_csv(start):
    sandbox, api = start(outcomes={"completed": 1, "unreachable": 1})
    campaign_id = api.campaign()
    batch_id = api.batch(campaign_id, [f"+1415555{index:04d}" for index in range(1300)], concurrency_limit=1000)
    sandbox.run_until_idle()
    answer = api.http.get(f"/batches/{batch_id}/export.csv")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert batch_id in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["phone_number"] for row in rows] == [f"+1415555{index:04d}" for index in range(1300)]
    contacts = sandbox.contacts(batch_id)
    assert [row["status"] for row in rows] == [contact["status"] for contact in contacts]
    assert json.loads(rows[7]["call_variables"]) == {"callee_name": rows[7]["callee_name"]} == {"callee_name": "Name 7"}
    assert {row["status"] for row in rows} == {"completed", "failed"}


def test_export_quotes_what_needs_quoting(api, sandbox):
    campaign_id = api.campaign()
    contact = {"phone_number": "+14155550199", "call_variables": {"callee_name": 'Zoë "Z"\nMüller, Dr.'}}
    batch_id = api.ok("POST", "/batches/", json={"campaign_id": campaign_id, "contacts": [contact]})["batch_id"]
    text = api.http.get(f"/batches/{batch_id}/export.csv").text
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["callee_name"] == contact["call_variables"]["callee_name"]


def test_debug(api, sandbox):
    batch_id = api.batch(api.campaign(), 30, concurrency_limit=2)
    sandbox.advance(2)
    seen = api.ok("GET", f"/batches/{batch_id}/debug")
    assert list(seen) == ["batch_id", "status", "status_breakdown", "pending_sample", "diagnostics"]
    assert seen["status_breakdown"]["pending"] == {"count": 28, "oldest_updated_at": "2026-05-12T09:00:00Z"}
    ids = [contact["contact_id"] for contact in sandbox.contacts(batch_id)]
    assert seen["pending_sample"] == ids[2:5]
    assert seen["diagnostics"]["stuck_pending"] is False
    assert isinstance(seen["diagnostics"]["tip"], str)
    sandbox.run_until_idle()
    assert api.ok("GET", f"/batches/{batch_id}/debug")["status_breakdown"] == {"completed": {"count": 30}}


def test_the_other_spelling_of_a_path_is_redirected(api, sandbox):
    campaign_id = api.campaign()
    for method, path, other in (
        ("POST", "/campaigns", "/campaigns/"),
        ("GET", "/batches", "/batches/"),
        ("GET", f"/campaigns/{campaign_id}/", f"/campaigns/{campaign_id}"),
    ):
        answer = api.http.request(method, path)
        assert answer.status_code == 307
        assert answer.headers["location"] == sandbox.url + other
        assert sandbox.requests[-1].status == 307


def test_unknown_paths_and_methods(api):
    assert api.refused("GET", "/nothing", 404) == "Not Found"
    assert api.refused("PUT", "/batches/", 405) == "Method Not Allowed"
