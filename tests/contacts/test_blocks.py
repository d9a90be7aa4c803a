"""Rows made in Python: the same contacts as if each row were encoded by itself."""

from __future__ import annotations

import json
import re
import threading
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts import blocks as blocks_module
from airflow_provider_graine.contacts.blocks import write_blocks
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.database import MAX_ROW_BYTES
from airflow_provider_graine.contacts.encoding import UnreadableTextError, encode_object

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text('\\"\n\t\r\x00\u2028 ')
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.decimals()
    | st.uuids()
    | st.just("half \ud800")
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
CONTROL = re.compile(r"\\u00[01][a-fA-F]")  # the one thing that DuckDB writes in upper case
COLUMNS = ["phone_number", 'od"d', "callee_name", "b\\", "a"]


def lower(found: re.Match[str]) -> str:
    return found[0].lower()


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    """Rows whose columns mostly hold one type each, as in databases; some rows are cut short."""
    kinds = [draw(st.sampled_from([values, st.text(), st.integers(), st.decimals(), st.dates()])) for _ in range(3)]
    rows = [
        [f"+9198765{place:05}", draw(kinds[0]), f"Person {place}", draw(kinds[1]), draw(kinds[2])]
        for place in range(draw(st.integers(0, 12)))
    ]
    return [row[: draw(st.sampled_from([5, 5, 5, 4]))] for row in rows]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=tables(), at_once=st.integers(1, 13))
def test_column_by_column_is_bit_by_bit_the_same_as_row_by_row(
    tmp_path: Path, rows: list[list[Any]], at_once: int
) -> None:
    expected = []
    for row in rows:
        if len(row) == len(COLUMNS):
            phone_number, *others = row
            try:
                variables = encode_object(dict(zip(COLUMNS[1:], others, strict=True)))
            except UnreadableTextError:
                continue
            expected.append(f'{{"phone_number":"{phone_number}","call_variables":{variables}}}')
    with pytest.MonkeyPatch.context() as patch, ContactList(directory=tmp_path) as contacts:
        patch.setattr(blocks_module, "_ROWS", at_once)
        contacts.add_tuples(COLUMNS, rows, origin="query")
        screening = contacts.screen()
        sent = b"".join(chunk.contacts[1:-1].replace(b"\n", b"") + b"," for chunk in contacts.chunks(3))
    assert (screening.read, screening.accepted) == (len(rows), len(expected))
    assert CONTROL.sub(lower, sent.decode()) == CONTROL.sub(lower, "".join(f"{contact}," for contact in expected))


def blocks(lines: list[str], **limits: Any) -> list[bytes]:
    """:return: the blocks that come of lines"""
    taken: list[bytes] = []

    def write(block: bytes) -> int:
        taken.append(block)
        return block.count(b"\n")

    assert sum(write_blocks(lines, lambda some: some, write, unreadable="?", **limits)) == len(lines)
    return taken


def test_a_row_is_malformed_by_itself(contacts: ContactList) -> None:
    rows: list[Any] = [[f"+9198{n:08}", "Asha", n] for n in range(9_000)]
    for place in (0, 1_999, 2_000, 5_000, 8_999):
        rows[place][1] = "\ud800"
    rows[3_000] = rows[3_000][:2]
    rows[3_001] = [*rows[3_001], "more"]
    rows[3_002] = [rows[3_002][0], "x" * MAX_ROW_BYTES, 1]
    contacts.add_tuples(["phone_number", "callee_name", "n"], rows, origin="query")
    screening = contacts.screen()
    assert screening.rejected == {"malformed_row": 8}
    assert [
        contact["call_variables"]["n"] for chunk in contacts.chunks(1000) for contact in json.loads(chunk.contacts)
    ] == [n for n in range(9_000) if n not in (0, 1_999, 2_000, 3_000, 3_001, 3_002, 5_000, 8_999)]


def test_blocks_are_bounded_in_bytes() -> None:
    lines = ["x" * (n % 7 * 300_000) for n in range(100)]
    taken = blocks(lines)
    assert b"".join(taken).decode().splitlines() == lines
    assert max(map(len, taken)) <= MAX_ROW_BYTES
    assert len(taken) < 2 * sum(map(len, lines)) / MAX_ROW_BYTES


def test_a_line_above_the_bound_comes_alone() -> None:
    lines = ["a", "x" * 5_000, "b", "y" * 5_000, "z" * 900, "c", "d" * 300]
    taken = blocks(lines, at_most=1_000)
    assert [block.decode().splitlines() for block in taken] == [
        ["a"],
        ["x" * 5_000],
        ["b"],
        ["y" * 5_000],
        ["z" * 900, "c"],
        ["d" * 300],
    ]


def test_a_line_that_is_too_long_is_unreadable() -> None:
    lines = ["a", "x" * MAX_ROW_BYTES, "b"]
    taken = blocks(lines)
    assert b"".join(taken) == b"a\n?\nb\n"


def test_what_fails_in_the_thread_is_raised_and_the_thread_ends() -> None:
    before = threading.active_count()

    def fail(some: Any) -> Any:
        raise KeyError("encode")

    with pytest.raises(KeyError, match="encode"):
        list(write_blocks(["a"] * 9_000, fail, len, unreadable="?"))
    with pytest.raises(KeyError, match="write"):
        list(write_blocks(["a"] * 9_000, lambda some: some, lambda _: {}["write"], unreadable="?", at_most=100))
    written = write_blocks(["a"] * 9_000, lambda some: some, len, unreadable="?", at_most=100)
    next(written)
    written.close()
    assert threading.active_count() == before


def test_no_rows_make_no_block() -> None:
    assert blocks([]) == []


def test_what_a_database_gives_for_its_types(contacts: ContactList) -> None:
    identity = uuid.UUID(int=7)
    contacts.add_tuples(
        ["phone_number", "callee_name", "a", "b", "c", "d"],
        [("+919876543210", "Asha", Decimal("1E+3"), 1e16, 2**70, identity), ("+919876543211", "Rao", None, None, 1, 2)],
        origin="query",
    )
    contacts.screen()
    [chunk] = contacts.chunks(10)
    assert chunk.contacts == (
        b'[{"phone_number":"+919876543210","call_variables":{"a":"1000","b":1e+16,"c":1180591620717411303424,'
        b'"callee_name":"Asha","d":"00000000-0000-0000-0000-000000000007"}},\n'
        b'{"phone_number":"+919876543211","call_variables":{"a":null,"b":null,"c":1,"callee_name":"Rao","d":2}}]'
    )
