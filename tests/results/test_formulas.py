from __future__ import annotations

import csv
import io
import json
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import LandingError
from airflow_provider_graine.results.formulas import spreadsheet_safe

#: Blanks, quotes and signs far more often than text has them.
TEXT = st.text("=+-@\uff1d\uff0b\uff0d\uff20'\"\t\r\n ,;|0aé漢\u200b\ufeff\u00a0\0", max_size=6)
#: What call variables are, compact or with line ends in between.
JSON = st.tuples(
    st.recursive(
        st.integers() | TEXT | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    ).filter(lambda value: isinstance(value, list | dict)),
    st.sampled_from([None, 1]),
    st.booleans(),
).map(lambda drawn: json.dumps(drawn[0], indent=drawn[1], ensure_ascii=drawn[2]))
CELL = TEXT | JSON

BEGINNINGS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
PASSED_OVER = " \t\r\n\v\f\"'\u200b\ufeff\0\u00a0\u3000"
SEPARATORS = ",;|\t\r\n"


def as_csv(rows: list[list[str]], line_end: str = "\r\n") -> bytes:
    text = io.StringIO(newline="")
    # A carriage return alone is not quoted before Python 3.13, if it is no part of the line end.
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    (csv.writer(text, lineterminator=line_end) if line_end == "\r\n" else writer).writerows(rows)
    return text.getvalue().encode()


def read(content: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(content.decode(), newline=""), strict=True) if row]


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def begins_a_formula(text: str) -> bool:
    """What a spreadsheet may do with a cell: pass over blanks and quotes, then look at the first character."""
    bare = text.lstrip(PASSED_OVER)
    return text.lstrip("'\"")[:1] in ("\t", "\r", "\n") or bare[:1] in BEGINNINGS


def begins_one_behind(text: str, place: int) -> bool:
    """Whether one begins behind a separator, or behind others that come before it."""
    return text[place] in SEPARATORS and text[place + 1 :].lstrip(PASSED_OVER + SEPARATORS)[:1] in BEGINNINGS


def is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list | dict) and text[0] in "[{"
    except ValueError:
        return False


def had_back(cell: str) -> str:
    """What a program does that reads the file."""
    if is_json(cell):
        return cell
    kept = [
        sign
        for place, sign in enumerate(cell)
        if not (sign == "'" and place and begins_one_behind(cell, place - 1))
        and not (sign == "'" and not place and begins_a_formula(cell[1:]))
    ]
    return "".join(kept)


def lines_as_split_at(separator: str, content: str) -> list[list[str]]:
    """What a program takes for values that splits at another separator, and knows no quotes but around those."""
    return [line.split(separator) for line in re.split(r"[\r\n]+", content)]


@given(
    rows=st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=5),
    size=st.integers(1, 40),
    line_end=st.sampled_from(["\r\n", "\n"]),
)
@example(rows=[["=1+1", "+919876500001", "-5"]], size=7, line_end="\n")
@example(rows=[["'=1", "''@x", '"+x']], size=7, line_end="\n")
@example(rows=[["\t=1", "\ra", "a\n=1"]], size=1, line_end="\n")
@example(rows=[["'\ta", "'\"\r", "''\n"]], size=1, line_end="\r\n")
@example(rows=[["+91", "x\r=1+1", "a\r\nb"]], size=7, line_end="\n")
@example(rows=[["y;=2+2", "y;'=2", "y;''\t'-2"]], size=7, line_end="\n")
@example(rows=[['["+91", "+92", -1]', '{"a":"x;=1","b":-1}', '{"a": "b, -c"']], size=7, line_end="\n")
def test_no_value_begins_a_formula_and_every_value_can_be_had_back(
    rows: list[list[str]], size: int, line_end: str
) -> None:
    rows = [["contact_id", "status", "note"], *rows]
    content = b"".join(spreadsheet_safe(cut(as_csv(rows, line_end), size)))
    safe = read(content)

    cells = [cell for row in safe for cell in row]
    assert not any(begins_a_formula(cell) and not cell.startswith("'") for cell in cells)
    assert not any(
        begins_one_behind(cell, place) and cell[place + 1 : place + 2] != "'"
        for cell in cells
        if not is_json(cell)
        for place in range(len(cell))
    )
    for separator in ";|\t":
        for begun in (value for line in lines_as_split_at(separator, content.decode()) for value in line):
            bare = begun.lstrip(PASSED_OVER)
            of_json = re.match(r"[ ]*-\d+ *[]},]*", begun)  # a number keeps its sign
            assert bare[:1] not in BEGINNINGS or begun.lstrip('"')[:1] == "'" or of_json, begun

    for before, after in zip(rows, safe, strict=True):
        for cell, now in zip(before, after, strict=True):
            assert had_back(now) == cell if not is_json(cell) else json.loads(now) == json.loads(cell)
    unchanged = {
        cell
        for row in rows
        for cell in row
        if not begins_a_formula(cell) and not any(begins_one_behind(cell, place) for place in range(len(cell)))
    }
    assert unchanged <= set(cells)


def test_formulas_behind_another_separator_are_text_and_json_stays_json() -> None:
    numbers = ["+911", "+912", -1.50]
    content = as_csv([["id", "note", "vars"], ["1", "y;=2+2", json.dumps({"alt": numbers, "x": "a;=1", "n": -1})]])
    (_, (_, note, variables)) = read(b"".join(spreadsheet_safe([content])))
    assert note == "y;'=2+2"
    assert variables == '{"alt": ["+911", "\\u002b912", -1.5], "x": "a;\\u003d1", "n": -1}'
    for harmless in ("2026-01-01T00:00:00+05:30, a-b; c@d", '{"a": -1, "b": "+91"}', "a - b\nc"):
        content = as_csv([["id", "note"], ["1", harmless]])
        assert read(b"".join(spreadsheet_safe([content])))[1][1] == harmless


def test_a_lone_carriage_return_begins_no_row() -> None:
    content = b'phone,note,more\n+91,"x\r=1+1","a\r\nb"\n1,"c\nd",e\n'
    assert b"".join(spreadsheet_safe([content])) == (b'phone,note,more\n\'+91,"x\r\'=1+1","a\r\nb"\n1,"c\nd",e\n')


def test_long_rows_of_blanks_and_separators_take_no_time() -> None:
    for long in ("\t" * 2**20, ";" * 2**20 + "a", '["' + "; " * 2**19 + '", "+1"]', " " * 2**20 + "a"):
        content = as_csv([["id", "note"], ["1", long]])
        started = time.process_time()
        assert len(b"".join(spreadsheet_safe([content]))) >= 2**20
        assert time.process_time() - started < 20, "hours, if each began anew"


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
