"""Result files for other eyes: personal data left out or hashed, and nothing that a spreadsheet would compute."""

from __future__ import annotations

import csv
import hmac
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.kataven_to_object_storage import KatavenToObjectStorageOperator
from tests.kataven_service import AGENT, NUMBER, kataven
from tests.task import Task

__all__ = ["kataven"]

KEY = "0123456789abcdef-a-key"
PEOPLE: list[dict[str, Any]] = [
    {"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": f"Zebulon {i}", "plan": "=1+1"}}
    for i in range(30)
]
REDACT = {"phone_number": "hash", "callee_name": "drop", "transcript": "drop"}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HASHES", json.dumps({"conn_type": "generic", "password": KEY}))


@pytest.fixture
def batch_ids(sandbox: Sandbox, hook: GraineHook, campaign_id: str) -> list[str]:
    ids = [
        hook.create_batch(campaign_id=campaign_id, contacts=PEOPLE[first : first + 15]).batch_id for first in (0, 15)
    ]
    sandbox.run_until_idle()
    return ids


def land(**arguments: Any) -> None:
    Task().run(GraineToObjectStorageOperator(task_id="land", redact_conn_id="hashes", **arguments))


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    table = duckdb.read_parquet(str(path))
    return [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize(
    ("kind", "format", "redact"),
    [
        ("csv", "csv", {**REDACT, "transcript": None, "summary": "drop"}),
        ("csv", "parquet", {**REDACT, "transcript": None, "summary": "drop"}),
        ("contacts", "jsonl", REDACT),
        ("contacts", "parquet", REDACT),
    ],
)
def test_nothing_that_is_redacted_is_in_any_file(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, kind: Any, format: Any, redact: dict[str, Any], merge: bool
) -> None:
    redact = {name: rule for name, rule in redact.items() if rule}
    target = tmp_path / "out" / f"all.{format}" if merge else tmp_path / "out"
    land(batch_ids=batch_ids, path=target.as_uri(), kind=kind, format=format, redact=redact, merge=merge)
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == (1 if merge else 2)
    rows = [row for file in files for row in rows_of(file)]

    assert sorted(row["phone_number"] for row in rows) == sorted(
        hmac.new(KEY.encode(), person["phone_number"].encode(), "sha256").hexdigest() for person in PEOPLE
    )
    text = repr(rows) + "".join(file.read_bytes().decode(errors="replace") for file in files)
    dropped = [f"{quote}{name}{quote}" for name, rule in redact.items() if rule == "drop" for quote in "\"'"]
    assert [mark for mark in ("+9198765", "Zebulon", *dropped) if mark in text] == []
    assert all(row["status"] for row in rows)
    assert "=1+1" in text, "what was not named stays"


def test_csv_for_spreadsheets(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    land(batch_ids=batch_ids, path=(tmp_path / "plain.csv").as_uri(), merge=True)
    land(batch_ids=batch_ids, path=(tmp_path / "safe.csv").as_uri(), merge=True, escape_formulas=True)
    land(batch_ids=batch_ids[0], path=(tmp_path / "one").as_uri(), escape_formulas=True)
    plain, safe = rows_of(tmp_path / "plain.csv"), rows_of(tmp_path / "safe.csv")
    assert [row["phone_number"] for row in safe] == [f"'{row['phone_number']}" for row in plain]
    assert [{**row, "phone_number": row["phone_number"][1:]} for row in safe] == plain
    assert rows_of(tmp_path / "one" / f"{batch_ids[0]}.csv") == safe[:15]


def test_a_table_made_of_json_lines(sandbox: Sandbox, kataven: KatavenAccount, tmp_path: Path) -> None:
    contacts = [{"phone_number": f"+9198765{i:05}", "custom_fields": {"callee_name": f"Zebulon {i}"}} for i in range(3)]
    hook = KatavenHook()
    campaign_id = hook.create_campaign(name="A", agent_id=AGENT, phone_number_id=NUMBER, contacts=contacts).campaign_id
    hook.close()
    how: dict[str, Any] = {"task_id": "land", "campaign_id": campaign_id, "redact_conn_id": "hashes"}
    for name, options in (
        ("safe", {"escape_formulas": True}),
        ("redacted", {"redact": {"phone_number": "hash", "callee_name": "drop"}}),
    ):
        Task().run(KatavenToObjectStorageOperator(path=(tmp_path / name).as_uri(), **how, **options))
    safe, redacted = (rows_of(tmp_path / name / f"{campaign_id}.csv") for name in ("safe", "redacted"))
    assert sorted(row["phone_number"] for row in safe) == [f"'+9198765{i:05}" for i in range(3)]
    assert {len(row["phone_number"]) for row in redacted} == {64}
    assert json.loads(safe[0]["custom_fields"])["callee_name"].startswith("Zebulon")
    assert "Zebulon" not in (tmp_path / "redacted" / f"{campaign_id}.csv").read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        {"redact": {"phone_number": "hash"}, "redact_conn_id": None},
        {"redact": {"phone_number": "hash"}, "redact_conn_id": "short"},
        {"redact": {"phone_number": "sha256"}},
        {"escape_formulas": True, "format": "parquet"},
        {"escape_formulas": True, "kind": "contacts"},
    ],
)
def test_a_wrong_argument_downloads_nothing(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHORT", json.dumps({"conn_type": "generic", "password": "short"}))
    with pytest.raises(ConfigurationError) as caught:
        Task().run(
            GraineToObjectStorageOperator(
                **{
                    "task_id": "land",
                    "batch_ids": ["btc"],
                    "path": tmp_path.as_uri(),
                    "redact_conn_id": "hashes",
                    **wrong,
                }
            )
        )
    assert KEY not in str(caught.value)
    assert not sandbox.requests
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_misspelt_name_lands_nothing(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, format: Any) -> None:
    with pytest.raises(ConfigurationError, match="'phone_nmber'"):
        land(batch_ids=batch_ids, path=tmp_path.as_uri(), format=format, redact=["phone_nmber"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("kind", ["csv", "contacts"])
def test_a_field_that_only_some_have_is_no_misspelt_one(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, tmp_path: Path, merge: bool, kind: Any
) -> None:
    someone = {"phone_number": "+919876500001", "call_variables": {"callee_name": "Asha"}}
    with_it = {"phone_number": "+919876500002", "call_variables": {"callee_name": "Ravi", "email": "ravi@example.com"}}
    ids = [hook.create_batch(campaign_id=campaign_id, contacts=[each]).batch_id for each in (someone, with_it, someone)]
    sandbox.run_until_idle()
    target = tmp_path / "out" / "all" if merge else tmp_path / "out"
    land(batch_ids=ids, path=target.as_uri(), kind=kind, redact=["email"], merge=merge)
    files = list((tmp_path / "out").iterdir())
    assert len(files) == (1 if merge else 3)
    text = "".join(file.read_text() for file in files)
    assert "Ravi" in text
    assert "example.com" not in text
    with pytest.raises(ConfigurationError, match=r"'emial'.*Nothing was landed"):
        land(batch_ids=ids, path=(tmp_path / "no" / "all").as_uri(), kind=kind, redact=["emial"], merge=merge)
    assert not (tmp_path / "no").exists() or not list((tmp_path / "no").rglob("*.*"))


def test_contacts_that_were_never_called_have_nothing_of_a_call(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, tmp_path: Path
) -> None:
    batch_id = hook.create_batch(
        campaign_id=campaign_id, contacts=PEOPLE, scheduled_start="2027-01-01T00:00:00Z"
    ).batch_id
    land(batch_ids=batch_id, path=tmp_path.as_uri(), kind="contacts", redact=["transcript", "phone_number"])
    assert {row["status"] for row in rows_of(tmp_path / f"{batch_id}.jsonl")} == {"pending"}
