"""Rows of a query, streamed from any database that Airflow has a ``DbApiHook`` for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final

from airflow.sdk import BaseHook

from airflow_provider_graine.exceptions import ConfigurationError, SourceError

log = logging.getLogger(__name__)

#: Rows fetched at a time.
FETCH_SIZE: Final = 5_000
CURSOR_NAME: Final = "airflow_provider_graine"

# Their plain cursors fetch from the server (or the file) as the rows are asked for.
_STREAMING_DRIVERS: Final = frozenset(
    {
        *("duckdb", "sqlite3", "oracledb", "snowflake", "trino", "prestodb", "databricks"),
        *("pyodbc", "mysql", "vertica_python", "teradatasql"),
    }
)


@contextmanager
def query(sql: str, *, conn_id: str, parameters: Any = None) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """
    Run a query and stream its rows; they are never all in memory where the database has a server-side cursor.

    :param sql: one ``SELECT``
    :param conn_id: connection of a hook derived from ``DbApiHook``
    :param parameters: in the style of the database's driver
    :return: a context manager that gives the column names and the rows
    :raises ConfigurationError: when the connection is none of a database
    :raises SourceError: when the statement returns no rows at all, or the database fails
    """
    hook = database_hook(conn_id)
    with ExitStack() as open_things:
        cursor = _executed(hook, sql, parameters, open_things)
        first = _fetched(cursor) if cursor.description is None else None
        if cursor.description is None:
            raise SourceError("The statement returned no rows: contacts need a SELECT. Nothing was sent.")
        columns = [str(column[0]) for column in cursor.description]
        yield columns, _rows(cursor, first)


def database_hook(conn_id: str) -> Any:
    """
    Give the hook of a connection.

    :raises ConfigurationError: when it is none of a database
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    hook = BaseHook.get_connection(conn_id).get_hook()  # type: ignore[no-untyped-call]
    if not isinstance(hook, DbApiHook):
        raise ConfigurationError(
            f"Connection {conn_id!r} is none of a database with a DbApiHook ({type(hook).__name__}). Nothing was sent."
        )
    return hook


def _executed(hook: Any, sql: str, parameters: Any, open_things: ExitStack) -> Any:
    """
    Run the statement on a cursor that does not load the whole result: some drivers do so unless asked for another one.

    The statement and its parameters may be personal: executed without the hook's own logging of both.
    """
    connection = open_things.enter_context(closing(hook.get_conn()))
    driver = type(connection).__module__.partition(".")[0].lstrip("_")
    cursor = _streaming_cursor(connection, driver)
    if cursor is None:
        cursor = _through_sqlalchemy(hook, sql, parameters, open_things)
        if cursor is not None:
            log.info("Reading through SQLAlchemy with a server-side cursor, for the driver %r has its own way", driver)
            return cursor
        log.info("Reading with fetchmany through the driver %r; whether it streams is up to it", driver)
        cursor = connection.cursor()
    open_things.enter_context(closing(cursor))
    _discreetly(lambda: cursor.execute(sql) if parameters is None else cursor.execute(sql, parameters))
    return cursor


def _streaming_cursor(connection: Any, driver: str) -> Any:
    # Rows are tuples, whatever kind of cursor the connection names.
    if driver == "psycopg":
        from psycopg.rows import tuple_row

        return connection.cursor(CURSOR_NAME, row_factory=tuple_row)
    if driver == "psycopg2":
        from psycopg2.extensions import cursor  # type: ignore[import-untyped]

        return connection.cursor(CURSOR_NAME, cursor_factory=cursor)
    if driver == "MySQLdb":
        from MySQLdb.cursors import SSCursor

        return connection.cursor(SSCursor)
    if driver == "pymysql":
        from pymysql.cursors import SSCursor

        return connection.cursor(SSCursor)
    return connection.cursor() if driver in _STREAMING_DRIVERS else None


def _through_sqlalchemy(hook: Any, sql: str, parameters: Any, open_things: ExitStack) -> Any:
    """Run the statement with ``stream_results``, where the hook has an engine whose dialect knows what that is."""
    try:
        engine = hook.get_sqlalchemy_engine()
    except Exception as error:  # no SQLAlchemy, no dialect, no address: each hook has its own words for it
        log.debug("No SQLAlchemy engine (%s)", type(error).__name__)
        return None
    open_things.callback(engine.dispose)
    if not engine.dialect.supports_server_side_cursors:
        return None
    connection = open_things.enter_context(engine.connect())
    streaming = connection.execution_options(stream_results=True, max_row_buffer=FETCH_SIZE)
    # A list would be taken for many sets of parameters.
    given = tuple(parameters) if isinstance(parameters, list) else parameters
    result = _discreetly(lambda: streaming.exec_driver_sql(sql, *(() if given is None else (given,))))
    return _Result(open_things.enter_context(closing(result)))


class _Result:
    """A result of SQLAlchemy that looks like a cursor."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self.description = [(name,) for name in list(result.keys())] if result.returns_rows else None

    def fetchmany(self, size: int) -> list[Sequence[Any]]:
        return list(self._result.fetchmany(size)) if self.description else []


def _rows(cursor: Any, first: list[Sequence[Any]] | None) -> Iterator[Sequence[Any]]:
    rows = _fetched(cursor) if first is None else first
    while rows:
        yield from rows
        rows = _fetched(cursor)


def _fetched(cursor: Any) -> list[Sequence[Any]]:
    rows: list[Sequence[Any]] = _discreetly(lambda: list(cursor.fetchmany(FETCH_SIZE)))
    return rows


def _discreetly(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except Exception as failure:
        error = failed(failure)
    raise error


def failed(failure: Exception) -> SourceError:
    """Say that a query failed; to be raised outside of ``except``, for what a database says can quote a value."""
    return SourceError(
        f"The database could not carry the query out ({type(failure).__name__}); nothing was sent. What it says can "
        "quote people's data and is not shown: run the query by hand to see it."
    )
