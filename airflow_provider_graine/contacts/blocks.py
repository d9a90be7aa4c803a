"""
Rows made in Python, handed to DuckDB some thousands at a time, by way of a file: the quickest way in without NumPy.

A block has a line for each row, of JSON texts with tabs between them: JSON has neither tabs nor line breaks inside.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_graine.contacts.ahead import one_ahead
from airflow_provider_graine.contacts.database import MAX_ROW_BYTES, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

T = TypeVar("T")

# So many rows stay in the processor's cache from the cursor to the file.
_ROWS = 2_000
# A control character in JSON: no backslash before it, or an even number.
_LOWER_CASE = re.compile(rb"(?<!\\)((?:\\\\)*\\u00[01])([a-f])")


def write_blocks(
    rows: Iterable[T],
    encode: Callable[[Sequence[T]], Iterable[str]],
    write: Callable[[bytes], int],
    *,
    unreadable: str,
    at_most: int = MAX_ROW_BYTES,
) -> Generator[int]:
    """
    Encode and write rows in a thread of their own, while the caller's gets more: a cursor waits for its server.

    :param rows: any number of rows; iterated by the caller
    :param encode: gives the lines of some rows; called in the thread
    :param write: takes a block, texts of lines in UTF-8, and returns how many rows came of it; called in the thread
    :param unreadable: the line of a row that is not Unicode (half of a surrogate pair), or too long to be one
    :param at_most: bytes in a block; a longer line has one of its own
    :return: how many rows were written, now and then
    """
    pieces: list[bytes] = []

    def add(some: Sequence[T]) -> int:
        piece = _encoded(some, encode, unreadable) if some else b""
        written = 0
        if not some or sum(map(len, pieces)) + len(piece) > at_most:
            written = sum(map(write, _bounded(b"".join(pieces), at_most, unreadable)))
            pieces.clear()
        pieces.append(piece)
        return written

    iterator = iter(rows)
    batches = iter(lambda: list(itertools.islice(iterator, _ROWS)), [])
    return one_ahead(add, itertools.chain(batches, [[]]))  # with the empty one comes the rest


def _bounded(block: bytes, at_most: int, unreadable: str) -> Iterator[bytes]:
    start = 0
    while start < len(block):
        is_rest = len(block) - start <= at_most
        end = len(block) if is_rest else block.rfind(b"\n", start, start + at_most) + 1
        end = end or block.index(b"\n", start) + 1
        yield block[start:end] if end - start <= MAX_ROW_BYTES else f"{unreadable}\n".encode()
        start = end


def _encoded(rows: Sequence[T], encode: Callable[[Sequence[T]], Iterable[str]], unreadable: str) -> bytes:
    try:
        block = ("\n".join(encode(rows)) + "\n").encode()
        # As DuckDB writes it, for the same person has the same JSON whoever reads the file.
        return _LOWER_CASE.sub(lambda found: found[1] + found[2].upper(), block) if b"\\u00" in block else block
    except UnicodeEncodeError:
        if len(rows) == 1:
            return f"{unreadable}\n".encode()
        middle = len(rows) // 2
        return _encoded(rows[:middle], encode, unreadable) + _encoded(rows[middle:], encode, unreadable)


@contextmanager
def block_file(block: bytes, directory: Path) -> Iterator[Path]:
    """
    :param block: texts of lines
    :param directory: where the file may be
    :return: a context manager that gives the file
    """
    with tempfile.NamedTemporaryFile(dir=directory, prefix="block-") as file:
        file.write(block)
        file.flush()
        yield Path(file.name)


def block_relation(path: Path, columns: Iterable[str], *, null: str = "") -> str:
    """
    :param path: file of a block, or of other lines with tabs between texts that hold neither
    :param columns: a name for each text of a line
    :param null: the text that stands for NULL
    :return: SQL of a relation with these columns
    """
    named = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)
    return (
        f"read_csv({literal(str(path))}, columns={{{named}}}, auto_detect=false, header=false, delim='\t', quote='', "
        f"escape='', new_line='\\n', compression='none', max_line_size={MAX_ROW_BYTES}, "
        f"buffer_size={2 * MAX_ROW_BYTES}, nullstr={literal(null)})"
    )
