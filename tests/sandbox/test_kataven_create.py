from __future__ import annotations

import pytest

from airflow_provider_graine.sandbox import KatavenSettings
from tests.sandbox.conftest import AGENT, NUMBER, KatavenClient, number

INVALID = "Invalid form / CSV"


def test_a_draft_dials_nobody(kataven, sandbox):
    answer = kataven.post(3, name="Höhe · 1")
    campaign = answer.json()
    assert (answer.status_code, campaign.pop("id")) == (201, next(iter(sandbox.kataven.campaigns)))
    assert campaign == {
        "name": "Höhe · 1",
        "agent_id": AGENT,
        "phone_number_id": NUMBER,
        "status": "draft",
        "max_concurrent_calls": 5,
        "retries_per_contact": 0,
        "retry_delay_seconds": 300,
        "scheduled_at": None,
        "created_at": "2026-05-12T09:00:00Z",
        "created_by": "api-key",
        "started_at": None,
        "completed_at": None,
    }
    sandbox.run_until_idle()
    sandbox.advance(86_400)
    assert not sandbox.kataven.dialled
    assert not sandbox.kataven.attempts


def test_the_file_is_read_as_rfc_4180_says(kataven):
    content = (
        'first_name,phone_number,note\r\n"Ann, ""the"" first",+14155550001,"two\r\nlines"\r\n\r\nJörg,+14155550002,\n'
    ).encode()
    campaign_id = kataven.draft(content)
    people = {each["phone_number"]: each["custom_fields"] for each in kataven.contacts(campaign_id)}
    assert people == {
        "+14155550001": {"first_name": 'Ann, "the" first', "note": "two\r\nlines"},
        "+14155550002": {"first_name": "Jörg", "note": ""},
    }


def test_nothing_is_recognised_as_a_repetition(kataven, sandbox):
    content = b"phone_number\n+14155550001\n+14155550001\n"
    assert kataven.draft(content, name="same") != kataven.draft(content, name="same")
    for campaign_id in sandbox.kataven.campaigns:
        kataven.move(campaign_id, "start")
    assert sandbox.kataven.dialled == {"+14155550001": 4}


UNUSABLE = ("4155550001,1", "+141555,1", "+1415555000100001,1", "+1415 5550001,1", ",1")
TOO_NARROW_OR_WIDE = ("+14155550001", "+14155550001,1,2")


@pytest.mark.parametrize("row", UNUSABLE + TOO_NARROW_OR_WIDE)
def test_bad_rows(kataven, sandbox, row):
    content = f"phone_number,n\n+1415555,1\n{row}\n+14155550009,1\n".encode()

    def stored(bad_rows):
        sandbox.kataven.settings.bad_rows = bad_rows
        return len(kataven.contacts(kataven.draft(content)))

    assert (stored("drop"), stored("dial")) == (2, 3 if row in UNUSABLE else 2)
    sandbox.kataven.settings.bad_rows = "refuse"
    answer = kataven.post(content)
    assert (answer.status_code, answer.text) == (400, INVALID)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"phone,name\n+14155550001,Ann\n",
        b"\xef\xbb\xbfphone_number\n+14155550001\n",
        b"phone_number,phone_number\n+14155550001,+14155550002\n",
        b"phone_number,name,name\n+14155550001,a,b\n",
        b"phone_number\n\xff\xfe\n",
        b'phone_number\n"+14155550001\n',
        b'phone_number\n"+1415"5550001\n',
        b"phone_number;name\n+14155550001;Ann\n",
    ],
)
def test_files_refused(kataven, sandbox, content):
    answer = kataven.post(content)
    assert (answer.status_code, answer.text) == (400, INVALID)
    assert not sandbox.kataven.campaigns


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", None),
        ("name", ""),
        ("agent_id", None),
        ("agent_id", "agent_1"),
        ("phone_number_id", "+14155550100"),
        ("max_concurrent_calls", "0"),
        ("max_concurrent_calls", "101"),
        ("max_concurrent_calls", "many"),
        ("retries_per_contact", "-1"),
        ("retries_per_contact", "6"),
        ("retry_delay_seconds", "59"),
        ("scheduled_at", "2026-06-01 09:00"),
    ],
)
def test_fields_refused(kataven, sandbox, field, value):
    answer = kataven.post(**{field: value})
    assert (answer.status_code, answer.text) == (400, INVALID)
    assert not sandbox.kataven.campaigns


