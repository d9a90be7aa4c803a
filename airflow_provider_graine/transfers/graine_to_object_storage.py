"""From Graine batches to result files in object storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.operators.batch_ids import flat
from airflow_provider_graine.transfers.results_to_object_storage import ResultsToObjectStorageOperator

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.hooks.graine_results import GraineResults
    from airflow_provider_graine.results.files import ResultSource

#: What the service documents of a call; a contact that was never called has none of it.
_OF_A_CALL: Final = frozenset(
    {
        "call_status",
        "duration_seconds",
        "execution_id",
        "hangup_by",
        "hangup_reason",
        "recording_url",
        "sentiment",
        "summary",
        "transcript",
    }
)


class GraineToObjectStorageOperator(ResultsToObjectStorageOperator):
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
    :param escape_formulas: CSV: whether what a spreadsheet could take for a formula gets an apostrophe in front,
        phone numbers with their ``+`` among them; default no
    :param redact: fields that must not be in the files (templated): a list of those to leave out, or a mapping to
        ``"drop"`` or ``"hash"``. A name stands for columns and for fields of nested values. What is hashed has the
        HMAC-SHA-256 of its value instead, hexadecimal. A name that is nowhere in the results fails the task
    :param redact_conn_id: connection whose password is the key of the hashes (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: a list with, per file, ``batch_id``, ``uri``, ``bytes``, ``rows``, ``contacts`` (on the batch) and
        ``sha256`` (of the file as it is in the store); the last three are ``None`` for a file that was there and
        skipped. With ``merge``, a list of one entry: ``uri``, ``bytes``, ``rows``, ``sha256`` and ``batches``, which
        has ``batch_id``, ``rows`` and ``contacts`` of each
    :raises LandingError: when a file is in the way, or the store failed; no partial file is left behind
    :raises ServiceError: when the results cannot be had; no partial file is left behind
    :raises TaskKilledError: when the task was stopped from outside; no partial file is left behind
    """

    template_fields: Sequence[str] = (
        "batch_ids",
        "campaign_id",
        "path",
        "path_conn_id",
        "redact",
        "redact_conn_id",
        "graine_conn_id",
    )

    noun, nouns = "batch", "batches"
    _redacted_within: ClassVar[Mapping[str, frozenset[str]]] = {"current_call": _OF_A_CALL}
    _given: ClassVar[dict[str, Literal["csv", "jsonl"]]] = {"csv": "csv", "contacts": "jsonl"}
    _results: GraineResults | None = None

    def __init__(
        self,
        *,
        path: str,
        batch_ids: str | Sequence[str | Sequence[str]] | None = None,
        campaign_id: str | None = None,
        kind: Literal["csv", "contacts"] = "csv",
        include_calls: bool = True,
        graine_conn_id: str = "graine_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(path=path, **kwargs)
        self.batch_ids = batch_ids
        self.campaign_id = campaign_id
        self.kind = kind
        self.include_calls = include_calls
        self.graine_conn_id = graine_conn_id

    @cached_property
    def hook(self) -> GraineHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.graine import GraineHook

        return GraineHook(self.graine_conn_id)

    @property
    def _given_format(self) -> Literal["csv", "jsonl"]:
        return self._given[self.kind]

    def _choices(self) -> dict[str, tuple[str | None, ...]]:
        return {"kind": tuple(self._given), "format": (None, self._given.get(self.kind), "parquet")}

    def _given_ids(self) -> list[str]:
        if (self.batch_ids is None) == (self.campaign_id is None):
            raise ConfigurationError("Give batch_ids or campaign_id, one of them. Nothing was downloaded.")
        if self.campaign_id is not None:
            return [batch.batch_id for batch in self.hook.iter_campaign_batches(self.campaign_id)]
        return flat(self.batch_ids)

    def _read_from(self, ids: list[str]) -> tuple[list[str] | None, list[str]]:
        if self.campaign_id is not None:
            return ids, [self.campaign_id]
        return ids, list(self._results.campaign_ids) if self._results else []

    def _source(self) -> ResultSource:
        from airflow_provider_graine.hooks.graine_results import GraineResults

        self._results = GraineResults(
            self.hook, kind=self.kind, include_calls=self.include_calls, if_incomplete=self.if_incomplete
        )
        return self._results
