"""Statements without the values in them: in a condition may stand numbers and names of people."""

from __future__ import annotations

import re
from typing import Final

_PARTS: Final = re.compile(
    r"""
      (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z)|(?:(?:(?<=\n)|\A)[ \t]*\#|\#(?=\s))[^\n]*)
    | (?P<quoted>"(?:[^"]|"")*(?:"|\Z))
    | (?P<name>`[^`]*`|\[[A-Za-z_][\w .-]*\]|[^\W\d]\w*)
    | (?P<text>'(?:[^']|'')*(?:'|\Z)|(?P<tag>\$\w*\$).*?(?:(?P=tag)|\Z))
    | (?P<parameter>%s|%\(\w+\)s|\?|\$\d+)
    | (?P<number>\d[\w.]*)
    """,
    re.VERBOSE | re.DOTALL,
)
#: A backslash before a quote, three quotes, and Oracle's ``q'[…]'``.
_QUOTED_OTHERWISE: Final = re.compile(r"""\\['"]|'{3}|"{3}|(?<!\w)n?q'""", re.IGNORECASE)
#: A parser of statements takes these for the parts.
_INSTEAD: Final = {"comment": " ", "text": "''", "parameter": "NULL", "number": "0"}
_BEFORE_A_TABLE: Final = (".", "FROM", "JOIN")


def without_values(sql: str) -> str | None:
    """
    Take comments and all values out of a statement; the tables in it stay.

    In double quotes some databases have names and some have text: what is not certain to be a table goes.

    :param sql: the statement
    :return: the statement; ``None`` where text may be quoted in a way that not all databases have
    """
    return None if _QUOTED_OTHERWISE.search(sql) else _PARTS.sub(_instead, sql)


def _instead(part: re.Match[str]) -> str:
    kind = "text" if part["text"] is not None else part.lastgroup or ""
    if kind == "quoted":
        before = part.string[max(0, part.start() - 20) : part.start()].rstrip().upper()
        is_table = before.endswith(_BEFORE_A_TABLE) or part.string[part.end() :].startswith(".")
        return part[0] if is_table else '"_"'
    return _INSTEAD.get(kind, part[0])
