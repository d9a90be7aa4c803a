"""The report: one file that says what the service says, and nothing about anybody."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import JSONResponse

from airflow_provider_graine.exceptions import ConfigurationError, LandingError, ServiceUnavailableError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.operators.graine import GraineReportOperator
from airflow_provider_graine.operators.kataven import KatavenReportOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from tests.kataven_service import AGENT, NUMBER, Draft, draft, kataven
from tests.task import Task

__all__ = ["draft", "kataven"]

SUMMARY = {"read": 120, "accepted": 110, "rejected": {"duplicate": 7, "suppressed": 3}, "batches": 2}
MOST_BYTES = 300_000


class Page(HTMLParser):
    """A report, taken apart."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tiles: dict[str, str] = {}
        self.attributes: list[tuple[str, str, str | None]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.notice = ""
        self.policy = ""
        self._in: list[str] = []
        self._heading = self._label = ""
        self.content = content
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        given = dict(attrs)
        if tag == "meta":
            if given.get("http-equiv") == "Content-Security-Policy":
                self.policy = given["content"] or ""
            return
        if tag == "link":
            return
        self._in.append(tag)
        if tag == "h2":
            self._heading = ""
        elif tag == "tr":
            self.tables.setdefault(self._heading, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._heading][-1].append("")
        elif tag == "p" and given.get("role") == "note":
            self._in[-1] = "notice"

    def handle_endtag(self, tag: str) -> None:
        self._in.pop()

    def handle_data(self, data: str) -> None:
        if not self._in:
            return
        if self._in[-1] == "script":
            self.scripts.append(data)
        elif self._in[-1] == "style":
            self.styles.append(data)
        elif self._in[-1] == "h2":
            self._heading += data
        elif {"td", "th"} & set(self._in):
            self.tables[self._heading][-1][-1] += data
        elif "notice" in self._in:
            self.notice += data
        elif self._in[-1] == "dt":
            self._label = data
        elif "dd" in self._in:
            self.tiles.setdefault(self._label, data)

    def column(self, heading: str, number: int) -> dict[str, int]:
        """A column of numbers, by the name of the row."""
        return {row[0]: int(row[number].replace(",", "")) for row in self.tables[heading][1:]}


@pytest.fixture
def batch_ids(sandbox: Sandbox, hook: GraineHook, campaign_id: str) -> list[str]:
    ids = [
        hook.create_batch(campaign_id=campaign_id, contacts=contacts(first, 55), concurrency_limit=8).batch_id
        for first in (0, 55)
    ]
    sandbox.advance(500)
    return ids


def contacts(first: int, number: int) -> list[dict[str, Any]]:
    return [
        {"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": f"Zebulon <b>{i}</b>"}}
        for i in range(first, first + number)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Page]:
    def write(operator: type = GraineReportOperator, **arguments: Any) -> Page:
        target = tmp_path / "report.html"
        write.task = Task(task_id="report", map_index=arguments.pop("map_index", -1))  # type: ignore[attr-defined]
        write.manifest = write.task.run(  # type: ignore[attr-defined]
            operator(task_id="report", **{"path": target.as_uri(), **arguments})
        )
        return Page(target.read_bytes())

    return write


