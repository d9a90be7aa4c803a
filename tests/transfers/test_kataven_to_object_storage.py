"""What came of a campaign's calls, as files: everybody once, or nothing."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_graine.exceptions import (
    ConfigurationError,
    IncompleteResultsError,
    LandingError,
    NotFoundError,
    ServiceUnavailableError,
    TaskKilledError,
)
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.services import limits
from airflow_provider_graine.transfers.kataven_to_object_storage import KatavenToObjectStorageOperator
from tests.kataven_service import AGENT, MANY, NUMBER, Draft, draft, kataven
from tests.task import Task

__all__ = ["draft", "kataven"]


@pytest.fixture
def hook(kataven: KatavenAccount) -> Iterator[KatavenHook]:
    kataven.settings.concurrent_max = 1000
    hook = KatavenHook()
    yield hook
    hook.close()


@pytest.fixture
def called(sandbox: Sandbox, hook: KatavenHook) -> Callable[..., str]:
    """Make a campaign whose calls are over."""

    def called(people: int = 250, **fields: str) -> str:
        contacts = [
            {"phone_number": f"+9198765{number:05}", "custom_fields": {"first_name": f'Ann "{number}", é', **fields}}
            for number in range(people)
        ]
        campaign_id = hook.create_campaign(
            name="A", agent_id=AGENT, phone_number_id=NUMBER, contacts=contacts, max_concurrent_calls=100
        ).campaign_id
        hook.start_campaign(campaign_id)
        sandbox.run_until_idle()
        return campaign_id

    return called


def land(path: Path, **arguments: Any) -> list[dict[str, Any]]:
    landed: list[dict[str, Any]] = Task().run(
        KatavenToObjectStorageOperator(task_id="land", path=path.as_uri(), **arguments)
    )
    return landed


def expected(kataven: KatavenAccount, campaign_id: str) -> list[dict[str, Any]]:
    rows = []
    for contact in kataven.contacts(campaign_id):
        row = {"campaign_id": campaign_id, **contact}
        row["contact_id"] = row.pop("id")
        rows.append(row)
    return sorted(rows, key=lambda row: row["contact_id"])


def read(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".jsonl":
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    elif file.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    else:
        with duckdb.connect() as db:
            found = db.execute("SELECT * FROM read_parquet(?)", [str(file)])
            columns = [each[0] for each in found.description or []]
            assert {str(each[1]) for each in found.description or []} == {"VARCHAR"}
            rows = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    return sorted(rows, key=lambda row: row["contact_id"])


def as_text(row: dict[str, Any], *, empty: Any) -> dict[str, Any]:
    """A row of a table: text, with JSON for what is nested."""
    told = {}
    for name, value in row.items():
        if value is None:
            told[name] = empty
        else:
            told[name] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            )
    return told


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_everybody_is_landed(kataven: KatavenAccount, called: Callable[..., str], tmp_path: Path, format: Any) -> None:
    campaign_id = called(250)
    (entry,) = land(tmp_path, campaign_id=campaign_id, format=format)
    file = tmp_path / f"{campaign_id}.{format}"
    rows = expected(kataven, campaign_id)
    if format != "jsonl":
        rows = [as_text(row, empty="" if format == "csv" else None) for row in rows]
    assert read(file) == rows
    assert entry == {
        "campaign_id": campaign_id,
        "uri": file.as_uri(),
        "rows": 250,
        "contacts": 250,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    assert sum(each.path.endswith("/contacts") for each in kataven.requests) == 4


def test_csv_is_the_default_and_may_be_compressed(called: Callable[..., str], tmp_path: Path) -> None:
    campaign_id = called(3)
    land(tmp_path, campaign_ids=[[campaign_id]], compress="gzip")
    text = gzip.decompress((tmp_path / f"{campaign_id}.csv.gz").read_bytes()).decode()
    assert text.splitlines()[0].startswith("campaign_id,contact_id,phone_number,")
    assert len(list(csv.reader(io.StringIO(text)))) == 4


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_one_file_of_many_campaigns(
    kataven: KatavenAccount, called: Callable[..., str], tmp_path: Path, format: Any
) -> None:
    one, other = called(120), called(30, order_id="A-1")
    file = tmp_path / f"all.{format}"
    (entry,) = land(file, campaign_ids=[one, other], format=format, merge=True)
    rows = read(file)
    assert [row["campaign_id"] for row in rows].count(one) == 120
    assert len({row["contact_id"] for row in rows}) == entry["rows"] == 150
    assert entry["campaigns"] == [
        {"campaign_id": one, "rows": 120, "contacts": 120},
        {"campaign_id": other, "rows": 30, "contacts": 30},
    ]


def test_types_of_columns(called: Callable[..., str], tmp_path: Path) -> None:
    campaign_id = called(3)
    land(tmp_path, campaign_id=campaign_id, format="parquet", column_types={"attempts": "BIGINT"})
    with duckdb.connect() as db:
        found = db.execute("SELECT sum(attempts) FROM read_parquet(?)", [str(tmp_path / f"{campaign_id}.parquet")])
        assert (found.fetchone() or (0,))[0] >= 3


@pytest.mark.parametrize(
    "shape", [{"contacts_key": None}, {"contacts_key": "data"}, {"contacts_order": "upload"}], ids=str
)
def test_whatever_shape_the_list_has(
    kataven: KatavenAccount, called: Callable[..., str], tmp_path: Path, shape: dict[str, Any]
) -> None:
    campaign_id = called(150)
    for name, value in shape.items():
        setattr(kataven.settings, name, value)
    land(tmp_path, campaign_id=campaign_id, format="jsonl")
    assert read(tmp_path / f"{campaign_id}.jsonl") == expected(kataven, campaign_id)


def test_people_who_change_places_come_once(
    sandbox: Sandbox,
    kataven: KatavenAccount,
    hook: KatavenHook,
    draft: Draft,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls go on while the pages are read, and half-way the list comes in another order."""
    kataven.settings.contacts_order = "upload"
    campaign_id = draft(550, max_concurrent_calls=3)
    hook.start_campaign(campaign_id)
    pages: list[int] = []
    real = KatavenHook.list_campaign_contacts.__get__

    def page_by_page(self: KatavenHook, campaign_id: str, *, page: int) -> Any:
        pages.append(page)
        sandbox.advance(60)
        if len(pages) == 3:
            kataven.settings.contacts_order = "id"
        return real(self, KatavenHook)(campaign_id, page=page)

    monkeypatch.setattr(KatavenHook, "list_campaign_contacts", page_by_page)
    (entry,) = land(tmp_path, campaign_id=campaign_id, format="jsonl")
    assert entry["rows"] == entry["contacts"] == 550
    assert {row["contact_id"] for row in read(tmp_path / f"{campaign_id}.jsonl")} == {
        each["id"] for each in kataven.contacts(campaign_id)
    }
    assert len(pages) > 7, "read again"


