"""From Graine batches to result files in object storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import ConfigurationError, TaskKilledError
from airflow_provider_graine.operators.batch_ids import flat

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.results.files import ResultFiles
    from airflow_provider_graine.results.landing import LandedFile


class _Killed(BaseException):
    """The task was killed. No ``except Exception`` on the way may take it for an error of the store."""


class GraineToObjectStorageOperator(BaseOperator):
    """
    Land the results of batches in object storage; a file appears whole or not at all.

    :param batch_ids: one id, a list of them, or the output of a mapped upload, a list of lists (templated); give these
        or ``campaign_id``
    :param campaign_id: all batches of this campaign (templated)
    :param path: folder for the files, such as ``s3://conn_id@bucket/results/{{ run_id }}`` (templated); the files are
        named after the batches, ``<batch_id>.csv``, ``.jsonl`` or ``.parquet``, with ``.gz`` where compressed. With
        ``merge``, the file itself, such as ``s3://conn_id@bucket/results/{{ run_id }}.csv``
    :param path_conn_id: connection of the store (templated); default: the one in the path
    :param kind: ``"csv"`` (default): the service's ``export.csv``, whose columns are not documented; ``"contacts"``:
        each contact of the batch with its call records as the contacts endpoint gives it
    :param include_calls: with ``kind="contacts"``, whether the call records come along; default yes
    :param format: ``"csv"``, ``"jsonl"`` or ``"parquet"``; default: as the service gives it, CSV for ``kind="csv"`` and
        JSON lines for ``kind="contacts"``
    :param column_types: with ``format="parquet"``, column to DuckDB type, such as ``{"duration_seconds": "BIGINT"}``;
        every other column is text
    :param merge: land one file with the rows of all batches; default: one file a batch
    :param if_exists: what to do about a file that is there: ``"fail"`` (default), ``"replace"`` it, or ``"skip"``
    :param if_incomplete: what to do about results that look incomplete: ``"fail"`` (default), or ``"warn"`` and land
        them
    :param compress: ``"gzip"`` or ``None`` (default); Parquet is always compressed (zstd)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: a list with, per file, ``batch_id``, ``uri``, ``bytes``, ``rows``, ``contacts`` (on the batch) and
        ``sha256`` (of the file as it is in the store); the last three are ``None`` for a file that was there and
        skipped. With ``merge``, a list of one entry: ``uri``, ``bytes``, ``rows``, ``sha256`` and ``batches``, which
        has ``batch_id``, ``rows`` and ``contacts`` of each
    :raises LandingError: when a file is in the way, or the store failed; no partial file is left behind
    :raises ServiceError: when the results cannot be had; no partial file is left behind
    :raises TaskKilledError: when the task was stopped from outside; no partial file is left behind
    """

    template_fields: Sequence[str] = ("batch_ids", "campaign_id", "path", "path_conn_id", "graine_conn_id")
    ui_color = "#f2e8d5"

    _is_at_work = False
    _given: ClassVar[dict[str, Literal["csv", "jsonl"]]] = {"csv": "csv", "contacts": "jsonl"}

    def __init__(
        self,
        *,
        path: str,
        batch_ids: str | Sequence[str | Sequence[str]] | None = None,
        campaign_id: str | None = None,
        path_conn_id: str | None = None,
        kind: Literal["csv", "contacts"] = "csv",
        include_calls: bool = True,
        format: Literal["csv", "jsonl", "parquet"] | None = None,
        column_types: Mapping[str, str] | None = None,
        merge: bool = False,
        if_exists: Literal["fail", "replace", "skip"] = "fail",
        if_incomplete: Literal["fail", "warn"] = "fail",
        compress: Literal["gzip"] | None = None,
        graine_conn_id: str = "graine_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.batch_ids = batch_ids
        self.campaign_id = campaign_id
        self.path_conn_id = path_conn_id
        self.kind = kind
        self.include_calls = include_calls
        self.format = format
        self.column_types = column_types
        self.merge = merge
        self.if_exists = if_exists
        self.if_incomplete = if_incomplete
        self.compress = compress
        self.graine_conn_id = graine_conn_id

    @cached_property
    def hook(self) -> GraineHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.graine import GraineHook

        return GraineHook(self.graine_conn_id)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land one file after the other, or one of all."""
        self._is_at_work = True
        try:
            return self._landed()
        except _Killed:
            raise TaskKilledError(
                "The task was stopped from outside before all results were landed. Files that were landed before are "
                "whole, and no partial file was left. A retry begins anew."
            ) from None
        finally:
            self._is_at_work = False

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
        batch_ids = self._batches()
        if not batch_ids:
            self.log.info("There are no batches, so there is no file")
            return []
        if self.merge:
            return [self._merged(batch_ids, path)]
        return [self._single(batch_id, path) for batch_id in batch_ids]

    def _ensure_arguments(self) -> None:
        choices: dict[str, tuple[str | None, ...]] = {
            "kind": tuple(self._given),
            "format": (None, self._given.get(self.kind), "parquet"),
            "compress": (None,) if self.format == "parquet" else (None, "gzip"),
            "if_incomplete": ("fail", "warn"),
        }
        for name, possible in choices.items():
            if getattr(self, name) not in possible:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}; here it can be {' or '.join(map(repr, possible))}. Nothing "
                    "was downloaded."
                )
        if self.column_types:
            from airflow_provider_graine.results.tables import ensure_types

            if self.format != "parquet":
                raise ConfigurationError('column_types are for format="parquet". Nothing was downloaded.')
            ensure_types(self.column_types)

    def _batches(self) -> list[str]:
        if (self.batch_ids is None) == (self.campaign_id is None):
            raise ConfigurationError("Give batch_ids or campaign_id, one of them. Nothing was downloaded.")
        if self.campaign_id is not None:
            ids = [batch.batch_id for batch in self.hook.iter_campaign_batches(self.campaign_id)]
        else:
            ids = flat(self.batch_ids)
        if any("/" in batch_id or batch_id.startswith(".") for batch_id in ids):
            raise ConfigurationError("A batch id cannot be a file name. Nothing was downloaded.")
        return list(dict.fromkeys(ids))

    @cached_property
    def _files(self) -> ResultFiles:
        from airflow_provider_graine.hooks.graine_results import GraineResults
        from airflow_provider_graine.results.files import ResultFiles

        given = self._given[self.kind]
        return ResultFiles(
            source=GraineResults(
                self.hook, kind=self.kind, include_calls=self.include_calls, if_incomplete=self.if_incomplete
            ),
            given=given,
            format=self.format or given,
            column_types=self.column_types,
            compress=self.compress,
            if_exists=self.if_exists,
        )

    def _single(self, batch_id: str, folder: ObjectStoragePath) -> dict[str, Any]:
        suffix = ".gz" if self.compress else ""
        file, (share,) = self._files.land([batch_id], folder / f"{batch_id}.{self._files.format}{suffix}")
        self._tell(file, share.rows, f"batch {batch_id}")
        return {**asdict(share), **self._entry(file)}

    def _merged(self, batch_ids: list[str], target: ObjectStoragePath) -> dict[str, Any]:
        file, shares = self._files.land(batch_ids, target)
        rows = None if file.skipped else sum(share.rows or 0 for share in shares)
        self._tell(file, rows, f"{len(batch_ids)} batches")
        return {**self._entry(file), "rows": rows, "batches": [asdict(share) for share in shares]}

    def _tell(self, file: LandedFile, rows: int | None, what: str) -> None:
        if file.skipped:
            self.log.info("%s is there already and was left alone", file.uri)
        else:
            self.log.info("Landed %s: %s (%s rows, %d bytes)", what, file.uri, rows, file.bytes)

    @staticmethod
    def _entry(file: LandedFile) -> dict[str, Any]:
        return {"uri": file.uri, "bytes": file.bytes, "sha256": file.sha256}
