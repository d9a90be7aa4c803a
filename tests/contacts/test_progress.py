from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from airflow_provider_graine.contacts import progress
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.database import open_database

from .conftest import HEADER, csv_text


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(progress, "time", watch)
    return watch


def test_a_long_list_is_told_of_every_ten_seconds(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told = progress.Progress("rows")
    for _ in range(25):
        watch.now += 1
        told.add(50_000)
    assert caplog.messages == [
        "Read 500,000 rows so far, 50,000 a second",
        "Read 1,000,000 rows so far, 50,000 a second",
    ]


def test_what_came_in_between_is_left_out(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told = progress.Progress("numbers")
    for pause in (60, 600):
        watch.now += pause
        told.go_on()
        for _ in range(6):
            watch.now += 1
            told.add(1_000)
    assert caplog.messages == ["Read 10,000 numbers so far, 1,000 a second"]


def test_a_short_list_is_not_told_of(caplog: pytest.LogCaptureFixture, contacts: ContactList) -> None:
    caplog.set_level(logging.DEBUG)
    contacts.add_tuples(HEADER, [["+919876543210", "Asha", "x"]], origin="query")
    contacts.screen()
    assert caplog.messages == []


def test_rows_from_a_cursor_are_told_of(
    watch: Watch, caplog: pytest.LogCaptureFixture, contacts: ContactList, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)

    def rows() -> object:
        for n in range(60_000):
            watch.now += 0.001
            yield [f"+9198{n:08}", "Secret name", "x" * 100]

    contacts.add_tuples(HEADER, rows(), origin="query")  # type: ignore[arg-type]
    assert 2 <= len(caplog.messages) <= 10
    assert caplog.messages[-1].startswith("Read 60,000 rows so far, ")
    assert "Secret" not in caplog.text
    assert "+91" not in caplog.text


@pytest.mark.parametrize("line_end", ["\n", "\n\n"])  # blank lines are for Python
def test_rows_of_a_file_are_told_of_once(
    watch: Watch,
    caplog: pytest.LogCaptureFixture,
    contacts: ContactList,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    line_end: str,
) -> None:
    caplog.set_level(logging.INFO)
    file = write("p.csv", csv_text(HEADER, *([f"+9198{n:08}", "Name", "x"] for n in range(100)), line_end=line_end))
    contacts.add_file(file, format="csv", origin="p")
    contacts.add_file(file, format="csv", origin="p")
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    watch.now += 10
    contacts.add_file(file, format="csv", origin="p")
    assert [message for message in caplog.messages if "rows so far" in message] == ["Read 300 rows so far, 30 a second"]


def test_a_long_statement_is_told_of(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "INTERVAL", 0.02)

    def fail_after_a_while() -> None:
        deadline = time.monotonic() + 10
        with progress.telling("Reading people.csv", duckdb.connect()), progress.telling("Screening 7 rows"):
            while len(caplog.messages) < 6 and time.monotonic() < deadline:
                time.sleep(0.01)
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_a_while()
    assert any(re.fullmatch(r"Screening 7 rows: 0 s so far", message) for message in caplog.messages)
    assert any(re.fullmatch(r"Reading people\.csv: 0 s so far(, \d+ %)?", message) for message in caplog.messages)
    told = len(caplog.messages)
    time.sleep(0.06)
    assert len(caplog.messages) == told


def test_how_far_a_statement_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    db = open_database(tmp_path, memory_limit="112MB")
    with progress.telling("Reading", db):
        db.execute("SET progress_bar_time = 0; CREATE TABLE t AS SELECT md5(i::VARCHAR) FROM range(6_000_000) r(i)")
    db.close()
    shares = [int(match[1]) for message in caplog.messages if (match := re.search(r", (\d+) %$", message))]
    assert shares
    assert all(0 <= share <= 100 for share in shares)
    printed = "".join(capfd.readouterr()).splitlines()
    assert [line for line in printed if "Reading: " not in line] == []  # no progress bar of DuckDB's own
