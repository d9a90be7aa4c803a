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
from airflow_provider_graine.contacts.csv_file import header_bytes, row_bytes_sql
from airflow_provider_graine.contacts.database import count, literal
from airflow_provider_graine.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from airflow_provider_graine.contacts.local_time import Stretch


#: Index of a chunk, how many people it has, and the first and last row of the list that are in it.
_Bounds: TypeAlias = tuple[int, int, int, int]

_END = b"\x02"  # after the last person of a chunk; in no JSON
_BYTES_AT_ONCE = 8 * 1024 * 1024
_ROWS_AT_ONCE = 50_000
_NOT_EXCLUDED = "digits NOT IN (SELECT digits FROM excluded)"
_ACCEPTED = "(SELECT ordinal, digits, variables FROM accepted JOIN said USING (ordinal))"


@dataclass(frozen=True)
class _Piece:
    """
    What is written at once: one or more whole chunks.

    :param those: SQL condition on the plan: who is in it
    :param index: SQL expression of the index of each one's chunk
    :param is_last: SQL condition: somebody is the last one of a chunk
    :param start: when they may be called first, where that is not the same for all
    """

    those: str
    index: str
    is_last: str
    start: datetime | None = None


@dataclass(frozen=True)
class _Part:
    """
    What is cut without a look at the rest.

    :param place: where it begins
    :param people: how many there are
    :param start: as in :class:`Chunk`
    """

    place: int
    people: int
    start: datetime | None = None


