from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import LandingError
from airflow_provider_graine.results.formulas import spreadsheet_safe

#: Blanks, quotes and signs far more often than text has them.
CELL = st.text("=+-@\uff1d\uff0b\uff0d\uff20'\"\t\r\n ,;|0aé漢\u200b\ufeff\u00a0\0", max_size=6)


def as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def read(content: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(content.decode(), newline=""), strict=True) if row]


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def begins_a_formula(text: str) -> bool:
    """What a spreadsheet may do with a cell: pass over blanks and quotes, then look at the first character."""
    bare = text.lstrip(" \t\r\n\v\f\"'\u200b\ufeff\0\u00a0\u3000")
    return text.lstrip("'\"")[:1] in ("\t", "\r", "\n") or bare[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20")


@given(rows=st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=5), size=st.integers(1, 40))
@example(rows=[["=1+1", "+919876500001", "-5"]], size=7)
@example(rows=[["'=1", "''@x", '"+x']], size=7)
@example(rows=[["\t=1", "\ra", "a\n=1"]], size=1)
@example(rows=[["'\ta", "'\"\r", "''\n"]], size=1)
def test_no_value_begins_a_formula_and_every_value_can_be_had_back(rows: list[list[str]], size: int) -> None:
    rows = [["contact_id", "status", "note"], *rows]
    safe = read(b"".join(spreadsheet_safe(cut(as_csv(rows), size))))

    assert not any(begins_a_formula(cell) and not cell.startswith("'") for row in safe for cell in row)
    had_back = [[cell[1:] if cell[:1] == "'" and begins_a_formula(cell[1:]) else cell for cell in row] for row in safe]
    assert had_back == rows
    unchanged = {cell for row in rows for cell in row if not begins_a_formula(cell)}
    assert unchanged <= {cell for row in safe for cell in row}


def test_what_is_no_formula_stays_to_the_byte() -> None:
    content = b'\xef\xbb\xbfid;name\n1;"a; ""b"""\n2;\xff latin\n'
    assert b"".join(spreadsheet_safe([content])) == content
    assert b"".join(spreadsheet_safe([b"", b"\r\n"])) == b""


def test_long_values_come_through() -> None:
    content = as_csv([["id", "transcript"], ["1", "a, b\n" * 50_000]])
    assert b"".join(spreadsheet_safe(cut(content, 2**16))) == content


def test_what_is_no_csv_is_refused_without_quoting_it() -> None:
    with pytest.raises(LandingError, match="no CSV") as caught:
        list(spreadsheet_safe([b'name,a\n"Asha"x,1\n']))
    assert not re.search("Asha", str(caught.value))
    assert caught.value.__context__ is None
