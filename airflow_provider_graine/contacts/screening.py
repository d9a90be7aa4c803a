"""Who may be called: one verdict for each row that was read."""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_graine.contacts.database import blank_sql, count, text_batches
from airflow_provider_graine.contacts.e164 import codes_in, is_e164_sql, squeezed_sql
from airflow_provider_graine.contacts.number_lists import NumberList
from airflow_provider_graine.contacts.shapes import CALLEE_NAME
from airflow_provider_graine.contacts.timezones import INVALID, UNKNOWN
from airflow_provider_graine.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb import DuckDBPyConnection

    from airflow_provider_graine.contacts.numbers import NumberReader

_REJECTS_BATCH = 10_000
_GOLDEN = 11_400_714_819_323_198_485  # 2^64 divided by the golden ratio


class RejectReason(StrEnum):
    """Why a row is not called. The first that applies is the one that counts."""

    MALFORMED_ROW = "malformed_row", "The row cannot be read: columns, quotes, encoding or JSON are broken."
    MISSING_NUMBER = "missing_number", "There is no phone number."
    INVALID_NUMBER = "invalid_number", "What is there is not a phone number that can be dialled."
    MISSING_NAME = "missing_name", "There is no name for the agent to say."
    INVALID_TIMEZONE = "invalid_timezone", "What the column of time zones says is not the name of one."
    UNKNOWN_TIMEZONE = "unknown_timezone", "Nothing tells in which time zone the person is, so nobody knows the hour."
    SUPPRESSED = "suppressed", "The number is on a list of people who must not be called."
    DUPLICATE = "duplicate", "An earlier row has the same number and is called."

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> RejectReason:  # noqa: D102
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


@dataclass(frozen=True)
class Screening:
    """
    What came of a list: ``accepted``, all of ``rejected`` and ``elsewhere`` make up ``read``.

    :param read: rows that came in
    :param accepted: people who may be called
    :param rejected: number of rows by reason, without the reasons that did not occur
    :param elsewhere: rows that are for the other shards of the list
    :param rejected_elsewhere: how many of those are rejected
    :param unreadable_suppressions: entries of suppression lists that could not be made out and stop nobody
    """

    read: int
    accepted: int
    rejected: dict[RejectReason, int] = field(default_factory=dict)
    elsewhere: int = 0
    rejected_elsewhere: int = 0
    unreadable_suppressions: int = 0


@dataclass(frozen=True)
class Shard:
    """
    One of several disjoint parts of all people, told by their numbers alone: the same on every machine.

    :param index: which part, from 0
    :param of: number of parts
    :raises ConfigurationError: there is no such part
    """

    index: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.of:
            raise ConfigurationError(
                f"shard ({self.index}, {self.of}) is none of {self.of} parts, which count from 0; nothing was sent."
            )

    def holds_sql(self, digits: str) -> str:
        """
        :param digits: SQL expression of the digits of an E.164 number
        :return: SQL condition: the person is in this part
        """
        # Multiplicative hashing, the upper half of 64 bits: integers alone, which are the same everywhere. Bits, for
        # dividing 128-bit numbers takes microseconds.
        product = f"(CAST({digits} AS UHUGEINT) * {_GOLDEN}) & {2**64 - 1}"
        return f"CAST(({product}) >> 32 AS UBIGINT) % {self.of} = {self.index}"

    def reports_sql(self, content: str) -> str:
        """
        :param content: SQL expression of all that is known of a row without a number
        :return: SQL condition: this part reports the row
        """
        return f"CAST('0x' || substr(md5({content}), 1, 8) AS BIGINT) % {self.of} = {self.index}"


def screen(
    db: DuckDBPyConnection,
    reader: NumberReader,
    suppression: NumberList,
    *,
    read: int,
    shard: Shard | None = None,
    find_zones: Callable[[], object] | None = None,
) -> Screening:
    """
    Judge all rows, into the tables ``accepted(ordinal, digits)`` and ``rejected(ordinal, reason)``.

    What is said to the accepted is in ``said(ordinal, variables)``.

    :param db: the database of the list
    :param reader: the rules for numbers
    :param suppression: who must not be called
    :param read: number of rows
    :param shard: which people to keep, default all; rows of the others are in neither table
    :param find_zones: makes the table ``zoned(ordinal, zones, lack)`` of those who have no reason yet, where everybody
        needs a time zone
    :return: the counts
    """
    _read_numbers(db, reader)
    if find_zones is not None:
        find_zones()
        _reject_without_zones(db)
    suppression.resolve()
    db.execute(f"""
        CREATE TABLE suppressed AS
        SELECT DISTINCT digits FROM {suppression.matches("checked")};

        CREATE TABLE several AS
        SELECT digits, min(ordinal) AS first
        FROM checked SEMI JOIN (
            SELECT digits FROM checked WHERE reason IS NULL GROUP BY digits HAVING count(*) > 1
        ) USING (digits)
        WHERE reason IS NULL GROUP BY digits;

        CREATE TABLE verdicts AS
        SELECT ordinal, digits,
               CASE WHEN reason IS NOT NULL THEN reason
                    WHEN suppressed.digits IS NOT NULL THEN '{RejectReason.SUPPRESSED}'
                    WHEN ordinal > first THEN '{RejectReason.DUPLICATE}' END AS reason
        FROM checked LEFT JOIN suppressed USING (digits) LEFT JOIN several USING (digits);
        DROP TABLE checked;
        DROP TABLE suppressed;
        DROP TABLE several;
    """)
    rejected_by_all = count(db, "SELECT count(*) FROM verdicts WHERE reason IS NOT NULL")
    _keep(db, shard or Shard())
    db.execute("""
        CREATE TABLE accepted AS SELECT ordinal, digits FROM verdicts WHERE reason IS NULL ORDER BY ordinal;
        CREATE TABLE rejected AS SELECT ordinal, reason FROM verdicts WHERE reason IS NOT NULL ORDER BY ordinal;
        CREATE VIEW said AS SELECT ordinal, variables FROM contacts;
        DROP TABLE verdicts;
    """)
    by_reason = dict(db.execute("SELECT reason, count(*) FROM rejected GROUP BY reason").fetchall())
    accepted, rejected = count(db, "SELECT count(*) FROM accepted"), sum(by_reason.values())
    return Screening(
        read=read,
        accepted=accepted,
        rejected={reason: by_reason[reason] for reason in RejectReason if reason in by_reason},
        elsewhere=read - accepted - rejected,
        rejected_elsewhere=rejected_by_all - rejected,
        unreadable_suppressions=suppression.unreadable,
    )


