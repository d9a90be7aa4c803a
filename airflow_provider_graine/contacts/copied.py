r"""
Rows as ``COPY … TO STDOUT`` of PostgreSQL writes them: a line each, tabs between the values, ``\N`` for NULL.

DuckDB reads such lines many times faster than Python takes rows from a cursor. The JSON is that of
:mod:`~airflow_provider_graine.contacts.encoding`; what DuckDB cannot be sure of is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from airflow_provider_graine.contacts.blocks import block_relation
from airflow_provider_graine.contacts.database import literal
from airflow_provider_graine.contacts.shapes import Column, quoted_sql

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Kind = Literal["text", "integer", "boolean", "decimal", "float", "date", "timestamp"]

_NULL: Final = "\\N"
_ESCAPES: Final = {"b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIMESTAMP: Final = _DATE + r" [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"


@dataclass(frozen=True)
class CopiedTable:
    """
    A file of such lines.

    :param path: the file
    :param kinds: the columns' names, each with the kind of its values
    """

    path: Path
    kinds: Sequence[tuple[str, Kind]]

    @property
    def relation(self) -> str:
        """SQL of the rows, the columns named by :attr:`columns`."""
        return block_relation(self.path, map(_place, range(len(self.kinds))), null=_NULL)

    @property
    def columns(self) -> list[Column]:
        """The columns in SQL."""
        return [
            Column(name, _text(_place(place)), f"coalesce({_json(_place(place), kind)}, 'null')")
            for place, (name, kind) in enumerate(self.kinds)
        ]


def _place(place: int) -> str:
    return f"value_{place}"


def _text(value: str) -> str:
    """Without its escapes. A backslash is written as two, so what is between two of them is escaped by the others."""
    plain = "piece"
    for letter, code in _ESCAPES.items():
        plain = f"replace({plain}, '\\{letter}', chr({code}))"
    pieces = f"list_transform(string_split({value}, '\\\\'), lambda piece: {plain})"
    return f"CASE WHEN contains({value}, '\\') THEN array_to_string({pieces}, '\\') ELSE {value} END"


def _json(value: str, kind: Kind) -> str:
    match kind:
        case "text":
            return f"CAST(to_json({_text(value)}) AS VARCHAR)"
        case "integer":
            return value
        case "boolean":
            return f"CASE {value} WHEN 't' THEN 'true' WHEN 'f' THEN 'false' END"
        case "decimal":
            return (
                f"CASE WHEN NOT ends_with({value}, 'NaN') AND NOT ends_with({value}, 'y') THEN {quoted_sql(value)} END"
            )
        case "float":
            number = f"CAST({value} AS DOUBLE)"
            return f"CASE WHEN isfinite({number}) THEN CAST(to_json({number}) AS VARCHAR) END"
        case "date":
            return _if_it_is(value, _DATE, quoted_sql(value))
        case "timestamp":
            fraction = f"rpad(split_part({value}, '.', 2), 6, '0')"
            iso = f"replace(split_part({value}, '.', 1), ' ', 'T')"
            return _if_it_is(
                value,
                _TIMESTAMP,
                quoted_sql(f"{iso} || CASE WHEN contains({value}, '.') THEN '.' || {fraction} ELSE '' END"),
            )


def _if_it_is(value: str, form: str, then: str) -> str:
    """Infinity, and years before 1 or after 9999, are read in Python, where they are what the driver makes of them."""
    fits = f"regexp_full_match({value}, {literal(form)})"
    return f"CASE WHEN {fits} THEN {then} WHEN {value} IS NOT NULL THEN error('') END"
