from __future__ import annotations

import datetime as dt
import json
import logging
import resource
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import SourceError
from airflow_provider_graine.sources import database
from airflow_provider_graine.sources.database import query

if TYPE_CHECKING:
    from tests.servers import PostgresServer

pytestmark = pytest.mark.real


def test_the_hook_reaches_the_server(postgres_server: PostgresServer) -> None:
    hook = PostgresHook(postgres_conn_id="warehouse")

    hook.run("CREATE TABLE policy_holders AS SELECT n, 'person ' || n AS name FROM generate_series(1, 1000) AS n")

    assert hook.get_first("SELECT count(*), max(name) FROM policy_holders WHERE n <= 10") == (10, "person 9")
    assert hook.get_first("SHOW listen_addresses") == ("",)
    assert hook.get_first("SELECT inet_server_addr()") == (None,)


def psycopg3(server: PostgresServer) -> Any:
    import psycopg
    from psycopg.rows import dict_row

    return psycopg.connect(host=server.socket_directory, user=server.user, dbname=server.database, row_factory=dict_row)


def psycopg2(server: PostgresServer) -> Any:
    import psycopg2
    from psycopg2.extras import RealDictCursor

    return psycopg2.connect(
        host=server.socket_directory, user=server.user, dbname=server.database, cursor_factory=RealDictCursor
    )


@pytest.fixture(params=[psycopg2, psycopg3])
def driver(postgres_server: PostgresServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One driver after the other, each with rows that are no tuples unless asked for."""
    monkeypatch.setattr(PostgresHook, "get_conn", lambda self: request.param(postgres_server))
    return str(request.param.__name__)


def test_rows_come_before_the_query_is_done(driver: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    broken = "CASE i WHEN 12000 THEN 'x' ELSE '' END"  # whoever fetched all at once would see no row
    digits = f"('+9198765' || i || {broken})::bigint"
    sql = f"SELECT i, {digits} AS digits FROM (SELECT generate_series(1, %s) AS i) AS numbers"
    seen: list[tuple[int, int]] = []

    def read() -> None:
        with query(sql, conn_id="warehouse", parameters=[10**9]) as (columns, rows):
            assert columns == ["i", "digits"]
            for row in rows:
                seen.append(row)

    with pytest.raises(SourceError) as refused:
        read()
    assert seen == [(i, int(f"9198765{i}")) for i in range(1, 10_001)]
    assert "98765" not in str(refused.value)
    assert "InvalidTextRepresentation" in str(refused.value)
    assert refused.value.__context__ is None  # which would quote it
    assert caplog.messages == []


def test_a_result_without_rows(driver: str) -> None:
    with query("SELECT 1 AS id, 2 AS id2 WHERE false", conn_id="warehouse") as (columns, rows):
        assert (columns, list(rows)) == (["id", "id2"], [])


class OtherDriver:
    """A connection of a driver whose own way of streaming is not known."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def cursor(self) -> Any:
        raise AssertionError("This cursor would hold the whole result.")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def other_driver(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    get_conn = PostgresHook.get_conn
    monkeypatch.setattr(PostgresHook, "get_conn", lambda self: OtherDriver(get_conn(self)))


LARGE = "SELECT i AS id, repeat('x', 2000) AS text FROM generate_series(1, %s) AS i"


def test_an_unknown_driver_streams_through_sqlalchemy(other_driver: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=database.__name__)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with query(LARGE, conn_id="warehouse", parameters=[300_000]) as (columns, rows):
        assert columns == ["id", "text"]
        assert sum(row[0] for row in rows) == 300_000 * 300_001 // 2
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024, f"reading 600 MB took {grown // 1024} MiB"
    assert caplog.messages == [
        "Reading through SQLAlchemy with a server-side cursor, for the driver 'tests' has its own way"
    ]


@pytest.mark.parametrize("parameters", [(2,), [2], {"most": 2}])
def test_the_drivers_style_of_parameters_through_sqlalchemy(other_driver: None, parameters: Any) -> None:
    style = "%(most)s" if isinstance(parameters, dict) else "%s"
    sql = f"SELECT i, '100%%' AS share FROM generate_series(1, 9) AS i WHERE i <= {style} ORDER BY i"
    with query(sql, conn_id="warehouse", parameters=parameters) as (_, rows):
        assert [tuple(row) for row in rows] == [(1, "100%"), (2, "100%")]


def test_every_type_of_a_column_becomes_json(postgres_server: PostgresServer, tmp_path: Path) -> None:
    sql = (
        "SELECT '+9198765' || lpad(i::text, 5, '0') AS phone_number, 'Person ' || i AS callee_name, "
        "i AS number, i::bigint * 10000000000 AS big, i / 8.0::float8 AS half, (i + 0.50)::numeric(12, 2) AS premium, "
        "date '2026-07-01' + i AS due, timestamptz '2026-05-10 09:00:00+05:30' AS seen, time '09:30' AS at, "
        "i % 2 = 0 AS active, CASE WHEN i % 3 = 0 THEN 'x' END AS note, '{\"b\": [1, null], \"a\": 1}'::jsonb AS tags, "
        "ARRAY[i, NULL] AS several, '00000000-0000-0000-0000-000000000007'::uuid AS id "
        "FROM generate_series(0, 4999) AS i ORDER BY i"
    )
    with (
        ContactList(directory=tmp_path) as contacts,
        query(sql, conn_id="warehouse") as (columns, rows),
    ):
        contacts.add_tuples(columns, rows, origin="query")
        assert contacts.screen().accepted == 5000
        sent = [json.loads(chunk.contacts) for chunk in contacts.chunks(1000)]
    for place in (0, 1, 3, 2047, 4999):
        assert sent[place // 1000][place % 1000]["call_variables"] == {
            "callee_name": f"Person {place}",
            "number": place,
            "big": place * 10_000_000_000,
            "half": place / 8,
            "premium": str(Decimal(place) + Decimal("0.50")),
            "due": (dt.date(2026, 7, 1) + dt.timedelta(days=place)).isoformat(),
            "seen": sent[0][0]["call_variables"]["seen"],
            "at": "09:30:00",
            "active": place % 2 == 0,
            "note": "x" if place % 3 == 0 else None,
            "tags": {"a": 1, "b": [1, None]},
            "several": [place, None],
            "id": "00000000-0000-0000-0000-000000000007",
        }
    assert dt.datetime.fromisoformat(sent[0][0]["call_variables"]["seen"]) == dt.datetime(
        2026, 5, 10, 3, 30, tzinfo=dt.UTC
    )
