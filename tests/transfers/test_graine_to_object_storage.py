from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from starlette.responses import JSONResponse

from airflow_provider_graine.exceptions import (
    ConfigurationError,
    IncompleteResultsError,
    LandingError,
    NotFoundError,
    ServiceUnavailableError,
    TaskKilledError,
)
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.graine.routes import GraineApi
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from tests.exports import one_batch, statuses
from tests.http.talking import whole_text
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
            "contacts": 250,
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
    assert (skipped["bytes"], skipped["rows"], skipped["contacts"], skipped["sha256"]) == (3, None, None, None)
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
        {"batch_ids": ["a"], "compress": "gzip", "format": "parquet"},
        {"batch_ids": ["a"], "format": "jsonl"},
        {"batch_ids": ["a"], "format": "csv", "kind": "contacts"},
        {"batch_ids": ["a"], "format": "xlsx"},
        {"batch_ids": ["a"], "column_types": {"a": "BIGINT"}},
        {"batch_ids": ["a"], "column_types": {"a": "NUMBER9"}, "format": "parquet"},
        {"batch_ids": ["a"], "if_incomplete": "ignore"},
        {"batch_ids": ["a"], "merge": True},
    ],
)
def test_wrong_argument_downloads_nothing(sandbox: Sandbox, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        land(path=f"{tmp_path.as_uri()}/", **wrong)
    assert not sandbox.requests
    assert files(tmp_path) == []


def test_unknown_batch(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        land(batch_ids=["btc_none"], path=tmp_path.as_uri())
    assert files(tmp_path) == []


@pytest.mark.parametrize("merge", [False, True])
def test_no_batches(sandbox: Sandbox, tmp_path: Path, merge: bool) -> None:
    assert land(batch_ids=[], path=(tmp_path / "all.csv").as_uri(), merge=merge) == []
    assert files(tmp_path) == []


# -- resumed


def test_torn_download_is_read_on_where_the_service_can(tmp_path: Path) -> None:
    with one_batch(contacts=2_000, text="A" * 300, ranges=True) as (sandbox, batch_id):
        (whole,) = land(batch_ids=batch_id, path=(tmp_path / "whole").as_uri())
        sandbox.fault("GET /batches/{batch_id}/export.csv", "tear", fraction=0.5, times=3)

        (again,) = land(batch_ids=batch_id, path=(tmp_path / "again").as_uri())

        assert statuses(sandbox) == [200, 200, 206, 206, 206]
    assert again["sha256"] == whole["sha256"]


# -- checked


def test_an_answer_that_ends_early_is_not_landed(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    (whole,) = land(batch_ids=batch_ids[0], path=(tmp_path / "whole").as_uri())
    content = (tmp_path / "whole" / f"{batch_ids[0]}.csv").read_bytes()
    at_a_line_end = (content[: len(content) // 2].rindex(b"\r\n") + 2) / len(content)
    for fraction, says in ((0.5, "middle of a row"), (at_a_line_end + 1e-9, r"have 12\d rows.*has 250 contacts")):
        sandbox.fault("GET /batches/{batch_id}/export.csv", "truncate", fraction=fraction, times=None)
        with pytest.raises(IncompleteResultsError, match=says):
            land(batch_ids=batch_ids[0], path=(tmp_path / "cut").as_uri())
        assert files(tmp_path / "cut") == []
        sandbox.clear_faults()

    sandbox.fault("GET /batches/{batch_id}/export.csv", "truncate", fraction=0.5, times=2)
    (again,) = land(batch_ids=batch_ids[0], path=(tmp_path / "again").as_uri())
    assert again["sha256"] == whole["sha256"]


def test_what_looks_incomplete_is_landed_where_the_author_says_so(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fault("GET /batches/{batch_id}", "fields", fields={"total_contacts": 251}, times=None)
    for kind, says in (("csv", "have 250 rows"), ("contacts", "250 of 251 contacts")):
        folder = (tmp_path / kind).as_uri()
        with pytest.raises(IncompleteResultsError, match=says):
            land(batch_ids=batch_ids[0], path=folder, kind=kind)
        assert files(tmp_path / kind) == []
        (file,) = land(batch_ids=batch_ids[0], path=folder, kind=kind, if_incomplete="warn")
        assert (file["rows"], file["contacts"]) == (250, 251)
        assert f"{says}" in caplog.text
        assert "What came is landed" in caplog.text


@pytest.mark.parametrize("status", ["in_progress", "cancelled", "expired"])
def test_contacts_never_called_may_have_no_row(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, status: str
) -> None:
    sandbox.fault("GET /batches/{batch_id}", "fields", fields={"total_contacts": 251, "status": status})
    (file,) = land(batch_ids=batch_ids[0], path=tmp_path.as_uri())
    assert (file["rows"], file["contacts"]) == (250, 251)


def test_without_a_total_there_is_nothing_to_compare_with(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path
) -> None:
    sandbox.fault("GET /batches/{batch_id}", "fields", fields={"total_contacts": None}, times=None)
    for kind in ("csv", "contacts"):
        (file,) = land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind=kind)
        assert (file["rows"], file["contacts"]) == (250, None)


def test_contacts_come_several_pages_at_a_time_and_each_once(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path
) -> None:
    (file,) = land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind="contacts")
    asked = [request.query for request in sandbox.requests if request.path.endswith("/contacts")]
    assert file["rows"] == 250
    assert len(asked) == 3
    assert not any("status" in query for query in asked)


# -- Parquet


def table(path: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Columns with their types, and the rows."""
    read = duckdb.read_parquet(str(path))
    return dict(zip(read.columns, map(str, read.types), strict=True)), [
        dict(zip(read.columns, row, strict=True)) for row in read.fetchall()
    ]


def test_parquet(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    land(batch_ids=batch_ids, path=(tmp_path / "csv").as_uri())
    landed = land(
        batch_ids=batch_ids,
        path=(tmp_path / "parquet").as_uri(),
        format="parquet",
        column_types={"duration_seconds": "BIGINT"},
    )

    assert files(tmp_path / "parquet") == sorted(f"{batch_id}.parquet" for batch_id in batch_ids)
    for entry, batch_id in zip(landed, batch_ids, strict=True):
        file = tmp_path / "parquet" / f"{batch_id}.parquet"
        assert entry == {
            "batch_id": batch_id,
            "uri": file.as_uri(),
            "bytes": file.stat().st_size,
            "rows": 250,
            "contacts": 250,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        columns, rows = table(file)
        with (tmp_path / "csv" / f"{batch_id}.csv").open(newline="") as csv_file:
            expected = [{name: value or None for name, value in row.items()} for row in csv.DictReader(csv_file)]
        assert {name: kind for name, kind in columns.items() if kind != "VARCHAR"} == {"duration_seconds": "BIGINT"}
        for row in expected:
            row["duration_seconds"] = row["duration_seconds"] and int(row["duration_seconds"])
        assert rows == expected


def test_parquet_of_contacts(sandbox: Sandbox, hook: GraineHook, batch_ids: list[str], tmp_path: Path) -> None:
    (entry,) = land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind="contacts", format="parquet")
    columns, rows = table(tmp_path / f"{batch_ids[0]}.parquet")
    assert entry["rows"] == len(rows) == 250
    assert set(columns.values()) == {"VARCHAR"}
    contacts = {contact.contact_id: contact for contact in hook.iter_batch_contacts(batch_ids[0], include_calls=True)}
    for row in rows:
        contact = contacts[row["contact_id"]]
        assert row["phone_number"] == contact.phone_number
        assert json.loads(row["call_variables"]) == contact.call_variables


@pytest.mark.parametrize("arguments", [{}, {"format": "parquet"}, {"redact": {"phone_number": "drop"}}], ids=str)
def test_text_that_is_not_unicode_is_landed_with_question_marks(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    """JSON can carry half of a surrogate pair, UTF-8 cannot."""
    variables = {"callee_name": "half \ud800", "city": "é", "score": 1.0}
    monkeypatch.setattr(JSONResponse, "render", lambda self, content: json.dumps(content).encode())
    sandbox.fault("GET /batches/{batch_id}/contacts", "fields", fields={"call_variables": variables})
    (entry,) = land(batch_ids=batch_ids[0], path=tmp_path.as_uri(), kind="contacts", **arguments)
    assert entry["rows"] == entry["contacts"] == 250
    file = tmp_path / files(tmp_path)[0]
    if file.suffix == ".parquet":
        found = [json.loads(row["call_variables"]) for row in table(file)[1]]
    else:
        found = [json.loads(line)["call_variables"] for line in file.read_text(encoding="utf-8").splitlines()]
    # A page has it, the others came as they are.
    assert found.count({**variables, "callee_name": "half ?"}) == 100
    assert sum(each["callee_name"].startswith('Asha "A"\n, ') for each in found) == 150


def test_a_type_that_does_not_fit_lands_nothing_and_tells_no_number(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path
) -> None:
    with pytest.raises(LandingError, match="does not fit") as caught:
        land(batch_ids=batch_ids, path=tmp_path.as_uri(), format="parquet", column_types={"callee_name": "BIGINT"})
    assert "Asha" not in whole_text(caught.value)
    assert files(tmp_path) == []


# -- merged


def test_merged(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    land(batch_ids=batch_ids, path=(tmp_path / "single").as_uri())
    (entry,) = land(batch_ids=batch_ids, path=(tmp_path / "all.csv").as_uri(), merge=True)

    content = (tmp_path / "all.csv").read_bytes()
    first, second = ((tmp_path / "single" / f"{batch_id}.csv").read_bytes() for batch_id in batch_ids)
    assert content == first + second.partition(b"\r\n")[2]
    assert entry == {
        "uri": (tmp_path / "all.csv").as_uri(),
        "bytes": len(content),
        "rows": 500,
        "sha256": hashlib.sha256(content).hexdigest(),
        "batches": [{"batch_id": batch_id, "rows": 250, "contacts": 250} for batch_id in batch_ids],
    }
    json.dumps(entry)


def test_merged_columns_are_united_by_name(
    sandbox: Sandbox, batch_ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = {
        batch_ids[0]: 'phone_number,status\r\n+919876500001,"completed, ""yes"""\r\n',
        batch_ids[1]: "follow_up,phone_number\r\n2026-05-11,+919876500002\r\n",
    }
    monkeypatch.setattr(GraineApi, "_export", lambda self, batch: iter([exports[batch.batch_id]]))
    how: dict[str, Any] = {"batch_ids": batch_ids, "merge": True, "if_incomplete": "warn"}

    (entry,) = land(path=(tmp_path / "all.csv.gz").as_uri(), compress="gzip", **how)
    land(path=(tmp_path / "all.parquet").as_uri(), format="parquet", **how)

    rows = [
        {"phone_number": "+919876500001", "status": 'completed, "yes"', "follow_up": None},
        {"phone_number": "+919876500002", "status": None, "follow_up": "2026-05-11"},
    ]
    with gzip.open(tmp_path / "all.csv.gz", "rt", newline="") as file:
        read = csv.DictReader(file)
        assert [{name: value or None for name, value in row.items()} for row in read] == rows
        assert read.fieldnames == ["phone_number", "status", "follow_up"]
    assert table(tmp_path / "all.parquet")[1] == rows
    assert [batch["rows"] for batch in entry["batches"]] == [1, 1]


def test_merged_contacts(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    (entry,) = land(batch_ids=batch_ids, path=(tmp_path / "all.jsonl").as_uri(), kind="contacts", merge=True)
    contacts = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert entry["rows"] == len({contact["contact_id"] for contact in contacts}) == len(contacts) == 500


def test_a_batch_torn_while_merging_is_read_anew_alone(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    (whole,) = land(batch_ids=batch_ids, path=(tmp_path / "whole.csv").as_uri(), merge=True)
    before = len(sandbox.requests)
    sandbox.fault(f"GET /batches/{batch_ids[1]}/export.csv", "tear", fraction=0.4)

    (again,) = land(batch_ids=batch_ids, path=(tmp_path / "again.csv").as_uri(), merge=True)

    exports = [request.path for request in sandbox.requests[before:] if request.path.endswith("export.csv")]
    assert [batch_ids.index(path.split("/")[-2]) for path in exports] == [0, 1, 1]
    assert again["sha256"] == whole["sha256"]


def test_a_merged_file_that_exists(sandbox: Sandbox, batch_ids: list[str], tmp_path: Path) -> None:
    target = tmp_path / "all.csv"
    target.write_text("old")
    before = len(sandbox.requests)
    with pytest.raises(LandingError, match="exists already"):
        land(batch_ids=batch_ids, path=target.as_uri(), merge=True)
    (skipped,) = land(batch_ids=batch_ids, path=target.as_uri(), merge=True, if_exists="skip")
    assert len(sandbox.requests) == before
    assert skipped["rows"] is None
    assert skipped["batches"] == [{"batch_id": batch_id, "rows": None, "contacts": None} for batch_id in batch_ids]
    assert target.read_text() == "old"


# -- torn anywhere


@pytest.mark.parametrize("ranges", [False, True])
def test_nothing_partial_is_ever_visible(tmp_path: Path, ranges: bool) -> None:
    """Ten downloads torn at random places, with somebody looking at the folder all the while."""
    chance = random.Random(3)
    with one_batch(contacts=2_000, text="A" * 300, ranges=ranges) as (sandbox, batch_id):
        (whole,) = land(batch_ids=batch_id, path=(tmp_path / "whole").as_uri())
        for number in range(10):
            target = tmp_path / "torn" / f"{number}" / f"{batch_id}.csv"
            sandbox.fault("GET /batches/{batch_id}/export.csv", "tear", fraction=chance.random(), reset=number % 2 == 0)
            with watched(target) as sizes:
                (again,) = land(batch_ids=batch_id, path=target.parent.as_uri())
            assert again["sha256"] == whole["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
            assert sizes == {None, whole["bytes"]}
            assert files(target.parent) == [target.name]
        assert statuses(sandbox).count(206) == (10 if ranges else 0)
        assert len(statuses(sandbox)) == 21


@pytest.mark.parametrize("if_exists", ["fail", "replace"])
def test_a_killed_task_leaves_nothing(tmp_path: Path, if_exists: Any) -> None:
    """As Airflow does it: SIGTERM, whose handler calls ``on_kill`` and lets the task go on."""
    with one_batch(contacts=2_000, text="A" * 3_000, ranges=False) as (_, batch_id):
        target = tmp_path / f"{batch_id}.csv"
        if if_exists == "replace":
            target.write_text("old")
        before = files(tmp_path)
        operator = GraineToObjectStorageOperator(
            task_id="land", batch_ids=batch_id, path=tmp_path.as_uri(), if_exists=if_exists
        )

        def kill() -> None:
            deadline = time.monotonic() + 10
            while not any(part.stat().st_size for part in tmp_path.glob(".*.part")):
                assert time.monotonic() < deadline
            os.kill(os.getpid(), signal.SIGTERM)

        handler = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
        thread = threading.Thread(target=kill)
        thread.start()
        try:
            with pytest.raises(TaskKilledError, match="no partial file was left"):
                Task().run(operator)
        finally:
            thread.join()
            signal.signal(signal.SIGTERM, handler)
        assert files(tmp_path) == before

        operator.on_kill()  # as after execution_timeout, when nothing is at work any more
        (file,) = Task().run(
            GraineToObjectStorageOperator(
                task_id="land", batch_ids=batch_id, path=tmp_path.as_uri(), if_exists=if_exists
            )
        )
        assert target.stat().st_size == file["bytes"]


@contextmanager
def watched(path: Path) -> Iterator[set[int | None]]:
    """Look at the size of a file, again and again."""
    sizes: set[int | None] = set()
    done = threading.Event()

    def look() -> None:
        while True:
            is_last = done.is_set()
            try:
                sizes.add(path.stat().st_size)
            except FileNotFoundError:
                sizes.add(None)
            if is_last:
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield sizes
    finally:
        done.set()
        thread.join()