def test_the_report_says_what_the_service_says(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, batch_ids: list[str], write: Any, tmp_path: Path
) -> None:
    people = [person for each in batch_ids for person in hook.iter_batch_contacts(each)]
    statuses = Counter(person.status for person in people)
    called = [
        person for person in people if person.last_attempted_at and person.status not in ("dispatched", "in_progress")
    ]
    answered = statuses["completed"]
    assert len(statuses) > 3, "worth a report"
    assert 0 < answered < len(called) < len(people)

    page = write(
        batch_ids=[batch_ids, batch_ids[:1]], summary=[SUMMARY], title="Renewals & more", timezone="Asia/Kolkata"
    )

    outcomes = page.column("Outcomes", 1)
    assert outcomes.pop("All") == len(people)
    assert sorted(outcomes.values()) == sorted(statuses.values())
    assert outcomes["Completed"] == answered
    hours = Counter(
        (int(person.last_attempted_at[11:13]) * 60 + int(person.last_attempted_at[14:16]) + 330) // 60 % 24
        for person in called
        if person.last_attempted_at
    )
    assert {f"{hour:02}:00": number for hour, number in hours.items() if number >= 5} == {
        label: number
        for label, number in page.column("Answer rate by hour of the day", 1).items()
        if label not in ("All", "Other hours")
    }
    assert page.column("Answer rate by hour of the day", 2)["All"] == answered
    attempts = Counter((person.retry_count or 0) + 1 for person in called)
    assert page.column("Attempts needed", 1) == {
        **{str(number): count for number, count in sorted(attempts.items()) if count >= 5},
        **({"Other numbers": few} if (few := sum(count for count in attempts.values() if count < 5)) else {}),
    }
    assert page.column("Rejected before the upload", 1) == {
        "Duplicate": 7,
        "Suppressed": 3,
        "Accepted": 110,
        "Read": 120,
    }
    assert page.column("Batches", 2) == {batch_ids[0]: 55, batch_ids[1]: 55, "All": 110}
    assert {row[0]: row[1] for row in page.tables["Batches"][1:3]} == dict.fromkeys(batch_ids, "In progress")
    assert page.tiles["People"] == "110"
    assert page.tiles["Rejected"] == "10"
    assert (page.tiles["DAG"], page.tiles["Run"], page.tiles["Task"]) == ("calls", "manual__2026-05-10", "report")

    assert write.manifest == {
        "uri": (tmp_path / "report.html").as_uri(),
        "bytes": len(page.content),
        "batches": 2,
        "people": 110,
        "called": len(called),
        "answered": answered,
        "retries": sum(person.retry_count or 0 for person in people),
        "outcomes": dict(statuses),
    }
    assert write.task.xcom == {"graine_report": (tmp_path / "report.html").as_uri()}
    json.dumps(write.manifest)

    everything = write(campaign_id=campaign_id)
    assert everything.column("Outcomes", 1) == page.column("Outcomes", 1)


def test_there_is_nothing_of_anybody_in_it(
    sandbox: Sandbox, hook: GraineHook, batch_ids: list[str], write: Any
) -> None:
    page = write(batch_ids=batch_ids, summary=SUMMARY)
    text = page.content.decode() + json.dumps(write.manifest)
    ids = {person.contact_id for each in batch_ids for person in hook.iter_batch_contacts(each)}
    assert not re.search(r"98765|Zebulon|callee|gat_", text)
    assert not any(each in text for each in ids)
    assert not any("include_calls=true" in request.query for request in sandbox.requests), "no conversation is read"


def test_it_needs_nothing_else_and_may_do_nothing_else(sandbox: Sandbox, batch_ids: list[str], write: Any) -> None:
    page = write(batch_ids=batch_ids, title="</title><script>alert(1)</script>")
    assert page.content.startswith(b"<!doctype html>\n<!-- graine report -->\n")
    assert len(page.content) < MOST_BYTES
    assert not [each for each in page.attributes if each[1] in ("src", "style") or each[1].startswith("on")]
    assert all((value or "").startswith("data:") for _, name, value in page.attributes if name == "href")
    data, *scripts = page.scripts
    assert b"<script>alert" not in page.content

    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (*scripts, *page.styles)
    }
    assert len(hashes) == 4
    assert set(re.findall(r"'sha256-[^']+'", page.policy)) == hashes
    assert "default-src 'none'" in page.policy
    assert "unsafe" not in page.policy
    for name, chart in json.loads(data).items():
        assert f'id="{name}"'.encode() in page.content or not chart["labels"]


