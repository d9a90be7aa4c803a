"""Result files: straight into the store, or by way of the worker's disk where one is made of many."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from airflow_provider_graine.exceptions import LandingError
from airflow_provider_graine.results.formulas import spreadsheet_safe
from airflow_provider_graine.results.joining import joined_csv, joined_lines
from airflow_provider_graine.results.landing import LandedFile, ensure_may_write, land
from airflow_provider_graine.results.redaction import Names
from airflow_provider_graine.results.spool import blocks_of, spool
from airflow_provider_graine.results.tables import write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from airflow_provider_graine.results.landing import Compression, IfExists, StoragePath
    from airflow_provider_graine.results.redaction import Redaction

T = TypeVar("T")

_DIRECTORIES: Final = "graine-results-"

log = logging.getLogger(__name__)


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
        :raises ConfigurationError: when the redaction names what is nowhere in the results; nothing was landed
        """
        if existing := ensure_may_write(target, if_exists=self.if_exists):
            return existing, [Share(each) for each in ids]
        if self.format == self.given and len(ids) == 1:
            file, share = self._straight(ids[0], target)
            return file, [share]
        with TemporaryDirectory(prefix=_DIRECTORIES) as directory:
            return self._by_way_of(Path(directory), ids, target)

    def land_each(self, targets: Mapping[str, StoragePath]) -> Generator[tuple[LandedFile, Share], None, None]:
        """
        Land the results of batches or campaigns as a file each, which appears whole or not at all.

        With a redaction no file appears before each name has come somewhere: one that never does is misspelt, and would
        leave the values in all of them. Until then files wait on the disk.

        :param targets: batch or campaign to its file
        :return: what was landed, and what is in it, in the same order; to be closed, since files may wait
        :raises LandingError: when a file is in the way, or the store failed
        :raises ConfigurationError: when the redaction names what is nowhere in the results; nothing was landed
        """
        ids = list(targets)
        names = Names(self.redaction) if self.redaction and len(ids) > 1 else None
        if names is not None:
            with TemporaryDirectory(prefix=_DIRECTORIES) as directory:
                waiting = self._spool_until_all_seen(Path(directory), targets, names)
                for share, file in waiting:
                    yield self._waited(file, share, targets[share.id]) if isinstance(file, Path) else (file, share)
            ids = ids[len(waiting) :]
        for id in ids:
            yield self._one(id, targets[id], names)

    def _one(self, id: str, target: StoragePath, names: Names | None) -> tuple[LandedFile, Share]:
        if existing := ensure_may_write(target, if_exists=self.if_exists):
            return existing, Share(id)
        if self.format == self.given:
            return self._straight(id, target, names)
        with TemporaryDirectory(prefix=_DIRECTORIES) as directory:
            file, (share,) = self._by_way_of(Path(directory), [id], target, names)
            return file, share

    def _spool_until_all_seen(
        self, directory: Path, targets: Mapping[str, StoragePath], names: Names
    ) -> list[tuple[Share, Path | LandedFile]]:
        waiting: list[tuple[Share, Path | LandedFile]] = []
        for id, target in targets.items():
            if existing := ensure_may_write(target, if_exists=self.if_exists):
                waiting.append((Share(id), existing))
                continue
            path = directory / f"{len(waiting)}.{self.given}"
            waiting.append((self._spool(id, path, names), path))
            if names.all_seen:
                return waiting
        # A name may be only in what is left alone, as an earlier try has landed it.
        for share, file in waiting:
            if names.missing and isinstance(file, LandedFile):
                self._look_through(share.id, names)
        names.ensure_none_missing()
        return waiting

    def _look_through(self, id: str, names: Names) -> None:
        def read(results: Results) -> None:
            deque(self._redacted(results.blocks, id, names), maxlen=0)

        self.source.take(id, read)

    def _straight(self, id: str, target: StoragePath, names: Names | None = None) -> tuple[LandedFile, Share]:
        def write(results: Results) -> tuple[LandedFile, Share]:
            blocks = self._safe(self._redacted(results.blocks, id, names))
            file = land(target, blocks, if_exists=self.if_exists, compress=self.compress)
            return file, Share(id) if file.skipped else Share(id, results.rows(), results.contacts())

        return self.source.take(id, write)

    def _by_way_of(
        self, directory: Path, ids: Sequence[str], target: StoragePath, names: Names | None = None
    ) -> tuple[LandedFile, list[Share]]:
        if names is None and self.redaction:
            names = Names(self.redaction)
        paths = [directory / f"{number}.{self.given}" for number, _ in enumerate(ids)]
        shares = [self._spool(each, path, names) for each, path in zip(ids, paths, strict=True)]
        if names is not None:
            names.ensure_none_missing()
        return self._land_spooled(paths, directory / f"all.{self.format}", shares, target), shares

    def _waited(self, path: Path, share: Share, target: StoragePath) -> tuple[LandedFile, Share]:
        scratch = path.with_name(f"{path.stem}-all.{self.format}")
        file = self._land_spooled([path], scratch, [share], target)
        for done in (path, scratch):
            done.unlink(missing_ok=True)
        return file, Share(share.id) if file.skipped else share

    def _land_spooled(
        self, paths: Sequence[Path], scratch: Path, shares: Sequence[Share], target: StoragePath
    ) -> LandedFile:
        one = self._one_of(paths, scratch, rows=sum(share.rows or 0 for share in shares))
        return land(target, self._safe(one), if_exists=self.if_exists, compress=self.compress)

    def _spool(self, id: str, path: Path, names: Names | None) -> Share:
        def write(results: Results) -> Share:
            spool(path, self._redacted(results.blocks, id, names))
            return Share(id, results.rows(), results.contacts())

        return self.source.take(id, write)

    def _redacted(self, blocks: Iterator[bytes], id: str, names: Names | None) -> Iterator[bytes]:
        if self.redaction is None:
            return blocks
        redacted = self.redaction.csv if self.given == "csv" else self.redaction.json_lines
        return redacted(blocks) if names is None else _noted(redacted, blocks, id, names)

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


def _noted(
    redacted: Callable[[Iterator[bytes], Names], Iterator[bytes]], blocks: Iterator[bytes], id: str, names: Names
) -> Iterator[bytes]:
    came = Names(names.redaction)  # of this reading alone, which may break off
    yield from redacted(blocks, came)
    if came.missing:
        log.warning("The results of %s have no field %s, which redact names", id, ", ".join(map(repr, came.missing)))
    names.add(came)