def _read_numbers(db: DuckDBPyConnection, reader: NumberReader) -> None:
    """Read each spelling once, into ``checked(ordinal, digits, reason)``; what is E.164 does not need the library."""
    codes = codes_in(db, "(SELECT raw_number AS number FROM contacts)")
    db.execute(f"""
        CREATE TABLE written AS
        WITH squeezed AS (
            SELECT ordinal, raw_number, named, {squeezed_sql("raw_number")} AS number FROM contacts
        ), plain AS (
            SELECT ordinal, raw_number, named,
                   coalesce({blank_sql("raw_number")}, true) AS blank,
                   CASE WHEN {is_e164_sql("number", codes, reader.number_check)}
                        THEN CAST(substr(number, 2) AS BIGINT) END AS digits
            FROM squeezed
        )
        SELECT ordinal, digits,
               CASE WHEN digits IS NULL AND NOT blank THEN raw_number END AS spelling,
               CASE WHEN named IS NULL THEN '{RejectReason.MALFORMED_ROW}'
                    WHEN blank THEN '{RejectReason.MISSING_NUMBER}'
                    WHEN NOT named THEN '{RejectReason.MISSING_NAME}' END AS reason
        FROM plain;
        CREATE TABLE spellings AS SELECT DISTINCT spelling FROM written WHERE spelling IS NOT NULL;
        CREATE TABLE numbers (spelling VARCHAR, digits BIGINT);
    """)
    for spellings in text_batches(db, "spellings", "spelling", where="true"):
        db.execute(
            "INSERT INTO numbers SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[])",
            [spellings, [reader.read(spelling) for spelling in spellings]],
        )
    db.execute(f"""
        CREATE TABLE checked AS
        SELECT ordinal, coalesce(written.digits, numbers.digits) AS digits,
               CASE WHEN spelling IS NOT NULL AND numbers.digits IS NULL THEN '{RejectReason.INVALID_NUMBER}'
                    ELSE reason END AS reason
        FROM written LEFT JOIN numbers USING (spelling);
        DROP TABLE written;
        DROP TABLE spellings;
        DROP TABLE numbers;
    """)


def _reject_without_zones(db: DuckDBPyConnection) -> None:
    db.execute(f"""
        CREATE TABLE zone_checked AS
        SELECT ordinal, digits,
               CASE lack WHEN '{INVALID}' THEN '{RejectReason.INVALID_TIMEZONE}'
                         WHEN '{UNKNOWN}' THEN '{RejectReason.UNKNOWN_TIMEZONE}' ELSE reason END AS reason
        FROM checked LEFT JOIN zoned USING (ordinal);
        DROP TABLE checked;
        ALTER TABLE zone_checked RENAME TO checked;
    """)


def _keep(db: DuckDBPyConnection, shard: Shard) -> None:
    """Forget the people of other parts; a row without a number is reported by the one part that its content tells."""
    if shard.of == 1:
        return
    db.execute(f"""
        CREATE TABLE kept AS
        SELECT * FROM verdicts WHERE {shard.holds_sql("digits")}
        UNION ALL
        SELECT verdicts.* FROM verdicts JOIN contacts USING (ordinal)
        WHERE digits IS NULL AND {shard.reports_sql("concat(raw_number, chr(10), variables)")};
        DROP TABLE verdicts;
        ALTER TABLE kept RENAME TO verdicts;
    """)


def write_rejects(db: DuckDBPyConnection, file: BinaryIO) -> None:
    """
    Write the rejected rows as CSV, in the order in which they came.

    :param db: a screened database
    :param file: where to; stays open
    """
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        # Before Python 3.13 a carriage return is only quoted where it belongs to the end of a line.
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(["origin", "row", "reason", "phone_number", CALLEE_NAME])
        for start in range(0, count(db, "SELECT count(*) FROM rejected"), _REJECTS_BATCH):
            bounds = db.execute(
                "SELECT min(ordinal), max(ordinal) FROM rejected WHERE rowid >= ? AND rowid < ?",
                [start, start + _REJECTS_BATCH],
            ).fetchone()
            writer.writerows(
                db.execute(
                    f"""
                    SELECT origin, ordinal - first_ordinal + 1, reason, raw_number, variables ->> '$.{CALLEE_NAME}'
                    FROM (SELECT * FROM rejected WHERE ordinal BETWEEN $first AND $last)
                    JOIN (SELECT * FROM contacts WHERE ordinal BETWEEN $first AND $last) USING (ordinal)
                    ASOF JOIN sources ON ordinal >= first_ordinal
                    ORDER BY ordinal
                    """,
                    {"first": bounds[0], "last": bounds[1]} if bounds else {},
                ).fetchall()
            )
    finally:
        text.flush()
        text.detach()
