"""
Local files of rows: CSV, JSON lines, Parquet.

DuckDB reads the well-formed ones, many times faster than Python can. It does not say which rows it loses in the others
(after a quote that is never closed it drops the rest of a file without a word), so it is trusted only where every line
of a file has become a row. All other files are read again in Python, row by row, and each row that cannot be read
is counted.
"""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast, get_args

from airflow_provider_graine.contacts.database import MAX_ROW_BYTES, identifier, json_lines_relation, literal, path_list
from airflow_provider_graine.exceptions import ConfigurationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FileFormat = Literal["csv", "jsonl", "parquet"]

_BLOCK = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# A quote that is never closed would take the rest of the file into one row.
_MAX_CONTINUATION = 1024 * 1024


def guess_format(name: str) -> FileFormat:
    """
    Tell the format of a file by its name.

    :param name: path or URI, ending in ``.csv``, ``.jsonl``, ``.ndjson``, ``.json`` or ``.parquet``; the text formats
        also with ``.gz``
    :return: ``"csv"``, ``"jsonl"`` or ``"parquet"``
    :raises ConfigurationError: the ending says nothing
    """
    lowered = name.lower()
    stem = lowered.removesuffix(".gz")
    for suffix, file_format in _SUFFIXES.items():
        if stem.endswith(suffix) and (stem == lowered or file_format != "parquet"):
            return file_format
    raise ConfigurationError(
        "The format of a contacts file cannot be told from its name; nothing was sent. Name it .csv, .jsonl or "
        ".parquet (the first two also with .gz), or say which format it is."
    )


def checked_format(file_format: str) -> FileFormat:
    """:raises ConfigurationError: the format is none of the three"""
    if file_format not in get_args(FileFormat):
        raise ConfigurationError('format is "csv", "jsonl" or "parquet"; nothing was sent.')
    return cast("FileFormat", file_format)


def missing_column(wanted: str, argument: str, columns: Iterable[str], origin: str) -> str:
    """
    Say that a column is not there.

    The header is never listed: the first line of a file without one is a person. A name is only mentioned when it is
    the wanted one but for spelling.
    """
    spellings = {re.sub(r"[\s_-]+", "", name).casefold(): name for name in columns}
    close = difflib.get_close_matches(re.sub(r"[\s_-]+", "", wanted).casefold(), spellings, n=1, cutoff=0.9)
    hint = f' Did you mean "{spellings[close[0]]}"?' if close else ""
    return f'"{origin}" has no column "{wanted}"; nothing was sent. Set {argument} to the right one.{hint}'


