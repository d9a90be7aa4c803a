"""A report on Graine batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.operators.batch_ids import flat
from airflow_provider_graine.operators.report import ReportOperator

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.results.files import ResultSource
    from airflow_provider_graine.services.graine.received import Batch


class GraineReportOperator(ReportOperator):
    """
    Write a report on batches as one HTML file that needs nothing else, and link to it from the task.

    It has charts and tables of outcomes, of the answer rate by hour of the day, of the attempts needed, of rejected
    rows by reason, and of the batches. It counts; nobody's number, name or words are in it. Making it changes nothing
    at the service, so a retry just makes it again.

    :param batch_ids: one id, a list of them, or the output of a mapped upload, a list of lists (templated); give these
        or ``campaign_id``
    :param campaign_id: all batches of this campaign (templated)
    :param path: the file, such as ``s3://conn_id@bucket/reports/{{ run_id }}.html`` (templated)
    :param path_conn_id: connection of the store (templated); default: the one in the path
    :param summary: what the uploads said about their lists, for the rejected rows: the XCom ``summary`` of an upload,
        ``upload.output["summary"]``, or a list of them (templated); without it they are shown as not known
    :param title: the heading (templated); default ``Call report``
    :param timezone: IANA name, for the hours (templated); default: the campaign's, or UTC where there are several
    :param if_exists: what to do about a file that is there: ``"replace"`` it (default), ``"fail"`` or ``"skip"``
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: ``uri`` and ``bytes`` of the file, and of what is in it the numbers ``batches``, ``people``, ``called``,
        ``answered``, ``retries`` and ``outcomes`` (by status); only the first two for a file that was there and
        skipped. The XCom ``graine_report`` has the path
    :raises ConfigurationError: when an argument is wrong
    :raises LandingError: when a file is in the way, or the store failed; no partial file is left behind
    :raises ServiceError: when the contacts cannot be had; no partial file is left behind
    """

    template_fields: Sequence[str] = (
        "batch_ids",
        "campaign_id",
        "path",
        "path_conn_id",
        "summary",
        "title",
        "timezone",
        "graine_conn_id",
    )

    noun, nouns = "batch", "batches"

    def __init__(
        self,
        *,
        batch_ids: str | Sequence[str | Sequence[str]] | None = None,
        campaign_id: str | None = None,
        graine_conn_id: str = "graine_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_ids = batch_ids
        self.campaign_id = campaign_id
        self.graine_conn_id = graine_conn_id

    @cached_property
    def hook(self) -> GraineHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.graine import GraineHook

        return GraineHook(self.graine_conn_id)

    @cached_property
    def _batches(self) -> list[Batch]:
        if (self.batch_ids is None) == (self.campaign_id is None):
            raise ConfigurationError("Give batch_ids or campaign_id, one of them. No report was written.")
        if self.campaign_id is not None:
            return list(self.hook.iter_campaign_batches(self.campaign_id))
        return [self.hook.get_batch(each) for each in flat(self.batch_ids)]

    def _states(self) -> dict[str, str]:
        return {batch.batch_id: batch.status for batch in self._batches}

    def _read_from(self, ids: list[str]) -> tuple[list[str] | None, list[str]]:
        if self.campaign_id is not None:
            return ids, [self.campaign_id]
        return ids, [batch.campaign_id for batch in self._batches if batch.campaign_id]

    def _source(self) -> ResultSource:
        from airflow_provider_graine.hooks.graine_results import GraineResults

        return GraineResults(self.hook, kind="contacts", include_calls=False, if_incomplete="warn")

    def _own_zone(self) -> str | None:
        campaigns = {self.campaign_id} if self.campaign_id else {batch.campaign_id for batch in self._batches}
        zones = {self.hook.get_campaign(each).timezone for each in campaigns if each}
        return zones.pop() if len(zones) == 1 else None
