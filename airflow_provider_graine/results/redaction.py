"""Leaves fields of result files out, or puts keyed hashes in their place, while the files pass by."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal, get_args

from airflow_provider_graine.exceptions import ConfigurationError, LandingError
from airflow_provider_graine.results.csv_rows import read_rows, write_rows
from airflow_provider_graine.results.spool import lines_of

#: What becomes of a field: it is left out, or has the HMAC-SHA-256 of its value instead, hexadecimal.
Redact = Literal["drop", "hash"]

_SHORTEST_KEY: Final = 16  # bytes
_LINES_AT_A_TIME: Final = 500
_MOST_NAMES: Final = 10_000  # that are remembered: fields are few, unless somebody makes data of their names
_BEGINS_JSON: Final = re.compile(r'\s*[{["]')
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Redaction:
    """
    What may not stand in result files.

    A name stands for every field of that name, whatever its case: a column, a field of a JSON object at any depth, and
    one in a text that is a JSON object or list itself. Other text is not searched.

    :param fields: name to what becomes of it; see :func:`read_redact`
    :param key: what hashes are made with
    :param within: JSON lines: a field to those that come only within it, so that they may be missing where it is
    """

    fields: Mapping[str, Redact]
    key: bytes = field(default=b"", repr=False)
    within: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def csv(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """
        Redact a CSV file.

        :param blocks: the file, cut anywhere
        :return: the file, written anew
        :raises LandingError: if it is no CSV, or a row has other columns than the header
        :raises ConfigurationError: at its end, when a name was nowhere in it
        """
        header, rows = read_rows(blocks)
        if header is not None:
            yield from write_rows(self._rows(rows), header)

    def json_lines(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """
        Redact a JSON lines file.

        :param blocks: the file, cut anywhere
        :return: the file, written anew
        :raises LandingError: if a line is no JSON
        :raises ConfigurationError: at its end, when a name was nowhere in it
        """
        redactor = _Redactor(self)
        lines = (_dumped(redactor.redacted(_loaded(line))).encode() + b"\n" for line in lines_of(blocks))
        while several := b"".join(islice(lines, _LINES_AT_A_TIME)):
            yield several
        redactor.ensure_all_seen(may_be_missing=True)

    def _rows(self, rows: Iterator[list[str]]) -> Iterator[list[str]]:
        redactor = _Redactor(self)
        names = next(rows)
        what = [redactor.rule(name) for name in names]
        kept = [index for index, rule in enumerate(what) if rule != "drop"]
        hashed = [index for index in kept if what[index] == "hash"]
        others = [index for index in kept if what[index] is None]
        if not kept:
            raise ConfigurationError("redact drops every column. Nothing was landed.")
        yield [names[index] for index in kept]
        for row in rows:
            if len(row) != len(names):
                raise LandingError(
                    f"A row of the results has {len(row)} columns and the header {len(names)}, so it cannot be told "
                    "which value is what. Nothing was landed."
                )
            for index in hashed:
                row[index] = redactor.hashed(row[index])
            for index in others:
                if _BEGINS_JSON.match(row[index]):
                    row[index] = redactor.text(row[index])
            yield [row[index] for index in kept]
        redactor.ensure_all_seen(may_be_missing=False)


def read_redact(redact: Any) -> dict[str, Redact]:
    """
    Read the argument of that name.

    :param redact: field name to ``"drop"`` or ``"hash"``, or a list of names that are all dropped
    :return: the same by names in lower case
    :raises ConfigurationError: when it is neither
    """
    if isinstance(redact, str):
        redact = [redact]
    if not isinstance(redact, Mapping):
        redact = dict.fromkeys(redact, "drop") if isinstance(redact, Iterable) else {None: None}
    for name, rule in redact.items():
        if not isinstance(name, str) or not name or rule not in get_args(Redact):
            raise ConfigurationError(
                'redact must be a list of fields to leave out, or a mapping from fields to "drop" or "hash". Nothing '
                "was downloaded."
            )
    fields = {name.casefold(): rule for name, rule in redact.items()}
    if len(fields) < len(redact):
        raise ConfigurationError(
            "redact names a field twice; upper and lower case are the same. Nothing was downloaded."
        )
    return fields


def read_key(secret: str | None) -> bytes:
    """
    Read the key of the hashes.

    :param secret: what a connection has as its password
    :raises ConfigurationError: when it is missing, or so short that it could be guessed
    """
    key = (secret or "").encode()
    if len(key) < _SHORTEST_KEY:
        raise ConfigurationError(
            f"The connection of redact_conn_id needs a password of at least {_SHORTEST_KEY} characters: the key of the "
            "hashes. Phone numbers are few enough to try all of them with a key that can be guessed. Nothing was "
            "downloaded."
        )
    return key


class _Redactor:
    """Redacts one file, and remembers which fields were in it."""

    def __init__(self, redaction: Redaction) -> None:
        self._fields = redaction.fields
        self._within = redaction.within
        self._hmac = hmac.new(redaction.key, digestmod=hashlib.sha256) if redaction.key else None
        self._seen: set[str] = set()
        self._came: set[str] = set()
        self._by_name: dict[str, Redact | None] = {}

    def rule(self, name: str) -> Redact | None:
        """Tell what becomes of a field, which has been seen now."""
        try:
            return self._by_name[name]
        except KeyError:
            folded = name.strip().casefold()
            rule = self._fields.get(folded)
            if rule is not None:
                self._seen.add(folded)
            if len(self._by_name) < _MOST_NAMES:
                self._by_name[name] = rule
            return rule

    def hashed(self, text: str) -> str:
        """Hash a text; what is empty stays empty."""
        if not text:
            return text
        if self._hmac is None:
            raise ConfigurationError('redact has a "hash" and no redact_conn_id with its key. Nothing was landed.')
        digest = self._hmac.copy()
        digest.update(text.encode(errors="backslashreplace"))
        return digest.hexdigest()

    def redacted(self, value: Any) -> Any:
        """Redact what is within a JSON value."""
        if isinstance(value, dict):
            return {name: each for name, each in self._fields_of(value)}
        if isinstance(value, list):
            return [self.redacted(each) for each in value]
        if isinstance(value, str) and _BEGINS_JSON.match(value):
            return self.text(value)
        return value

    def text(self, text: str) -> str:
        """Redact a text that may be JSON; it stays as it is, to the letter, if there is nothing to redact in it."""
        try:
            value = json.loads(text)
        except ValueError:
            return text
        redacted = self.redacted(value)
        return text if redacted == value else _dumped(redacted)

    def ensure_all_seen(self, *, may_be_missing: bool) -> None:
        """
        Look whether each name was the name of something: a misspelt one would let everything through.

        :param may_be_missing: whether fields may be missing whose surroundings never came
        """
        missing = set(self._fields) - self._seen if self._by_name else set()  # without any row there is nothing to find
        if may_be_missing:
            for surrounding, fields in self._within.items():
                if surrounding not in self._came:
                    missing -= fields
        if missing:
            raise ConfigurationError(
                f"redact names {', '.join(map(repr, sorted(missing)))}, and the results have no such field. Nothing "
                "was landed, since a misspelt name would leave the values in the file."
            )

    def _fields_of(self, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, each in value.items():
            rule = self.rule(name)
            if each and name in self._within:
                self._came.add(name)
            if rule is None:
                yield name, self.redacted(each)
            elif rule == "hash":
                yield name, each if each is None else self.hashed(each if isinstance(each, str) else _dumped(each))


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        pass
    raise LandingError("A line of the results is no JSON. Nothing was landed.")  # the cause would quote the line


def _dumped(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, separators=(",", ":")) if _SURROGATE.search(text) else text
