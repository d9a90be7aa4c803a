from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook

if TYPE_CHECKING:
    from tests.servers import PostgresServer

pytestmark = pytest.mark.real


def test_the_hook_reaches_the_server(postgres_server: PostgresServer) -> None:
    hook = PostgresHook(postgres_conn_id="warehouse")

    hook.run("CREATE TABLE policy_holders AS SELECT n, 'person ' || n AS name FROM generate_series(1, 1000) AS n")

    assert hook.get_first("SELECT count(*), max(name) FROM policy_holders WHERE n <= 10") == (10, "person 9")
    assert hook.get_first("SHOW listen_addresses") == ("",)
    assert hook.get_first("SELECT inet_server_addr()") == (None,)
