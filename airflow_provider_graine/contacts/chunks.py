"""Pieces of the accepted list, each ready to be the ``contacts`` of one request."""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_graine.contacts.database import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection


_PEOPLE_AT_ONCE = 20_000
_BYTES_AT_ONCE = 8 * 1024 * 1024


@dataclass(frozen=True)
class Chunk:
    """
    Some people of the list, in its order.

    :param index: position among the chunks, from 0
    :param size: number of people
    :param contacts: JSON array for the request body, UTF-8: ``[{"phone_number": …, "call_variables": {…}}, …]``
    :param fingerprint: SHA-256 (hex) of who is in it and what is said to them, in any order
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


def cut(db: DuckDBPyConnection, size: int, *, plan: str, everybody: bool = False) -> Iterator[Chunk]:
    """
    Cut what is still to be sent into chunks.

    :param db: a screened database
    :param size: people in a chunk, at most
    :param plan: name for the table of who is to be sent, as of now
    :param everybody: whether those who are excluded are in the chunks too
    :return: the chunks, each built when it is asked for
    """
    those = "true" if everybody else "digits NOT IN (SELECT digits FROM excluded)"
    db.execute(f"CREATE TABLE {plan} AS SELECT ordinal, digits FROM accepted WHERE {those} ORDER BY ordinal")
    return _chunks(db, size, plan)


def _chunks(db: DuckDBPyConnection, size: int, plan: str) -> Iterator[Chunk]:
    people = _people(db, plan)
    for index in itertools.count():
        rows = list(itertools.islice(people, size))
        if not rows:
            break
        span = rows[0][2], rows[-1][2]
        body = "[" + ",".join(contact for _, contact, _ in rows) + "]"
        rows.sort()
        fingerprint = hashlib.sha256("\n".join(contact for _, contact, _ in rows).encode())
        yield Chunk(index, len(rows), body.encode(), fingerprint.hexdigest(), span)
    db.execute(f"DROP TABLE {plan}")


def _people(db: DuckDBPyConnection, plan: str) -> Iterator[tuple[int, str, int]]:
    """Digits, JSON and row of each person, in order; both tables have this order, so DuckDB reads a range at a time."""
    person_bytes = max(1, count(db, "SELECT CAST(avg(strlen(variables)) AS BIGINT) FROM contacts"))
    step = max(1, min(_PEOPLE_AT_ONCE, _BYTES_AT_ONCE // person_bytes))
    for start in range(0, count(db, f"SELECT count(*) FROM {plan}"), step):
        planned = f"(SELECT * FROM {plan} WHERE rowid >= {start} AND rowid < {start + step})"
        first, last = db.execute(f"SELECT min(ordinal), max(ordinal) FROM {planned}").fetchone() or (0, -1)
        yield from db.execute(f"""
            SELECT digits, '{{"phone_number":"+' || digits || '","call_variables":' || variables || '}}', ordinal
            FROM {planned}
            JOIN (SELECT ordinal, variables FROM contacts WHERE ordinal BETWEEN {first} AND {last}) USING (ordinal)
            ORDER BY ordinal
        """).fetchall()
