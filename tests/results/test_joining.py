"""Files put together byte by byte, and what a CSV header tells."""

from __future__ import annotations

import csv
import io
import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import LandingError
from airflow_provider_graine.results.csv_header import read_header
from airflow_provider_graine.results.joining import joined_csv, joined_lines
from airflow_provider_graine.results.spool import blocks_of, spool

VALUES = st.text(st.sampled_from('"",;\n\r aé'), max_size=6)
MARK = b"\xef\xbb\xbf"
NUMBERS = count()


def write(folder: Path, *contents: bytes) -> list[Path]:
    paths = [folder / f"{next(NUMBERS)}" for _ in contents]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def joined(folder: Path, *contents: bytes) -> bytes | None:
    blocks = joined_csv(write(folder, *contents))
    return None if blocks is None else b"".join(blocks)


@given(
    columns=st.lists(VALUES.filter(bool), min_size=1, max_size=3, unique=True),
    files=st.lists(st.lists(st.lists(VALUES, min_size=3, max_size=3), max_size=4), min_size=1, max_size=4),
    line_end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", MARK]),
    last_line_ends=st.booleans(),
)
def test_rows_are_those_of_all_files(
    tmp_path_factory: pytest.TempPathFactory,
    columns: list[str],
    files: list[list[list[str]]],
    line_end: str,
    mark: bytes,
    last_line_ends: bool,
) -> None:
    contents, expected = [], [columns]
    for rows in files:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        kept = [row[: len(columns)] for row in rows]
        writer.writerows(kept)
        expected += kept
        whole = text.getvalue().encode()
        contents.append(mark + (whole if last_line_ends else whole.removesuffix(line_end.encode())))

    one = joined(tmp_path_factory.mktemp("joined"), *contents)

    assert one is not None
    assert one.startswith(mark)
    assert one.count(MARK) == bool(mark)
    assert list(csv.reader(io.StringIO(one.removeprefix(mark).decode(), newline=""))) == expected


def test_one_file_comes_as_it_is(tmp_path: Path) -> None:
    assert joined(tmp_path, MARK + b"a,b\r\n1,2") == MARK + b"a,b\r\n1,2"


def test_a_file_without_a_header_adds_nothing(tmp_path: Path) -> None:
    assert joined(tmp_path, b"", b"a,b\n1,2\n", b"\r\n", b"a,b\n3,4\n") == b"a,b\n1,2\n3,4\n"
    assert joined(tmp_path, b"", b"") == b""


def test_other_headers_cannot_be_put_together(tmp_path: Path) -> None:
    assert joined(tmp_path, b"a,b\n1,2\n", b"b,a\n1,2\n") is None


def test_lines_are_put_together(tmp_path: Path) -> None:
    lines = [json.dumps({"n": number}).encode() + b"\n" for number in range(4)]
    paths = write(tmp_path, lines[0] + lines[1], b"", lines[2] + lines[3])
    assert b"".join(joined_lines(paths)) == b"".join(lines)


@pytest.mark.parametrize(
    ("content", "columns", "delimiter"),
    [
        (b"a,b\n1,2\n", ("a", "b"), ","),
        (b"a;b,c;d\r\n", ("a", "b,c", "d"), ";"),
        (b"a\tb", ("a", "b"), "\t"),
        (b'"a;;;b",c\n', ("a;;;b", "c"), ","),
        (b'"a\n\nb",c\n1,2\n', ("a\n\nb", "c"), ","),
        (b'"say ""a""",c\n', ('say "a"', "c"), ","),
        (MARK + "\r\nnaïve,b\n".encode(), ("naïve", "b"), ","),
        (b"status\ncompleted\n", ("status",), ","),
        (b"a,A,a,,\n", ("a", "A_1", "a_2", "column", "column_1"), ","),
    ],
)
def test_the_header_tells_columns_and_delimiter(
    tmp_path: Path, content: bytes, columns: tuple[str, ...], delimiter: str
) -> None:
    header = read_header(write(tmp_path, content)[0])
    assert header is not None
    assert (header.columns, header.delimiter) == (columns, delimiter)


@pytest.mark.parametrize("content", [b"x" * 2**20, b'"' + b"x\n" * 2**20, b"a\xff,b\n"])
def test_what_is_no_header_is_told_without_quoting_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(LandingError, match="first line") as caught:
        read_header(write(tmp_path, content)[0])
    assert "xxx" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_file_that_is_spooled_again_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "1.csv"
    spool(path, [b"a,b\n", b"1,2\n3,4\n"])
    spool(path, [b"a,b\n5", b",6\n"])
    assert b"".join(blocks_of(path)) == b"a,b\n5,6\n"
