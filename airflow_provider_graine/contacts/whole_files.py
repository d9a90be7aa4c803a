"""
Files that DuckDB may read because every line of each has become a row; the others are for Python.

Many small files are read as one, for a statement costs more than a small file does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_graine.contacts.database import transaction, with_room
from airflow_provider_graine.contacts.files import TextFile
from airflow_provider_graine.contacts.progress import telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from duckdb import DuckDBPyConnection

F = TypeVar("F", bound=TextFile)


class NotWholeError(Exception):
    """DuckDB did not make a readable row of each line."""


def read_whole(
    db: DuckDBPyConnection, files: Sequence[F], take: Callable[[Sequence[F]], int]
) -> Iterator[tuple[Sequence[F], list[int] | None]]:
    """
    Let DuckDB take files in, as many at once as it can; what is not whole is undone.

    :param db: the database
    :param files: files of the same manner
    :param take: puts the rows of files into the database and returns how many there were
    :return: the files in their order, some at a time, with the number of rows of each; ``None`` in its place for a
        file that has to be read in Python before the next ones are asked for
    """
    counts = _attempt(db, files, take)
    if counts is not None or len(files) == 1:
        yield files, counts
        return
    middle = len(files) // 2
    yield from read_whole(db, files[:middle], take)
    yield from read_whole(db, files[middle:], take)


def _attempt(db: DuckDBPyConnection, files: Sequence[F], take: Callable[[Sequence[F]], int]) -> list[int] | None:
    import duckdb

    def attempt() -> list[int]:
        with transaction(db), ThreadPoolExecutor(1, thread_name_prefix="row-count") as thread:
            counting = thread.submit(lambda: [file.row_count() for file in files])
            taken = take(files)
            counts = [count for count in counting.result() if count is not None]
            # No file gives more rows than it has lines: where the sums are the same, each file's numbers are.
            if len(counts) < len(files) or sum(counts) != taken:
                raise NotWholeError
            return counts

    others = f" and {len(files) - 1} more files" if len(files) > 1 else ""
    try:
        with telling(f'Reading "{files[0].origin}"{others}', db):
            return with_room(db, attempt)
    except (NotWholeError, duckdb.Error, UnicodeDecodeError):  # the last: DuckDB < 2 quoting what is not UTF-8
        return None  # also where memory was short: row by row it takes less
