"""Chunks as CSV files, and cut by the bytes these will have."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.csv_file import as_csv, columns_of, header_bytes, row_bytes_sql
from airflow_provider_graine.exceptions import SourceError
from airflow_provider_graine.services.kataven.sent import contact_file

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ['"', ',,"', "\r\n", "é😀", "{[", "\\", " x "]
)
SIMPLE = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXTS
NESTED = st.lists(SIMPLE, max_size=3) | st.dictionaries(TEXTS, SIMPLE, max_size=3)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(lambda name: name != "phone_number")
VARIABLES = st.dictionaries(NAMES, SIMPLE | NESTED, max_size=4)


def encoded(value: Any, *, ascii_only: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"), sort_keys=True)


def array(people: list[dict[str, Any]]) -> bytes:
    return encoded(
        [{"phone_number": f"+9198765{n:05}", "call_variables": person} for n, person in enumerate(people)]
    ).encode()


def parsed(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode(), newline=""), strict=True))


def cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else encoded(value)


@given(st.lists(VARIABLES, min_size=1, max_size=5))
def test_what_is_said_to_whom_comes_back(people: list[dict[str, Any]]) -> None:
    file = as_csv(array(people))
    assert contact_file(file) == file  # as the service takes it
    rows = parsed(file)
    columns = {name for person in people for name in person}
    for number, (row, person) in enumerate(zip(rows, people, strict=True)):
        assert row.pop("phone_number") == f"+9198765{number:05}"
        assert row.keys() == columns
        # Objects within have their keys as they were sent.
        assert row == {name: cell(person.get(name)) for name in columns}


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@given(st.lists(VARIABLES, min_size=1, max_size=4), st.booleans())
@settings(max_examples=300)
def test_nobody_takes_more_bytes_than_foretold(
    db: duckdb.DuckDBPyConnection, people: list[dict[str, Any]], ascii_only: bool
) -> None:
    names = {name for person in people for name in person}
    length = row_bytes_sql("variables", "digits", columns=len(names))
    foretold = [
        db.execute(f"SELECT {length} FROM (SELECT ? AS variables, 919876500000 AS digits)", [text]).fetchone()[0]  # type: ignore[index]
        for text in (encoded(person, ascii_only=ascii_only) for person in people)
    ]
    file = as_csv(array(people))
    assert len(file) <= header_bytes(names) + sum(foretold)


def test_hardly_less_where_people_have_texts_and_numbers(db: duckdb.DuckDBPyConnection) -> None:
    people = [{"callee_name": f"Person {n}", "city": "Bengaluru", "premium": n * 1.5} for n in range(100)]
    length = row_bytes_sql("variables", "919876500000", columns=3)
    foretold = sum(
        db.execute(f"SELECT {length} FROM (SELECT ? AS variables)", [encoded(person)]).fetchone()[0]  # type: ignore[index]
        for person in people
    )
    assert len(as_csv(array(people))) < foretold < 1.15 * len(as_csv(array(people)))


def test_numbers_are_as_they_were_written() -> None:
    text = (
        b'[{"phone_number":"+1","call_variables":{"a":12000.50,"b":1e3,"c":123456789012345678901234567890,"d":-0.0}}]'
    )
    assert as_csv(text) == b"phone_number,a,b,c,d\r\n+1,12000.50,1e3,123456789012345678901234567890,-0.0\r\n"


def test_the_name_comes_first_and_the_others_by_their_names() -> None:
    assert columns_of({"b", "callee_name", "a"}) == ["callee_name", "a", "b"]
    with pytest.raises(SourceError, match="phone_number"):
        columns_of({"phone_number"})


def test_half_of_a_surrogate_pair_is_no_text() -> None:
    assert as_csv(b'[{"phone_number":"+1","call_variables":{"a":"x\\ud83dy"}}]') == b"phone_number,a\r\n+1,x?y\r\n"


# -- cut by bytes -----------------------------------------------------------------------------------------------------


def loaded(directory: Path, rows: list[dict[str, Any]], csv_bytes: int | None) -> ContactList:
    contacts = ContactList(directory=directory, csv_bytes=csv_bytes)
    contacts.add_rows(
        ({"phone_number": f"+9198765{n:05}", "callee_name": f"P{n}", **row} for n, row in enumerate(rows)), origin="x"
    )
    contacts.screen()
    return contacts


def numbers(chunks: list[Chunk]) -> list[list[str]]:
    return [chunk.phone_numbers() for chunk in chunks]


@pytest.mark.parametrize(("seed", "csv_bytes", "size"), [(1, 300, 100), (2, 300, 4), (3, 1000, 7), (4, 100_000, 9)])
def test_each_chunk_fits_and_everybody_is_in_one(tmp_path: Path, seed: int, csv_bytes: int, size: int) -> None:
    pick = random.Random(seed)
    rows = [
        {name: pick.choice(["x" * pick.randint(0, 60), 5, None, '"', ["a", "b"]]) for name in pick.sample("abc", 2)}
        for _ in range(200)
    ]
    with loaded(tmp_path, rows, csv_bytes) as contacts:
        chunks = list(contacts.chunks(size))
        assert [number for chunk in numbers(chunks) for number in chunk] == [f"+9198765{n:05}" for n in range(200)]
        assert max(len(as_csv(chunk.contacts)) for chunk in chunks) <= csv_bytes
        assert max(chunk.size for chunk in chunks) <= size
        assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
        assert contacts.number_of_chunks(size) == len(chunks)
        # As full as can be: with the first of the next it would be too long, by what was foretold.
        if csv_bytes < 1000 < size * 100:
            assert min(len(as_csv(chunk.contacts)) for chunk in chunks[:-1]) > csv_bytes / 3

        whole = chunks[3].phone_numbers()
        contacts.exclude([*whole, *chunks[5].phone_numbers()[:1]])
        rest = list(contacts.chunks(size))
        assert contacts.number_of_chunks(size) == len(rest)
        expected = [chunk for chunk in numbers(chunks) if chunk != whole]
        expected[4] = expected[4][1:]
        assert numbers(rest) == [chunk for chunk in expected if chunk]
        unchanged = {chunk.fingerprint for chunk in chunks} & {chunk.fingerprint for chunk in rest}
        assert len(unchanged) == len(chunks) - 2
        assert [c.fingerprint for c in contacts.chunks(size, everybody=True)] == [c.fingerprint for c in chunks]

        contacts.exclude_nobody()
        assert contacts.remaining() == 200
        assert [chunk.fingerprint for chunk in contacts.chunks(size)] == [chunk.fingerprint for chunk in chunks]


def test_somebody_who_alone_is_too_long(tmp_path: Path) -> None:
    with (
        loaded(tmp_path, [{"a": "x"}, {"a": "secret" * 100}], 500) as contacts,
        pytest.raises(SourceError, match=r"One contact alone may take 6\d\d bytes") as error,
    ):
        contacts.chunks(10)
    assert "secret" not in str(error.value)


def test_nobody_left_to_be_cut(tmp_path: Path) -> None:
    with loaded(tmp_path, [{}], 500) as contacts:
        contacts.exclude(["+919876500000"])
        assert list(contacts.chunks(10)) == []
        assert contacts.number_of_chunks(10) == 0
    with loaded(tmp_path, [], 500) as contacts:
        assert list(contacts.chunks(10)) == []


def test_a_long_file_takes_little_memory() -> None:
    """People are decoded one after the other."""
    program = (
        "import json, resource\n"
        "from airflow_provider_graine.contacts.csv_file import as_csv\n"
        "person = {'callee_name': 'Person', 'a': 1, 'b': 2.5, 'c': ['x', 'y', 'z'], 'd': 'text'}\n"
        "three = [{'phone_number': f'+9198{n:08}', 'call_variables': person} for n in range(3)]\n"
        "body = json.dumps(three, separators=(',', ':')).encode()\n"
        "body = b'[' + b','.join([body[1:-1]] * 30_000) + b']'\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "lines = as_csv(body).count(b'\\r\\n')\n"
        "print(lines, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )  # fmt: skip
    lines, grown = map(int, ran.stdout.split())
    assert lines == 90_001
    assert grown < 60
