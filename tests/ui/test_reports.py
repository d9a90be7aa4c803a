"""The report of a task: served from where the task says, if it is one, to those who may read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_graine.operators.links import REPORT_KEY, GraineReportLink
from airflow_provider_graine.ui.reports import BEGINNING, MOST_BYTES
from tests.task import Task
from tests.ui.conftest import Site
from tests.ui.database import stored_task

RUN = "manual__2026-05-10T09:00:00+00:00"
REPORT = BEGINNING + b"\n<html><body><script>1</script>42 people</body></html>"


@pytest.fixture
def store(site: Site) -> Iterator[Callable[[Any], None]]:
    """Store what a task names as its report."""
    with ExitStack() as stored:

        def put(value: Any) -> None:
            stored.enter_context(stored_task(RUN, "report", state="success", xcoms={REPORT_KEY: value}))

        yield put


@pytest.fixture
def address() -> str:
    """Where the link of the task leads."""
    ti = Task(run_id=RUN, task_id="report").context()["ti"]
    return GraineReportLink().get_link(None, ti_key=ti)  # type: ignore[arg-type]


def test_what_the_operator_writes_is_known_for_a_report() -> None:
    assert files("airflow_provider_graine.reports").joinpath("report.html.j2").read_bytes().startswith(BEGINNING)


def test_a_report_is_shown_and_can_do_nothing_else(
    site: Site, store: Callable[[Any], None], tmp_path: Path, address: str
) -> None:
    (tmp_path / "report.html").write_bytes(REPORT)
    store((tmp_path / "report.html").as_uri())
    with site.client() as viewer:
        answer = viewer.get(httpx.URL(address).raw_path.decode())
    assert (answer.status_code, answer.content) == (200, REPORT)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "content",
    [b"secret = canary", b"", BEGINNING[:-1] + b"canary", b" " + REPORT, REPORT + b"canary" * (MOST_BYTES // 6)],
    ids=["another file", "empty", "cut", "not at the beginning", "too large"],
)
def test_nothing_but_a_report_is_shown(
    site: Site, store: Callable[[Any], None], tmp_path: Path, address: str, content: bytes
) -> None:
    (tmp_path / "file").write_bytes(content)
    store((tmp_path / "file").as_uri())
    with site.client() as viewer:
        answer = viewer.get(httpx.URL(address).raw_path.decode())
    assert answer.status_code == 404
    assert "canary" not in answer.text


@pytest.mark.parametrize("value", ["file:///canary/gone.html", "canary://user:canary@bucket/x", {"canary": 1}, "", 7])
def test_what_cannot_be_read_is_not_told_where(
    site: Site, store: Callable[[Any], None], address: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store(value)
    with site.client() as viewer:
        answer = viewer.get(httpx.URL(address).raw_path.decode())
    assert answer.status_code == 404
    assert "canary" not in answer.text
    assert "canary" not in caplog.text


def test_who_may_not_read_the_dag_gets_no_report(
    site: Site, store: Callable[[Any], None], tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    (tmp_path / "report.html").write_bytes(REPORT)
    store((tmp_path / "report.html").as_uri())
    asked = []

    def is_authorized_dag(*, method: str, user: Any, access_entity: Any, details: Any) -> bool:
        asked.append((method, access_entity.name, details.id))
        return False

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", is_authorized_dag)
    with site.client() as viewer:
        assert viewer.get(httpx.URL(address).raw_path.decode()).status_code == 403
    assert asked == [("GET", "XCOM", "calls")]


def test_a_task_without_a_report_is_said_to_have_none(site: Site, address: str) -> None:
    with site.client() as viewer:
        answer = viewer.get(httpx.URL(address).raw_path.decode())
    assert answer.status_code == 404
    assert "no report" in answer.json()["detail"]
