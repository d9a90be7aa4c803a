"""Who may be called: one verdict for each row that was read."""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_graine.contacts.database import BLANK, count, literal, text_batches
from airflow_provider_graine.contacts.number_lists import NumberList, plain_sql
from airflow_provider_graine.contacts.staging import CALLEE_NAME

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from airflow_provider_graine.contacts.numbers import NumberReader

_REJECTS_BATCH = 10_000


class RejectReason(StrEnum):
    """Why a row is not called. The first that applies is the one that counts."""

    MALFORMED_ROW = "malformed_row", "The row cannot be read: columns, quotes, encoding or JSON are broken."
    MISSING_NUMBER = "missing_number", "There is no phone number."
    INVALID_NUMBER = "invalid_number", "What is there is not a phone number that can be dialled."
    MISSING_NAME = "missing_name", "There is no name for the agent to say."
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
    What came of a list: ``accepted`` and all of ``rejected`` make up ``read``.

    :param read: rows that came in
    :param accepted: people who may be called
    :param rejected: number of rows by reason, without the reasons that did not occur
    :param unreadable_suppressions: entries of suppression lists that could not be made out and stop nobody
    """

    read: int
    accepted: int
    rejected: dict[RejectReason, int] = field(default_factory=dict)
    unreadable_suppressions: int = 0


def screen(db: DuckDBPyConnection, reader: NumberReader, suppression: NumberList, *, read: int) -> Screening:
    """
    Judge all rows, into the tables ``accepted(ordinal, digits)`` and ``rejected(ordinal, reason)``.

    :param db: the database of the list
    :param reader: the rules for numbers
    :param suppression: who must not be called
    :param read: number of rows
    :return: the counts
    """
    _read_numbers(db, reader)
    suppression.resolve()
    db.execute(f"""
        CREATE TABLE checked AS
        SELECT ordinal,
               CASE WHEN plain THEN CAST(substr(raw_number, 2) AS BIGINT) ELSE numbers.digits END AS digits,
               CASE WHEN malformed THEN '{RejectReason.MALFORMED_ROW}'
                    WHEN blank THEN '{RejectReason.MISSING_NUMBER}'
                    WHEN NOT plain AND numbers.digits IS NULL THEN '{RejectReason.INVALID_NUMBER}'
                    WHEN NOT named THEN '{RejectReason.MISSING_NAME}' END AS reason
        FROM written LEFT JOIN numbers USING (raw_number);
        DROP TABLE numbers;

        CREATE TABLE suppressed AS
        SELECT DISTINCT digits FROM {suppression.matches("checked")};

        CREATE TABLE verdicts AS
        WITH judged AS (
            SELECT ordinal, digits,
                   CASE WHEN reason IS NULL AND suppressed.digits IS NOT NULL THEN '{RejectReason.SUPPRESSED}'
                        ELSE reason END AS reason
            FROM checked LEFT JOIN suppressed USING (digits)
        ), firsts AS (
            SELECT min(ordinal) AS ordinal FROM judged WHERE reason IS NULL GROUP BY digits
        )
        SELECT ordinal, digits,
               CASE WHEN reason IS NULL AND firsts.ordinal IS NULL THEN '{RejectReason.DUPLICATE}'
                    ELSE reason END AS reason
        FROM judged LEFT JOIN firsts USING (ordinal);
        DROP TABLE checked;
        DROP TABLE suppressed;

        CREATE TABLE accepted AS SELECT ordinal, digits FROM verdicts WHERE reason IS NULL ORDER BY ordinal;
        CREATE TABLE rejected AS SELECT ordinal, reason FROM verdicts WHERE reason IS NOT NULL ORDER BY ordinal;
        DROP TABLE verdicts;
    """)
    by_reason = dict(db.execute("SELECT reason, count(*) FROM rejected GROUP BY reason").fetchall())
    return Screening(
        read=read,
        accepted=count(db, "SELECT count(*) FROM accepted"),
        rejected={reason: by_reason[reason] for reason in RejectReason if reason in by_reason},
        unreadable_suppressions=suppression.unreadable,
    )


def _read_numbers(db: DuckDBPyConnection, reader: NumberReader) -> None:
    """Read each spelling once; what is E.164 already does not need the library."""
    db.execute(f"""
        CREATE OR REPLACE TEMP VIEW written AS
        SELECT ordinal, raw_number, named,
               variables IS NULL AS malformed,
               raw_number IS NULL OR regexp_full_match(raw_number, {literal(BLANK)}) AS blank,
               coalesce({plain_sql(reader, "raw_number")}, false) AS plain
        FROM contacts;
        CREATE TABLE spellings AS SELECT DISTINCT raw_number FROM written WHERE NOT blank AND NOT plain;
        CREATE TABLE numbers (raw_number VARCHAR, digits BIGINT);
    """)
    for spellings in text_batches(db, "spellings", "raw_number", where="true"):
        db.execute(
            "INSERT INTO numbers SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[])",
            [spellings, [reader.read(spelling) for spelling in spellings]],
        )
    db.execute("DROP TABLE spellings")


def write_rejects(db: DuckDBPyConnection, file: BinaryIO) -> None:
    """
    Write the rejected rows as CSV, in the order in which they came.

    :param db: a screened database
    :param file: where to; stays open
    """
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
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
