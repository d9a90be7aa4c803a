"""The rows of a CSV file while its blocks pass by: read, changed by somebody, and written again."""

from __future__ import annotations

import csv
import io
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.exceptions import LandingError
from airflow_provider_graine.results.csv_header import LONGEST, CsvHeader, parse_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LONGEST_VALUE: Final = 8 * 2**20  # characters; as long as a row of a table
_ROWS_AT_A_TIME: Final = 500
_ANY_BYTES: Final = "surrogateescape"  # what is not UTF-8 goes out as it came in
_BOTH_ENDS: Final = "\r\n"


def read_rows(blocks: Iterable[bytes]) -> tuple[CsvHeader | None, Iterator[list[str]]]:
    """
    Read a CSV file.

    :param blocks: the file, cut anywhere; read to its end, so that what it raises there is raised
    :return: its header, and all records with the header as the first; ``None`` for a file without any record
    :raises LandingError: if a record is none, as soon as it comes
    """
    rest = iter(blocks)
    start = b""
    while len(start) < LONGEST and (block := next(rest, None)) is not None:
        start += block
    header = parse_header(start, is_whole=len(start) < LONGEST)
    if header is None:
        return None, iter(())
    text = _text(chain([start[header.start :]], rest))
    # The limit is one for the whole process, and so is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_VALUE))
    return header, _records(csv.reader(text, delimiter=header.delimiter, strict=True))


def write_rows(rows: Iterable[Sequence[str]], like: CsvHeader) -> Iterator[bytes]:
    """
    Write records as CSV: values in quotes where they need them, as all do that have a line end of any kind in them.

    :param rows: the records, the header among them
    :param like: the header of the file they come from; its byte order mark, delimiter and line ends are kept
    """
    records = _Records()
    # Before Python 3.13 a carriage return or line feed is only quoted where it belongs to the end of a line. So here
    # both do, and the file's own end takes their place record by record: in values they stay as they are.
    write = csv.writer(records, delimiter=like.delimiter, lineterminator=_BOTH_ENDS).writerows
    line_end = like.line_end.decode()
    rest = iter(rows)
    mark = like.mark
    while several := list(islice(rest, _ROWS_AT_A_TIME)):
        write(several)
        if line_end != _BOTH_ENDS:
            records[:] = [record[: -len(_BOTH_ENDS)] + line_end for record in records]
        yield mark + "".join(records).encode(errors=_ANY_BYTES)
        mark = b""
        records.clear()


def _text(blocks: Iterable[bytes]) -> Iterator[str]:
    return io.TextIOWrapper(io.BufferedReader(_Blocks(blocks)), encoding="utf-8", errors=_ANY_BYTES, newline="\n")


def _records(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            break
        if row is None:
            return
        if row:  # not a blank line
            yield row
    raise LandingError(
        "A record of the results is no CSV: a quote stands where none can, or a value is longer than 8 MiB. "
        "Their file was not landed."
    )


class _Records(list[str]):
    """Records as a file that is written: the csv module writes each of them at once."""

    write = list.append


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        super().__init__()
        self._blocks = iter(blocks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the next bytes."""
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
