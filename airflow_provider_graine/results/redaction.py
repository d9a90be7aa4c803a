"""Leaves fields of result files out, or puts keyed hashes in their place, while the files pass by."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
#: Control characters, blanks, signs that nobody sees, and bytes that are no UTF-8.
_UNSEEN: Final = "".join(
    chr(code)
    for first, last in (
        (0x00, 0x20),
        (0x7F, 0xA0),
        (0xAD, 0xAD),
        (0x1680, 0x1680),
        (0x180E, 0x180E),
        (0x2000, 0x200F),
        (0x2028, 0x202F),
        (0x205F, 0x206F),
        (0x3000, 0x3000),
        (0xDC80, 0xDCFF),
        (0xFEFF, 0xFEFF),
    )
    for code in range(first, last + 1)
)
_BEGINS_NESTED: Final = re.compile(rf"[{_UNSEEN}\"'`\\]*+[{{\[]")
_BEGINS_OBJECT: Final = re.compile(rf"[{_UNSEEN}\"'`\\(\[]*+{{")
_BEGINS_JSON: Final = re.compile(rf'{_BEGINS_NESTED.pattern}|[{_UNSEEN}]*+"')
_ESCAPE: Final = re.compile(r"\\(?<!\\\\)\\*+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Redaction:
    """
    What may not stand in result files.

    A name stands for every field of that name, whatever its case: a column, a field of a JSON object at any depth, and
    one in a text that is a JSON object or list itself. Text that only begins like one is refused if it has a name in
    it. Other text is not searched.

    :param fields: name to what becomes of it; see :func:`read_redact`
    :param key: what hashes are made with
    :param within: JSON lines: a field to those that come only within it, so that they may be missing where it is
    """

    fields: Mapping[str, Redact]
    key: bytes = field(default=b"", repr=False)
    within: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def csv(self, blocks: Iterable[bytes], names: Names | None = None) -> Iterator[bytes]:
        """
        Redact a CSV file.

        :param blocks: the file, cut anywhere
        :param names: told at the end which names came; default: one that did not is an error
        :return: the file, written anew
        :raises LandingError: if it is no CSV, a row has other columns than the header, or a value cannot be redacted
        :raises ConfigurationError: at its end, when a name was nowhere in it
        """
        header, rows = read_rows(blocks)
        if header is not None:
            yield from write_rows(self._rows(rows, names), header)

    def json_lines(self, blocks: Iterable[bytes], names: Names | None = None) -> Iterator[bytes]:
        """
        Redact a JSON lines file.

        :param blocks: the file, cut anywhere
        :param names: told at the end which names came; default: one that did not is an error
        :return: the file, written anew
        :raises LandingError: if a line is no JSON, or a value cannot be redacted
        :raises ConfigurationError: at its end, when a name was nowhere in it
        """
        redactor = _Redactor(self)
        lines = (_dumped(redactor.redacted(_loaded(line))).encode() + b"\n" for line in lines_of(blocks))
        while several := b"".join(islice(lines, _LINES_AT_A_TIME)):
            yield several
        _tell(names, redactor.names)

    def _rows(self, rows: Iterator[list[str]], names: Names | None) -> Iterator[list[str]]:
        redactor = _Redactor(self)
        redactor.names.surroundings.update(self.within)  # a column is there whatever is within it
        columns = next(rows)
        what = [redactor.rule(name) for name in columns]
        kept = [index for index, rule in enumerate(what) if rule != "drop"]
        hashed = [index for index in kept if what[index] == "hash"]
        others = [(index, f"column {index + 1}") for index in kept if what[index] is None]
        if not kept:
            raise ConfigurationError("redact drops every column. Their file was not landed.")
        yield [columns[index] for index in kept]
        for row in rows:
            if len(row) != len(columns):
                raise LandingError(
                    f"A row of the results has {len(row)} columns and the header {len(columns)}, so it cannot be "
                    "told which value is what. Their file was not landed."
                )
            for index in hashed:
                row[index] = redactor.hashed(row[index])
            for index, where in others:
                if _BEGINS_JSON.match(row[index]):
                    row[index] = redactor.text(row[index], where)
            yield [row[index] for index in kept]
        _tell(names, redactor.names)


@dataclass
class Names:
    """
    Which names of a redaction came in results. One that never does is misspelt, and would let everything through.

    :param redaction: what has the names
    :param seen: those that came
    :param surroundings: the fields that came of those within which others may be missing
    :param is_empty: whether there was no field at all, and so nothing to find
    """

    redaction: Redaction
    seen: set[str] = field(default_factory=set)
    surroundings: set[str] = field(default_factory=set)
    is_empty: bool = True

    def add(self, others: Names) -> None:
        """
        Take in what came in other results.

        :param others: names of the same redaction
        """
        self.seen |= others.seen
        self.surroundings |= others.surroundings
        self.is_empty &= others.is_empty

    @property
    def all_seen(self) -> bool:
        """Whether every name came, so that none can be found missing any more."""
        return self.seen >= set(self.redaction.fields)

    @property
    def missing(self) -> Sequence[str]:
        """Those that did not come, though what they may lie in did."""
        if self.is_empty:
            return ()
        missing = set(self.redaction.fields) - self.seen
        for surrounding, fields in self.redaction.within.items():
            if surrounding not in self.surroundings:
                missing -= fields
        return sorted(missing)

    def ensure_none_missing(self) -> None:
        """
        Look whether each name was the name of something, before anything is landed.

        :raises ConfigurationError: if one was not
        """
        if missing := self.missing:
            raise ConfigurationError(
                f"redact names {', '.join(map(repr, missing))}, and the results have no such field. Nothing was "
                "landed, since a misspelt name would leave the values in the file."
            )


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
        self._by_name: dict[str, Redact | None] = {}
        name = "|".join(map(re.escape, redaction.fields))
        self._named = re.compile(name)
        # Transcripts, in which names are said, begin with "[" too: behind one a name must be followed like a key.
        self._named_as_key = re.compile(rf"(?:{name})[\s\\]*+[\"'`:=\u2018-\u201f\uff1a]")
        self.names = Names(redaction)

    def rule(self, name: str) -> Redact | None:
        """Tell what becomes of a field, which has been seen now."""
        try:
            return self._by_name[name]
        except KeyError:
            folded = name.strip().casefold()
            rule = self._fields.get(folded)
            self.names.is_empty = False
            if rule is not None:
                self.names.seen.add(folded)
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

    def text(self, text: str, where: str = "a field") -> str:
        """
        Redact a text that may be JSON; it stays as it is, to the letter, if there is nothing to redact in it.

        :param text: what begins like JSON
        :param where: what it stands in, for the error
        :raises LandingError: if it is none, and may have something to redact in it
        """
        repeats = _Repeats()
        try:
            value = json.loads(text.strip(_UNSEEN), object_pairs_hook=repeats.object)
        except (ValueError, RecursionError):
            is_json = False
        else:
            is_json = True
        if not is_json:  # judged here, since the cause of an error would quote the text
            self._ensure_unnamed(text, where)
            return text
        redacted = self.redacted(value)
        # Of fields of one name the last one counts, and nobody has looked at the others.
        return text if redacted == value and not repeats.came else _dumped(redacted)

    def _ensure_unnamed(self, text: str, where: str) -> None:
        plain = _ESCAPE.sub(lambda escape: chr(int(escape[1] or escape[2], 16)), text)
        if not _BEGINS_NESTED.match(plain):
            return
        named = self._named if _BEGINS_OBJECT.match(plain) else self._named_as_key
        if found := named.search(plain.casefold()):
            name = next(name for name in self._fields if found[0].startswith(name))
            raise LandingError(
                f"A value in {where} of the results begins like JSON, is none, and has {name!r} in it, which redact "
                "names: it cannot be told what of it must go. Its file was not landed. Let redact name that whole "
                "column or field, too."
            )

    def _fields_of(self, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, each in value.items():
            rule = self.rule(name)
            if each and name in self._within:
                self.names.surroundings.add(name)
            if rule is None:
                yield name, self.redacted(each)
            elif rule == "hash":
                yield name, each if each is None else self.hashed(each if isinstance(each, str) else _dumped(each))


class _Repeats:
    """Notes whether a JSON object had a name more than once."""

    came = False

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Make an object of its fields."""
        value = dict(pairs)
        if len(value) < len(pairs):
            self.came = True
        return value


def _tell(names: Names | None, came: Names) -> None:
    if names is None:
        came.ensure_none_missing()
    else:
        names.add(came)


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        pass
    raise LandingError("A line of the results is no JSON. Their file was not landed.")  # the cause would quote the line


def _dumped(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, separators=(",", ":")) if _SURROGATE.search(text) else text
