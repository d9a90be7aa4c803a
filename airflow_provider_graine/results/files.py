"""Result files: straight into the store, or by way of the worker's disk where one is made of many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from airflow_provider_graine.exceptions import LandingError
from airflow_provider_graine.results.formulas import spreadsheet_safe
from airflow_provider_graine.results.joining import joined_csv, joined_lines
from airflow_provider_graine.results.landing import ensure_may_write, land
from airflow_provider_graine.results.spool import blocks_of, spool
from airflow_provider_graine.results.tables import write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_provider_graine.results.landing import Compression, IfExists, LandedFile, StoragePath
    from airflow_provider_graine.results.redaction import Redaction

T = TypeVar("T")


@dataclass(frozen=True)
class Results:
    """
    The results of a batch or campaign, to be read once.

    :param contacts: number of contacts on it, where it is known, once all blocks have been read
    :param rows: the number of records, once all blocks have been read
    :param blocks: the content; raises at its end unless it came whole
    """

    contacts: Callable[[], int | None]
    rows: Callable[[], int]
    blocks: Iterator[bytes]


class ResultSource(Protocol):
    """Where results come from."""

    def take(self, id: str, use: Callable[[Results], T]) -> T:
        """
        Hand the results of a batch or campaign to somebody, from their start again until they came whole.

        :param id: which one
        :param use: reads all blocks, and keeps nothing of what it read before it was called again
        :return: what ``use`` returned
        """


@dataclass(frozen=True)
class Share:
    """
    What a batch or campaign has in a file.

    :param id: which one
    :param rows: its records; ``None`` for a file that was left alone
    :param contacts: number of contacts on it, where it is known
    """

    id: str
    rows: int | None = None
    contacts: int | None = None


@dataclass(frozen=True, kw_only=True)
class ResultFiles:
    """
    Lands result files.

    :param source: where the results come from
    :param given: what the source gives
    :param format: what is landed: the same, or what a table is made of: ``"parquet"``, or ``"csv"`` of JSON lines
    :param column_types: Parquet: column to DuckDB type, for those that are not to be text
    :param compress: ``"gzip"`` or ``None``
    :param if_exists: what to do about a file that is there
    :param redaction: what may not stand in the files
    :param escape_formulas: CSV: whether values are made safe for spreadsheets
    """

    source: ResultSource
    given: Literal["csv", "jsonl"]
    format: Literal["csv", "jsonl", "parquet"]
    column_types: Mapping[str, str] | None = None
    compress: Compression | None = None
    if_exists: IfExists = "fail"
    redaction: Redaction | None = None
    escape_formulas: bool = False

    def land(self, ids: Sequence[str], target: StoragePath) -> tuple[LandedFile, list[Share]]:
        """
        Land the results of batches or campaigns as one file, which appears whole or not at all.

        :param ids: which ones, in the order of the rows
        :param target: the file
        :return: what was landed, and what each has in it
        :raises LandingError: when a file is in the way, or the store failed
        """
        if existing := ensure_may_write(target, if_exists=self.if_exists):
            return existing, [Share(each) for each in ids]
        if self.format == self.given and len(ids) == 1:
            file, share = self._straight(ids[0], target)
            return file, [share]
        with TemporaryDirectory(prefix="graine-results-") as directory:
            return self._by_way_of(Path(directory), ids, target)

    def _straight(self, id: str, target: StoragePath) -> tuple[LandedFile, Share]:
        def write(results: Results) -> tuple[LandedFile, Share]:
            file = land(
                target, self._safe(self._redacted(results.blocks)), if_exists=self.if_exists, compress=self.compress
            )
            return file, Share(id) if file.skipped else Share(id, results.rows(), results.contacts())

        return self.source.take(id, write)

    def _by_way_of(self, directory: Path, ids: Sequence[str], target: StoragePath) -> tuple[LandedFile, list[Share]]:
        paths = [directory / f"{number}.{self.given}" for number, _ in enumerate(ids)]
        shares = [self._spool(each, path) for each, path in zip(ids, paths, strict=True)]
        one = self._one_of(paths, directory / f"all.{self.format}", rows=sum(share.rows or 0 for share in shares))
        return land(target, self._safe(one), if_exists=self.if_exists, compress=self.compress), shares

    def _spool(self, id: str, path: Path) -> Share:
        def write(results: Results) -> Share:
            spool(path, self._redacted(results.blocks))
            return Share(id, results.rows(), results.contacts())

        return self.source.take(id, write)

    def _redacted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        if self.redaction is None:
            return blocks
        return self.redaction.csv(blocks) if self.given == "csv" else self.redaction.json_lines(blocks)

    def _safe(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        return spreadsheet_safe(blocks) if self.escape_formulas else blocks

    def _one_of(self, paths: Sequence[Path], scratch: Path, *, rows: int) -> Iterator[bytes]:
        if self.format == self.given:
            joined = joined_csv(paths) if self.given == "csv" else joined_lines(paths)
            if joined is not None:
                return joined
        read = write_table(
            paths,
            scratch,
            source=self.given,
            format="parquet" if self.format == "parquet" else "csv",
            column_types=self.column_types,
        )
        if read != rows:
            raise LandingError(
                f"A table of {read} rows was made of results with {rows}. Nothing was landed; land them as they come."
            )
        return blocks_of(scratch)
