"""
Lists of numbers that are set against the contacts: who must not be called, who is on a batch already.

Such lists err on the side of not calling. An entry that cannot be read as a number still stands for everybody whose
number ends with its digits, from six digits on.
"""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.contacts.database import (
    BLANK,
    count,
    identifier,
    literal,
    spool,
    text_batches,
    transaction,
)
from airflow_provider_graine.contacts.files import CsvFile, FileFormat, JsonLinesFile, missing_column
from airflow_provider_graine.contacts.numbers import E164_MAX_DIGITS, SUFFIX_MIN_DIGITS, NumberReader
from airflow_provider_graine.contacts.parquet import ParquetFile
from airflow_provider_graine.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection


class NumberList:
    """
    A list of phone numbers, of any length.

    :param db: the database of the contacts
    :param reader: the rules by which the contacts' own numbers are read
    :param name: name for its tables
    :param directory: where files may be written
    """

    def __init__(self, db: DuckDBPyConnection, reader: NumberReader, *, name: str, directory: Path) -> None:
        self._db = db
        self._reader = reader
        self._raw = f"{name}_raw"
        self._listed = name
        self._directory = directory
        self.unreadable = 0
        db.execute(f"""
            CREATE OR REPLACE TABLE {self._raw} (raw VARCHAR);
            CREATE OR REPLACE TABLE {self._listed} (digits BIGINT, ending_length INTEGER);
        """)

    def add(self, numbers: Iterable[Any]) -> None:
        """Add entries; blank ones and ``None`` are none."""

        def lines() -> Iterator[str]:
            for number in numbers:
                if number is not None:
                    yield json.dumps(str(number))

        spool(lines(), self._directory, lambda relation: self._add(f"SELECT json ->> '$' FROM {relation}"))

    def add_file(
        self,
        path: Path,
        *,
        file_format: FileFormat,
        origin: str,
        column: str | None,
        phone_column: str,
        delimiter: str,
    ) -> None:
        """Add the entries of a file."""
        before = self._count()
        if file_format == "csv":
            self._add_csv(CsvFile(path, origin, delimiter=delimiter), column, phone_column)
        elif file_format == "jsonl":
            self._add_json_lines(JsonLinesFile(path, origin), column, phone_column)
        else:
            self._add_parquet(ParquetFile(self._db, path, origin), column, phone_column)
        added = "SELECT count(*) FROM (FROM {0} OFFSET {1}) WHERE raw IS NOT NULL"
        if self._count() > before and not count(self._db, added.format(self._raw, before)):
            raise SourceError(
                f'"{origin}" is to stop calls and has rows, but not one number; nothing was sent. Say in which column '
                f"the numbers are."
            )

    def resolve(self) -> None:
        """Read the entries as numbers."""
        raw = f"(SELECT DISTINCT trim(raw) AS raw FROM {self._raw} WHERE NOT regexp_full_match(raw, {literal(BLANK)}))"
        plain = plain_sql(self._reader, "raw")
        bare = "false"
        if self._reader.default_region is None:  # without a plus, only the digits can tell
            bare = r"regexp_full_match(raw, '[0-9][0-9 ().\-]*') AND NOT regexp_matches(raw, '\.0+$')"
        ending = "ltrim(regexp_replace(raw, '[^0-9]', '', 'g'), '0')"
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE sorted_out AS
            SELECT raw, CASE WHEN {plain} THEN 'plain' WHEN {bare} THEN 'bare' ELSE 'other' END AS form FROM {raw};
            INSERT INTO {self._listed} SELECT CAST(substr(raw, 2) AS BIGINT), NULL FROM sorted_out WHERE form = 'plain';
            INSERT INTO {self._listed}
            SELECT CAST(ending AS BIGINT), len(ending) FROM (
                SELECT DISTINCT {ending} AS ending FROM sorted_out WHERE form = 'bare'
            ) WHERE len(ending) BETWEEN {SUFFIX_MIN_DIGITS} AND {E164_MAX_DIGITS};
        """)
        self.unreadable += count(
            self._db,
            f"SELECT count(*) FROM sorted_out WHERE form = 'bare' "
            f"AND len({ending}) NOT BETWEEN {SUFFIX_MIN_DIGITS} AND {E164_MAX_DIGITS}",
        )
        for raws in text_batches(self._db, "sorted_out", "raw", where="form = 'other'"):
            entries = [self._reader.read_listed(raw) for raw in raws]
            read = [entry for entry in entries if entry is not None]
            self.unreadable += len(entries) - len(read)
            self._db.execute(
                f"INSERT INTO {self._listed} SELECT unnest(?::BIGINT[]), unnest(?::INTEGER[])",
                [
                    [entry.digits for entry in read],
                    [len(str(entry.digits)) if entry.is_suffix else None for entry in read],
                ],
            )
        self._db.execute(f"DROP TABLE sorted_out; DELETE FROM {self._raw}")

    def matches(self, people: str) -> str:
        """
        :param people: a table with a column ``digits``
        :return: SQL of a relation: the ``digits`` that are meant, by which ``entry`` of which ``ending_length``
        """
        return f"""(
            SELECT people.digits, listed.digits AS entry, listed.ending_length
            FROM {people} AS people JOIN {self._listed} AS listed ON listed.digits = people.digits
            WHERE listed.ending_length IS NULL
            UNION ALL
            SELECT people.digits, listed.digits AS entry, listed.ending_length
            FROM {people} AS people
            CROSS JOIN (SELECT DISTINCT ending_length FROM {self._listed} WHERE ending_length IS NOT NULL) AS lengths
            JOIN {self._listed} AS listed
              ON listed.ending_length = lengths.ending_length
             AND listed.digits = people.digits % CAST(power(10, lengths.ending_length) AS BIGINT)
        )"""

    def unmatched(self, people: str) -> int:
        """:return: how many entries mean nobody in the table, those included that cannot be read"""
        entries = f"SELECT DISTINCT digits, coalesce(ending_length, 0) FROM {self._listed}"
        met = f"SELECT DISTINCT entry, coalesce(ending_length, 0) FROM {self.matches(people)}"
        return self.unreadable + count(self._db, f"SELECT count(*) FROM ({entries} EXCEPT {met})")

    def drop(self) -> None:
        """Forget the list."""
        self._db.execute(f"DROP TABLE {self._raw}; DROP TABLE {self._listed}")

    # -- files

    def _add_csv(self, file: CsvFile, column: str | None, phone_column: str) -> None:
        if not file.columns:
            return
        chosen = _choose(file.columns, column, phone_column, file.origin)
        if sum(character.isdecimal() for character in chosen) >= SUFFIX_MIN_DIGITS:
            self.add([chosen])  # no header: the first line is a number as well
        if self._attempt(f"SELECT {identifier(chosen)} FROM {file.relation()}", file):
            return
        position = file.columns.index(chosen)
        self.add(row[position] for row in self._readable(file.rows()))

    def _add_json_lines(self, file: JsonLinesFile, column: str | None, phone_column: str) -> None:
        fields = "TRY_CAST(json AS MAP(VARCHAR, JSON))"
        value = (
            f"fields[{literal(column)}]"
            if column
            else f"coalesce(fields[{literal(phone_column)}], map_values(fields)[1])"
        )
        relation = f"(SELECT json, {fields} AS fields FROM {file.relation()})"
        whole = self._attempt(
            f"SELECT CASE WHEN json IS NULL OR json_type(json) = 'ARRAY' THEN error('') "
            f"ELSE coalesce({value}, CASE WHEN fields IS NULL THEN json END) ->> '$' END FROM {relation}",
            file,
        )
        if whole:
            return

        def entries() -> Iterator[Any]:
            for value in file.values():
                if isinstance(value, dict):
                    first = next(iter(value.values()), None)
                    entry = value.get(column) if column else value.get(phone_column) or first
                else:
                    entry = value
                if entry is None or isinstance(entry, (str, int, float)):
                    yield entry
                else:
                    self.unreadable += 1

        self.add(entries())

    def _add_parquet(self, file: ParquetFile, column: str | None, phone_column: str) -> None:
        chosen = _choose(file.columns, column, phone_column, file.origin)
        with file.reading():
            self._add(f"SELECT CAST({file.json_sql(chosen)} AS JSON) ->> '$' FROM {file.relation}")

    def _attempt(self, select: str, file: CsvFile | JsonLinesFile) -> bool:
        """Let DuckDB read the file; undo it unless each line has become an entry."""
        import duckdb

        before = self._count()
        try:
            with transaction(self._db):
                self._add(select)
                if not file.is_whole(self._count() - before):
                    raise _NotWholeError
        except (_NotWholeError, duckdb.Error, UnicodeDecodeError):  # the last: DuckDB < 2 quoting what is not UTF-8
            return False
        return True

    def _add(self, select: str) -> None:
        self._db.execute(f"INSERT INTO {self._raw} {select}")

    def _readable(self, rows: Iterable[list[str] | None]) -> Iterator[list[str]]:
        for row in rows:
            if row is None:
                self.unreadable += 1
            else:
                yield row

    def _count(self) -> int:
        return count(self._db, f"SELECT count(*) FROM {self._raw}")


def plain_sql(reader: NumberReader, raw: str) -> str:
    """
    :param reader: the rules
    :param raw: SQL expression of a number as written
    :return: SQL condition: it surely is an E.164 number as it stands
    """
    if reader.plain_forms is None:
        return "false"
    plain, prefixed = map(literal, reader.plain_forms)
    return f"regexp_full_match({raw}, {plain}) AND NOT regexp_matches({raw}, {prefixed})"


def _choose(columns: list[str], column: str | None, phone_column: str, origin: str) -> str:
    if column is not None and column not in columns:
        raise SourceError(missing_column(column, "the column of the numbers", columns, origin))
    return column or (phone_column if phone_column in columns else columns[0])


class _NotWholeError(Exception):
    """DuckDB did not make an entry of each line."""
