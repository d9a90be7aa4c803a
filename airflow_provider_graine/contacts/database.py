"""The DuckDB database that holds one list of contacts, in a directory of its own."""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_graine.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import SupportsWrite
    from duckdb import DuckDBPyConnection

_SIZE = re.compile(r"\d+(\.\d+)? ?[KMGT]i?B")
MAX_THREADS = 4  # each thread holds buffers of its own, and the limit on memory is for all of them
MAX_ROW_BYTES = 4 * 1024 * 1024  # readers hold buffers of a multiple of it; a longer row counts as malformed
SPOOL_ROWS = 100_000
SPOOL_BYTES = 8 * 1024 * 1024
_BATCH_ROWS = 50_000

# Nothing but spaces, control and invisible characters.
BLANK = r"[\s\p{Z}\p{C}]*"


def open_database(directory: Path, *, memory_limit: str) -> DuckDBPyConnection:
    """
    Create the database.

    :param directory: an empty directory; what does not fit into memory goes here
    :param memory_limit: what DuckDB may use, such as ``"256MB"``
    :return: the connection
    :raises ConfigurationError: the limit is not a size
    """
    import duckdb

    if not _SIZE.fullmatch(memory_limit):
        raise ConfigurationError(
            f'memory_limit "{memory_limit}" is not a size; nothing was sent. Write it like "256MB".'
        )
    db = duckdb.connect(
        str(directory / "contacts.duckdb"),
        config={
            "memory_limit": memory_limit,
            "temp_directory": str(directory / "spill"),
            "threads": str(min(MAX_THREADS, os.cpu_count() or 1)),
            "preserve_insertion_order": "true",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    db.execute("SET enable_progress_bar = false")  # it would write to the task's standard output
    return db


@contextmanager
def transaction(db: DuckDBPyConnection) -> Iterator[None]:
    """All that is done inside, or nothing of it."""
    db.execute("BEGIN")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def literal(text: str) -> str:
    """:return: the text as an SQL string"""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """:return: the name as an SQL identifier"""
    return '"' + name.replace('"', '""') + '"'


def count(db: DuckDBPyConnection, sql: str, parameters: object = None) -> int:
    """:return: the one number that the query gives"""
    row = db.execute(sql, parameters).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def text_batches(db: DuckDBPyConnection, table: str, column: str, *, where: str) -> Iterator[list[str]]:
    """
    Fetch a column piece by piece, so that the whole never is in Python's memory.

    :param table: a table from which nothing was deleted
    :param column: its column
    :param where: which rows
    :return: lists of at most 50,000 values
    """
    for start in range(0, count(db, f"SELECT count(*) FROM {table}"), _BATCH_ROWS):
        rows = db.execute(
            f"SELECT {column} FROM {table} WHERE rowid >= ? AND rowid < ? AND {where}",
            [start, start + _BATCH_ROWS],
        ).fetchall()
        if rows:
            yield [row[0] for row in rows]


def spool(lines: Iterable[str], directory: Path, ingest: Callable[[str], None]) -> None:
    """
    Hand JSON values made in Python to DuckDB, by way of a file: the quickest way in that needs no NumPy.

    :param lines: JSON texts without line breaks
    :param directory: where the file may be written
    :param ingest: called with the SQL of a relation with a column ``json``, for some 100,000 lines at a time
    """
    iterator = iter(lines)
    exhausted = False
    while not exhausted:
        with tempfile.NamedTemporaryFile(
            "w", dir=directory, suffix=".jsonl", encoding="utf-8", newline="\n", buffering=1024 * 1024
        ) as file:
            exhausted, rows = _fill(file, iterator)
            if rows:
                file.flush()
                ingest(json_lines_relation(Path(file.name)))


def _fill(file: SupportsWrite[str], lines: Iterator[str]) -> tuple[bool, int]:
    rows = written = 0
    for line in lines:
        file.write(line if _is_short(line) else "null")
        file.write("\n")
        rows += 1
        written += len(line)
        if rows >= SPOOL_ROWS or written >= SPOOL_BYTES:
            return False, rows
    return True, rows


def _is_short(line: str) -> bool:
    return len(line) < MAX_ROW_BYTES // 4 or len(line.encode()) < MAX_ROW_BYTES


def json_lines_relation(path: Path, *, ignore_errors: bool = False) -> str:
    """
    :param path: file of JSON values, one a line
    :param ignore_errors: whether a line that is no JSON becomes NULL instead of an error
    :return: SQL of a relation with a column ``json``
    """
    return (
        f"read_ndjson_objects({literal(str(path))}, ignore_errors={str(ignore_errors).lower()}, "
        f"maximum_object_size={MAX_ROW_BYTES})"
    )
