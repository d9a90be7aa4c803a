from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    ConfigurationError,
    LandingError,
    NotFoundError,
    ServiceUnavailableError,
)
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from tests.task import Task


@pytest.fixture
def batch_ids(sandbox: Sandbox, hook: GraineHook, campaign_id: str) -> list[str]:
    """Two batches whose calls are done; names need quoting in CSV."""
    ids = []
    for first in (0, 250):
        people = [
            {"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": f'Asha "A"\n, {i}'}}
            for i in range(first, first + 250)
        ]
        ids.append(hook.create_batch(campaign_id=campaign_id, contacts=people).batch_id)
    sandbox.run_until_idle()
    return ids


def land(**arguments: Any) -> list[dict[str, Any]]:
    result = Task().run(GraineToObjectStorageOperator(task_id="land", **arguments))
    assert isinstance(result, list)
    return result


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def test_each_batch_becomes_a_file(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "results" / "today"
    landed = land(batch_ids=batch_ids, path=folder.as_uri())

    assert files(folder) == sorted(f"{batch_id}.csv" for batch_id in batch_ids)
    for file, batch_id in zip(landed, batch_ids, strict=True):
        content = (folder / f"{batch_id}.csv").read_bytes()
        assert file == {
            "batch_id": batch_id,
            "uri": (folder / f"{batch_id}.csv").as_uri(),
            "bytes": len(content),
            "rows": 250,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        assert {row["status"] for row in rows} >= {"completed"}
        assert len(rows) == 250
    json.dumps(landed)


def test_one_batch_and_a_whole_campaign(
    sandbox: Sandbox, batch_ids: list[str], campaign_id: str, tmp_path: Path
) -> None:
    (one,) = land(batch_ids=batch_ids[0], path=(tmp_path / "one").as_uri())
    everything = land(campaign_id=campaign_id, path=(tmp_path / "all").as_uri())

    assert one["batch_id"] == batch_ids[0]
    assert sorted(file["batch_id"] for file in everything) == sorted(batch_ids)


def test_gzip(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    (plain,) = land(batch_ids=batch_ids[0], path=(tmp_path / "plain").as_uri())
    (packed,) = land(batch_ids=batch_ids[0], path=(tmp_path / "packed").as_uri(), compress="gzip")

    file = tmp_path / "packed" / f"{batch_ids[0]}.csv.gz"
    assert gzip.decompress(file.read_bytes()) == (tmp_path / "plain" / f"{batch_ids[0]}.csv").read_bytes()
    assert packed["rows"] == plain["rows"] == 250
    assert packed["bytes"] == file.stat().st_size < plain["bytes"]
    assert packed["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("include_calls", [True, False])
def test_contacts_as_json_lines(
    sandbox: Sandbox, hook: GraineHook, batch_ids: list[str], tmp_path: Path, include_calls: bool
) -> None:
    (file,) = land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind="contacts", include_calls=include_calls)

    lines = (tmp_path / f"{batch_ids[0]}.jsonl").read_text().splitlines()
    contacts = [json.loads(line) for line in lines]
    assert file["rows"] == len({contact["contact_id"] for contact in contacts}) == 250
    expected = [
        contact.model_dump(mode="json", exclude_unset=True)
        for contact in hook.iter_batch_contacts(batch_ids[0], include_calls=include_calls)
    ]
    assert contacts == expected
    assert any(contact.get("current_call") for contact in contacts) == include_calls
    assert not any("status=" in request.query for request in sandbox.requests)


@pytest.mark.parametrize("kind", ["csv", "contacts"])
def test_existing_file(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, kind: Any) -> None:
    target = tmp_path / f"{batch_ids[0]}.{'csv' if kind == 'csv' else 'jsonl'}"
    target.write_text("old")
    before = len(sandbox.requests)

    with pytest.raises(LandingError, match="exists already"):
        land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind=kind)
    (skipped,) = land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind=kind, if_exists="skip")
    assert len(sandbox.requests) == before, "nothing is downloaded for a file that is not written"
    assert (skipped["bytes"], skipped["rows"], skipped["sha256"]) == (3, None, None)
    assert target.read_text() == "old"

    (replaced,) = land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind=kind, if_exists="replace")
    assert replaced["rows"] == 250
    assert target.stat().st_size == replaced["bytes"]


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.99])
def test_torn_download_is_begun_anew(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, fraction: float, reset: bool
) -> None:
    (whole,) = land(batch_ids=batch_ids[0], path=(tmp_path / "whole").as_uri())
    sandbox.fault("GET /batches/{batch_id}/export.csv", "tear", fraction=fraction, reset=reset, times=2)

    (again,) = land(batch_ids=batch_ids[0], path=(tmp_path / "again").as_uri())

    assert again["sha256"] == whole["sha256"]
    assert files(tmp_path / "again") == [f"{batch_ids[0]}.csv"]


@pytest.mark.parametrize("kind", ["csv", "contacts"])
def test_download_that_never_comes_through_leaves_no_file(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(sandbox.connection_json()), "extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))
    endpoint = "export.csv" if kind == "csv" else "contacts"
    sandbox.fault(f"GET /batches/{{batch_id}}/{endpoint}", "tear", fraction=0.5, times=None)

    with pytest.raises(ServiceUnavailableError):
        land(batch_ids=batch_ids[0], path=(tmp_path / "results").as_uri(), kind=kind)

    assert files(tmp_path / "results") == []


def test_failed_replacement_leaves_the_old_file(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(sandbox.connection_json()), "extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))
    (tmp_path / f"{batch_ids[0]}.csv").write_text("old")
    sandbox.fault("GET /batches/{batch_id}/export.csv", "tear", fraction=0.5, times=None)
    with pytest.raises(ServiceUnavailableError):
        land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), if_exists="replace")
    assert (tmp_path / f"{batch_ids[0]}.csv").read_text() == "old"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"batch_ids": ["a"], "campaign_id": "b"},
        {"batch_ids": ["a"], "kind": "xml"},
        {"batch_ids": ["../a"]},
        {"batch_ids": ["a"], "if_exists": "append"},
        {"batch_ids": ["a"], "compress": "zip"},
    ],
)
def test_wrong_argument_downloads_nothing(sandbox: Sandbox, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        land(path=tmp_path.as_uri(), **wrong)
    assert not sandbox.requests
    assert files(tmp_path) == []


def test_unknown_batch(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        land(batch_ids=["btc_none"], path=tmp_path.as_uri())
    assert files(tmp_path) == []


def test_no_batches(sandbox: Sandbox, tmp_path: Path) -> None:
    assert land(batch_ids=[], path=tmp_path.as_uri()) == []
