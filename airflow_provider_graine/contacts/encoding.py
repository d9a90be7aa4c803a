"""
How values become call variables: JSON that an agent can read aloud.

====================================  ==========================================================
value                                 JSON
====================================  ==========================================================
str, int, bool, None                  as they are
float                                 number; NaN and the infinities become ``null``
Decimal                               string, exact, never with an exponent (``"12000.50"``)
date                                  ``"2026-07-01"``
datetime                              ISO 8601 (``"2026-07-01T09:00:00"``, with offset when aware)
time                                  ISO 8601 (``"09:00:00"``)
UUID                                  string
Enum                                  its value
mapping, list, tuple                  object, array, by the same rules; keys are strings, sorted
scalar with ``.item()`` (NumPy)       its Python value
====================================  ==========================================================

Anything else is refused, bytes and time spans among it: there is no one spelling that people expect, so the query or
the DAG has to choose it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID

from airflow_provider_graine.exceptions import SourceError


class UnreadableTextError(ValueError):
    """Text which is not Unicode (half of a surrogate pair): no JSON body can carry it."""


def encode_object(values: Mapping[str, Any]) -> str:
    """
    Encode the columns of one person.

    :param values: column name to value
    :return: JSON object, compact, keys sorted
    :raises SourceError: a value has a type that has no JSON form; names the column and the type
    :raises UnreadableTextError: a text is not Unicode
    """
    try:
        encoded = _FAST.encode(values if type(values) is dict else dict(values))
    except (_SlowPath, TypeError, ValueError):
        encoded = _FAST.encode({str(name): to_json(value, name) for name, value in values.items()})
    return _checked(encoded)


def encode_column(values: Sequence[Any], column: str) -> list[str]:
    """
    Encode one column of a table: many values at once, for most columns hold one type.

    :param values: the values, one a row
    :param column: its name, for the error message
    :return: JSON text of each, compact; not checked for being Unicode
    :raises SourceError: a value has a type that has no JSON form; names the column and the type
    """
    kinds = set(map(type, values))
    encoders = {kind: _ENCODERS.get(kind) or (lambda value: _FAST.encode(to_json(value, column))) for kind in kinds}
    if len(encoders) == 1:
        return list(map(encoders.popitem()[1], values))
    return [encoders[type(value)](value) for value in values]


def to_json(value: Any, column: str) -> Any:
    """
    Turn a value into what the JSON encoder takes as it is.

    :param value: any value of a source
    :param column: its column, for the error message
    :return: None, bool, int, float, str, dict or list
    :raises SourceError: the type has no JSON form
    """
    if isinstance(value, Enum):
        return to_json(value.value, column)
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Mapping):
        return {_key(key, column): to_json(item, column) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item, column) for item in value]
    return _scalar(value, column)


def _scalar(value: Any, column: str | None) -> Any:
    for kind, convert in _SCALARS.items():
        if isinstance(value, kind):
            return convert(value)
    if column is None:  # the fast path does not know the column
        raise _SlowPath
    if callable(getattr(value, "item", None)) and getattr(value, "shape", None) == ():
        plain = value.item()
        if type(plain) is not type(value):
            return to_json(plain, column)
    raise SourceError(
        f'Column "{column}" holds a value of type {type(value).__name__}, which has no JSON form; nothing was sent. '
        f"Convert it to text or a number where the list is made, or leave the column out."
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _exact(value: Decimal) -> str | None:
    text = str(value)
    if "E" in text:
        return format(value, "f")
    return text if value.is_finite() else None


def _key(key: Any, column: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (int, float)):
        return json.dumps(key)  # as the JSON encoder does it
    raise SourceError(
        f'Column "{column}" holds a mapping with a key of type {type(key).__name__}; nothing was sent. '
        f"The names of call variables are text."
    )


def _checked(encoded: str) -> str:
    if not encoded.isascii():
        try:
            encoded.encode()
        except UnicodeEncodeError:
            raise UnreadableTextError from None
    return encoded


class _SlowPath(Exception):
    """A value which the C encoder cannot take as it is."""


def _default(value: Any) -> Any:
    if isinstance(value, Enum):
        return to_json(value.value, "")
    return _scalar(value, None)


# NaN raises ValueError, keys that do not sort raise TypeError: both take the slow path.
_FAST = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True, default=_default)

# In this order: a datetime is a date too.
_SCALARS: dict[type, Callable[[Any], str | None]] = {
    Decimal: _exact,
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    UUID: str,
}

# What the JSON encoder would write, without its way to it.
_ENCODERS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda _: "null",
    float: lambda value: float.__repr__(value) if math.isfinite(value) else "null",
    Decimal: lambda value: f'"{_exact(value)}"' if value.is_finite() else "null",
    datetime: lambda value: f'"{value.isoformat()}"',
    date: lru_cache(maxsize=10_000)(lambda value: f'"{value.isoformat()}"'),  # a column of dates repeats them
    UUID: lambda value: f'"{value}"',
}
