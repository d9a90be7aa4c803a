"""Pieces of the accepted list, each ready to be the ``contacts`` of one request."""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import hashlib
import itertools
import json
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from airflow_provider_graine.contacts.ahead import one_ahead
from airflow_provider_graine.contacts.database import count, literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection


#: Index of a chunk, how many people it has, and the first and last row of the list that are in it.
_Bounds: TypeAlias = tuple[int, int, int, int]

_BYTES_AT_ONCE = 8 * 1024 * 1024

_END = b"\x02"  # after the last person of a chunk; in no JSON


@dataclass(frozen=True)
class Chunk:
    """
    Some people of the list, in its order.

    :param index: position among the chunks, from 0
    :param size: number of people
    :param contacts: JSON array for the request body, UTF-8: ``[{"phone_number": …, "call_variables": {…}}, …]``
    :param fingerprint: SHA-256 (hex) of them: who is in it, in which order, and what is said to them
    :param span: first and last row of the whole list that are in it; nobody of another chunk lies between
    """

    index: int
    size: int
    contacts: bytes = field(repr=False)
    fingerprint: str
    span: tuple[int, int] = (0, -1)

    def phone_numbers(self) -> list[str]:
        """:return: the E.164 numbers, in order"""
        return [contact["phone_number"] for contact in json.loads(self.contacts)]


def cut(db: DuckDBPyConnection, size: int, *, directory: Path, plan: str, everybody: bool = False) -> Iterator[Chunk]:
    """
    Cut what is still to be sent into chunks.

    :param db: a screened database
    :param size: people in a chunk, at most
    :param directory: where files may be written
    :param plan: name for who is to be sent, as of now
    :param everybody: whether those who are excluded are in the chunks too
    :return: the chunks, each built when it is asked for
    """
    if everybody or not count(db, "SELECT count(*) FROM excluded"):
        db.execute(f"CREATE VIEW {plan} AS SELECT *, rowid AS place FROM accepted")
    else:
        db.execute(f"""
            CREATE TABLE {plan}_left AS
            SELECT ordinal, digits FROM accepted WHERE digits NOT IN (SELECT digits FROM excluded) ORDER BY ordinal;
            CREATE VIEW {plan} AS SELECT *, rowid AS place FROM {plan}_left;
        """)
    return _chunks(db, size, plan, directory)


def _chunks(db: DuckDBPyConnection, size: int, plan: str, directory: Path) -> Iterator[Chunk]:
    people = count(db, f"SELECT count(*) FROM {plan}")
    at_once = 1  # chunks in a piece: few, until their length is known

    def ranges() -> Iterator[tuple[int, int]]:
        start = 0
        while start < people:
            end = min(start + size * at_once, people)
            yield start, end
            start = end

    with db.cursor() as own, _one_thread(db):

        def write(rows: tuple[int, int]) -> tuple[Path, list[_Bounds]]:
            start, end = rows
            planned = f"(SELECT * FROM {plan} WHERE place >= {start} AND place < {end})"
            path = directory / f"{plan}-{start}"
            return path, _written(own, size, planned, end - 1, path)

        with closing(one_ahead(write, ranges())) as pieces:
            for path, bounds in pieces:
                fitting = _BYTES_AT_ONCE * len(bounds) // path.stat().st_size
                at_once = max(1, min(fitting, 4 * at_once))
                yield from _read(path, bounds)
                path.unlink()
    db.execute(f"DROP VIEW {plan}; DROP TABLE IF EXISTS {plan}_left")


@contextmanager
def _one_thread(db: DuckDBPyConnection) -> Iterator[None]:
    """It reads ahead: the other cores are for those who send."""
    threads = count(db, "SELECT current_setting('threads')")
    db.execute("SET threads = 1")
    try:
        yield
    finally:
        db.execute(f"SET threads = {threads}")


def _written(db: DuckDBPyConnection, size: int, planned: str, last: int, path: Path) -> list[_Bounds]:
    """
    Have DuckDB write the people of a range of the plan to a file, a line for each.

    Both tables have the order of the list, so it reads a range of each. All of this is DuckDB's work: what Python does
    it does when it sends, for two threads of it would hold each other up.
    """
    bounds = db.execute(
        f"SELECT place // {size}, count(*), min(ordinal), max(ordinal) FROM {planned} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    end = f"CASE WHEN (place + 1) % {size} = 0 OR place = {last} THEN {literal(_END.decode())} ELSE ',' END"
    written = count(
        db,
        f"""
        COPY (
            SELECT '{{"phone_number":"+' || digits || '","call_variables":' || variables || '}}' || {end}
            FROM {planned}
            JOIN (SELECT ordinal, variables FROM contacts WHERE ordinal BETWEEN {bounds[0][2]} AND {bounds[-1][3]})
            USING (ordinal)
            ORDER BY ordinal
        ) TO {literal(str(path))} (FORMAT csv, HEADER false, DELIMITER '\x01', QUOTE '', ESCAPE '')
        """,
    )
    if written != sum(people for _, people, _, _ in bounds):
        raise RuntimeError("There are not as many lines as people.")
    return bounds


def _read(path: Path, bounds: list[_Bounds]) -> Iterator[Chunk]:
    lines = path.read_bytes()
    starts, end = [0], lines.find(_END)
    while end != -1:
        starts.append(end + len(_END) + len(b"\n"))
        end = lines.find(_END, end + 1)
    if len(starts) - 1 != len(bounds) or starts[-1] != len(lines):
        raise RuntimeError("There are not as many ends as chunks.")
    for (index, people, first, last), (start, following) in zip(bounds, itertools.pairwise(starts), strict=True):
        end = following - len(_END) - len(b"\n")
        contacts = b"".join((b"[", memoryview(lines)[start:end], b"]"))
        yield Chunk(index, people, contacts, hashlib.sha256(contacts).hexdigest(), (first, last))