@pytest.mark.parametrize(
    "how",
    [
        {"json": {"name": "n", "agent_id": AGENT, "phone_number_id": NUMBER}},
        {"data": {"name": "n", "agent_id": AGENT, "phone_number_id": NUMBER}},
        {"content": b"--b\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        {"content": b"", "headers": {"Content-Type": "multipart/form-data"}},
        {"files": {"name": (None, b"\xff"), "contacts": ("c.csv", b"phone_number\n")}},
    ],
)
def test_forms_refused(kataven, sandbox, how):
    assert kataven.refused("POST", "/campaigns", 400, **how) == INVALID
    assert not sandbox.kataven.campaigns


def test_a_form_without_its_file_is_refused(kataven):
    form = {"name": (None, "n"), "agent_id": (None, AGENT), "phone_number_id": (None, NUMBER)}
    assert kataven.refused("POST", "/campaigns", 400, files=form) == INVALID


def test_ten_megabytes_and_not_one_byte_more(kataven, sandbox):
    head, row = b"phone_number,note\n", b"+14155550001,%s\n"
    fill = b"x" * (100_000 - len(row % b""))
    content = head + (row % fill) * 99
    content += row % (b"x" * (10_000_000 - len(content) - len(row % b"")))
    assert len(content) == 10_000_000
    assert len(kataven.contacts(kataven.draft(content))) == 100
    assert kataven.post(content + b"\n").status_code == 413
    assert len(sandbox.kataven.campaigns) == 1


def test_a_schedule(kataven, sandbox):
    assert kataven.post(scheduled_at="2026-05-12T08:59:59Z").text == INVALID
    campaign_id = kataven.draft(scheduled_at="2026-05-12T12:00:00+02:00", max_concurrent_calls=100)
    campaign = kataven.ok("GET", f"/campaigns/{campaign_id}")
    assert (campaign["status"], campaign["scheduled_at"]) == ("scheduled", "2026-05-12T10:00:00Z")
    for how in ("start", "pause", "resume", "stop"):
        kataven.refused("POST", f"/campaigns/{campaign_id}/{how}", 409)
    kataven.refused("DELETE", f"/campaigns/{campaign_id}", 409)
    sandbox.advance(3599)
    assert kataven.status(campaign_id) == "scheduled"
    sandbox.advance(1)
    assert kataven.status(campaign_id) == "running"  # nobody asks for the budget
    sandbox.run_until_idle()
    assert kataven.status(campaign_id) == "completed"


def test_a_hundred_contacts_a_page(kataven, sandbox):
    campaign_id = kataven.draft(230)
    pages = [kataven.contacts(campaign_id, page=page) for page in range(4)]
    assert [len(page) for page in pages] == [100, 100, 30, 0]
    assert kataven.contacts(campaign_id) == pages[0]
    everybody = [each for page in pages for each in page]
    assert {each["phone_number"] for each in everybody} == {number(index) for index in range(230)}
    assert len({each["id"] for each in everybody}) == 230
    assert sorted(everybody, key=lambda each: each["id"]) == everybody
    for wrong in ("-1", "one"):
        assert kataven.refused("GET", f"/campaigns/{campaign_id}/contacts?page={wrong}", 400) == "invalid page"
    sandbox.kataven.settings.contacts_order = "upload"
    assert [each["phone_number"] for each in kataven.contacts(campaign_id, page=2)] == [
        number(index) for index in range(200, 230)
    ]


def test_contacts_changed_last_come_first_if_so_wished(kataven, sandbox):
    sandbox.kataven.settings.contacts_order = "latest"
    campaign_id = kataven.started(3, max_concurrent_calls=1)
    sandbox.run_until_idle()
    assert [each["phone_number"] for each in kataven.contacts(campaign_id)] == [number(2), number(1), number(0)]


def test_the_order_of_campaigns(kataven, sandbox):
    made = [kataven.draft() for _ in range(5)]

    def listed(order):
        sandbox.kataven.settings.campaigns_order = order
        return [each["id"] for each in kataven.ok("GET", "/campaigns")["campaigns"]]

    assert (listed("oldest"), listed("newest"), listed("id")) == (made, made[::-1], sorted(made))
    sandbox.kataven.settings.campaigns_page = 2
    pages = [kataven.ok("GET", f"/campaigns?page={page}")["campaigns"] for page in range(4)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]


@pytest.mark.parametrize("key", [None, "data"])
def test_what_lists_are_wrapped_in(kataven, sandbox, key):
    campaign_id = kataven.draft()
    sandbox.kataven.settings.campaigns_key = sandbox.kataven.settings.contacts_key = key
    for path in ("/campaigns", f"/campaigns/{campaign_id}/contacts"):
        answer = kataven.ok("GET", path)
        assert isinstance(answer if key is None else answer["data"], list)


def test_what_there_is_not(kataven):
    assert kataven.refused("GET", "/campaigns/none", 404) == "Campaign not found"
    for method, path in (("GET", "/campaigns/"), ("POST", "/campaigns/"), ("GET", ""), ("PATCH", "/campaigns/x")):
        assert kataven.refused(method, path or "/", 404) == "404 page not found"


def test_call_limits(kataven, sandbox):
    sandbox.kataven.settings.concurrent_max = 7
    limits = kataven.ok("GET", "/call-limits")
    assert (limits.pop("concurrent_max"), set(limits)) == (
        7,
        {"calls_per_minute", "daily_calls_max", "daily_minutes_max"},
    )


def test_who_may(kataven, sandbox):
    settings = sandbox.kataven.settings
    jwt, key = f"Bearer {settings.jwt}", f"Bearer {settings.token}"

    def asked(authorization, account=None):
        headers = {"Authorization": authorization, **({} if account is None else {"X-Account-ID": account})}
        answer = kataven.http.get("/campaigns", headers=headers)
        assert answer.status_code == 200 or settings.account_id not in answer.text
        return answer.status_code

    assert [asked(""), asked("Bearer wrong"), asked(key[7:]), asked("Bearer gat_sandbox")] == [401] * 4
    assert [asked(key), asked(key, "sandbox"), asked(jwt, "sandbox")] == [200] * 3
    assert [asked(jwt), asked(jwt, ""), asked(jwt, "-x"), asked(jwt, "Sandbox"), asked(jwt, "a" * 64)] == [400] * 5
    assert [asked(jwt, "kataven-admin"), asked(jwt, "other"), asked(key, "other")] == [403] * 3
    sandbox.kataven.rotate_token("sk_live_sandbox_new")
    assert [asked(key), asked("Bearer sk_live_sandbox_new")] == [401, 200]


def test_another_prefix(start):
    sandbox, _ = start(kataven=KatavenSettings(prefix="/hub-api", rate_limits=False))
    client = KatavenClient(sandbox)
    assert sandbox.kataven.url == f"{sandbox.root_url}/hub-api"
    client.draft()
    assert client.refused("GET", f"{sandbox.root_url}/hub-api/nothing", 404) == "404 page not found"
    assert client.http.get(f"{sandbox.root_url}/v1/campaigns").status_code == 404
    assert [request.path for request in sandbox.kataven.requests] == ["/hub-api/campaigns", "/hub-api/nothing"]
    client.http.close()
    for wrong in ("v1", "/v1/", "/api/v1", "/_sandbox"):
        with pytest.raises(ValueError, match="prefix"):
            KatavenSettings(prefix=wrong)
