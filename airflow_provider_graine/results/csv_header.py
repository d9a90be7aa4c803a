"""The first record of a CSV file: what its columns are called, and what stands between them."""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.exceptions import LandingError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST: Final = 2**17  #: bytes of a header; what the csv module takes for one value
_DELIMITERS: Final = ",;\t|"
_RECORD: Final = re.compile(rb'(?:[^"\n]++|"[^"]*+")*+\n')


@dataclass(frozen=True)
class CsvHeader:
    """
    The first record of a CSV file.

    :param record: its bytes without byte order mark and line end
    :param size: number of bytes before the first row
    :param line_end: what ends it
    :param start: number of bytes before it: byte order mark and blank lines
    :param mark: the byte order mark, where there is one
    """

    record: bytes
    size: int
    line_end: bytes
    start: int = 0
    mark: bytes = b""

    @property
    def delimiter(self) -> str:
        """What stands between the columns; a comma if there is but one column."""
        unquoted = b"".join(self.record.split(b'"')[::2]).decode()
        return max(_DELIMITERS, key=unquoted.count)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names, each of them once whatever its case: those that come again have a number added."""
        (names,) = csv.reader([self.record.decode()], delimiter=self.delimiter)
        columns: dict[str, str] = {}
        for name in names:
            unique, number = name or "column", 0
            while unique.casefold() in columns:
                number += 1
                unique = f"{name or 'column'}_{number}"
            columns[unique.casefold()] = unique
        return tuple(columns.values())


def read_header(path: Path) -> CsvHeader | None:
    """
    Read the first record of a file.

    :param path: a CSV file
    :return: the header, ``None`` for a file without any record
    :raises LandingError: if it is no text, or very long
    """
    with path.open("rb") as file:
        start = file.read(LONGEST)
    return parse_header(start, is_whole=len(start) < LONGEST)


def parse_header(start: bytes, *, is_whole: bool) -> CsvHeader | None:
    """
    Read the first record of what a file begins with.

    :param start: the first :data:`LONGEST` bytes, or more
    :param is_whole: whether that is all of the file
    :return: the header, ``None`` for a file without any record
    :raises LandingError: if it is no text, or very long
    """
    bom = codecs.BOM_UTF8 if start.startswith(codecs.BOM_UTF8) else b""
    before = len(bom)
    before += len(start[before:]) - len(start[before:].lstrip(b"\r\n"))
    line = _RECORD.match(start, before)
    if line is None and not is_whole:
        raise LandingError("The first line of the results is longer than 128 KiB: no header. Nothing was landed.")
    whole = line[0] if line else start[before:]
    record = whole.rstrip(b"\r\n")
    if not record:
        return None
    try:
        record.decode()
    except UnicodeDecodeError:
        readable = False
    else:
        readable = True
    if not readable:  # raised here, since the cause would quote the line
        raise LandingError("The first line of the results is not UTF-8, so no table can be made. Nothing was landed.")
    return CsvHeader(record, before + len(whole), whole[len(record) :] or b"\n", before, bom)
