"""From Graine batches to result files in object storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import ConfigurationError, ServiceUnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.results.landing import LandedFile

#: How often a download that broke off is begun anew; a read changes nothing.
_DOWNLOADS = 3
_CONTACTS_PER_BLOCK = 1_000


class GraineToObjectStorageOperator(BaseOperator):
    """
    Land the results of batches in object storage, one file a batch; a file appears whole or not at all.

    :param batch_ids: one id or a list of them (templated); give these or ``campaign_id``
    :param campaign_id: all batches of this campaign (templated)
    :param path: folder for the files, such as ``s3://conn_id@bucket/results/{{ run_id }}`` (templated); the files are
        named after the batches, ``<batch_id>.csv`` or ``<batch_id>.jsonl``, with ``.gz`` where compressed
    :param path_conn_id: connection of the store (templated); default: the one in the path
    :param kind: ``"csv"`` (default): the service's ``export.csv`` as it is, whose columns are not documented;
        ``"contacts"``: JSON lines, each contact of the batch with its call records as the contacts endpoint gives it
    :param include_calls: with ``kind="contacts"``, whether the call records come along; default yes
    :param if_exists: what to do about a file that is there: ``"fail"`` (default), ``"replace"`` it, or ``"skip"``
    :param compress: ``"gzip"`` or ``None`` (default)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: a list with, per file, ``batch_id``, ``uri``, ``bytes``, ``rows`` and ``sha256`` (of the file as it is in
        the store); the last two are ``None`` for a file that was there and skipped
    :raises LandingError: when a file is in the way, or the store failed; no partial file is left behind
    :raises ServiceError: when the results cannot be had; no partial file is left behind
    """

    template_fields: Sequence[str] = ("batch_ids", "campaign_id", "path", "path_conn_id", "graine_conn_id")
    ui_color = "#f2e8d5"

    _suffixes: ClassVar[dict[str, str]] = {"csv": ".csv", "contacts": ".jsonl"}

    def __init__(
        self,
        *,
        path: str,
        batch_ids: str | Sequence[str] | None = None,
        campaign_id: str | None = None,
        path_conn_id: str | None = None,
        kind: Literal["csv", "contacts"] = "csv",
        include_calls: bool = True,
        if_exists: Literal["fail", "replace", "skip"] = "fail",
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
        self.if_exists = if_exists
        self.compress = compress
        self.graine_conn_id = graine_conn_id

    @cached_property
    def hook(self) -> GraineHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.graine import GraineHook

        return GraineHook(self.graine_conn_id)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land one file after the other."""
        from airflow.sdk import ObjectStoragePath

        if self.kind not in self._suffixes:
            raise ConfigurationError('kind must be "csv" or "contacts". Nothing was downloaded.')
        if self.compress not in (None, "gzip"):
            raise ConfigurationError('compress must be "gzip" or None. Nothing was downloaded.')
        folder = ObjectStoragePath(self.path, conn_id=self.path_conn_id)
        landed = []
        for batch_id in self._batches():
            file = self._land(batch_id, folder / f"{batch_id}{self._suffix}")
            landed.append(
                {
                    "batch_id": batch_id,
                    "uri": file.uri,
                    "bytes": file.bytes,
                    "rows": file.rows,
                    "sha256": file.sha256,
                }
            )
        return landed

    def _batches(self) -> list[str]:
        if (self.batch_ids is None) == (self.campaign_id is None):
            raise ConfigurationError("Give batch_ids or campaign_id, one of them. Nothing was downloaded.")
        if self.campaign_id is not None:
            ids = [batch.batch_id for batch in self.hook.iter_campaign_batches(self.campaign_id)]
        else:
            ids = [self.batch_ids] if isinstance(self.batch_ids, str) else list(self.batch_ids or ())
        if any("/" in batch_id or batch_id.startswith(".") for batch_id in ids):
            raise ConfigurationError("A batch id cannot be a file name. Nothing was downloaded.")
        return list(dict.fromkeys(ids))

    @property
    def _suffix(self) -> str:
        return self._suffixes[self.kind] + (".gz" if self.compress == "gzip" else "")

    def _land(self, batch_id: str, target: ObjectStoragePath) -> LandedFile:
        """Download from the start until a download comes through whole; what broke off left nothing behind."""
        for attempt in range(1, _DOWNLOADS + 1):
            try:
                file = self._download(batch_id, target)
            except ServiceUnavailableError as error:
                if attempt == _DOWNLOADS:
                    raise
                self.log.warning("%s Downloading batch %s from its start again", error, batch_id)
                continue
            if file.skipped:
                self.log.info("%s is there already and was left alone", file.uri)
            else:
                self.log.info("Landed batch %s: %s (%s rows, %d bytes)", batch_id, file.uri, file.rows, file.bytes)
            return file
        raise AssertionError("unreachable")

    def _download(self, batch_id: str, target: ObjectStoragePath) -> LandedFile:
        from airflow_provider_graine.results.counting import CsvRowCounter, LineCounter
        from airflow_provider_graine.results.landing import ensure_may_write, land

        if (existing := ensure_may_write(target, if_exists=self.if_exists)) is not None:
            return existing
        if self.kind == "contacts":
            return land(
                target,
                self._contacts(batch_id),
                if_exists=self.if_exists,
                compress=self.compress,
                rows=LineCounter(),
            )
        with self.hook.export_batch(batch_id) as download:
            return land(target, download.blocks, if_exists=self.if_exists, compress=self.compress, rows=CsvRowCounter())

    def _contacts(self, batch_id: str) -> Iterator[bytes]:
        lines: list[bytes] = []
        for contact in self.hook.iter_batch_contacts(batch_id, include_calls=self.include_calls):
            lines.append(contact.model_dump_json(exclude_unset=True).encode() + b"\n")
            if len(lines) == _CONTACTS_PER_BLOCK:
                yield b"".join(lines)
                lines.clear()
        yield b"".join(lines)
