"""From Kataven campaigns to result files in object storage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.operators.batch_ids import flat
from airflow_provider_graine.transfers.results_to_object_storage import ResultsToObjectStorageOperator

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.kataven import KatavenHook
    from airflow_provider_graine.results.files import ResultSource


class KatavenToObjectStorageOperator(ResultsToObjectStorageOperator):
    """
    Land the contacts of campaigns, with what came of them, in object storage; a file appears whole or not at all.

    A request brings 100 contacts, and the account's limits allow for 60 a minute and 1,000 an hour unless the
    connection says otherwise: the task waits for them where it has to.

    :param campaign_ids: one id, a list of them, or the output of a mapped upload, a list of lists (templated); give
        these or ``campaign_id``
    :param campaign_id: the campaign (templated)
    :param path: folder for the files, such as ``s3://conn_id@bucket/results/{{ run_id }}`` (templated); the files are
        named after the campaigns, ``<campaign_id>.csv``, ``.jsonl`` or ``.parquet``, with ``.gz`` where compressed.
        With ``merge``, the file itself, such as ``s3://conn_id@bucket/results/{{ run_id }}.csv``
    :param path_conn_id: connection of the store (templated); default: the one in the path
    :param format: ``"csv"`` (default), ``"jsonl"`` or ``"parquet"``. In a table every column is text, and objects and
        lists are JSON text
    :param column_types: with ``format="parquet"``, column to DuckDB type, such as ``{"attempts": "BIGINT"}``; every
        other column is text
    :param merge: land one file with the rows of all campaigns; default: one file a campaign
    :param if_exists: what to do about a file that is there: ``"fail"`` (default), ``"replace"`` it, or ``"skip"``
    :param if_incomplete: what to do about contacts that are missing after three readings: ``"fail"`` (default), or
        ``"warn"`` and land the others
    :param compress: ``"gzip"`` or ``None`` (default); Parquet is always compressed (zstd)
    :param escape_formulas: CSV: whether what a spreadsheet could take for a formula gets an apostrophe in front,
        phone numbers with their ``+`` among them; default no
    :param redact: fields that must not be in the files (templated): a list of those to leave out, or a mapping to
        ``"drop"`` or ``"hash"``. A name stands for columns and for fields of nested values. What is hashed has the
        HMAC-SHA-256 of its value instead, hexadecimal. A name that is nowhere in the results fails the task
    :param redact_conn_id: connection whose password is the key of the hashes (templated)
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :return: a list with, per file, ``campaign_id``, ``uri``, ``bytes``, ``rows``, ``contacts`` (on the campaign) and
        ``sha256`` (of the file as it is in the store); the last three are ``None`` for a file that was there and
        skipped. With ``merge``, a list of one entry: ``uri``, ``bytes``, ``rows``, ``sha256`` and ``campaigns``, which
        has ``campaign_id``, ``rows`` and ``contacts`` of each
    :raises LandingError: when a file is in the way, or the store failed; no partial file is left behind
    :raises ServiceError: when the contacts cannot be had; no partial file is left behind
    :raises TaskKilledError: when the task was stopped from outside; no partial file is left behind
    """

    template_fields: Sequence[str] = (
        "campaign_ids",
        "campaign_id",
        "path",
        "path_conn_id",
        "redact",
        "redact_conn_id",
        "kataven_conn_id",
    )

    noun, nouns = "campaign", "campaigns"

    def __init__(
        self,
        *,
        path: str,
        campaign_ids: str | Sequence[str | Sequence[str]] | None = None,
        campaign_id: str | None = None,
        format: Literal["csv", "jsonl", "parquet"] = "csv",
        kataven_conn_id: str = "kataven_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(path=path, format=format, **kwargs)
        self.campaign_ids = campaign_ids
        self.campaign_id = campaign_id
        self.kataven_conn_id = kataven_conn_id

    @cached_property
    def hook(self) -> KatavenHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.kataven import KatavenHook

        return KatavenHook(self.kataven_conn_id)

    @property
    def _given_format(self) -> Literal["csv", "jsonl"]:
        return "jsonl"

    def _choices(self) -> dict[str, tuple[str | None, ...]]:
        return {"format": ("csv", "jsonl", "parquet")}

    def _given_ids(self) -> list[str]:
        if (self.campaign_ids is None) == (self.campaign_id is None):
            raise ConfigurationError("Give campaign_ids or campaign_id, one of them. Nothing was downloaded.")
        if self.campaign_ids is None:
            return flat(self.campaign_id, "campaign_id")
        return flat(self.campaign_ids, "campaign_ids")

    def _read_from(self, ids: list[str]) -> tuple[list[str] | None, list[str]]:
        return None, ids

    def _source(self) -> ResultSource:
        from airflow_provider_graine.hooks.kataven_results import KatavenResults

        return KatavenResults(self.hook, if_incomplete=self.if_incomplete)
