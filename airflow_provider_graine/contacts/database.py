"""The DuckDB database that holds one list of contacts: in memory, and in a directory of its own what is too much."""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import errno
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_graine.exceptions import CapacityError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from duckdb import DuckDBPyConnection

T = TypeVar("T")

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SIZE = re.compile(r"\d+(\.\d+)? ?[KMGT]i?B")
MAX_THREADS = 4  # each thread holds buffers of its own, and the limit on memory is for all of them
_MEMORY_FOR_WIDE_ROWS = "512MB"
MAX_ROW_BYTES = 4 * 1024 * 1024  # readers hold buffers of a multiple of it; a longer row counts as malformed
_BATCH_ROWS = 50_000

# Nothing but spaces, control and invisible characters.
_BLANK = r"[\s\p{Z}\p{C}]*"


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
        ":memory:",
        config={
            "memory_limit": memory_limit,
            "temp_directory": str(directory / "spill"),
            "threads": str(min(MAX_THREADS, os.cpu_count() or 1)),
            "preserve_insertion_order": "true",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    # Known to query_progress(), and not written to the task's standard output.
    db.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    db.execute("PRAGMA force_compression = 'uncompressed'")  # the database lives for minutes
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


def is_out_of_memory(failure: BaseException) -> bool:
    """:return: whether it is memory that was missing"""
    import duckdb

    return isinstance(failure, (MemoryError, duckdb.OutOfMemoryException)) or (
        isinstance(failure, duckdb.TransactionException) and "failed to pin block" in str(failure)
    )


def is_exhausted(failure: BaseException) -> bool:
    """:return: whether it is memory or disk space that was missing"""
    import duckdb

    if isinstance(failure, OSError):
        return failure.errno in _NO_ROOM
    return is_out_of_memory(failure) or (
        isinstance(failure, duckdb.Error) and any(os.strerror(number) in str(failure) for number in _NO_ROOM)
    )


def with_room(db: DuckDBPyConnection, take: Callable[[], T]) -> T:
    """
    Take a file in, once more with more memory and one thread where the rows are too wide for the usual limits.

    DuckDB works on 2,048 rows at a time in each thread, however long they are.

    :param db: the database
    :param take: puts the rows into the database, all or none
    :return: what it returns
    """
    import duckdb

    try:
        return take()
    except duckdb.Error as failure:
        if not is_out_of_memory(failure):
            raise
    db.execute(f"SET threads = 1; SET memory_limit = '{_MEMORY_FOR_WIDE_ROWS}'")
    return take()


@contextmanager
def room_for_the_list(state: str) -> Iterator[None]:
    """
    Turns a lack of memory or disk space into an error of our own: DuckDB's may quote the data.

    :param state: what has been sent, for the message
    """
    try:
        yield
    except Exception as failure:
        if not is_exhausted(failure):
            raise
        raise CapacityError(
            f"The list of contacts does not fit on this worker: its memory or the disk of its temporary files "
            f"({tempfile.gettempdir()}) is used up ({type(failure).__name__}). {state}. Free or add disk space (the "
            f"environment variable TMPDIR moves temporary files), or split the list among several tasks."
        ) from None


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


def blank_sql(text: str) -> str:
    """
    :param text: SQL expression of a text
    :return: SQL condition: there is nothing to be seen in it; NULL where the text is
    """
    return (
        f"CASE WHEN ascii({text}) BETWEEN 33 AND 126 THEN false ELSE regexp_full_match({text}, {literal(_BLANK)}) END"
    )


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


def json_lines_relation(paths: Sequence[Path], *, ignore_errors: bool = False) -> str:
    """
    :param paths: files of JSON values, one a line
    :param ignore_errors: whether a line that is no JSON becomes NULL instead of an error
    :return: SQL of a relation with a column ``json``
    """
    return (
        f"read_ndjson_objects({path_list(paths)}, ignore_errors={str(ignore_errors).lower()}, "
        f"maximum_object_size={MAX_ROW_BYTES})"
    )


def path_list(paths: Iterable[Path]) -> str:
    """:return: SQL list of the paths"""
    return f"[{', '.join(literal(str(path)) for path in paths)}]"
