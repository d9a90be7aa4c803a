"""One list of people: taken in, screened, handed out in chunks."""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from weakref import WeakSet

from airflow_provider_graine.contacts.chunks import Chunk, cut, left_in, number_of_chunks
from airflow_provider_graine.contacts.database import count, open_database, room_for_the_list
from airflow_provider_graine.contacts.files import CsvFile, FileFormat, JsonLinesFile, checked_format, guess_format
from airflow_provider_graine.contacts.local_time import LocalTime, Run, Stretch, Zones, stretches
from airflow_provider_graine.contacts.number_lists import NumberList
from airflow_provider_graine.contacts.numbers import NumberReader
from airflow_provider_graine.contacts.parquet import ParquetFile
from airflow_provider_graine.contacts.progress import telling
from airflow_provider_graine.contacts.screening import Screening, Shard, screen, write_rejects
from airflow_provider_graine.contacts.staging import Staging
from airflow_provider_graine.contacts.timezones import arrange, find_zones
from airflow_provider_graine.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from airflow_provider_graine.contacts.copied import Kind
    from airflow_provider_graine.contacts.e164 import NumberCheck


class ContactList:
    """
    The people of one upload, in a database of their own whose files are removed with the list.

    Use it as a context manager. First take in contacts and suppression lists, then :meth:`screen`, then
    :meth:`exclude`, :meth:`chunks` and :meth:`write_rejects`. Not for use by several threads at once.

    :param phone_column: column of the phone numbers
    :param name_column: column of the names, which become the call variable ``callee_name``
    :param default_region: ISO 3166 code of the region whose national number forms are accepted, such as ``"IN"``;
        without it only international forms (``+…``) are
    :param number_check: ``"possible"`` (length) or ``"valid"`` (leading digits as well)
    :param shard: ``(index, of)``: keep only the people of one of ``of`` disjoint parts, told by their numbers alone, so
        that several lists made from the same sources share the people out among themselves. A row without a number is
        reported by one of them. Default: everybody
    :param csv_bytes: bytes that the CSV file of a chunk may have; default: chunks are cut by the number of people alone
    :param local_time: when people are called by the clock where they are: then everybody needs a time zone, and nobody
        is on a chunk with people of another start. Not together with ``csv_bytes``
    :param directory: where the database is put; the system's directory for temporary files by default
    :param memory_limit: what the database holds in memory before it goes to disk
    :raises ConfigurationError: an argument is wrong
    """

    def __init__(
        self,
        *,
        phone_column: str = "phone_number",
        name_column: str = "callee_name",
        default_region: str | None = None,
        number_check: NumberCheck = "possible",
        shard: tuple[int, int] | None = None,
        csv_bytes: int | None = None,
        local_time: LocalTime | None = None,
        directory: str | Path | None = None,
        memory_limit: str = "112MB",
    ) -> None:
        if phone_column == name_column:
            raise ConfigurationError("phone_column and name_column are the same; nothing was sent. Name two columns.")
        if local_time is not None and local_time.column in (phone_column, name_column):
            raise ConfigurationError(
                f"timezone_column is the column of the {'numbers' if local_time.column == phone_column else 'names'}; "
                "nothing was sent. Name another one, or leave it out."
            )
        self._local_time = local_time
        self._runs: list[Run] = []
        self._stretches: list[Stretch] = []
        self._reader = NumberReader(default_region=default_region, number_check=number_check)
        self._shard = Shard(*shard) if shard is not None else None
        self._phone_column = phone_column
        self._csv_bytes = csv_bytes
        self._directory = Path(tempfile.mkdtemp(prefix="contacts-", dir=directory))
        try:
            self._db = open_database(self._directory, memory_limit=memory_limit)
            self._staging = Staging(self._db, self._directory, phone_column=phone_column, name_column=name_column)
            self._suppression = self._list_named("suppression", what="numbers that must not be called")
            self._db.execute("CREATE TABLE excluded (digits BIGINT)")
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        self._screening: Screening | None = None
        self._plans = 0
        self._under_way: WeakSet[Generator[Chunk]] = WeakSet()

    def __repr__(self) -> str:
        return f"<ContactList screening={self._screening}>"

    def __enter__(self) -> ContactList:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the database and all that is in it; chunks that were not taken are not there any more."""
        for chunks in list(self._under_way):
            chunks.close()  # the next of them is being got ready
        self._db.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    # -- taking in

    def add_rows(self, rows: Iterable[Mapping[str, Any]], *, origin: str) -> None:
        """
        Take contacts that each bring their own columns.

        A mapping under the key ``call_variables`` is spread, so the service's own form of a contact is taken as well.
        A row that gives one column twice that way counts as malformed.

        :param rows: contacts
        :param origin: what to call them in the file of rejects
        :raises SourceError: a value has a type that has no JSON form
        """
        with self._taking_in():
            self._staging.add_rows(rows, origin=origin)

    def add_tuples(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, origin: str) -> None:
        """
        Take the rows of a table, as a database cursor gives them; some thousands at a time are in memory.

        :param columns: names of the columns
        :param rows: values in the order of the columns
        :param origin: what to call them in the file of rejects
        :raises SourceError: a column is missing, two have the same name, or a value has a type that has no JSON form
        """
        with self._taking_in():
            self._staging.add_tuples(columns, rows, origin=origin)

    def add_copied(
        self, kinds: Sequence[tuple[str, Kind]], copy: Callable[[BinaryIO], int | None], *, origin: str
    ) -> bool:
        """
        Take the rows of a table as ``COPY … TO STDOUT`` of PostgreSQL writes them; they become what
        :meth:`add_tuples` makes of them.

        :param kinds: names of the columns, each with the kind of its values
        :param copy: writes the rows into a file and returns their number; ``None``: it cannot
        :param origin: what to call them in the file of rejects
        :return: whether they were taken; if not, nothing was, and they have to come as tuples
        :raises SourceError: a column is missing
        """
        with self._taking_in():
            return self._staging.add_copied(kinds, copy, origin=origin)

    def add_file(self, path: str | Path, *, format: FileFormat, origin: str, delimiter: str = ",") -> None:
        """Take one local file; see :meth:`add_files`."""
        self.add_files([(origin, Path(path))], format=format, delimiter=delimiter)

    def add_files(
        self, files: Iterable[tuple[str, Path]], *, format: FileFormat | None = None, delimiter: str = ","
    ) -> None:
        """
        Take local files, one after the other; small ones that are written alike are read at once.

        In CSV the first line is the header, quotes are double, the encoding is UTF-8 and all values are strings: an
        empty field is the empty string, for CSV cannot tell nothing from empty and an agent must not say "null".
        JSON lines and Parquet keep their types, written by the rules of
        :mod:`~airflow_provider_graine.contacts.encoding`.

        :param files: what to call each in messages and in the file of rejects, and where it is; CSV and JSON lines may
            be compressed with gzip
        :param format: ``"csv"``, ``"jsonl"`` or ``"parquet"``; default: by what each is called
        :param delimiter: one character between the fields of CSV
        :raises SourceError: one cannot be read, a column is missing, or a column has a type that has no JSON form
        :raises ConfigurationError: the format cannot be told
        """
        if format is not None:
            checked_format(format)
        with self._taking_in():
            for kind, alike in groupby(files, key=lambda file: format or guess_format(file[0])):
                match kind:
                    case "csv":
                        tables = (CsvFile(path, origin, delimiter=delimiter) for origin, path in alike)
                        for _, csv_files in groupby(tables, key=lambda file: file.manner):
                            self._staging.add_csv(list(csv_files))
                    case "jsonl":
                        lines = (JsonLinesFile(path, origin) for origin, path in alike)
                        for _, line_files in groupby(lines, key=lambda file: file.manner):
                            self._staging.add_json_lines(list(line_files))
                    case "parquet":
                        for origin, path in alike:
                            self._staging.add_parquet(ParquetFile(self._db, path, origin))

    def suppress_rows(self, numbers: Iterable[Any]) -> None:
        """
        Take numbers that must not be called.

        :param numbers: in any form; one that cannot be read stops everybody whose number ends with its digits, if there
            are at least 6
        """
        with self._taking_in():
            self._suppression.add(numbers)

    def suppress_file(
        self,
        path: str | Path,
        *,
        format: FileFormat,
        origin: str,
        column: str | None = None,
        delimiter: str = ",",
    ) -> None:
        """
        Take a local file of numbers that must not be called.

        :param path: the file; CSV and JSON lines may be compressed with gzip
        :param format: ``"csv"``, ``"jsonl"`` or ``"parquet"``
        :param origin: what to call it in messages
        :param column: column of the numbers; by default the phone column if there is one, else the first
        :param delimiter: one character between the fields of CSV
        :raises SourceError: it cannot be read, the column is missing or holds not one number
        """
        with self._taking_in():
            self._suppression.add_file(
                Path(path),
                file_format=checked_format(format),
                origin=origin,
                column=column,
                phone_column=self._phone_column,
                delimiter=delimiter,
            )

    # -- screening

    def screen(self, *, after: float | None = None) -> Screening:
        """
        Judge every row. After that nothing more can be taken in.

        :param after: when people may be called, at the soonest, in seconds since the epoch; default: now. Only for
            lists whose people are called by the clock where they are
        :return: the counts
        """
        if self._screening is None:
            read = self._staging.rows
            with self._taking_in(), telling(f"Screening {read:,} rows"):
                self._screening = self._screened(read, time.time() if after is None else after)
        return self._screening

    def _screened(self, read: int, soonest: float) -> Screening:
        local_time, after = self._local_time, datetime.fromtimestamp(soonest, UTC)
        if local_time is None:
            return screen(self._db, self._reader, self._suppression, read=read, shard=self._shard)
        zones: list[Zones] = []
        screening = screen(
            self._db,
            self._reader,
            self._suppression,
            read=read,
            shard=self._shard,
            find_zones=lambda: zones.extend(find_zones(self._db, local_time, after=after)),
        )
        self._runs = arrange(self._db, zones, local_time, after=after)
        self._stretches = stretches(self._runs, local_time, after=after)
        return screening

    def schedule(self, *, after: float) -> None:
        """
        Choose anew when people are called, where that is by the clock where they are.

        :param after: when that may be, at the soonest, in seconds since the epoch
        """
        self._must_be_screened()
        if self._local_time is not None:
            self._stretches = stretches(self._runs, self._local_time, after=datetime.fromtimestamp(after, UTC))

    def too_late(self, *, after: float) -> int:
        """
        Count who is still to be sent and has no start any more: the hour has passed on the day that was asked for.

        :param after: when the start had to be, at the soonest, in seconds since the epoch
        """
        passed = [stretch.start.timestamp() <= after for stretch in self._stretches]
        if not any(passed):
            return 0
        with self._handing_out():
            left = left_in(self._db, self._stretches)
        return sum(people for people, is_over in zip(left, passed, strict=True) if is_over)

    def write_rejects(self, file: BinaryIO) -> None:
        """
        Write the rejected rows as CSV: ``origin,row,reason,phone_number,callee_name``, in the order in which they came.

        :param file: where to; stays open
        """
        with self._handing_out():
            write_rejects(self._db, file)

    # -- handing out

    def exclude(self, phone_numbers: Iterable[str]) -> int:
        """
        Take people who are on a batch already out of what is still to be sent.

        :param phone_numbers: their numbers; one that cannot be read takes out all whose number ends with its digits
        :return: how many accepted people were taken out by this call
        """
        with self._handing_out():
            met = self._list_of(phone_numbers)
            taken_out = count(
                self._db,
                f"INSERT INTO excluded SELECT DISTINCT digits FROM {met.matches('accepted')} "
                "WHERE digits NOT IN (SELECT digits FROM excluded)",
            )
            met.drop()
        return taken_out

    def vanished(self, phone_numbers: Iterable[str]) -> int:
        """
        Count people who are on a batch but not (or no longer) among the accepted.

        :param phone_numbers: their numbers
        :return: how many different ones mean nobody in the list
        """
        with self._handing_out():
            met = self._list_of(phone_numbers)
            missing = met.unmatched("accepted")
            met.drop()
        return missing

    def first_row(self, phone_numbers: Iterable[str]) -> int | None:
        """
        Find where in the list people are who are on a batch already.

        :param phone_numbers: their numbers
        :return: the row of the first of them, counted as in the ``span`` of a chunk; ``None``: none of them is accepted
        """
        with self._handing_out():
            met = self._list_of(phone_numbers)
            first = self._db.execute(
                f"SELECT min(ordinal) FROM accepted WHERE digits IN (SELECT digits FROM {met.matches('accepted')})"
            ).fetchone()
            met.drop()
        return first[0] if first else None

    def exclude_nobody(self) -> None:
        """Let everybody who is accepted be to be sent again."""
        with self._handing_out():
            self._db.execute("DELETE FROM excluded")

    def remaining(self) -> int:
        """:return: how many accepted people are not excluded"""
        accepted = self._must_be_screened().accepted
        return accepted - count(self._db, "SELECT count(*) FROM excluded")

    def exclude_chunks(self, spans: Iterable[tuple[int, int]]) -> None:
        """
        Take whole chunks of this list out of what is still to be sent.

        :param spans: the ``span`` of each, all of one cut: no two have anybody in common
        """
        bounds = list(spans)
        with self._handing_out():
            self._db.execute(
                """
                INSERT INTO excluded
                SELECT digits
                FROM accepted ASOF JOIN (SELECT unnest(?::BIGINT[]) AS first, unnest(?::BIGINT[]) AS last)
                    ON ordinal >= first
                WHERE ordinal <= last AND digits NOT IN (SELECT digits FROM excluded)
                """,
                [[first for first, _ in bounds], [last for _, last in bounds]],
            )

    def chunks(self, size: int, *, everybody: bool = False) -> Generator[Chunk]:
        """
        Cut the accepted people who are not excluded into chunks, in the order of the sources; those who are called
        sooner first.

        Who is in them is settled by this call; each body is built when its chunk is asked for.

        :param size: people in a chunk, at most
        :param everybody: whether those who are excluded are in the chunks too
        :return: the chunks; to be closed by whoever does not take all of them, for the next one is being got ready
        :raises ConfigurationError: the size is below 1
        :raises SourceError: the list is cut by bytes, and one person alone has too many of them
        """
        self._must_be_screened()
        if size < 1:
            raise ConfigurationError(f"A chunk holds at least 1 contact, not {size}; nothing was sent.")
        self._plans += 1
        with self._handing_out():
            chunks = cut(
                self._db,
                size,
                directory=self._directory,
                plan=f"plan_{self._plans}",
                everybody=everybody,
                csv_bytes=self._csv_bytes,
                stretches=self._stretches,
            )
        handed_out = self._handed_out(chunks)
        self._under_way.add(handed_out)
        return handed_out

    def number_of_chunks(self, size: int) -> int:
        """
        Tell how many chunks :meth:`chunks` would give now, without building them.

        :param size: people in a chunk, at most
        """
        with self._handing_out():
            return number_of_chunks(self._db, size, csv_bytes=self._csv_bytes, stretches=self._stretches)

    def _handed_out(self, chunks: Iterator[Chunk]) -> Generator[Chunk]:
        with self._handing_out():
            yield from chunks

    def _list_of(self, phone_numbers: Iterable[str]) -> NumberList:
        met = self._list_named("met", what="numbers that are on batches")
        met.add(phone_numbers)
        met.resolve()
        return met

    def _list_named(self, name: str, *, what: str) -> NumberList:
        return NumberList(self._db, self._reader, name=name, directory=self._directory, what=what)

    @contextmanager
    def _taking_in(self) -> Iterator[None]:
        if self._screening is not None:
            raise RuntimeError("The list has been screened; nothing more can be taken in.")
        with room_for_the_list("Nothing was sent"):
            yield

    @contextmanager
    def _handing_out(self) -> Iterator[None]:
        self._must_be_screened()
        with room_for_the_list("What was sent before stands: a retry finds it and sends only the rest"):
            yield

    def _must_be_screened(self) -> Screening:
        if self._screening is None:
            raise RuntimeError("The list has not been screened yet.")
        return self._screening
