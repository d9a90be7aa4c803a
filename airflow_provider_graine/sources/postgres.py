"""Rows of a query as PostgreSQL itself writes them: no Python object for each value, a fraction of a cursor's time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from airflow_provider_graine.sources.database import CURSOR_NAME, database_hook, failed

if TYPE_CHECKING:
    from airflow_provider_graine.contacts.copied import Kind

log = logging.getLogger(__name__)

# The types whose text is all there is to know, by their ids in pg_type; all others are read through the driver.
_KINDS: Final[Mapping[int, Kind]] = {
    **dict.fromkeys((19, 25, 1042, 1043, 2950), "text"),  # name, text, bpchar, varchar, uuid
    **dict.fromkeys((20, 21, 23), "integer"),
    **dict.fromkeys((700, 701), "float"),
    16: "boolean",
    1082: "date",
    1114: "timestamp",
    1700: "decimal",
}
_COPY: Final = "COPY (%s\n) TO STDOUT"  # a comment may end the statement

# Syntax and rights, and what is not supported: what knows cursors need not know this COPY.
_NOT_POSSIBLE: Final = ("42", "0A")


@dataclass(frozen=True)
class CopyQuery:
    """
    A query that can be copied.

    :param kinds: the columns' names, each with the kind of its values
    """

    kinds: list[tuple[str, Kind]]
    _connection: Any
    _sql: str
    _parameters: Any

    def copy(self, file: BinaryIO) -> int | None:
        """
        Write all rows into a file.

        :param file: stays open
        :return: how many there were; ``None`` where this server or this statement is not for copying
        :raises SourceError: when the database fails on the way
        """
        try:
            return _copied(self._connection, self._sql, self._parameters, file)
        except OSError:
            raise
        except Exception as failure:
            code = getattr(failure, "sqlstate", None) or getattr(failure, "pgcode", None) or ""
            if code.startswith(_NOT_POSSIBLE):
                log.debug("The query cannot be copied (%s)", type(failure).__name__)
                return None
            error = failed(failure)
        raise error


@contextmanager
def copyable(sql: str, *, conn_id: str, parameters: Any = None) -> Iterator[CopyQuery | None]:
    """
    Look whether the rows of a query can be had by ``COPY (…) TO STDOUT``: on PostgreSQL, where all columns are plain.

    :param sql: one ``SELECT``
    :param conn_id: connection of a hook derived from ``DbApiHook``
    :param parameters: in the style of the database's driver
    :return: a context manager that gives the query, or ``None``
    :raises ConfigurationError: when the connection is none of a database
    """
    hook = database_hook(conn_id)
    if getattr(hook, "conn_type", "") != "postgres":
        yield None
        return
    with closing(hook.get_conn()) as connection:
        kinds = _kinds(connection, sql, parameters)
        yield None if kinds is None else CopyQuery(kinds, connection, sql.strip().rstrip(";"), parameters)


def _kinds(connection: Any, sql: str, parameters: Any) -> list[tuple[str, Kind]] | None:
    """Have a cursor declared, which computes no row, for what it says of its columns."""
    status = getattr(getattr(connection, "info", None), "parameter_status", None)
    if status is None or status("client_encoding") != "UTF8" or not (status("DateStyle") or "").startswith("ISO"):
        return None
    try:
        with closing(connection.cursor(CURSOR_NAME)) as cursor:
            cursor.execute(sql, parameters)
            if cursor.description is None:
                cursor.fetchmany(0)
            described = [(str(column[0]), _KINDS.get(column[1])) for column in cursor.description or ()]
    except Exception as failure:  # the usual way runs into it as well, and says so
        log.debug("The query cannot be described (%s)", type(failure).__name__)
        return None
    kinds = [(name, kind) for name, kind in described if kind is not None]
    return kinds if kinds and len(kinds) == len(described) else None


def _copied(connection: Any, sql: str, parameters: Any, file: BinaryIO) -> int:
    with closing(connection.cursor()) as cursor:
        if hasattr(cursor, "copy_expert"):  # psycopg2
            cursor.copy_expert(_COPY.encode() % cursor.mogrify(sql, parameters), file)
        else:
            with cursor.copy(_COPY % sql, parameters) as rows:
                for block in rows:
                    file.write(block)
        return int(cursor.rowcount)
