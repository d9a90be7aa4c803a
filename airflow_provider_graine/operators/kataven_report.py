"""A report on Kataven campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.operators.batch_ids import flat
from airflow_provider_graine.operators.report import ReportOperator

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.kataven import KatavenHook
    from airflow_provider_graine.results.files import ResultSource


class KatavenReportOperator(ReportOperator):
    """
    Write a report on campaigns as one HTML file that needs nothing else, and link to it from the task.

    It has charts and tables of outcomes, of rejected rows by reason, and of the campaigns. When and how often people
    were called is not documented by the service, and shown as not known. It counts; nobody's number, name or words are
    in it. A request brings 100 contacts, and the account's limits hold: the task waits for them where it has to.

    :param campaign_ids: one id, a list of them, or the output of a mapped upload, a list of lists (templated); give
        these or ``campaign_id``
    :param campaign_id: the campaign (templated)
    :param path: the file, such as ``s3://conn_id@bucket/reports/{{ run_id }}.html`` (templated)
    :param path_conn_id: connection of the store (templated); default: the one in the path
    :param summary: what the uploads said about their lists, for the rejected rows: the XCom ``summary`` of an upload,
        ``upload.output["summary"]``, or a list of them (templated); without it they are shown as not known
    :param title: the heading (templated); default ``Call report``
    :param timezone: IANA name, for the time at which the report was made (templated); default UTC
    :param if_exists: what to do about a file that is there: ``"replace"`` it (default), ``"fail"`` or ``"skip"``
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :return: ``uri`` and ``bytes`` of the file, and of what is in it the numbers ``campaigns``, ``people``, ``called``,
        ``answered``, ``retries`` and ``outcomes`` (by status); only the first two for a file that was there and
        skipped. The XCom ``graine_report`` has the path
    :raises ConfigurationError: when an argument is wrong
    :raises LandingError: when a file is in the way, or the store failed; no partial file is left behind
    :raises ServiceError: when the contacts cannot be had; no partial file is left behind
    """

    template_fields: Sequence[str] = (
        "campaign_ids",
        "campaign_id",
        "path",
        "path_conn_id",
        "summary",
        "title",
        "timezone",
        "kataven_conn_id",
    )

    noun, nouns = "campaign", "campaigns"

    def __init__(
        self,
        *,
        campaign_ids: str | Sequence[str | Sequence[str]] | None = None,
        campaign_id: str | None = None,
        kataven_conn_id: str = "kataven_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_ids = campaign_ids
        self.campaign_id = campaign_id
        self.kataven_conn_id = kataven_conn_id

    @cached_property
    def hook(self) -> KatavenHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.kataven import KatavenHook

        return KatavenHook(self.kataven_conn_id)

    def _states(self) -> dict[str, str]:
        if (self.campaign_ids is None) == (self.campaign_id is None):
            raise ConfigurationError("Give campaign_ids or campaign_id, one of them. No report was written.")
        ids = flat(self.campaign_id, "campaign_id") if self.campaign_ids is None else flat(self.campaign_ids)
        return {each: self.hook.get_campaign(each).status or "unknown" for each in ids}

    def _read_from(self, ids: list[str]) -> tuple[list[str] | None, list[str]]:
        return None, ids

    def _source(self) -> ResultSource:
        from airflow_provider_graine.hooks.kataven_results import KatavenResults

        return KatavenResults(self.hook, if_incomplete="warn")
