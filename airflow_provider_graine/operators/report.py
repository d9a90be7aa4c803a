"""What operators share that write reports, whatever the service."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.lineage.telling import TellsLineage
from airflow_provider_graine.operators.links import REPORT_KEY, GraineReportLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.hooks.calling_service import CallingServiceHook
    from airflow_provider_graine.lineage.data import TaskLineage
    from airflow_provider_graine.reports.page import Part, Report
    from airflow_provider_graine.results.files import Results, ResultSource
    from airflow_provider_graine.results.landing import LandedFile


class ReportOperator(TellsLineage):
    """
    Write a report on calls as one HTML file, which appears whole or not at all.

    :param path: the file, ``….html`` (templated)
    :param path_conn_id: connection of the store (templated)
    :param summary: what uploads said about their lists (templated)
    :param title: the heading (templated)
    :param timezone: IANA name, for the hours (templated)
    :param if_exists: what to do about a file that is there
    """

    ui_color = "#e6f2ef"
    operator_extra_links = (GraineReportLink(),)

    #: What a report is about.
    noun: ClassVar[str]
    nouns: ClassVar[str]

    #: What the report is about, and the task's result, as soon as they are known.
    _reported: Sequence[str] = ()
    _manifest: Mapping[str, Any] | None = None

    def __init__(
        self,
        *,
        path: str,
        path_conn_id: str | None = None,
        summary: Mapping[str, Any] | Sequence[Any] | str | None = None,
        title: str = "Call report",
        timezone: str | None = None,
        if_exists: Literal["fail", "replace", "skip"] = "replace",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.path_conn_id = path_conn_id
        self.summary = summary
        self.title = title
        self.timezone = timezone
        self.if_exists = if_exists

    @cached_property
    @abstractmethod
    def hook(self) -> CallingServiceHook:
        """The hook of the connection."""

    @abstractmethod
    def _states(self) -> dict[str, str]:
        """Return what the report is about: id to state."""

    @abstractmethod
    def _source(self) -> ResultSource:
        """Return what reads people as JSON lines, and whom it cannot read only warns of."""

    def _own_zone(self) -> str | None:
        """Return the time zone that what the report is about has itself, where it has one."""
        return None

    def execute(self, context: Context) -> dict[str, Any]:
        """Count the people, and write the report."""
        from airflow.sdk import ObjectStoragePath

        from airflow_provider_graine.reports.page import Report, render
        from airflow_provider_graine.reports.uploads import read_summaries
        from airflow_provider_graine.results.landing import ensure_may_write, land

        if not self.path.endswith(".html"):
            raise ConfigurationError("path must name a file that ends in .html. No report was written.")
        uploads = read_summaries(self.summary)
        zone = _zone(self.timezone) if self.timezone else None
        target = ObjectStoragePath(self.path, conn_id=self.path_conn_id)
        if existing := ensure_may_write(target, if_exists=self.if_exists):
            self.log.info("%s is there already and was left alone", existing.uri)
            return self._told(context, str(target), existing, None)
        states = self._states()
        self._reported = list(states)
        zone = zone or self._zone_of_calls()
        made_at = datetime.now(zone)
        report = Report(
            title=self.title,
            noun=self.noun,
            nouns=self.nouns,
            parts=self._parts(states, zone),
            zone=zone.key,
            uploads=uploads,
            made_at=made_at,
            made_by=_made_by(context),
        )
        file = land(target, [render(report)], if_exists=self.if_exists)
        self.log.info(
            "Wrote a report on %d people of %d %s: %s", report.total.people, len(states), self.nouns, file.uri
        )
        return self._told(context, str(target), file, report)

    def _zone_of_calls(self) -> ZoneInfo:
        name = self._own_zone() or "UTC"
        try:
            return _zone(name)
        except ConfigurationError:
            self.log.warning("The campaign's time zone is none that is known here; the hours are in UTC")
            return ZoneInfo("UTC")

    def _parts(self, states: Mapping[str, str], zone: ZoneInfo) -> list[Part]:
        from airflow_provider_graine.reports.page import Part
        from airflow_provider_graine.reports.tally import Tally
        from airflow_provider_graine.results.spool import lines_of

        def counted(results: Results) -> tuple[Tally, int | None]:
            tally = Tally(zone)
            for line in lines_of(results.blocks):
                tally.count(json.loads(line))
            return tally, results.contacts()

        source = self._source()
        parts = []
        for id, status in states.items():
            tally, expected = source.take(id, counted)
            parts.append(Part(id=id, status=status, tally=tally, expected=expected))
        return parts

    def _told(self, context: Context, path: str, file: LandedFile, report: Report | None) -> dict[str, Any]:
        context["ti"].xcom_push(key=REPORT_KEY, value=path)
        manifest: dict[str, Any] = {"uri": file.uri, "bytes": file.bytes}
        if report is not None:
            total = report.total
            manifest |= {
                self.nouns: len(report.parts),
                "people": total.people,
                "called": total.total.called,
                "answered": total.total.answered,
                "retries": total.retries,
                "outcomes": dict(total.outcomes),
            }
        self._manifest = manifest
        return manifest

    @abstractmethod
    def _read_from(self, ids: list[str]) -> tuple[list[str] | None, list[str]]:
        """
        Return the batches that the report is about, where the service has such, and the campaigns, where known.

        :param ids: what the report is about, at least one
        """

    def lineage(self, ti: Any) -> TaskLineage:
        """Return what the report is about and where it is now."""
        from airflow_provider_graine.lineage.landings import landing_lineage

        batch_ids, campaign_ids = self._read_from(list(self._reported)) if self._reported else (None, [])
        return landing_lineage(
            self.hook,
            landed=[self._manifest] if self._manifest else [],
            batch_ids=batch_ids,
            campaign_ids=campaign_ids,
        )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise ConfigurationError("timezone must be an IANA time zone, such as Asia/Kolkata. No report was written.")


def _made_by(context: Context) -> dict[str, str]:
    ti = context["ti"]
    made_by = {"DAG": ti.dag_id, "Run": ti.run_id, "Task": ti.task_id}
    if ti.map_index is not None and ti.map_index >= 0:
        made_by["Task"] += f" [{ti.map_index}]"
    return made_by