def test_hours_with_few_people_are_counted_together(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, write: Any
) -> None:
    for number in (4, 12, 3):
        hook.create_batch(campaign_id=campaign_id, contacts=contacts(0, number), max_retries_override=0)
        sandbox.advance(3600)
    sandbox.run_until_idle()
    page = write(campaign_id=campaign_id)
    hours = page.column("Answer rate by hour of the day", 1)
    assert hours["All"] == 19
    assert hours["Other hours"] == 7
    assert [label for label in hours if label.endswith(":00")] == ["10:00"]


@pytest.mark.parametrize(
    ("attempts", "rows", "bars"),
    [
        ({1: 6, 2: 1, 4: 5, 9: 3, 12: 3}, {"1": 6, "4": 5, "9 or more": 6, "Other numbers": 1}, 4),
        ({1: 6, 2: 3, 3: 2, 9: 4}, {"1": 6, "Other numbers": 9}, 2),
        ({1: 1, 2: 1}, {"Other numbers": 2}, 0),
        ({2: 5}, {"2": 5}, 1),
    ],
)
def test_numbers_of_attempts_that_few_needed_are_counted_together(
    sandbox: Sandbox,
    hook: GraineHook,
    campaign_id: str,
    write: Any,
    monkeypatch: pytest.MonkeyPatch,
    attempts: dict[int, int],
    rows: dict[str, int],
    bars: int,
) -> None:
    numbers = [number for number, people in attempts.items() for _ in range(people)]
    batch_id = hook.create_batch(campaign_id=campaign_id, contacts=contacts(0, len(numbers))).batch_id
    people = [
        person.model_copy(update={"status": "completed" if number == 2 else "failed", "retry_count": number - 1})
        for person, number in zip(hook.iter_batch_contacts(batch_id), numbers, strict=True)
    ]
    monkeypatch.setattr(GraineHook, "list_batch_contacts", lambda self, id, *, skip, **_: people[skip:])
    page = write(batch_ids=batch_id)
    assert page.column("Attempts needed", 1) == rows
    assert page.column("Attempts needed", 2) == {
        label: attempts[2] if label in ("2", "Other numbers") else 0 for label in rows
    }
    drawn = json.loads(page.scripts[0])["attempts"]
    assert drawn["labels"] == list(rows)[:bars]
    assert [sum(each) for each in zip(*(series["values"] for series in drawn["series"]), strict=True)] == [
        *rows.values()
    ][:bars]
    assert (b"No number of attempts has enough people" in page.content) is (bars == 0)


def test_what_came_of_a_small_batch_is_not_told(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, write: Any
) -> None:
    sizes = (1, 4, 5, 30)
    ids = [hook.create_batch(campaign_id=campaign_id, contacts=contacts(0, size)).batch_id for size in sizes]
    sandbox.run_until_idle()
    page = write(batch_ids=ids)
    rows = {row[0]: row[2:] for row in page.tables["Batches"][1:]}
    for batch_id, size in zip(ids, sizes, strict=True):
        assert rows[batch_id][:2] == [str(size), "0"]
        assert (rows[batch_id][2:] == ["\u2013"] * 4) is (size < 5)
    assert rows["All"][:3] == ["40", "0", str(write.manifest["called"])]
    assert (rows["All"][3], rows["All"][5]) == (str(write.manifest["answered"]), str(write.manifest["retries"]))


def test_text_that_is_not_unicode_spoils_no_report(
    sandbox: Sandbox, batch_ids: list[str], write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JSONResponse, "render", lambda self, content: json.dumps(content).encode())
    sandbox.fault(
        "GET /batches/{batch_id}/contacts", "fields", fields={"call_variables": {"callee_name": "\ud800"}}, times=None
    )
    assert write(batch_ids=batch_ids).tiles["People"] == "110"


