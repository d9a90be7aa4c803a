"""Example DAGs run in this process, through ``dag.test()``, on a database of the tests' own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from airflow_provider_graine.sandbox import Sandbox
from tests.conftest import EXAMPLE_DAGS
from tests.service import sandbox as standing_sandbox
from tests.service import shared_sandbox

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


__all__ = ["ON_CALL", "bag", "sandbox", "sandbox_of_today", "shared_sandbox", "standing_sandbox"]

#: Whom the notifier phones.
ON_CALL = "+14155550123"


@pytest.fixture(scope="session")
def bag() -> DagBag:
    """The example DAGs, parsed; their runs have a database."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=120)
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]

    return DagBag(EXAMPLE_DAGS)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A service where an hour takes a second, on a Monday morning in India."""
    with Sandbox(speed=3_600, seed=3, start="2026-05-11T04:00:00Z") as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", sandbox.connection_json())
        yield sandbox


@pytest.fixture
def sandbox_of_today(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A service whose time is the real one, and passes faster; somebody is on call."""
    with Sandbox(speed=600, seed=3) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", sandbox.connection_json())
        callee = {"conn_type": "generic", "login": "Testina On-Call", "password": ON_CALL}
        monkeypatch.setenv("AIRFLOW_CONN_ON_CALL", json.dumps(callee))
        yield sandbox
