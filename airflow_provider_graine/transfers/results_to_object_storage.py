"""What transfers share that land results in object storage, whatever the service."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseHook

from airflow_provider_graine.exceptions import ConfigurationError, TaskKilledError
from airflow_provider_graine.lineage.telling import TellsLineage

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_graine.hooks.calling_service import CallingServiceHook
    from airflow_provider_graine.lineage.data import TaskLineage
    from airflow_provider_graine.results.files import ResultFiles, ResultSource, Share
    from airflow_provider_graine.results.landing import LandedFile
    from airflow_provider_graine.results.redaction import Redaction


class _Killed(BaseException):
    """The task was killed. No ``except Exception`` on the way may take it for an error of the store."""


class ResultsToObjectStorageOperator(TellsLineage):
    """
    Land results in object storage; a file appears whole or not at all.

    :param path: folder for the files, or with ``merge`` the file itself (templated)
    :param path_conn_id: connection of the store (templated)
    :param format: what is landed; default: as the service gives it
    :param column_types: with ``format="parquet"``, column to DuckDB type
    :param merge: land one file of all
    :param if_exists: what to do about a file that is there
    :param if_incomplete: what to do about results that look incomplete
    :param compress: ``"gzip"`` or ``None``
    :param escape_formulas: CSV: whether values that a spreadsheet could take for formulas are made text
    :param redact: fields to leave out, or mapping from fields to ``"drop"`` or ``"hash"`` (templated)
    :param redact_conn_id: connection whose password is the key of the hashes (templated)
    """

    ui_color = "#f2e8d5"

    #: What results are of.
    noun: ClassVar[str]
    nouns: ClassVar[str]

    #: Fields of what the source gives, and those that come only within them.
    _redacted_within: ClassVar[Mapping[str, frozenset[str]]] = {}

    _is_at_work = False
    #: The task's result, as soon as there is one.
    _files_landed: Sequence[Mapping[str, Any]] = ()

    def __init__(
        self,
        *,
        path: str,
        path_conn_id: str | None = None,
        format: Literal["csv", "jsonl", "parquet"] | None = None,
        column_types: Mapping[str, str] | None = None,
        merge: bool = False,
        if_exists: Literal["fail", "replace", "skip"] = "fail",
        if_incomplete: Literal["fail", "warn"] = "fail",
        compress: Literal["gzip"] | None = None,
        escape_formulas: bool = False,
        redact: Mapping[str, Literal["drop", "hash"]] | Sequence[str] | None = None,
        redact_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.path_conn_id = path_conn_id
        self.format = format
        self.column_types = column_types
        self.merge = merge
        self.if_exists = if_exists
        self.if_incomplete = if_incomplete
        self.compress = compress
        self.escape_formulas = escape_formulas
        self.redact = redact
        self.redact_conn_id = redact_conn_id

    @cached_property
    @abstractmethod
    def hook(self) -> CallingServiceHook:
        """The hook of the connection."""

    @abstractmethod
    def _given_ids(self) -> list[str]:
        """Return the ids of what is landed."""

    @property
    @abstractmethod
    def _given_format(self) -> Literal["csv", "jsonl"]:
        """What the source gives."""

    @abstractmethod
    def _choices(self) -> dict[str, tuple[str | None, ...]]:
        """Return what the arguments can be, by name."""

    @abstractmethod
    def _source(self) -> ResultSource:
        """Return what reads the results."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land one file after the other, or one of all."""
        self._is_at_work = True
        try:
            self._files_landed = landed = self._landed()
            return landed
        except _Killed:
            raise TaskKilledError(
                "The task was stopped from outside before all results were landed. Files that were landed before are "
                "whole, and no partial file was left. A retry begins anew."
            ) from None
        finally:
            self._is_at_work = False

    @abstractmethod
    def _read_from(self, ids: list[str]) -> tuple[list[str] | None, list[str]]:
        """
        Return the batches that results were read of, where the service has such, and the campaigns, where known.

        :param ids: the ids of what was landed
        """

    def lineage(self, ti: Any) -> TaskLineage:
        """Return what the results are from and where they are now."""
        from airflow_provider_graine.lineage.landings import landing_lineage

        shares = [share for file in self._files_landed for share in file.get(self.nouns, [file])]
        ids = [str(share[f"{self.noun}_id"]) for share in shares]
        batch_ids, campaign_ids = self._read_from(ids)
        return landing_lineage(self.hook, landed=self._files_landed, batch_ids=batch_ids, campaign_ids=campaign_ids)

    def on_kill(self) -> None:
        """
        Throw away what is only half written; Airflow calls this on SIGTERM, in a signal handler.

        It is also called after ``execution_timeout``; then that has been done.
        """
        if self._is_at_work:
            self._is_at_work = False  # another signal must not break that off
            raise _Killed

    def _landed(self) -> list[dict[str, Any]]:
        from airflow.sdk import ObjectStoragePath

        self._ensure_arguments()
        path = ObjectStoragePath(self.path, conn_id=self.path_conn_id)
        _ = self._redaction  # wrong arguments show before anything is downloaded
        ids = self._ids()
        if not ids:
            self.log.info("There are no %s, so there is no file", self.nouns)
            return []
        if self.merge:
            return [self._merged(ids, path)]
        suffix = f".{self._files.format}{'.gz' if self.compress else ''}"
        with closing(self._files.land_each({each: path / f"{each}{suffix}" for each in ids})) as landed:
            return [self._single(file, share) for file, share in landed]

    def _ensure_arguments(self) -> None:
        choices = {
            **self._choices(),
            "compress": (None,) if self.format == "parquet" else (None, "gzip"),
            "if_incomplete": ("fail", "warn"),
        }
        for name, possible in choices.items():
            if getattr(self, name) not in possible:
                raise ConfigurationError(
                    f"Here {name} can be {' or '.join(map(repr, possible))}. Nothing was downloaded."
                )
        if self.column_types:
            from airflow_provider_graine.results.tables import ensure_types

            if self.format != "parquet":
                raise ConfigurationError('column_types are for format="parquet". Nothing was downloaded.')
            ensure_types(self.column_types)
        if self.escape_formulas and self._landed_format != "csv":
            raise ConfigurationError('escape_formulas is for format="csv". Nothing was downloaded.')

    def _ids(self) -> list[str]:
        ids = self._given_ids()
        if any("/" in each or each.startswith(".") for each in ids):
            raise ConfigurationError(f"A {self.noun} id cannot be a file name. Nothing was downloaded.")
        return list(dict.fromkeys(ids))

    @cached_property
    def _files(self) -> ResultFiles:
        from airflow_provider_graine.results.files import ResultFiles

        return ResultFiles(
            source=self._source(),
            given=self._given_format,
            format=self._landed_format,
            column_types=self.column_types,
            compress=self.compress,
            if_exists=self.if_exists,
            redaction=self._redaction,
            escape_formulas=self.escape_formulas,
        )

    @property
    def _landed_format(self) -> Literal["csv", "jsonl", "parquet"]:
        return self.format or self._given_format

    @cached_property
    def _redaction(self) -> Redaction | None:
        if self.redact is None:
            return None
        from airflow_provider_graine.results.redaction import Redaction, read_key, read_redact

        fields = read_redact(self.redact)
        key = b""
        if "hash" in fields.values():
            if not self.redact_conn_id:
                raise ConfigurationError(
                    'redact with "hash" needs redact_conn_id: a connection whose password is the key of the hashes. '
                    "Nothing was downloaded."
                )
            key = read_key(BaseHook.get_connection(self.redact_conn_id).password)
        return Redaction(fields, key, self._redacted_within) if fields else None

    def _single(self, file: LandedFile, share: Share) -> dict[str, Any]:
        self._tell(file, share.rows, f"{self.noun} {share.id}")
        return {**self._share(share), **self._entry(file)}

    def _merged(self, ids: list[str], target: ObjectStoragePath) -> dict[str, Any]:
        file, shares = self._files.land(ids, target)
        rows = None if file.skipped else sum(share.rows or 0 for share in shares)
        self._tell(file, rows, f"{len(ids)} {self.nouns}")
        return {**self._entry(file), "rows": rows, self.nouns: [self._share(share) for share in shares]}

    def _tell(self, file: LandedFile, rows: int | None, what: str) -> None:
        if file.skipped:
            self.log.info("%s is there already and was left alone", file.uri)
        else:
            self.log.info("Landed %s: %s (%s rows, %d bytes)", what, file.uri, rows, file.bytes)

    def _share(self, share: Share) -> dict[str, Any]:
        return {f"{self.noun}_id": share.id, "rows": share.rows, "contacts": share.contacts}

    @staticmethod
    def _entry(file: LandedFile) -> dict[str, Any]:
        return {"uri": file.uri, "bytes": file.bytes, "sha256": file.sha256}