@dataclass
class _Pace:
    """
    How much is written at once.

    :param chunks: how many chunks are in a piece: few, until it is known how long they are
    """

    chunks: int = 1

    def learn(self, *, chunks: int, length: int) -> None:
        """
        Take note of how long a piece has become.

        :param chunks: how many were in it
        :param length: bytes
        """
        self.chunks = max(1, min(_BYTES_AT_ONCE * chunks // length, 4 * self.chunks))


@dataclass(frozen=True)
class Chunk:
    """
    Some people of the list, in its order.

    :param index: position among the chunks, from 0
    :param size: number of people
    :param contacts: JSON array for the request body, UTF-8: ``[{"phone_number": …, "call_variables": {…}}, …]``
    :param fingerprint: SHA-256 (hex) of them: who is in it, in which order, and what is said to them
    :param span: first and last row of the whole list that are in it; nobody of another chunk lies between
    :param start: when they may be called first, where people are called by the clock where they are
    """

    index: int
    size: int
    contacts: bytes = field(repr=False)
    fingerprint: str
    span: tuple[int, int] = (0, -1)
    start: datetime | None = None

    def phone_numbers(self) -> list[str]:
        """:return: the E.164 numbers, in order"""
        return [contact["phone_number"] for contact in json.loads(self.contacts)]


def cut(
    db: DuckDBPyConnection,
    size: int,
    *,
    directory: Path,
    plan: str,
    everybody: bool = False,
    csv_bytes: int | None = None,
    stretches: Sequence[Stretch] = (),
) -> Iterator[Chunk]:
    """
    Cut what is still to be sent into chunks.

    :param db: a screened database
    :param size: people in a chunk, at most
    :param directory: where files may be written
    :param plan: name for who is to be sent, as of now
    :param everybody: whether those who are excluded are in the chunks too
    :param csv_bytes: bytes of a chunk's CSV file, at most. The whole list is then cut once and for all, and those who
        are excluded are missing from their chunks: the others of a chunk stay the same
    :return: the chunks, each built when it is asked for
    :raises SourceError: one person alone is longer than that
    """
    if everybody or not count(db, "SELECT count(*) FROM excluded"):
        db.execute(f"CREATE VIEW {plan} AS SELECT *, rowid AS place FROM accepted")
    else:
        db.execute(f"""
            CREATE TABLE {plan}_left AS
            SELECT ordinal, digits FROM accepted WHERE {_NOT_EXCLUDED} ORDER BY ordinal;
            CREATE VIEW {plan} AS SELECT *, rowid AS place FROM {plan}_left;
        """)
    pace = _Pace()
    if csv_bytes is None:
        pieces = _by_number(size, _parts_by_start(db, plan, stretches), pace)
    else:
        pieces = _by_bytes(db, _parts_of(db, size, csv_bytes), plan)
    return _chunks(db, pieces, pace, plan=plan, directory=directory)


def number_of_chunks(
    db: DuckDBPyConnection, size: int, *, csv_bytes: int | None = None, stretches: Sequence[Stretch] = ()
) -> int:
    """
    Tell how many chunks :func:`cut` would make of what is still to be sent.

    :param db: a screened database
    :param size: people in a chunk, at most
    :param csv_bytes: bytes of a chunk's CSV file, at most
    :param stretches: who is called when
    """
    if stretches:
        return sum(-(-people // size) for people in left_in(db, stretches))
    if csv_bytes is None:
        return -(-count(db, f"SELECT count(*) FROM accepted WHERE {_NOT_EXCLUDED}") // size)
    parts = _parts_of(db, size, csv_bytes)
    return count(
        db, f"SELECT count(DISTINCT first) FROM accepted ASOF JOIN {parts} ON ordinal >= first WHERE {_NOT_EXCLUDED}"
    )


def left_in(db: DuckDBPyConnection, stretches: Sequence[Stretch]) -> list[int]:
    """
    Count who is still to be sent.

    :param db: a screened database
    :param stretches: who is called when
    :return: how many are in each
    """
    left = f"(SELECT ordinal, 0 AS place FROM accepted WHERE {_NOT_EXCLUDED})"
    return [part.people for part in _parts_by_start(db, left, stretches)]


def _parts_by_start(db: DuckDBPyConnection, people: str, stretches: Sequence[Stretch]) -> list[_Part]:
    if not stretches:
        return [_Part(0, count(db, f"SELECT count(*) FROM {people}"))]
    found = {
        first: (place, number)
        for first, place, number in db.execute(
            f"""
            SELECT first, min(place), count(*)
            FROM {people} ASOF JOIN (SELECT unnest(?::BIGINT[]) AS first) ON ordinal >= first GROUP BY first
            """,
            [[stretch.first for stretch in stretches]],
        ).fetchall()
    }
    return [_Part(*found.get(stretch.first, (0, 0)), stretch.start) for stretch in stretches]


def _parts_of(db: DuckDBPyConnection, size: int, csv_bytes: int) -> str:
    """Cut the whole list by bytes, each part as full as it gets; returns the table of their first rows."""
    table = f"parts_{size}"
    if count(db, f"SELECT count(*) FROM duckdb_tables() WHERE table_name = '{table}'"):
        return table
    names = [
        name for (name,) in db.execute(f"SELECT DISTINCT unnest(json_keys(variables)) FROM {_ACCEPTED}").fetchall()
    ]
    room = csv_bytes - header_bytes(names)
    length = row_bytes_sql("variables", "digits", columns=len(names))
    firsts: list[int] = []
    with db.cursor() as rows:
        rows.execute(f"SELECT ordinal, {length} FROM {_ACCEPTED} ORDER BY ordinal")
        people, taken = size, 0
        while some := rows.fetchmany(_ROWS_AT_ONCE):
            for ordinal, length_of_row in some:
                if length_of_row > room:
                    raise SourceError(
                        f"One contact alone may take {length_of_row:,} bytes, and a file of contacts may have "
                        f"{csv_bytes:,}, of which the names of its columns take {csv_bytes - room:,}. Nothing was "
                        "sent; leave columns out."
                    )
                people, taken = people + 1, taken + length_of_row
                if people > size or taken > room:
                    firsts.append(ordinal)
                    people, taken = 1, length_of_row
    db.execute(f"CREATE TABLE {table} AS SELECT unnest(?::BIGINT[]) AS first", [firsts])
    return table


def _by_number(size: int, parts: Sequence[_Part], pace: _Pace) -> Iterator[_Piece]:
    """Several chunks in a piece, as many as are some megabytes."""
    chunks = 0
    for part in parts:
        start, last_end = part.place, part.place + part.people
        place = f"(place - {part.place})"
        while start < last_end:
            end = min(start + size * pace.chunks, last_end)
            yield _Piece(
                those=f"place >= {start} AND place < {end}",
                index=f"{chunks} + {place} // {size}",
                is_last=f"({place} + 1) % {size} = 0 OR place = {end - 1}",
                start=part.start,
            )
            start = end
        chunks += -(-part.people // size)


def _by_bytes(db: DuckDBPyConnection, parts: str, plan: str) -> Iterator[_Piece]:
    """One chunk in a piece: it has megabytes already."""
    bounds = db.execute(
        f"SELECT min(ordinal), max(ordinal) FROM {plan} ASOF JOIN {parts} ON ordinal >= first GROUP BY first ORDER BY 1"
    ).fetchall()
    for index, (first, last) in enumerate(bounds):
        yield _Piece(those=f"ordinal BETWEEN {first} AND {last}", index=str(index), is_last=f"ordinal = {last}")


def _chunks(
    db: DuckDBPyConnection, pieces: Iterator[_Piece], pace: _Pace, *, plan: str, directory: Path
) -> Iterator[Chunk]:
    # A cut that is given up can be ended by whichever thread collects garbage: it leaves the list's connection alone.
    with db.cursor() as own, _planned(own, plan), _one_thread(own):

        def write(numbered: tuple[int, _Piece]) -> tuple[Path, list[_Bounds], datetime | None]:
            number, piece = numbered
            path = directory / f"{plan}-{number}"
            return path, _written(own, piece, plan, path), piece.start

        with closing(one_ahead(write, enumerate(pieces))) as written:
            for path, bounds, start in written:
                pace.learn(chunks=len(bounds), length=path.stat().st_size)
                yield from _read(path, bounds, start)
                path.unlink()


@contextmanager
def _planned(db: DuckDBPyConnection, plan: str) -> Iterator[None]:
    try:
        yield
    finally:
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


def _written(db: DuckDBPyConnection, piece: _Piece, plan: str, path: Path) -> list[_Bounds]:
    """
    Have DuckDB write the people of a piece of the plan to a file, a line for each.

    Both tables have the order of the list, so it reads a range of each. All of this is DuckDB's work: what Python does
    it does when it sends, for two threads of it would hold each other up.
    """
    planned = (
        f"(SELECT ordinal, digits, {piece.index} AS index, {piece.is_last} AS is_last FROM {plan} WHERE {piece.those})"
    )
    bounds = db.execute(
        f"SELECT index, count(*), min(ordinal), max(ordinal) FROM {planned} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    end = f"CASE WHEN is_last THEN {literal(_END.decode())} ELSE ',' END"
    written = count(
        db,
        f"""
        COPY (
            SELECT '{{"phone_number":"+' || digits || '","call_variables":' || variables || '}}' || {end}
            FROM {planned}
            JOIN (SELECT ordinal, variables FROM said WHERE ordinal BETWEEN {bounds[0][2]} AND {bounds[-1][3]})
            USING (ordinal)
            ORDER BY ordinal
        ) TO {literal(str(path))} (FORMAT csv, HEADER false, DELIMITER '\x01', QUOTE '', ESCAPE '')
        """,
    )
    if written != sum(people for _, people, _, _ in bounds):
        raise RuntimeError("There are not as many lines as people.")
    return bounds


def _read(path: Path, bounds: list[_Bounds], start: datetime | None = None) -> Iterator[Chunk]:
    lines = path.read_bytes()
    begins, end = [0], lines.find(_END)
    while end != -1:
        begins.append(end + len(_END) + len(b"\n"))
        end = lines.find(_END, end + 1)
    if len(begins) - 1 != len(bounds) or begins[-1] != len(lines):
        raise RuntimeError("There are not as many ends as chunks.")
    for (index, people, first, last), (begin, following) in zip(bounds, itertools.pairwise(begins), strict=True):
        end = following - len(_END) - len(b"\n")
        contacts = b"".join((b"[", memoryview(lines)[begin:end], b"]"))
        yield Chunk(index, people, contacts, hashlib.sha256(contacts).hexdigest(), (first, last), start)