def test_what_is_not_known_is_called_so(sandbox: Sandbox, hook: GraineHook, campaign_id: str, write: Any) -> None:
    page = write(batch_ids=[])
    assert (page.tiles["People"], page.tiles["Rejected"]) == ("0", "\u2013")
    assert b"given no summary" in page.content
    assert b"Nobody was called yet" in page.content

    batch_id = hook.create_batch(campaign_id=campaign_id, contacts=contacts(0, 20)).batch_id
    sandbox.run_until_idle()
    sandbox.fault("GET /batches/{batch_id}", "fields", fields={"total_contacts": 21}, times=None)
    page = write(batch_ids=batch_id)
    assert re.search(rf"Of 21 people on batch\s+{batch_id}\s+the service gave 20", page.notice)
    assert page.tiles["People"] == "20"


def test_the_hours_are_those_of_the_campaign(sandbox: Sandbox, hook: GraineHook, write: Any) -> None:
    ids = []
    for zone in ("Asia/Kolkata", "Mars/Olympus"):
        campaign = hook.create_campaign(
            name="A", agent_id="a", phone_numbers=["+918045678900"], timezone="Asia/Kolkata"
        )
        ids.append(hook.create_batch(campaign_id=campaign.campaign_id, contacts=contacts(0, 6)).batch_id)
        if zone != "Asia/Kolkata":
            sandbox.fault(f"GET /campaigns/{campaign.campaign_id}", "fields", fields={"timezone": zone}, times=None)
    sandbox.run_until_idle()
    for chosen, timezone, used in (
        (ids[:1], None, "Asia/Kolkata"),
        (ids[1:], None, "UTC"),
        (ids, None, "UTC"),
        (ids, "America/New_York", "America/New_York"),
    ):
        page = write(batch_ids=chosen, timezone=timezone)
        assert f"the last attempt, in {used}.".encode() in page.content


def test_a_report_on_kataven(sandbox: Sandbox, kataven: KatavenAccount, write: Any) -> None:
    kataven.settings.concurrent_max = 1000
    people = [{"phone_number": f"+9198765{i:05}", "custom_fields": {"callee_name": "Zebulon"}} for i in range(130)]
    hook = KatavenHook()
    campaign_id = hook.create_campaign(
        name="A", agent_id=AGENT, phone_number_id=NUMBER, contacts=people, max_concurrent_calls=100
    ).campaign_id
    hook.start_campaign(campaign_id)
    sandbox.run_until_idle()
    hook.close()

    page = write(KatavenReportOperator, campaign_ids=[[campaign_id]], summary=SUMMARY)

    outcomes = page.column("Outcomes", 1)
    assert outcomes["All"] == 130 == write.manifest["people"]
    assert outcomes["Completed"] == write.manifest["answered"]
    assert page.column("Campaigns", 2) == {campaign_id: 130, "All": 130}
    assert page.tables["Attempts needed"][1][0] == "Not known"
    assert b"The service does not say at which hours" in page.content
    assert not re.search(rb"98765|Zebulon", page.content)


def test_a_report_on_kataven_says_that_not_everybody_came(draft: Draft, write: Any, monkeypatch: Any) -> None:
    whole, shifting, empty = draft(120), draft(250), draft(3)
    real = KatavenHook.list_campaign_contacts.__get__

    def another_is_last(self: KatavenHook, campaign_id: str, *, page: int) -> Any:
        people = real(self, KatavenHook)(campaign_id, page=page)
        if campaign_id == whole or not people:
            return people
        return [] if campaign_id == empty else [*people[:-1], people[0]]

    monkeypatch.setattr(KatavenHook, "list_campaign_contacts", another_is_last)
    page = write(KatavenReportOperator, campaign_ids=[whole, shifting, empty])
    notice = " ".join(page.notice.split())
    assert f"Of 250 people on campaign {shifting} the service gave 247." in notice
    assert f"Of the people on campaign {empty} the service gave none." in notice
    assert whole not in notice
    assert page.tiles["People"] == "367"

    page = write(KatavenReportOperator, campaign_ids=[empty])
    assert "Not everybody is counted" in page.notice
    assert b"There is nobody on" not in page.content


