"""
Lists of numbers that are set against the contacts: who must not be called, who is on a batch already.

Such lists err on the side of not calling. An entry that cannot be read as a number still stands for everybody whose
number ends with its digits, from six digits on.
"""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.contacts.blocks import block_file, block_relation, write_blocks
from airflow_provider_graine.contacts.database import (
    blank_sql,
    count,
    identifier,
    literal,
    text_batches,
)
from airflow_provider_graine.contacts.e164 import E164_MAX_DIGITS, codes_in, is_e164_sql, squeezed_sql
from airflow_provider_graine.contacts.encoding import encode_column
from airflow_provider_graine.contacts.files import (
    CsvFile,
    FileFormat,
    JsonLinesFile,
    csv_relation,
    json_relation,
    missing_column,
)
from airflow_provider_graine.contacts.numbers import SUFFIX_MIN_DIGITS, NumberReader
from airflow_provider_graine.contacts.parquet import ParquetFile
from airflow_provider_graine.contacts.progress import Progress, telling
from airflow_provider_graine.contacts.shapes import plain_text_sql
from airflow_provider_graine.contacts.whole_files import read_whole
from airflow_provider_graine.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

# So many digits stop somebody.
_LIKE_A_NUMBER = rf"(\p{{Nd}}\P{{Nd}}*){{{SUFFIX_MIN_DIGITS}}}"
_TOO_LONG = '"?"'


class NumberList:
    """
    A list of phone numbers, of any length.

    :param db: the database of the contacts
    :param reader: the rules by which the contacts' own numbers are read
    :param name: name for its tables
    :param directory: where files may be written
    :param what: what its entries are, for the log
    """

    def __init__(self, db: DuckDBPyConnection, reader: NumberReader, *, name: str, directory: Path, what: str) -> None:
        self._db = db
        self._reader = reader
        self._raw = f"{name}_raw"
        self._listed = name
        self._directory = directory
        self._progress = Progress(what)
        self.unreadable = 0
        db.execute(f"""
            CREATE OR REPLACE TABLE {self._raw} (raw VARCHAR);
            CREATE OR REPLACE TABLE {self._listed} (digits BIGINT, ending_length INTEGER);
        """)

    def add(self, numbers: Iterable[Any]) -> None:
        """Add entries; blank ones and ``None`` are none."""
        self._progress.go_on()

        def write(block: bytes) -> int:
            with block_file(block, self._directory) as path:
                return self._add(f"SELECT {plain_text_sql('number')} FROM {block_relation(path, ['number'])}")

        written = (str(number) for number in numbers if number is not None)
        with closing(write_blocks(written, _entries, write, unreadable=_TOO_LONG)) as added:
            for entries in added:
                self._progress.add(entries)

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
        self._progress.go_on()
        before = self._count()
        if file_format == "csv":
            self._add_csv(CsvFile(path, origin, delimiter=delimiter), column, phone_column)
        elif file_format == "jsonl":
            self._add_json_lines(JsonLinesFile(path, origin), column, phone_column)
        else:
            self._add_parquet(ParquetFile(self._db, path, origin), column, phone_column)
        like_a_number = f"regexp_matches(raw, {literal(_LIKE_A_NUMBER)})"
        found = f"SELECT count(*) FROM (SELECT 1 FROM {self._raw} WHERE rowid >= {before} AND {like_a_number} LIMIT 1)"
        if self._count() > before and not count(self._db, found):
            raise SourceError(
                f'"{origin}" is to stop calls and has rows, but not one number; nothing was sent. Say in which column '
                f"the numbers are."
            )

    def resolve(self) -> None:
        """Read the entries as numbers."""
        trimmed = f"(SELECT trim(raw) AS raw FROM {self._raw})"
        squeezed = f"(SELECT raw, {squeezed_sql('raw')} AS number FROM {trimmed})"
        plain = is_e164_sql("number", codes_in(self._db, squeezed), self._reader.number_check)
        bare = "false"
        if self._reader.default_region is None:  # without a plus, only the digits can tell
            bare = r"regexp_full_match(raw, '[0-9][0-9 ().\-]*') AND NOT regexp_matches(raw, '\.0+$')"
        plainly = count(
            self._db,
            f"INSERT INTO {self._listed} SELECT CAST(substr(number, 2) AS BIGINT), NULL FROM {squeezed} WHERE {plain}",
        )
        if plainly < self._count():  # to look for the others takes as long again
            self._resolve_others(squeezed, plain, bare)
        self._db.execute(f"CREATE OR REPLACE TABLE {self._raw} (raw VARCHAR)")

    def _resolve_others(self, squeezed: str, plain: str, bare: str) -> None:
        """Read the entries that are not written as E.164: bare digits as endings, all others as the library does."""
        ending = "ltrim(regexp_replace(raw, '[^0-9]', '', 'g'), '0')"
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE sorted_out AS
            SELECT DISTINCT raw, CASE WHEN {bare} THEN 'bare' ELSE 'other' END AS form
            FROM {squeezed} WHERE NOT {plain} AND NOT {blank_sql("raw")};
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
        self._db.execute("DROP TABLE sorted_out")

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
        if not self._add_whole(file, f"SELECT {identifier(chosen)} FROM {csv_relation([file])}"):
            position = file.columns.index(chosen)
            self.add(row[position] for row in self._readable(file.rows()))

    def _add_json_lines(self, file: JsonLinesFile, column: str | None, phone_column: str) -> None:
        fields = "TRY_CAST(json AS MAP(VARCHAR, JSON))"
        value = (
            f"fields[{literal(column)}]"
            if column
            else f"coalesce(fields[{literal(phone_column)}], map_values(fields)[1])"
        )
        relation = f"(SELECT json, {fields} AS fields FROM {json_relation([file])})"
        whole = self._add_whole(
            file,
            f"SELECT CASE WHEN json IS NULL OR json_type(json) = 'ARRAY' THEN error('') "
            f"ELSE coalesce({value}, CASE WHEN fields IS NULL THEN json END) ->> '$' END FROM {relation}",
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
        with telling(f'Reading "{file.origin}"', self._db), file.reading():
            self._progress.add(self._add(f"SELECT CAST({file.json_sql(chosen)} AS JSON) ->> '$' FROM {file.relation}"))

    def _add_whole(self, file: CsvFile | JsonLinesFile, select: str) -> bool:
        """Let DuckDB read a file; false where it cannot."""
        ((_, counts),) = read_whole(self._db, [file], lambda _: self._add(select))
        if counts is None:
            return False
        self._progress.add(sum(counts))
        return True

    def _add(self, select: str) -> int:
        return count(self._db, f"INSERT INTO {self._raw} {select}")

    def _readable(self, rows: Iterable[list[str] | None]) -> Iterator[list[str]]:
        for row in rows:
            if row is None:
                self.unreadable += 1
            else:
                yield row

    def _count(self) -> int:
        return count(self._db, f"SELECT count(*) FROM {self._raw}")


def _entries(texts: Sequence[str]) -> list[str]:
    """JSON of each text; what is not Unicode in it becomes a question mark, for its digits may stop somebody."""
    return encode_column([text if text.isascii() else text.encode(errors="replace").decode() for text in texts], "")


def _choose(columns: list[str], column: str | None, phone_column: str, origin: str) -> str:
    if column is not None and column not in columns:
        raise SourceError(missing_column(column, "the column of the numbers", columns, origin))
    return column or (phone_column if phone_column in columns else columns[0])