class TextFile(ABC):
    """
    A text file in UTF-8, plain or compressed with gzip.

    :param path: the local file
    :param origin: what the user calls it, for messages
    :raises SourceError: it cannot be opened
    """

    def __init__(self, path: Path, origin: str) -> None:
        self.path = path
        self.origin = origin
        with self.reading():
            with path.open("rb") as raw:
                self.compression = "gzip" if raw.read(2) == _GZIP else "none"
            with self._opened() as file:
                self.has_bom = file.read(3) == _BOM

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turns a failure to read into one that says which file it was."""
        try:
            yield
        except (OSError, EOFError, zlib.error) as failure:
            kind = type(failure).__name__
            raise SourceError(
                f'"{self.origin}" could not be read to its end ({kind}); nothing was sent. Check that it is whole.'
            ) from None

    def _opened(self) -> IO[bytes]:
        return cast("IO[bytes]", gzip.open(self.path)) if self.compression == "gzip" else self.path.open("rb")

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """The file as text; bytes that are not UTF-8 become lone surrogates."""
        with (
            self.reading(),
            self._opened() as file,
            io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            yield text

    @abstractmethod
    def row_count(self) -> int | None:
        """:return: number of rows, ``None`` when it cannot be told from the lines"""

    def count_lines(self, *, ignore_blank: bool = False) -> int | None:
        """
        Count the lines, as a witness against the reader.

        :param ignore_blank: whether lines of nothing but white space do not count
        :return: number of lines, ``None`` when it cannot be told from the line feeds
        """
        feeds = returns = 0
        last = b""
        with self.reading(), self._opened() as file:
            if ignore_blank:
                return sum(1 for line in file if line.strip())
            while block := file.read(_BLOCK):
                feeds += block.count(b"\n")
                if b"\r" in block:  # to look is many times faster than to count
                    returns += block.count(b"\r")
                last = block[-1:]
        return feeds + (last not in (b"", b"\n")) if returns in (0, feeds) else None


class CsvFile(TextFile):
    """
    A CSV file: header first, double quotes, every value a string.

    :param path: the local file
    :param origin: what the user calls it, for messages
    :param delimiter: one character
    :raises SourceError: there is no header, or it names two columns alike
    """

    def __init__(self, path: Path, origin: str, *, delimiter: str = ",") -> None:
        super().__init__(path, origin)
        if len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii():
            raise ConfigurationError("delimiter is one ASCII character, no quote and no line break; nothing was sent.")
        self.delimiter = delimiter
        with self.text() as file:
            records = _records(file, delimiter)
            header, lines, _ = next(records, ([], 0, False))
        if header is None or any(not _is_unicode(name) for name in header):
            raise SourceError(f'The header of "{origin}" is not CSV in UTF-8; nothing was sent. Check the file.')
        self.header = [name.strip() for name in header]
        self._header_lines = lines
        named = [name for name in self.header if name]
        if len(set(named)) < len(named):
            raise SourceError(f'The header of "{origin}" names two columns alike; nothing was sent. Rename one.')

    @property
    def columns(self) -> list[str]:
        """The named columns; one without a name (an index column, say) cannot be spoken of and is left out."""
        return [name for name in self.header if name]

    @property
    def manner(self) -> tuple[object, ...]:
        """How it is written; files of the same manner can be read as one."""
        return (*self.header, self.delimiter, self.compression)

    def row_count(self) -> int | None:
        """:return: number of rows, ``None`` when it cannot be told from the lines"""
        if not self.header:
            return 0
        lines = self.count_lines() if self._header_lines == 1 else None
        return None if lines is None else lines - 1

    def rows(self) -> Iterator[list[str] | None]:
        """
        Read row by row.

        :return: the values of the named columns; ``None`` for a row that has another number of columns, is not
            UTF-8 or has quotes that do not match
        """
        width = len(self.header)
        named = [position for position, name in enumerate(self.header) if name]
        with self.text() as file:
            records = _records(file, self.delimiter, width=width)
            next(records, None)
            for record, _, readable in records:
                if record is None or not _fits(record, width) or not readable:
                    yield None
                else:
                    yield [record[position] for position in named]


class JsonLinesFile(TextFile):
    """A file of JSON values, one a line."""

    @property
    def manner(self) -> tuple[object, ...]:
        """How it is written; files of the same manner can be read as one."""
        return (self.compression,)

    def row_count(self) -> int | None:
        """:return: number of rows, ``None`` when it cannot be told from the lines"""
        return None if self.has_bom else self.count_lines(ignore_blank=True)

    def values(self) -> Iterator[Any]:
        """:return: the value of each line that is not blank; :class:`NotJson` for a line that is none"""
        with self.text() as file:
            for line in file:
                if line.strip():
                    yield _json_value(line)


def csv_relation(files: Sequence[CsvFile]) -> str:
    """
    :param files: files of the same manner
    :return: SQL of a relation with the named columns, all of them text, an empty field NULL; the files' rows in order
    """
    file = files[0]
    columns = ", ".join(f"{literal(name or f' {position}')}: 'VARCHAR'" for position, name in enumerate(file.header))
    selected = ", ".join(identifier(name) for name in file.columns)
    return (
        f"(SELECT {selected} FROM read_csv({path_list(each.path for each in files)}, columns={{{columns}}}, "
        f"auto_detect=false, header=true, delim={literal(file.delimiter)}, quote='\"', escape='\"', "
        f"compression={literal(file.compression)}, "
        f"max_line_size={MAX_ROW_BYTES}, buffer_size={2 * MAX_ROW_BYTES}, nullstr=''))"
    )


def json_relation(files: Sequence[JsonLinesFile]) -> str:
    """
    :param files: files of the same manner
    :return: SQL of a relation with a column ``json``, NULL for a line that is no JSON; the files' rows in order
    """
    return json_lines_relation([file.path for file in files], ignore_errors=True)


class NotJson:
    """Stands for a line that is no JSON."""


def _json_value(line: str) -> Any:
    try:
        return json.loads(line, parse_constant=lambda _: None, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return NotJson()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError
    return unique


def _fits(record: list[str], width: int) -> bool:
    """Delimiters at the end of a line are forgiven, as DuckDB does it."""
    return len(record) >= width and not any(record[width:])


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _records(
    file: IO[str], delimiter: str, *, width: int | None = None
) -> Iterator[tuple[list[str] | None, int, bool]]:
    """
    Split CSV into records and find the way back after one that is broken.

    A record over several lines that does not come out right is given up at its first line, and reading goes on at the
    second: a stray quote costs its own line, not the people in the lines that follow.

    :return: fields (``None`` for no record), number of lines it took, whether it is Unicode
    """
    lines = _Lines(file)
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    while True:
        lines.taken.clear()
        lines.taken_length = 0
        try:
            record: list[str] | None = next(csv.reader(lines, delimiter=delimiter, strict=True))
        except StopIteration:
            return
        except csv.Error:
            record = None
        if not record and record is not None:
            continue  # a blank line
        if len(lines.taken) > 1 and (record is None or (width is not None and not _fits(record, width))):
            record = None
            lines.put_back()
        yield record, len(lines.taken), all(_is_unicode(line) for line in lines.taken)


class _Lines:
    """Lines of a file that can be put back."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._pending: deque[str] = deque()
        self.taken: list[str] = []
        self.taken_length = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.taken and self.taken_length > _MAX_CONTINUATION:
            raise csv.Error
        line = self._pending.popleft() if self._pending else next(self._file)
        self.taken.append(line)
        self.taken_length += len(line)
        return line

    def put_back(self) -> None:
        self._pending.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]