@pytest.mark.parametrize(
    ("states", "not_done", "called"),
    [
        (["completed", "Calling", "pending"], 2, 1),
        (["no_answer", "busy", "failed", "max_retries_reached", "skipped"], 0, 4),
        (["dialing", "calling", "ringing", "in_call", "in_progress", "queued", "scheduled", "new"], 8, 0),
        (["retrying", "followup_scheduled"], 2, 2),
    ],
)
def test_who_is_being_called_is_not_done(
    draft: Draft, write: Any, monkeypatch: pytest.MonkeyPatch, states: list[str], not_done: int, called: int
) -> None:
    campaign_id = draft(len(states))
    people = [
        person.model_copy(update={"status": state})
        for person, state in zip(KatavenHook().list_campaign_contacts(campaign_id), states, strict=True)
    ]
    monkeypatch.setattr(KatavenHook, "list_campaign_contacts", lambda self, id, *, page: [] if page else people)
    page = write(KatavenReportOperator, campaign_ids=[campaign_id])
    assert page.column("Campaigns", 3) == {campaign_id: not_done, "All": not_done}
    assert page.tiles["Called"] == str(called)


def test_nobody_whose_call_goes_on_counts_as_called(draft: Draft, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the service say after all when somebody was called last."""
    states = ["dialing", "calling", "ringing", "in_call", "in_progress", "failed"]
    campaign_id = draft(len(states))
    people = [
        person.model_copy(update={"status": state, "last_attempted_at": "2026-05-10T03:35:00Z"})
        for person, state in zip(KatavenHook().list_campaign_contacts(campaign_id), states, strict=True)
    ]
    monkeypatch.setattr(KatavenHook, "list_campaign_contacts", lambda self, id, *, page: [] if page else people)
    page = write(KatavenReportOperator, campaign_ids=[campaign_id])
    assert page.tiles["Called"] == "1"
    assert json.loads(page.scripts[0])["outcomes"]["color"].count("in_flight") == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"batch_ids": ["a"], "campaign_id": "b"},
        {"batch_ids": ["a"], "path": "file:///tmp/report.pdf"},
        {"batch_ids": ["a"], "timezone": "Mars/Olympus"},
        {"batch_ids": ["a"], "timezone": "../../etc/passwd"},
        {"batch_ids": ["a"], "summary": "{'read': 1}"},
        {"batch_ids": ["a"], "if_exists": "append"},
    ],
)
def test_a_wrong_argument_asks_for_nothing(sandbox: Sandbox, write: Any, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        write(**wrong)
    assert not sandbox.requests
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there(sandbox: Sandbox, batch_ids: list[str], write: Any, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    before = len(sandbox.requests)
    with pytest.raises(LandingError, match="exists already"):
        write(batch_ids=batch_ids, if_exists="fail")
    assert write(batch_ids=batch_ids, if_exists="skip").content == b"old"
    assert write.manifest == {"uri": (tmp_path / "report.html").as_uri(), "bytes": 3}
    assert len(sandbox.requests) == before
    assert write(batch_ids=batch_ids).tiles["People"] == "110", "a retry makes the report anew"

    content = (tmp_path / "report.html").read_bytes()
    sandbox.fault("GET /batches/{batch_id}/contacts", "status", status=503, times=None)
    connection = {**json.loads(sandbox.connection_json()), "extra": {"retries": 0}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))
        with pytest.raises(ServiceUnavailableError):
            write(batch_ids=batch_ids)
    assert (tmp_path / "report.html").read_bytes() == content


def test_the_link_leads_to_the_report_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/team")
    operator = GraineReportOperator(task_id="report", batch_ids="a", path="file:///tmp/a.html")
    (link,) = operator.operator_extra_links
    key: Any = SimpleNamespace(dag_id="calls", run_id="manual__1+2", task_id="report", map_index=3)
    assert link.get_link(operator, ti_key=key) == (
        "https://airflow.example.com/team/graine/report/calls/manual__1%2B2/report/3"
    )
