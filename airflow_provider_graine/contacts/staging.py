"""
The rows of all sources, in the order in which they came, waiting to be screened.

They are in one table::

    contacts(ordinal, raw_number, variables, named)

``ordinal`` counts from 0: it is the place in the table, from which nothing is ever deleted, so that several threads can
take rows in without anybody numbering them. ``variables`` is the JSON object of call variables, keys sorted, the name
under ``callee_name``. ``named`` says whether there is a name that is more than white space; NULL marks a row that could
not be read (in ``named``, for the texts are long and may be on disk until they are sent).
"""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import itertools
import json
import logging
import tempfile
from collections.abc import Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from airflow_provider_graine.contacts.blocks import block_file, write_blocks
from airflow_provider_graine.contacts.copied import CopiedTable
from airflow_provider_graine.contacts.database import (
    MAX_ROW_BYTES,
    blank_sql,
    count,
    identifier,
    json_lines_relation,
    transaction,
    with_room,
)
from airflow_provider_graine.contacts.encoding import UnreadableTextError, encode_object
from airflow_provider_graine.contacts.files import (
    CsvFile,
    JsonLinesFile,
    TextFile,
    csv_relation,
    json_relation,
    missing_column,
)
from airflow_provider_graine.contacts.progress import Progress, telling
from airflow_provider_graine.contacts.shapes import (
    CALL_VARIABLES,
    CALLEE_NAME,
    Column,
    TableLines,
    object_sql,
    objects_sql,
    table_sql,
)
from airflow_provider_graine.contacts.whole_files import NotWholeError, read_whole
from airflow_provider_graine.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from duckdb import DuckDBPyConnection

    from airflow_provider_graine.contacts.copied import Kind
    from airflow_provider_graine.contacts.parquet import ParquetFile

log = logging.getLogger(__name__)

F = TypeVar("F", bound=TextFile)
T = TypeVar("T")

