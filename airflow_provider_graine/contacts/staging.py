"""
The rows of all sources, in the order in which they came, waiting to be screened.

Rows come in two shapes. A *table* (CSV, Parquet, database rows) has columns that are known beforehand, an *object* (a
literal contact, a JSON line) brings its own keys. Both end in one table::

    contacts(ordinal, raw_number, variables, named)

``variables`` is the JSON object of call variables, keys sorted, the name under ``callee_name``; NULL marks a row that
could not be read. ``named`` says whether there is a name that is more than white space.
"""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.contacts.database import BLANK, count, identifier, literal, spool, transaction
from airflow_provider_graine.contacts.encoding import UnreadableTextError, encode_array, encode_object
from airflow_provider_graine.contacts.files import CsvFile, JsonLinesFile, missing_column
from airflow_provider_graine.contacts.parquet import ParquetFile
from airflow_provider_graine.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

CALLEE_NAME = "callee_name"
CALL_VARIABLES = "call_variables"

_NO_ROW = "null"
_MEND_ROWS = 1000


@dataclass(frozen=True)
class _Column:
    """
    A column of a table.

    :param name: its name in the source
    :param json: SQL expression of its JSON text
    :param text: SQL expression of its plain text
    """

    name: str
    json: str
    text: str


class Staging:
    """
    Takes rows in.

    :param db: the database of the list
    :param directory: where files may be written
    :param phone_column: column of the phone numbers
    :param name_column: column of the names
    """

    def __init__(self, db: DuckDBPyConnection, directory: Path, *, phone_column: str, name_column: str) -> None:
        self._db = db
        self._directory = directory
        self._phone_column = phone_column
        self._name_column = name_column
        self.rows = 0
        db.execute("""
            CREATE TABLE sources (first_ordinal BIGINT, origin VARCHAR);
            CREATE TABLE contacts (ordinal BIGINT, raw_number VARCHAR, variables VARCHAR, named BOOLEAN);
        """)

    # -- sources

    def add_rows(self, rows: Iterable[Mapping[str, Any]], *, origin: str) -> None:
        """Take rows that bring their own keys."""
        with self._source(origin):
            spool(map(_object_line, rows), self._directory, self._stage_objects)

    def add_tuples(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, origin: str) -> None:
        """Take rows of a table."""
        columns = list(columns)
        if len(set(columns)) < len(columns):
            raise SourceError(f'"{origin}" gives two columns the same name; nothing was sent. Rename one.')
        if CALL_VARIABLES in columns:
            self.add_rows((dict(zip(columns, row, strict=True)) for row in rows), origin=origin)
            return
        self._require(columns, origin)
        with self._source(origin):
            self._add_arrays(columns, (_array_line(row, columns) for row in rows))

    def add_csv(self, path: Path, *, origin: str, delimiter: str) -> None:
        """Take a CSV file."""
        file = CsvFile(path, origin, delimiter=delimiter)
        if not file.header:
            return
        self._require(file.columns, origin)
        if not self._add_whole_csv(file, origin):
            with self._source(origin):
                self._add_arrays(
                    file.columns,
                    (_NO_ROW if row is None else _array_line(row, file.columns) for row in file.rows()),
                )

    def add_json_lines(self, path: Path, *, origin: str) -> None:
        """Take a file of JSON objects, one a line."""
        file = JsonLinesFile(path, origin)
        first = self.rows
        if not self._add_whole_json_lines(file, origin):
            with self._source(origin):
                spool(map(_object_line, file.values()), self._directory, self._stage_objects)
        self._require_any(file, first)

    def add_parquet(self, path: Path, *, origin: str) -> None:
        """Take a Parquet file."""
        file = ParquetFile(self._db, path, origin)
        expressions = {name: file.json_sql(name) for name in file.columns}
        if CALL_VARIABLES in expressions:
            members = " || ',' || ".join(
                f"{literal(json.dumps(name, ensure_ascii=False) + ':')} || {expression}"
                for name, expression in expressions.items()
            )
            relation = f"(SELECT CAST('{{' || {members} || '}}' AS JSON) AS json FROM {file.relation})"
            with file.reading(), self._source(origin) as first:
                self._stage_objects(relation)
                self._mend(first)
        else:
            self._require(file.columns, origin)
            columns = [
                _Column(name, expression, f"(CAST({expression} AS JSON) ->> '$')")
                for name, expression in expressions.items()
            ]
            with file.reading(), self._source(origin) as first:
                self._stage_table(file.relation, columns)
                self._mend(first)

    # -- ways in

    def _add_whole_csv(self, file: CsvFile, origin: str) -> bool:
        columns = [
            _Column(name, f"CAST(to_json(coalesce({identifier(name)}, '')) AS VARCHAR)", identifier(name))
            for name in file.columns
        ]
        return self._attempt(origin, lambda: self._stage_table(file.relation(), columns), file)

    def _add_whole_json_lines(self, file: JsonLinesFile, origin: str) -> bool:
        def stage() -> None:
            first = self.rows
            self._stage_objects(file.relation())
            self._mend(first)

        return self._attempt(origin, stage, file)

    def _attempt(self, origin: str, stage: Callable[[], None], file: CsvFile | JsonLinesFile) -> bool:
        """Let DuckDB read the file; undo it unless each line has become a row that can be read."""
        import duckdb

        try:
            with self._source(origin) as first:
                stage()
                unreadable = count(
                    self._db, "SELECT count(*) FROM contacts WHERE ordinal > ? AND variables IS NULL", [first]
                )
                if unreadable or not file.is_whole(self.rows - first):
                    raise _NotWholeError
        except (_NotWholeError, duckdb.Error, UnicodeDecodeError):  # the last: DuckDB < 2 quoting what is not UTF-8
            return False
        return True

    @contextmanager
    def _source(self, origin: str) -> Iterator[int]:
        """One source, whole or not at all; gives the ordinal of the row before it."""
        first = self.rows
        try:
            with transaction(self._db):
                yield first
                if self.rows > first:
                    self._db.execute("INSERT INTO sources VALUES (?, ?)", [first + 1, origin])
        except BaseException:
            self.rows = first
            raise

    def _add_arrays(self, columns: list[str], lines: Iterator[str]) -> None:
        paths = [f"$[{position}]" for position in range(len(columns))]
        sql_columns = [
            _Column(name, f"coalesce(CAST(cells[{i}] AS VARCHAR), 'null')", f"(cells[{i}] ->> '$')")
            for i, name in enumerate(columns, start=1)
        ]
        self_paths = ", ".join(map(literal, paths))

        def ingest(relation: str) -> None:
            cells = f"(SELECT json_extract(json, [{self_paths}]) AS cells, json FROM {relation})"
            self._stage_table(cells, sql_columns, readable="json_type(json) = 'ARRAY'")

        spool(lines, self._directory, ingest)

    def _stage_table(self, relation: str, columns: list[_Column], *, readable: str = "true") -> None:
        by_name = {column.name: column for column in columns}
        phone, name = by_name[self._phone_column], by_name[self._name_column]
        variables = sorted(
            (CALLEE_NAME if column is name else column.name, column.json) for column in columns if column is not phone
        )
        members = " || ',' || ".join(
            f"{literal(json.dumps(key, ensure_ascii=False) + ':')} || {expression}" for key, expression in variables
        )
        self._stage(f"""
            SELECT {phone.text} AS raw_number,
                   CASE WHEN {readable} THEN '{{' || {members} || '}}' END AS variables,
                   {name.text} AS name
            FROM {relation}
        """)

    def _stage_objects(self, relation: str) -> None:
        """Spread ``call_variables``, give the name its key; a row that says one thing twice cannot be read."""
        phone, name = literal(self._phone_column), literal(self._name_column)
        nested, callee_name = literal(CALL_VARIABLES), literal(CALLEE_NAME)
        self._stage(f"""
            WITH objects AS (
                SELECT TRY_CAST(json AS MAP(VARCHAR, JSON)) AS fields FROM {relation}
            ), nested AS (
                SELECT fields, TRY_CAST(fields[{nested}] AS MAP(VARCHAR, JSON)) AS spread FROM objects
            ), flat AS (
                SELECT CASE WHEN spread IS NULL THEN map_entries(fields)
                            ELSE list_filter(map_entries(fields), lambda entry: entry.key <> {nested})
                                 || map_entries(spread) END AS entries
                FROM nested
            ), renamed AS (
                SELECT list_sort(list_transform(entries, lambda entry: {{
                           'key': CASE WHEN entry.key = {name} THEN {callee_name} ELSE entry.key END,
                           'value': coalesce(CAST(entry.value AS VARCHAR), 'null')
                       }})) AS entries
                FROM flat
            ), divided AS (
                SELECT entries,
                       list_filter(entries, lambda entry: entry.key = {phone})[1].value AS phone,
                       list_filter(entries, lambda entry: entry.key = {callee_name})[1].value AS name,
                       list_filter(entries, lambda entry: entry.key <> {phone}) AS variables
                FROM renamed
            )
            SELECT CAST(phone AS JSON) ->> '$' AS raw_number,
                   CASE WHEN len(entries) = list_unique(list_transform(entries, lambda entry: entry.key)) THEN
                       '{{' || coalesce(array_to_string(list_transform(variables,
                           lambda entry: CAST(to_json(entry.key) AS VARCHAR) || ':' || entry.value), ','), '') || '}}'
                   END AS variables,
                   CAST(name AS JSON) ->> '$' AS name
            FROM divided
        """)

    def _stage(self, rows: str) -> None:
        added = count(
            self._db,
            f"""
            INSERT INTO contacts
            SELECT {self.rows} + row_number() OVER (),
                   CASE WHEN variables IS NOT NULL THEN raw_number END,
                   variables,
                   coalesce(NOT regexp_full_match(name, {literal(BLANK)}), false)
            FROM ({rows})
            """,
        )
        self.rows += added

    def _mend(self, last: int) -> None:
        """DuckDB takes NaN and Infinity for JSON; a request body must not hold them."""
        suspects = "SELECT ordinal, variables FROM contacts WHERE regexp_matches(variables, 'NaN|Infinity')"
        while found := self._db.execute(
            f"{suspects} AND ordinal > ? ORDER BY ordinal LIMIT {_MEND_ROWS}", [last]
        ).fetchall():
            last = found[-1][0]
            for ordinal, variables in found:
                mended = json.dumps(
                    json.loads(variables, parse_constant=lambda _: None),
                    ensure_ascii=False,
                    separators=(",", ":"),
                )
                if mended != variables:
                    self._db.execute("UPDATE contacts SET variables = ? WHERE ordinal = ?", [mended, ordinal])

    # -- columns

    def _require(self, columns: Sequence[str], origin: str) -> None:
        for wanted, argument in ((self._phone_column, "phone_column"), (self._name_column, "name_column")):
            if wanted not in columns:
                raise SourceError(missing_column(wanted, argument, columns, origin))
        if self._name_column != CALLEE_NAME and CALLEE_NAME in columns and self._phone_column != CALLEE_NAME:
            raise SourceError(
                f'"{origin}" has a column "{CALLEE_NAME}" beside the name_column "{self._name_column}", and only one '
                f"can be the name that the agent says; nothing was sent. Rename or leave out one of them."
            )

    def _require_any(self, file: JsonLinesFile, first: int) -> None:
        """A key that is in no line of a file is a wrong name, not a file of people without one."""
        readable, numbered, named = self._db.execute(
            "SELECT count(*), count(raw_number), count(*) FILTER (named) FROM contacts "
            "WHERE ordinal > ? AND variables IS NOT NULL",
            [first],
        ).fetchone() or (0, 0, 0)
        if not readable or (numbered and named):
            return
        keys: set[str] = set()
        for value in file.values():
            if isinstance(value, dict):
                keys.update(value)
                nested = value.get(CALL_VARIABLES)
                keys.update(nested if isinstance(nested, dict) else ())
        for wanted, argument in ((self._phone_column, "phone_column"), (self._name_column, "name_column")):
            if wanted not in keys:
                raise SourceError(missing_column(wanted, argument, sorted(keys), file.origin))


def _object_line(row: Any) -> str:
    if not isinstance(row, Mapping):
        return _NO_ROW
    try:
        return encode_object(row)
    except UnreadableTextError:
        return _NO_ROW


def _array_line(row: Sequence[Any], columns: list[str]) -> str:
    if len(row) != len(columns):
        return _NO_ROW
    try:
        return encode_array(list(row), columns)
    except UnreadableTextError:
        return _NO_ROW


class _NotWholeError(Exception):
    """DuckDB did not make a readable row of each line."""
