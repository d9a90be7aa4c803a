"""
SQL that brings rows into the one shape of the staging table: ``raw_number``, ``variables``, ``name``.

Rows come in two shapes. A *table* (CSV, Parquet, database rows) has columns that are known beforehand, an *object* (a
literal contact, a JSON line) brings its own keys.
"""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal() and identifier()

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, repeat
from json.encoder import encode_basestring
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_graine.contacts.blocks import block_relation
from airflow_provider_graine.contacts.database import literal
from airflow_provider_graine.contacts.encoding import encode_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

CALLEE_NAME = "callee_name"
CALL_VARIABLES = "call_variables"


@dataclass(frozen=True)
class Column:
    """
    A column of a table.

    :param name: its name in the source
    :param text: SQL expression of its plain text
    :param json: SQL expression of its JSON text, ``None`` in a table of nothing but texts, where a NULL is empty
    """

    name: str
    text: str
    json: str | None = None


def plain_text_sql(json_text: str) -> str:
    """
    :param json_text: SQL expression of a JSON text
    :return: SQL expression of the text it stands for, NULL where it is ``null``
    """
    # Without a backslash a JSON text holds no quotes but the two around it.
    return (
        f"CASE WHEN starts_with({json_text}, '\"') AND NOT contains({json_text}, '\\') THEN trim({json_text}, '\"') "
        f"ELSE CAST({json_text} AS JSON) ->> '$' END"
    )


def quoted_sql(text: str) -> str:
    """
    :param text: SQL expression of a text in which JSON has nothing to escape
    :return: SQL expression of its JSON text
    """
    return f"'\"' || {text} || '\"'"


class TableLines:
    """
    Rows of a table as lines for :mod:`~airflow_provider_graine.contacts.blocks`: number, name and call variables.

    :param columns: names of the columns
    :param phone_column: which of them holds the number
    :param name_column: which of them holds the name
    """

    #: Stands for a row that could not be read: all three are NULL.
    UNREADABLE = "\t\t"

    def __init__(self, columns: Sequence[str], *, phone_column: str, name_column: str) -> None:
        self._columns = columns
        self._phone, self._name = columns.index(phone_column), columns.index(name_column)
        self._variables = sorted(
            (CALLEE_NAME if position == self._name else name, position)
            for position, name in enumerate(columns)
            if position != self._phone
        )
        self._nothing = (None,) * len(columns)

    def encode(self, rows: Sequence[Sequence[Any] | None]) -> list[str]:
        """
        :param rows: the rows, ``None`` for one that could not be read
        :return: a line for each
        :raises SourceError: a value has a type that has no JSON form
        """
        width = len(self._columns)
        ragged = [place for place, row in enumerate(rows) if row is None or len(row) != width]
        if ragged:
            rows = list(rows)
            for place in ragged:
                rows[place] = self._nothing
        values = zip(*cast("Sequence[Sequence[Any]]", rows), strict=True)
        cells = [encode_column(column, name) for column, name in zip(values, self._columns, strict=True)]
        parts: list[Iterable[str]] = [cells[self._phone], repeat("\t"), cells[self._name], repeat("\t{")]
        for comma, (key, position) in zip(chain([""], repeat(",")), self._variables, strict=False):
            parts += [repeat(f"{comma}{encode_basestring(key)}:"), cells[position]]
        lines = list(map("".join, zip(*parts, repeat("}"), strict=False)))
        for place in ragged:
            lines[place] = self.UNREADABLE
        return lines

    @staticmethod
    def sql(path: Path) -> str:
        """
        :param path: file of the lines
        :return: SQL of the rows
        """
        return f"""
            SELECT {plain_text_sql("phone")} AS raw_number, variables, {plain_text_sql("name")} AS name
            FROM {block_relation(path, ["phone", "name", "variables"])}
        """


def table_sql(
    relation: str,
    columns: Sequence[Column],
    *,
    phone_column: str,
    name_column: str,
) -> str:
    """
    :param relation: SQL of a relation
    :param columns: its columns
    :param phone_column: which of them holds the number
    :param name_column: which of them holds the name
    :return: SQL of the rows
    """
    by_name = {column.name: column for column in columns}
    phone, name = by_name[phone_column], by_name[name_column]
    called = [(CALLEE_NAME if column is name else column.name, column) for column in columns if column is not phone]
    return f"""
        SELECT {phone.text} AS raw_number,
               {_variables_sql(sorted(called, key=itemgetter(0)))} AS variables,
               {name.text} AS name
        FROM {relation}
    """


def _variables_sql(variables: Sequence[tuple[str, Column]]) -> str:
    members = [(key, column.json) for key, column in variables if column.json is not None]
    if members:
        return object_sql(members)
    texts = ", ".join(f"{literal(key)}, coalesce({column.text}, '')" for key, column in variables)
    return f"CAST(json_object({texts}) AS VARCHAR)"


def object_sql(members: Sequence[tuple[str, str]]) -> str:
    """
    :param members: key, and SQL expression of its value's JSON text
    :return: SQL expression of the JSON object
    """
    pairs = " || ',' || ".join(
        f"{literal(json.dumps(key, ensure_ascii=False) + ':')} || {value}" for key, value in members
    )
    return f"'{{' || {pairs} || '}}'"


def objects_sql(relation: str, *, phone_column: str, name_column: str) -> str:
    """
    Spread ``call_variables``, give the name its key; a row that says one thing twice cannot be read.

    :param relation: SQL of a relation with a column ``json``
    :param phone_column: key of the number
    :param name_column: key of the name
    :return: SQL of the rows; ``variables`` is NULL where a row could not be read
    """
    phone, name = literal(phone_column), literal(name_column)
    nested, callee_name = literal(CALL_VARIABLES), literal(CALLEE_NAME)
    return f"""
        WITH objects AS (
            SELECT TRY_CAST(json AS MAP(VARCHAR, JSON)) AS fields FROM {relation}
        ), nested AS (
            SELECT fields, TRY_CAST(fields[{nested}] AS MAP(VARCHAR, JSON)) AS spread FROM objects
        ), flat AS (
            SELECT CASE WHEN spread IS NULL THEN map_entries(fields)
                        ELSE list_filter(map_entries(fields), lambda entry: entry.key <> {nested})
                             || map_entries(spread) END AS entries
            FROM nested
        ), renamed AS (
            SELECT list_sort(list_transform(entries, lambda entry: {{
                       'key': CASE WHEN entry.key = {name} THEN {callee_name} ELSE entry.key END,
                       'value': coalesce(CAST(entry.value AS VARCHAR), 'null')
                   }})) AS entries
            FROM flat
        ), divided AS (
            SELECT entries,
                   list_filter(entries, lambda entry: entry.key = {phone})[1].value AS phone,
                   list_filter(entries, lambda entry: entry.key = {callee_name})[1].value AS name,
                   list_filter(entries, lambda entry: entry.key <> {phone}) AS variables
            FROM renamed
        )
        SELECT CAST(phone AS JSON) ->> '$' AS raw_number,
               CASE WHEN len(entries) = list_unique(list_transform(entries, lambda entry: entry.key)) THEN
                   '{{' || coalesce(array_to_string(list_transform(variables,
                       lambda entry: CAST(to_json(entry.key) AS VARCHAR) || ':' || entry.value), ','), '') || '}}'
               END AS variables,
               CAST(name AS JSON) ->> '$' AS name
        FROM divided
    """
