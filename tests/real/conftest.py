from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import servers
from tests.service import campaign_id, hook, sandbox, shared_sandbox, task

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["campaign_id", "hook", "sandbox", "shared_sandbox", "task"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.PostgresServer]:
    """A PostgreSQL server, known to Airflow as the connection ``warehouse``."""
    with servers.postgres() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", server.airflow_connection)
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[servers.S3Server]:
    """An S3 server with an empty bucket, known to Airflow as the connection ``results_store``."""
    with servers.s3() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_RESULTS_STORE", server.airflow_connection)
        yield server