@pytest.mark.parametrize("lenient", [False, True])
def test_people_who_never_stand_still(
    sandbox: Sandbox,
    kataven: KatavenAccount,
    hook: KatavenHook,
    draft: Draft,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lenient: bool,
) -> None:
    campaign_id = draft(250)
    real = KatavenHook.list_campaign_contacts.__get__

    def another_is_last(self: KatavenHook, campaign_id: str, *, page: int) -> Any:
        people = real(self, KatavenHook)(campaign_id, page=page)
        return [*people[:-1], people[0]] if people else []

    monkeypatch.setattr(KatavenHook, "list_campaign_contacts", another_is_last)
    if lenient:
        (entry,) = land(tmp_path, campaign_id=campaign_id, format="jsonl", if_incomplete="warn")
        assert (entry["rows"], entry["contacts"]) == (247, 250)
        return
    with pytest.raises(IncompleteResultsError, match="247 of 250 contacts"):
        land(tmp_path, campaign_id=campaign_id, format="jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_campaign_that_is_said_to_have_nobody(
    draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    campaign_id = draft(3)
    monkeypatch.setattr(KatavenHook, "list_campaign_contacts", lambda self, campaign_id, *, page: [])
    with pytest.raises(IncompleteResultsError, match="No contact of campaign"):
        land(tmp_path, campaign_id=campaign_id, format="jsonl")
    assert list(tmp_path.iterdir()) == []
    (entry,) = land(tmp_path, campaign_id=campaign_id, format="jsonl", if_incomplete="warn")
    assert (entry["rows"], entry["contacts"]) == (0, None), "how many there are is not known"
    assert f"No contact of campaign {campaign_id} came. What came is landed" in caplog.text


def test_the_limits_are_waited_for(
    kataven: KatavenAccount, called: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The requests of an hour are used up half-way: the task goes on after that, where it was."""
    campaign_id = called(450)
    connection = {**json.loads(kataven.connection_json()), "extra": {**MANY, "requests_per_hour": 3}}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    limits._limiters.clear()
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        for limiter in limits._limiters.values():
            limiter._counted.clear()  # the hour is over

    monkeypatch.setattr("time.sleep", sleep)
    before = len(kataven.requests)
    (entry,) = land(tmp_path, campaign_id=campaign_id, format="jsonl")
    assert entry["rows"] == 450
    assert len(naps) == 1
    assert 3500 < naps[0] <= 3600
    pages = [each.query.rpartition("=")[2] for each in kataven.requests[before:]]
    assert pages == ["0", "1", "2", "3", "4", "5"], "nothing is read twice"


@pytest.mark.parametrize(("retry_after", "naps"), [(7200, []), (None, [5.0, 30.0])])
def test_what_cannot_be_waited_for_fails(
    kataven: KatavenAccount,
    called: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    retry_after: int | None,
    naps: list[float],
) -> None:
    campaign_id = called(3)
    connection = {**json.loads(kataven.connection_json()), "extra": {**MANY, "retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    kataven.fault("GET *", "status", status=503, retry_after=retry_after, times=None)
    napped: list[float] = []
    monkeypatch.setattr("time.sleep", napped.append)
    with pytest.raises(ServiceUnavailableError):
        land(tmp_path, campaign_id=campaign_id)
    assert napped == naps
    assert list(tmp_path.iterdir()) == []


def test_a_kill_while_it_waits_leaves_nothing(
    kataven: KatavenAccount, called: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = called(250)
    operator = KatavenToObjectStorageOperator(
        task_id="land", campaign_id=campaign_id, path=tmp_path.as_uri(), format="jsonl"
    )
    kataven.fault("GET *", "status", status=503, retry_after=600, times=None, after=1)
    monkeypatch.setattr("time.sleep", lambda _: operator.on_kill())
    with pytest.raises(TaskKilledError):
        Task().run(operator)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there(called: Callable[..., str], tmp_path: Path) -> None:
    campaign_id = called(3)
    file = tmp_path / f"{campaign_id}.csv"
    file.write_text("before")
    with pytest.raises(LandingError):
        land(tmp_path, campaign_id=campaign_id)
    (skipped,) = land(tmp_path, campaign_id=campaign_id, if_exists="skip")
    assert (skipped["rows"], skipped["contacts"], file.read_text()) == (None, None, "before")
    land(tmp_path, campaign_id=campaign_id, if_exists="replace")
    assert len(read(file)) == 3


def test_a_campaign_that_does_not_exist(kataven: KatavenAccount, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        land(tmp_path, campaign_id="33333333-3333-4333-8333-333333333333")


def test_no_campaigns(tmp_path: Path) -> None:
    assert land(tmp_path, campaign_ids=[]) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"campaign_id": "a", "campaign_ids": ["b"]},
        {"campaign_id": "../a"},
        {"campaign_id": "a", "format": "xml"},
        {"campaign_id": "a", "format": None},
        {"campaign_id": "a", "format": "parquet", "compress": "gzip"},
        {"campaign_id": "a", "column_types": {"attempts": "BIGINT"}},
        {"campaign_ids": {"a": 1}},
    ],
    ids=str,
)
def test_wrong_arguments(kataven: KatavenAccount, tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Nothing was (downloaded|sent)"):
        land(tmp_path, **arguments)
    assert kataven.requests == []


def test_nobody_is_named(
    kataven: KatavenAccount,
    called: Callable[..., str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    campaign_id = called(250)
    kataven.fault("GET /campaigns/{campaign_id}/contacts", "status", status=503, times=1)
    entries = land(tmp_path, campaign_id=campaign_id)
    told = f"{caplog.text}{capsys.readouterr()}{entries}"
    for secret in ("+91", "Ann", "sk_live"):
        assert secret not in told
