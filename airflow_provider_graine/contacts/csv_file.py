"""
A chunk as a CSV file, for a service that takes its contacts so: RFC 4180, UTF-8 without a byte order mark.

The call variables become columns: those of anybody in the chunk, ``callee_name`` first, the others by name. Somebody
who has not got one has an empty field there, as for ``null``. Texts and numbers are as they are, ``true`` and ``false``
in these words, an object or a list is its JSON text.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.contacts.shapes import CALLEE_NAME
from airflow_provider_graine.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: The column of the number; every other one is a call variable.
PHONE_COLUMN: Final = "phone_number"


def as_csv(contacts: bytes) -> bytes:
    """
    Write the people of a chunk as a CSV file.

    :param contacts: JSON array of ``{"phone_number": …, "call_variables": {…}}``, UTF-8
    :return: the file
    :raises SourceError: a call variable is called like the column of the number
    """
    array = contacts.decode()
    columns = columns_of({name for person in _people(array) for name in person["call_variables"]})
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([PHONE_COLUMN, *columns])
    for person in _people(array):
        variables = person["call_variables"]
        writer.writerow([person["phone_number"], *(_cell(variables.get(name)) for name in columns)])
    return text.getvalue().encode(errors="replace")  # half of a surrogate pair


def columns_of(names: Collection[str]) -> list[str]:
    """
    Put the columns of a file into their order.

    :param names: the call variables
    :raises SourceError: one is called like the column of the number
    """
    if PHONE_COLUMN in names:
        raise SourceError(
            f'A column of the list is called "{PHONE_COLUMN}" and is not the phone_column: the service takes the '
            "number from a column of that name, so a call variable cannot be called so. Nothing was sent; rename it."
        )
    return sorted(names, key=lambda name: (name != CALLEE_NAME, name))


def header_bytes(names: Collection[str]) -> int:
    """
    Tell how long the first line of a file becomes at most.

    :param names: the call variables of anybody on the list
    :raises SourceError: one is called like the column of the number
    """
    return len(PHONE_COLUMN) + 2 + sum(2 * len(name.encode()) + 3 for name in columns_of(names))


def row_bytes_sql(variables: str, digits: str, *, columns: int) -> str:
    """
    Tell how long a person's line becomes at most: hardly more than it will be, without making it.

    A field is no longer than its JSON text, for a quote takes two bytes in either. Only an object or a list, which
    becomes a text, gets a second byte for each of its quotes.

    :param variables: SQL expression of the JSON object
    :param digits: SQL expression of the number, without its plus sign
    :param columns: how many call variables the file has at most
    :return: SQL expression of a number of bytes
    """
    names = f"json_keys({variables})"
    rest = f"substr({variables}, 2)"
    quotes = f"strlen({variables}) - strlen(replace({variables}, '\"', '')) + 2 * {columns}"
    return f"""(
        strlen({variables}) - coalesce(list_sum(list_transform({names}, lambda name: strlen(name) + 4)), 0)
        + strlen(CAST({digits} AS VARCHAR)) + 3 + {columns}
        + CASE WHEN contains({rest}, '{{') OR contains({rest}, '[') THEN {quotes} ELSE 0 END
    )"""


class _Number(float):
    """A number that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> _Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


_DECODER: Final = json.JSONDecoder(parse_float=_Number)


def _people(array: str) -> Iterator[Any]:
    """Decode one after the other: all at once they would take many times their text in memory."""
    place = 1
    while place < len(array) - 1:
        person, end = _DECODER.raw_decode(array, place)
        yield person
        place = end + 1
        while array[place : place + 1].isspace():
            place += 1


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, _Number):
        return value.text
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
