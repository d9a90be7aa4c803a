from __future__ import annotations

import json
import logging
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_provider_graine.exceptions import SourceError
from airflow_provider_graine.sources import database
from airflow_provider_graine.sources.database import query

ROWS = 12_000


@pytest.fixture(params=["sqlite", "duckdb"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file = str(tmp_path / "warehouse.db")
    make: Any = sqlite3.connect if request.param == "sqlite" else duckdb.connect
    connection = make(file)
    connection.execute("CREATE TABLE people (id INTEGER, name TEXT)")
    connection.execute(
        "INSERT INTO people WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "SELECT i, 'Person ' || i FROM n",
        [ROWS - 1],
    )
    connection.commit()
    connection.close()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": request.param, "host": file}))
    return str(request.param)


@pytest.mark.parametrize("parameters", [None, [5], (5,)])
def test_rows_come_piece_by_piece(warehouse: str, parameters: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=database.__name__)
    where = "" if parameters is None else "WHERE id >= ?"
    with query(f"SELECT id, name FROM people {where} ORDER BY id", conn_id="warehouse", parameters=parameters) as (
        columns,
        rows,
    ):
        assert columns == ["id", "name"]
        first = 0 if parameters is None else 5
        assert [tuple(row) for row in rows] == [(n, f"Person {n}") for n in range(first, ROWS)]
    assert [
        each for each in caplog.records if each.name == database.__name__
    ] == []  # these drivers stream by themselves


def test_a_list_without_rows_has_its_columns(warehouse: str) -> None:
    with query("SELECT id, name FROM people WHERE id < 0", conn_id="warehouse") as (columns, rows):
        assert (columns, list(rows)) == (["id", "name"], [])


class Unknown:
    """A connection of a driver nobody has heard of."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.closed = False

    def cursor(self) -> sqlite3.Cursor:
        return self._connection.cursor()

    def close(self) -> None:
        self.closed = True
        self._connection.close()


@pytest.fixture
def unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Unknown]]:
    opened: list[Unknown] = []
    file = str(tmp_path / "w.db")
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE people AS SELECT 1 AS id")
    connection.close()

    def get_conn(self: SqliteHook) -> Any:
        opened.append(Unknown(sqlite3.connect(file)))
        return opened[-1]

    monkeypatch.setattr(SqliteHook, "get_conn", get_conn)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": file}))
    yield opened
    assert all(connection.closed for connection in opened)


@pytest.mark.parametrize("engine", ["without server-side cursors", "none at all"])
def test_an_unknown_driver_is_read_with_fetchmany_and_the_log_says_so(
    unknown: list[Unknown], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    if engine == "none at all":

        def refuse(self: SqliteHook, engine_kwargs: Any = None) -> Any:
            raise ImportError("SQLAlchemy")

        monkeypatch.setattr(SqliteHook, "get_sqlalchemy_engine", refuse)
    caplog.set_level(logging.INFO, logger=database.__name__)
    with query("SELECT id AS secret FROM people WHERE id = ?", conn_id="warehouse", parameters=[1]) as (_, rows):
        assert [tuple(row) for row in rows] == [(1,)]
    assert caplog.messages == ["Reading with fetchmany through the driver 'tests'; whether it streams is up to it"]


def test_a_statement_without_rows(warehouse: str) -> None:
    if warehouse == "sqlite":  # DuckDB answers a DELETE with a row: the number of rows it deleted
        with (
            pytest.raises(SourceError, match="contacts need a SELECT"),
            query("DELETE FROM people", conn_id="warehouse"),
        ):
            pass


def test_a_value_that_the_database_quotes_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(tmp_path / "w.db")}))
    sql = "SELECT CASE WHEN i < 7000 THEN i ELSE CAST('+9198765' || i || 'x' AS BIGINT) END FROM range(9000) AS t(i)"

    def read() -> None:
        with query(sql, conn_id="warehouse") as (_, rows):
            for _row in rows:
                pass

    with pytest.raises(SourceError) as refused:
        read()
    assert "98765" not in str(refused.value)
    assert "ConversionException" in str(refused.value)
    assert refused.value.__context__ is None


class MySqlCursor:
    """What both MySQL drivers have in common: a cursor that holds the whole result, and one that does not."""

    description = (("id",),)

    def __init__(self) -> None:
        self.rows = [[(1,)], [(2,)], []]

    def execute(self, sql: str) -> None:
        assert sql == "SELECT id FROM people"

    def fetchmany(self, size: int) -> list[tuple[int]]:
        return self.rows.pop(0)

    def close(self) -> None:
        assert not self.rows


class SSCursor(MySqlCursor):
    """The one that does not."""


@pytest.mark.parametrize("driver", ["MySQLdb", "pymysql"])
def test_mysql_is_read_through_its_unbuffered_cursor(
    driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = []

    class Connection:
        def cursor(self, kind: type[MySqlCursor] = MySqlCursor) -> MySqlCursor:
            opened.append(kind)
            return kind()

        def close(self) -> None:
            opened.append(None)

    Connection.__module__ = f"{driver}.connections"
    cursors = ModuleType(f"{driver}.cursors")
    cursors.SSCursor = SSCursor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, driver, ModuleType(driver))
    monkeypatch.setitem(sys.modules, f"{driver}.cursors", cursors)
    monkeypatch.setattr(SqliteHook, "get_conn", lambda self: Connection())
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "w.db")}))
    with query("SELECT id FROM people", conn_id="warehouse") as (columns, rows):
        assert (columns, list(rows)) == (["id"], [(1,), (2,)])
    assert opened == [SSCursor, None]
    assert caplog.messages == []
