"""CSV that a spreadsheet does not take for formulas."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.results.csv_rows import read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What begins a formula, their full-width forms included, also after blanks and quotes; and control characters, which
#: spreadsheets pass over. After https://owasp.org/www-community/attacks/CSV_Injection
_BEGINNING: Final = r"=+\-@\uff1d\uff0b\uff0d\uff20"
_PASSED_OVER: Final = r"\s\"'\u200b\ufeff\0"
_FORMULA: Final = re.compile(rf"[{_PASSED_OVER}]*[{_BEGINNING}]|[\"']*[\t\r\n]")

#: Where a spreadsheet may begin another value: it need not split at what the file has between its columns (Excel asks
#: the country), and then quotes count for nothing, and line ends within them end rows.
_SEPARATORS: Final = re.compile(r"[,;|\t\r\n]")
#: A separator, all that is passed over behind it, and what begins a formula, if that comes. It matches in any case:
#: else, from each of many separators in a row, all others would be looked through again.
_BEHIND: Final = re.compile(rf"[,;|\t\r\n][{_PASSED_OVER},;|]*+([{_BEGINNING}]?)")

_JSON_STRING: Final = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")')


def spreadsheet_safe(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""
    Put apostrophes into a CSV file before all that a spreadsheet could take for a formula, as it does with text.

    One stands before each value that begins like a formula, and one within values behind each comma, semicolon,
    ``|``, tab and line end that one of the characters follows which begin formulas, with nothing but blanks, quotes and
    others of these separators between them: a spreadsheet that splits the file there begins a value there. Whoever
    reads the file takes them off again at the same places: every value then is as it was.

    A value that is a JSON object or list has none and is the same JSON: instead of such a character within a text there
    is its escape (``\u003d``), and numbers keep their signs. They compute nothing.

    :param blocks: the file, cut anywhere
    :return: the file, written anew
    :raises LandingError: if it is no CSV
    """
    header, rows = read_rows(blocks)
    if header is None:
        return
    yield from write_rows((list(map(_safe, row)) for row in rows), header)


def _safe(value: str) -> str:
    if any(_BEHIND.findall(value)):
        if value[0] in "{[" and _is_json(value):
            return _safe_json(value)
        value = _BEHIND.sub(_with_apostrophes, value)
    return f"'{value}" if _FORMULA.match(value) else value


def _with_apostrophes(found: re.Match[str]) -> str:
    return _SEPARATORS.sub(r"\g<0>'", found[0]) if found[1] else found[0]


def _safe_json(text: str) -> str:
    parts = _JSON_STRING.split(text)  # what is no string, a string, what is no string …
    for index in range(1, len(parts), 2):
        before = "," if _SEPARATORS.search(parts[index - 1]) else ""
        parts[index] = _BEHIND.sub(_with_escape, before + parts[index])[len(before) :]
    return "".join(parts)


def _with_escape(found: re.Match[str]) -> str:
    return f"{found[0][:-1]}\\u{ord(found[1]):04x}" if found[1] else found[0]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
