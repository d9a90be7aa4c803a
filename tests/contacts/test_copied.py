"""Rows that a database has copied into a file; on a real one in tests/real/test_postgres_copy.py."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import SourceError

KINDS: list[tuple[str, Any]] = [("phone_number", "text"), ("callee_name", "text"), ("due", "date")]


def writing(lines: bytes, rows: int | None) -> Any:
    def copy(file: BinaryIO) -> int | None:
        file.write(lines)
        return rows

    return copy


def never(file: BinaryIO) -> int:
    raise AssertionError("Nothing is to be copied.")


def test_rows_become_contacts(tmp_path: Path) -> None:
    with ContactList(directory=tmp_path) as contacts:
        line = b'+919876543210\tAsha \\\\ \\t"Rao"\t2026-07-01\n'
        assert contacts.add_copied(KINDS, writing(line, 1), origin="query")
        assert contacts.screen().accepted == 1
        [chunk] = contacts.chunks(10)
    assert json.loads(chunk.contacts) == [
        {
            "phone_number": "+919876543210",
            "call_variables": {"callee_name": 'Asha \\ \t"Rao"', "due": "2026-07-01"},
        }
    ]


def test_a_missing_column_is_told_of_before_anything_is_copied(tmp_path: Path) -> None:
    with ContactList(directory=tmp_path) as contacts, pytest.raises(SourceError, match='no column "callee_name"'):
        contacts.add_copied([("phone_number", "text")], never, origin="query")


@pytest.mark.parametrize("column", ["call_variables", "callee_name"])
def test_what_needs_python_is_not_copied(tmp_path: Path, column: str) -> None:
    with ContactList(directory=tmp_path) as contacts:
        assert not contacts.add_copied([*KINDS, (column, "text")], never, origin="query")


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        (b"+919876543210\tAsha\tinfinity\n", 1),
        (b"+919876543210\tAsha\t2026-07-01\n", 2),
        (b"+919876543210\tAsha\n", 1),
        (b"+919876543210\tAsh\xff\t2026-07-01\n", 1),
        (b"", None),
    ],
)
def test_what_is_not_certain_is_left_to_the_driver(
    tmp_path: Path, line: bytes, rows: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_rows([{"phone_number": "+919876543211", "callee_name": "Rao"}], origin="rows")
        assert not contacts.add_copied(KINDS, writing(line, rows), origin="query")
        assert contacts.screen().read == 1
        [left] = tmp_path.iterdir()
        assert not list(left.glob("copied-*"))
    assert len(caplog.messages) == (rows is not None)
    assert "98765" not in caplog.text
    assert "Ash" not in caplog.text
