"""Serving the report of a task: from where the task has put it, and nothing but a report."""

from __future__ import annotations

import json
import logging
from typing import Final

from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_graine.operators.links import REPORT_KEY

log = logging.getLogger(__name__)

#: Bytes of a report at most.
MOST_BYTES: Final = 5_000_000
#: What every report begins with.
BEGINNING: Final = b"<!doctype html>\n<!-- graine report -->"


class NoReportError(Exception):
    """There is no report to show; the message says why, without saying where it was looked for."""


def read_report(dag_id: str, run_id: str, task_id: str, map_index: int) -> bytes:
    """
    Read the report that a task instance has written.

    :param dag_id: the DAG
    :param run_id: the DAG run
    :param task_id: the task
    :param map_index: index of a mapped task, ``-1`` for others
    :return: an HTML document
    :raises NoReportError: when there is none
    """
    address = _address(dag_id, run_id, task_id, map_index)
    if address is None:
        raise NoReportError("This task has written no report, or it has been cleared since.")
    from airflow.sdk import ObjectStoragePath

    try:
        with ObjectStoragePath(address).open("rb") as file:  # type: ignore[no-untyped-call]
            if file.read(len(BEGINNING)) != BEGINNING:
                raise NoReportError("What the task names as its report is none.")
            rest: bytes = file.read(MOST_BYTES - len(BEGINNING) + 1)
    except NoReportError:
        raise
    except Exception as error:  # its text may quote the address, with what it takes to get there
        log.info("The report of %s.%s could not be read (%s)", dag_id, task_id, type(error).__name__)
        raise NoReportError(
            "The report cannot be read from here: it is gone, or this API server does not reach the place where the "
            f"task has put it ({type(error).__name__})."
        ) from None
    if len(rest) > MOST_BYTES - len(BEGINNING):
        raise NoReportError(f"The report is larger than {MOST_BYTES // 1_000_000} MB.")
    return BEGINNING + rest


def _address(dag_id: str, run_id: str, task_id: str, map_index: int) -> str | None:
    query = select(XComModel.value).where(
        XComModel.key == REPORT_KEY,
        XComModel.dag_id == dag_id,
        XComModel.run_id == run_id,
        XComModel.task_id == task_id,
        XComModel.map_index == map_index,
    )
    with create_session() as session:
        value = session.scalar(query)
    try:
        address = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return address if isinstance(address, str) else None
