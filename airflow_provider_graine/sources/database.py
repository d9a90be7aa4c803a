"""Rows of a query, streamed from any database that Airflow has a ``DbApiHook`` for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from airflow.sdk import BaseHook

from airflow_provider_graine.exceptions import ConfigurationError, SourceError

log = logging.getLogger(__name__)

#: Rows fetched at a time.
FETCH_SIZE: Final = 5_000
_CURSOR_NAME: Final = "airflow_provider_graine"


@contextmanager
def query(sql: str, *, conn_id: str, parameters: Any = None) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """
    Run a query and stream its rows; they are never all in memory where the database has a server-side cursor.

    :param sql: one ``SELECT``
    :param conn_id: connection of a hook derived from ``DbApiHook``
    :param parameters: in the style of the database's driver
    :return: a context manager that gives the column names and the rows
    :raises ConfigurationError: when the connection is none of a database
    :raises SourceError: when the statement returns no rows at all
    """
    hook = _hook(conn_id)
    with closing(hook.get_conn()) as connection, closing(_streaming_cursor(connection)) as cursor:
        # The statement and its parameters may be personal: executed without the hook's own logging of both.
        if parameters is None:
            cursor.execute(sql)
        else:
            cursor.execute(sql, parameters)
        first = cursor.fetchmany(FETCH_SIZE) if cursor.description is None else None
        if cursor.description is None:
            raise SourceError("The statement returned no rows: contacts need a SELECT. Nothing was sent.")
        columns = [str(column[0]) for column in cursor.description]
        yield columns, _rows(cursor, first)


def _hook(conn_id: str) -> Any:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    hook = BaseHook.get_connection(conn_id).get_hook()  # type: ignore[no-untyped-call]
    if not isinstance(hook, DbApiHook):
        raise ConfigurationError(
            f"Connection {conn_id!r} is none of a database with a DbApiHook ({type(hook).__name__}). Nothing was sent."
        )
    return hook


def _streaming_cursor(connection: Any) -> Any:
    """Open a cursor that does not load the whole result: some drivers do so unless asked for another one."""
    driver = type(connection).__module__.partition(".")[0]
    if driver in {"psycopg", "psycopg2"}:
        return connection.cursor(_CURSOR_NAME)
    if driver == "MySQLdb":
        from MySQLdb.cursors import SSCursor

        return connection.cursor(SSCursor)
    if driver == "pymysql":
        from pymysql.cursors import SSCursor

        return connection.cursor(SSCursor)
    log.info("Reading with fetchmany through the driver %r; whether it streams is up to it", driver)
    return connection.cursor()


def _rows(cursor: Any, first: list[Sequence[Any]] | None) -> Iterator[Sequence[Any]]:
    rows = cursor.fetchmany(FETCH_SIZE) if first is None else first
    while rows:
        yield from rows
        rows = cursor.fetchmany(FETCH_SIZE)
