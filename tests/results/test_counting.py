from __future__ import annotations

import csv
import io
import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.results.counting import CsvRowCounter, LineCounter

if TYPE_CHECKING:
    from collections.abc import Iterable

CUTS = st.lists(st.integers(min_value=0, max_value=400), max_size=12)
# Dense in what matters: quotes, delimiters, line ends, and letters of more than one byte.
VALUES = st.text(st.sampled_from('"",;\n\r aé€') | st.characters(codec="utf-8"), max_size=8)


def blocks(content: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    return [content[start:end] for start, end in pairwise(edges)]


def count(counter: LineCounter, content: bytes, cuts: Iterable[int] = ()) -> int:
    for block in blocks(content, cuts):
        counter.feed(block)
    return counter.rows


@given(
    records=st.lists(st.lists(VALUES, min_size=1, max_size=4), max_size=8),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    blank_lines=st.integers(min_value=0, max_value=3),
    last_line_ends=st.booleans(),
    cuts=CUTS,
)
def test_csv_records_are_counted_as_the_csv_module_reads_them(
    records: list[list[str]],
    line_end: str,
    quoting: int,
    delimiter: str,
    blank_lines: int,
    last_line_ends: bool,
    cuts: list[int],
) -> None:
    if quoting != csv.QUOTE_ALL:  # Python before 3.13 writes a lone carriage return without quotes
        records = [[value.replace("\r", "") for value in record] for record in records]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    for record in records:
        writer.writerow(record)
        out.write(line_end * blank_lines)
    text = out.getvalue()
    if not last_line_ends:
        text = text.removesuffix(line_end)

    read = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]

    assert count(CsvRowCounter(), text.encode(), cuts) == max(len(read) - 1, 0)


@given(
    values=st.lists(st.dictionaries(VALUES, VALUES, max_size=3), max_size=8),
    line_end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    last_line_ends=st.booleans(),
    cuts=CUTS,
)
def test_json_lines_are_counted(values: list[object], line_end: str, last_line_ends: bool, cuts: list[int]) -> None:
    text = line_end.join(json.dumps(value, ensure_ascii=False) for value in values)
    text += line_end if last_line_ends else ""

    assert count(LineCounter(), text.encode(), cuts) == len(values)


@pytest.mark.parametrize(
    ("content", "rows", "ends_whole"),
    [
        (b"", 0, True),
        (b"name\n", 0, True),
        (b"name", 0, False),
        (b"\xef\xbb\xbfname\n1\n", 1, True),
        (b"name\n1", 1, False),
        (b'name\n"1\n2', 1, False),
        (b'name\n"1\n2"', 1, False),
        (b'name\n"1\n""2"""\n3\n', 2, True),
        (b"\n\nname\n\n1\n\n", 1, True),
        (b"\r\nname\r\n\r\n1\r\n\r\n\r\n", 1, True),
        (b'name\n"1\n\n\n2"\n\n"3"\n', 2, True),
        (b'name,text\n1,"a\n\n\nb"\n2,\n\n3,\n', 3, True),
    ],
)
def test_edges_of_a_csv_file(content: bytes, rows: int, ends_whole: bool) -> None:
    for size in (1, 2, 3, 100):
        counter = CsvRowCounter()
        assert count(counter, content, range(0, len(content), size)) == rows
        assert counter.ends_whole is ends_whole
