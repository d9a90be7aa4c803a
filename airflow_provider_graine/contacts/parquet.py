"""Parquet columns as JSON, by the rules of :mod:`airflow_provider_graine.contacts.encoding`, written as SQL."""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.contacts.database import identifier, is_exhausted, literal
from airflow_provider_graine.contacts.shapes import quoted_sql
from airflow_provider_graine.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection

_NUMBERS = {
    *("tinyint", "smallint", "integer", "bigint", "hugeint"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
    "boolean",
}
_TIMESTAMPS = {"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"}


class ParquetFile:
    """
    A Parquet file.

    :param db: an open database
    :param path: the local file
    :param origin: what the user calls it, for messages
    :raises SourceError: it is no Parquet file
    """

    def __init__(self, db: DuckDBPyConnection, path: Path, origin: str) -> None:
        self.origin = origin
        self.relation = f"read_parquet({literal(str(path))})"
        with self.reading():
            description = db.execute(f"SELECT * FROM {self.relation} LIMIT 0").description or []
        self._types: dict[str, Any] = {column[0]: column[1] for column in description}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turns a failure of DuckDB, whose message may quote the data, into one that says which file it was."""
        import duckdb

        try:
            yield
        except duckdb.Error as failure:
            if is_exhausted(failure):
                raise
            kind = type(failure).__name__
            raise SourceError(
                f'"{self.origin}" cannot be read as Parquet ({kind}); nothing was sent. Check that it is whole.'
            ) from None

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._types)

    def json_sql(self, column: str) -> str:
        """
        :param column: name of a column
        :return: SQL expression that gives its JSON text
        :raises SourceError: its type has no JSON form
        """
        return json_sql(identifier(column), self._types[column], column)


def json_sql(value: str, duckdb_type: Any, column: str) -> str:
    """
    Write the expression that turns a value into JSON text.

    :param value: SQL expression of the value
    :param duckdb_type: its :class:`duckdb.DuckDBPyType`
    :param column: the column, for the error message
    :return: SQL expression of type VARCHAR, never NULL
    :raises SourceError: the type has no JSON form
    """
    return f"coalesce({_not_null(value, duckdb_type, column)}, 'null')"


def _not_null(value: str, kind: Any, column: str) -> str:
    name = kind.id
    if str(kind) == "JSON":
        return f"CAST(json({value}) AS VARCHAR)"
    if name in ("varchar", "enum"):
        return f"CAST(to_json(CAST({value} AS VARCHAR)) AS VARCHAR)"
    if name in _NUMBERS:
        return f"CAST({value} AS VARCHAR)"
    if name in ("float", "double"):
        return f"CASE WHEN isfinite({value}) THEN CAST(to_json({value}) AS VARCHAR) END"
    if name in ("decimal", "uuid", "date"):
        return quoted_sql(f"CAST({value} AS VARCHAR)")
    if name in _TIMESTAMPS:
        return quoted_sql(_iso(f"CAST({value} AS TIMESTAMP)", "%Y-%m-%dT%H:%M:%S"))
    if name == "timestamp with time zone":
        utc = f"({value} AT TIME ZONE 'UTC')"
        return quoted_sql(f"{_iso(utc, '%Y-%m-%dT%H:%M:%S')} || '+00:00'")
    if name in ("time", "time_ns"):
        return quoted_sql(_iso(f"(DATE '2000-01-01' + CAST({value} AS TIME))", "%H:%M:%S"))
    if name == "time with time zone":  # Parquet stores it in UTC
        utc = f"(DATE '2000-01-01' + CAST({value} AS TIME))"
        return quoted_sql(f"{_iso(utc, '%H:%M:%S')} || '+00:00'")
    if name in ("list", "array"):
        child = dict(kind.children)["child"]
        item = json_sql("item", child, column)
        items = f"array_to_string(list_transform({value}, lambda item: {item}), ',')"
        return f"CASE WHEN len({value}) = 0 THEN '[]' ELSE '[' || {items} || ']' END"
    if name == "struct":
        return f"CASE WHEN {value} IS NOT NULL THEN {_object(value, dict(kind.children), column)} END"
    if name == "map":
        return _map(value, dict(kind.children), column)
    if name == "null":
        return "NULL"
    raise SourceError(
        f'Column "{column}" holds values of type {str(kind).split("(")[0]}, which has no JSON form; nothing was sent. '
        f"Convert it to text or a number where the file is made."
    )


def _iso(timestamp: str, form: str) -> str:
    """As ``isoformat()`` does it: microseconds only where there are any."""
    fraction = f"CASE WHEN microsecond({timestamp}) % 1000000 = 0 THEN '' ELSE strftime({timestamp}, '.%f') END"
    return f"strftime({timestamp}, {literal(form)}) || {fraction}"


def _object(value: str, fields: dict[str, Any], column: str) -> str:
    members = [
        f"to_json({literal(name)}) || ':' || {json_sql(f'struct_extract({value}, {literal(name)})', kind, column)}"
        for name, kind in sorted(fields.items())
    ]
    return "'{' || " + " || ',' || ".join(members) + " || '}'"


def _map(value: str, kinds: dict[str, Any], column: str) -> str:
    member = f"to_json(CAST(entry.key AS VARCHAR)) || ':' || {json_sql('entry.value', kinds['value'], column)}"
    members = f"array_to_string(list_transform(list_sort(map_entries({value})), lambda entry: {member}), ',')"
    return f"CASE WHEN cardinality({value}) = 0 THEN '{{}}' ELSE '{{' || {members} || '}}' END"