_NO_ROW = "null"
_MEND_ROWS = 1000
_OBJECTS_BYTES = MAX_ROW_BYTES // 8  # to spread objects takes many times the memory of their texts


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
        self._progress = Progress("rows")
        db.execute("""
            CREATE TABLE sources (first_ordinal BIGINT, origin VARCHAR);
            CREATE TABLE staged (raw_number VARCHAR, variables VARCHAR, named BOOLEAN);
            CREATE VIEW contacts AS SELECT rowid AS ordinal, raw_number, variables, named FROM staged;
        """)

    # -- sources

    def add_rows(self, rows: Iterable[Mapping[str, Any]], *, origin: str) -> None:
        """Take rows that bring their own keys."""
        with self._source(origin):
            self._stage_rows(rows)

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
            self._stage_tuples(columns, rows)

    def add_csv(self, files: Sequence[CsvFile]) -> None:
        """Take CSV files of the same manner."""
        first = files[0]
        if not first.header:
            return
        self._require(first.columns, first.origin)
        columns = [Column(name, identifier(name)) for name in first.columns]

        def take(group: Sequence[CsvFile]) -> int:
            return self._stage_table(csv_relation(group), columns)

        for file in self._add_whole(files, take):
            with self._source(file.origin):
                self._stage_tuples(file.columns, file.rows())

    def add_json_lines(self, files: Sequence[JsonLinesFile]) -> None:
        """Take files of JSON objects, one a line, of the same manner."""
        start = self.rows

        def take(group: Sequence[JsonLinesFile]) -> int:
            first = self.rows
            taken = self._stage_objects(json_relation(group))
            self._mend(first)
            return taken

        for file in self._add_whole(files, take):
            with self._source(file.origin):
                self._stage_rows(file.values())
        self._require_keys(files, start)

    def add_parquet(self, file: ParquetFile) -> None:
        """Take a Parquet file."""
        expressions = [(name, file.json_sql(name)) for name in file.columns]
        if CALL_VARIABLES not in file.columns:
            self._require(file.columns, file.origin)

        def take() -> int:
            with self._source(file.origin) as first:
                if CALL_VARIABLES in file.columns:
                    taken = self._stage_objects(
                        f"(SELECT CAST({object_sql(expressions)} AS JSON) AS json FROM {file.relation})"
                    )
                else:
                    columns = [Column(name, f"(CAST({json} AS JSON) ->> '$')", json) for name, json in expressions]
                    taken = self._stage_table(file.relation, columns)
                self._mend(first)
            return taken

        with telling(f'Reading "{file.origin}"', self._db), file.reading():
            self._progress.add(with_room(self._db, take))

    def add_copied(
        self, kinds: Sequence[tuple[str, Kind]], copy: Callable[[BinaryIO], int | None], *, origin: str
    ) -> bool:
        """Take rows that PostgreSQL copies into a file; false, and nothing is taken, where Python has to fetch them."""
        names = [name for name, _ in kinds]
        if CALL_VARIABLES in names or len(set(names)) < len(names):
            return False
        self._require(names, origin)
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="copied-") as directory:
            table = CopiedTable(Path(directory) / "rows", kinds)
            with telling(f'Copying "{origin}"'), table.path.open("wb") as file:
                rows = copy(file)
            return rows is not None and self._take_copied(table, rows, origin)

    def _take_copied(self, table: CopiedTable, rows: int, origin: str) -> bool:
        import duckdb

        def take() -> None:
            with self._source(origin):
                if self._stage_table(table.relation, table.columns) != rows:
                    raise NotWholeError

        try:
            with telling(f'Reading "{origin}"', self._db):
                with_room(self._db, take)
        except (NotWholeError, duckdb.Error, UnicodeDecodeError) as failure:
            log.info('The copy of "%s" is not for DuckDB (%s); its rows are fetched', origin, type(failure).__name__)
            return False
        self._progress.add(rows)
        return True

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return count(self._db, "SELECT count(*) FROM staged")

    # -- ways in

    def _add_whole(self, files: Sequence[F], take: Callable[[Sequence[F]], int]) -> Iterator[F]:
        """Let DuckDB read files; gives those that it cannot read, each in its turn."""

        def take_readable(group: Sequence[F]) -> int:
            first = self.rows
            taken = take(group)
            if count(self._db, "SELECT count(*) FROM contacts WHERE ordinal >= ? AND named IS NULL", [first]):
                raise NotWholeError
            return taken

        first = self.rows
        for group, counts in read_whole(self._db, files, take_readable):
            if counts is None:
                yield group[0]
            else:
                starts = itertools.accumulate(counts, initial=first)
                self._note_sources(
                    (start, file.origin) for start, file, rows in zip(starts, group, counts, strict=False) if rows
                )
                self._progress.add(sum(counts))
            first = self.rows

    @contextmanager
    def _source(self, origin: str) -> Iterator[int]:
        """One source, whole or not at all; gives the ordinal of its first row."""
        first = self.rows
        with transaction(self._db):
            yield first
            if self.rows > first:
                self._note_sources([(first, origin)])

    def _note_sources(self, sources: Iterable[tuple[int, str]]) -> None:
        noted = list(sources)
        self._db.execute(
            "INSERT INTO sources SELECT unnest(?::BIGINT[]), unnest(?::VARCHAR[])",
            [[first for first, _ in noted], [origin for _, origin in noted]],
        )

    def _stage_rows(self, rows: Iterable[Any]) -> None:
        names = {"phone_column": self._phone_column, "name_column": self._name_column}
        self._stage_blocks(
            rows,
            lambda some: map(_object_line, some),
            lambda path: objects_sql(json_lines_relation([path]), **names),
            unreadable=_NO_ROW,
            at_most=_OBJECTS_BYTES,
        )

    def _stage_tuples(self, columns: Sequence[str], rows: Iterable[Sequence[Any] | None]) -> None:
        lines = TableLines(columns, phone_column=self._phone_column, name_column=self._name_column)
        self._stage_blocks(rows, lines.encode, lines.sql, unreadable=lines.UNREADABLE)

    def _stage_blocks(
        self,
        rows: Iterable[T],
        encode: Callable[[Sequence[T]], Iterable[str]],
        rows_sql: Callable[[Path], str],
        *,
        unreadable: str,
        at_most: int = MAX_ROW_BYTES,
    ) -> None:
        def write(block: bytes) -> int:
            with block_file(block, self._directory) as path:
                return self._stage(rows_sql(path))

        with closing(write_blocks(rows, encode, write, unreadable=unreadable, at_most=at_most)) as written:
            for number in written:
                self._progress.add(number)

    def _stage_table(self, relation: str, columns: Sequence[Column]) -> int:
        return self._stage(table_sql(relation, columns, phone_column=self._phone_column, name_column=self._name_column))

    def _stage_objects(self, relation: str) -> int:
        return self._stage(objects_sql(relation, phone_column=self._phone_column, name_column=self._name_column))

    def _stage(self, rows: str) -> int:
        return count(
            self._db,
            f"""
            INSERT INTO staged
            SELECT CASE WHEN strlen(variables) < {MAX_ROW_BYTES} THEN raw_number END,
                   CASE WHEN strlen(variables) < {MAX_ROW_BYTES} THEN variables END,
                   CASE WHEN strlen(variables) < {MAX_ROW_BYTES} THEN coalesce(NOT {blank_sql("name")}, false) END
            FROM ({rows})
            """,
        )

    def _mend(self, first: int) -> None:
        """DuckDB takes NaN and Infinity for JSON; a request body must not hold them."""
        suspects = "SELECT ordinal, variables FROM contacts WHERE regexp_matches(variables, 'NaN|Infinity')"
        while found := self._db.execute(
            f"{suspects} AND ordinal >= ? ORDER BY ordinal LIMIT {_MEND_ROWS}", [first]
        ).fetchall():
            first = found[-1][0] + 1
            for ordinal, variables in found:
                mended = json.dumps(
                    json.loads(variables, parse_constant=lambda _: None),
                    ensure_ascii=False,
                    separators=(",", ":"),
                )
                if mended != variables:
                    self._db.execute("UPDATE staged SET variables = ? WHERE rowid = ?", [mended, ordinal])

    # -- columns

    def _require(self, columns: Sequence[str], origin: str) -> None:
        self._require_names(columns, origin)
        if self._name_column != CALLEE_NAME and CALLEE_NAME in columns and self._phone_column != CALLEE_NAME:
            raise SourceError(
                f'"{origin}" has a column "{CALLEE_NAME}" beside the name_column "{self._name_column}", and only one '
                f"can be the name that the agent says; nothing was sent. Rename or leave out one of them."
            )

    def _require_names(self, columns: Sequence[str], origin: str) -> None:
        for wanted, argument in ((self._phone_column, "phone_column"), (self._name_column, "name_column")):
            if wanted not in columns:
                raise SourceError(missing_column(wanted, argument, columns, origin))

    def _require_keys(self, files: Sequence[JsonLinesFile], start: int) -> None:
        """A key that is in no line of a file is a wrong name, not a file of people without one."""
        lacking = self._db.execute(
            """
            SELECT origin FROM contacts ASOF JOIN sources ON ordinal >= first_ordinal
            WHERE ordinal >= ? AND named IS NOT NULL
            GROUP BY first_ordinal, origin HAVING NOT (count(raw_number) > 0 AND bool_or(named))
            """,
            [start],
        ).fetchall()
        origins = {origin for (origin,) in lacking}
        for file in files:
            if file.origin in origins:
                self._require_names(_keys(file), file.origin)


def _keys(file: JsonLinesFile) -> list[str]:
    keys: set[str] = set()
    for value in file.values():
        if isinstance(value, dict):
            keys.update(value)
            nested = value.get(CALL_VARIABLES)
            keys.update(nested if isinstance(nested, dict) else ())
    return sorted(keys)


def _object_line(row: Any) -> str:
    if not isinstance(row, Mapping):
        return _NO_ROW
    try:
        return encode_object(row)
    except UnreadableTextError:
        return _NO_ROW
