"""Links on the page of a task: to its calls, and to its report."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

log = logging.getLogger(__name__)

#: Where the plugin of this package is served, below Airflow's own address.
PREFIX: Final = "graine"
#: The page "Calls" in Airflow's interface.
PAGE: Final = "graine-calls"
#: XCom with the address of a task's report, as ``ObjectStoragePath`` writes it.
REPORT_KEY: Final = "graine_report"
#: Batches or campaigns that an address names at most; one with more of them names the run instead.
_MOST_IDS: Final = 50


class _CallsLink(BaseOperatorLink):
    """
    Leads to the page "Calls", to what a task has to do with.

    :param of_task: whether that are the calls it has placed itself; default: those its arguments name
    """

    name = "Calls"
    _conn_attr: str

    def __init__(self, *, of_task: bool = False) -> None:
        self.of_task = of_task

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the address.

        :param operator: the task, its templates rendered
        :param ti_key: which instance of it
        """
        about = [("conn_id", getattr(operator, self._conn_attr, None)), *self._about(operator, ti_key)]
        return f"{_airflow()}plugin/{PAGE}?{urlencode([(name, each) for name, each in about if _is_plain(each)])}"

    def _about(self, operator: BaseOperator, ti_key: TaskInstanceKey) -> Iterator[tuple[str, Any]]:
        if self.of_task:
            yield from _run(ti_key)
            yield "task_id", ti_key.task_id
            yield "map_index", ti_key.map_index
            return
        yield "campaign_id", getattr(operator, "campaign_id", None)
        ids = list(_ids(operator))
        if len(ids) > _MOST_IDS:
            yield from _run(ti_key)
        else:
            yield from (("batch_id", each) for each in ids)


class GraineCallsLink(_CallsLink):
    """Leads to Graine's batches that a task has created or waits for."""

    xcom_key = "graine_calls_link"
    _conn_attr = "graine_conn_id"


class KatavenCallsLink(_CallsLink):
    """Leads to Kataven's campaigns that a task has created or waits for."""

    xcom_key = "kataven_calls_link"
    _conn_attr = "kataven_conn_id"


class GraineReportLink(BaseOperatorLink):
    """Leads to the report that a task has written."""

    name = "Report"
    xcom_key = "graine_report_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the address.

        :param operator: the task
        :param ti_key: which instance of it
        """
        parts = (ti_key.dag_id, ti_key.run_id, ti_key.task_id, str(ti_key.map_index))
        return f"{_airflow()}{PREFIX}/report/{'/'.join(quote(each, safe='') for each in parts)}"


def push_links(operator: BaseOperator, context: Context) -> None:
    """
    Make the links of a task appear while it is at work; Airflow itself sets them only when a task ends.

    :param operator: the task
    :param context: its context
    """
    ti: Any = context["ti"]
    for link in operator.operator_extra_links:
        try:
            ti.xcom_push(key=link.xcom_key, value=link.get_link(operator, ti_key=ti))
        except Exception as error:  # no reason not to call anybody
            log.warning("The link %s could not be set (%s)", link.name, type(error).__name__)


def _airflow() -> str:
    from airflow.providers.common.compat.sdk import conf

    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/"


def _run(ti_key: TaskInstanceKey) -> Iterator[tuple[str, Any]]:
    yield "dag_id", ti_key.dag_id
    yield "run_id", ti_key.run_id


def _ids(operator: BaseOperator) -> Iterator[str]:
    for name in ("batch_id", "batch_ids", "campaign_ids"):
        yield from _flat(getattr(operator, name, None))


def _flat(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, Sequence):
        for each in given:
            yield from _flat(each)


def _is_plain(value: Any) -> bool:
    """Tell whether it is an id: an argument whose template failed to render is none."""
    return isinstance(value, int) or (isinstance(value, str) and bool(value) and "{{" not in value)
