from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import duckdb
import pytest

from airflow_provider_graine.contacts.contact_list import ContactList

HEADER = ["phone_number", "callee_name", "plan"]
RAJESH = ["+919876543210", "Rajesh Sharma", "Basic Health"]
PRIYA = ["+919876543211", "Priya Mehta", "Family Floater"]
ASHA = ["+919876543212", "Asha Rao", ""]


@pytest.fixture
def contacts(tmp_path: Path) -> Iterator[ContactList]:
    """A list whose database lies in a folder of the test."""
    with ContactList(directory=tmp_path) as contact_list:
        yield contact_list


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes bytes or text to a file, compressed when its name says so."""

    def write_file(name: str, content: str | bytes) -> Path:
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


def csv_text(*rows: list[str], line_end: str = "\n", quoting: Literal[0, 1, 2, 3] = csv.QUOTE_MINIMAL) -> str:
    """:return: rows as CSV"""
    text = io.StringIO()
    csv.writer(text, lineterminator=line_end, quoting=quoting).writerows(rows)
    return text.getvalue()


def write_parquet(path: Path, sql: str) -> Path:
    """:return: the path, where the rows of the query are now"""
    duckdb.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
    return path


def people(contacts: ContactList, size: int = 1000) -> list[dict[str, Any]]:
    """:return: what would be sent, out of the bodies"""
    contacts.screen()
    return [contact for chunk in contacts.chunks(size) for contact in json.loads(chunk.contacts)]


def person(row: list[str]) -> dict[str, Any]:
    """:return: what a row of :data:`HEADER` becomes"""
    return {"phone_number": row[0], "call_variables": {"callee_name": row[1], "plan": row[2]}}


def rejects(contacts: ContactList) -> list[list[str]]:
    """:return: the file of rejects, without its header"""
    contacts.screen()
    file = io.BytesIO()
    contacts.write_rejects(file)
    header, *rows = csv.reader(io.StringIO(file.getvalue().decode(), newline=""))
    assert header == ["origin", "row", "reason", "phone_number", "callee_name"]
    return rows
