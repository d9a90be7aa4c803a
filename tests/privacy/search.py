"""Looks for the canaries wherever something is kept or shown, and says where one was; never which."""

from __future__ import annotations

import html
import json
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from tests.privacy.canaries import canaries

_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s().\-/_\u00a0\u202f]+(?=\d)")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class Leak:
    """
    A canary that got out.

    :param where: the place, such as ``XCom summary: .rejected``
    :param what: what it is, without saying it
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.what} in {self.where}"


class Search:
    """All that was looked at, and what was found."""

    def __init__(self) -> None:
        self.leaks: list[Leak] = []
        #: Number of texts looked at, by kind of place: a test that looks at nothing finds nothing.
        self.seen: dict[str, int] = {}
        self._canaries = canaries()

    def look(self, where: str, thing: Any) -> None:
        """
        Look through something.

        :param where: what it is and where it is kept: kind and name, ``"XCom summary"``
        :param thing: text, bytes, an exception, or anything made of lists, mappings and objects
        """
        for path, text in _texts(thing):
            self._look(f"{where}: {path}" if path else where, text)

    def _look(self, where: str, text: str) -> None:
        kind = where.partition(" ")[0].rstrip(":")
        self.seen[kind] = self.seen.get(kind, 0) + 1
        found = {leak.what for leak in self.leaks if leak.where == where}
        for what in self.found_in(text):
            if what not in found:
                found.add(what)
                self.leaks.append(Leak(where, what))

    def found_in(self, text: str) -> Iterator[str]:
        """
        Tell which canaries are in a text.

        :param text: as it was found
        """
        for spelling in _spellings(text):
            digits = _BETWEEN_DIGITS.sub("", spelling)
            for canary in self._canaries:
                if canary.text in (digits if canary.is_digits else spelling):
                    yield canary.what

    def raise_for_leaks(self) -> None:
        """Fail if anything was found, saying where."""
        listed = "\n".join(f"- {leak}" for leak in self.leaks[:40])
        assert not self.leaks, f"{len(self.leaks)} leaks\n{listed}"


def _spellings(text: str) -> set[str]:
    """As it is, and without one and two layers of what programs wrap text in."""
    found = {text.lower()}
    layer = [text]
    for _ in range(2):
        layer = [inner for outer in layer for inner in _unwrapped(outer) if inner.lower() not in found]
        found.update(each.lower() for each in layer)
    return found


def _unwrapped(text: str) -> Iterator[str]:
    if "%" in text:
        yield unquote_plus(text)
    if "\\" in text:
        unescaped = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
        yield unescaped
        with_bytes = unescaped.encode("latin-1", errors="ignore").decode(errors="ignore")  # of a bytes' repr
        yield with_bytes
    if "&" in text:
        yield html.unescape(text)


def _texts(thing: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Take something apart into texts, each with the way to it."""
    if isinstance(thing, str):
        yield path, thing
    elif isinstance(thing, (bytes, bytearray, memoryview)):
        yield path, bytes(thing).decode(errors="replace")
    elif isinstance(thing, BaseException):
        for where, text in _of_exception(thing):
            yield f"{path} {where}".strip(), text
    elif isinstance(thing, Mapping):
        for number, (key, value) in enumerate(thing.items()):
            yield from _texts(key, f"{path} key {number}", depth + 1)
            yield from _texts(value, f"{path}.{key if str(key).isidentifier() else number}", depth + 1)
    elif isinstance(thing, Iterable) and not hasattr(thing, "model_dump") and depth < 20:
        for number, value in enumerate(thing):
            yield from _texts(value, f"{path}[{number}]", depth + 1)
    elif thing is not None and not isinstance(thing, bool):
        if hasattr(thing, "model_dump"):
            yield from _texts(thing.model_dump(mode="json"), path, depth + 1)
            return
        for written in (str, repr):
            yield path, written(thing)


def _of_exception(error: BaseException) -> Iterator[tuple[str, str]]:
    """Everything that anybody could print of an exception, and of those that led to it."""
    seen: set[int] = set()
    todo = [("", error)]
    while todo:
        way, each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        name = f"{way}{type(each).__name__}"
        yield f"{name}, str", str(each)
        yield f"{name}, repr", repr(each)
        for number, argument in enumerate(each.args):
            if not isinstance(argument, BaseException):
                yield f"{name}, args[{number}]", _dumped(argument)
        for note in getattr(each, "__notes__", ()):
            yield f"{name}, a note", note
        for attribute, value in vars(each).items():
            if not attribute.startswith("__"):
                yield f"{name}, .{attribute}", _dumped(value)
        todo += [(f"{name}, cause ", each.__cause__)] if each.__cause__ else []
        todo += [(f"{name}, context ", each.__context__)] if each.__context__ else []
        todo += [(f"{name}, part ", part) for part in getattr(each, "exceptions", ())]
    yield "the traceback", "".join(traceback.format_exception(error))


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, default=repr, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)
