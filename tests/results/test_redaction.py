from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ConfigurationError, LandingError
from airflow_provider_graine.results.redaction import Redact, Redaction, read_key, read_redact

KEY = b"sixteen bytes or more"
RULES: dict[str, Redact] = {"phone_number": "hash", "callee_name": "drop", "transcript": "drop"}
REDACTION = Redaction(RULES, KEY)

TEXT = st.text("ab +1\"'{[,:\\\n\rä漢\0", max_size=6)
#: Values that occur nowhere else, so that a search for them finds only what was left.
SECRET = TEXT.map("§{}".format)
OTHER = st.none() | st.booleans() | st.integers() | TEXT


def rows_with(secret: Any) -> Any:
    """Contacts whose personal data lies in columns, in objects, in lists of objects, and in JSON within text."""
    names = st.sampled_from(["phone_number", "callee_name", "transcript", "Phone_Number"])
    person = st.dictionaries(names, secret, min_size=1, max_size=3)
    nested = st.recursive(
        OTHER | person,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["plan", "call", "n"]), inner, max_size=3)
            | st.dictionaries(st.sampled_from(["plan", "call"]), inner | person, min_size=1, max_size=2).map(json.dumps)
        ),
        max_leaves=6,
    )
    return st.lists(
        st.fixed_dictionaries({"id": st.integers(), "call_variables": nested, "phone_number": secret, "note": OTHER}),
        min_size=1,
        max_size=4,
    )


def hashed(value: str) -> str:
    return hmac.new(KEY, value.encode(), "sha256").hexdigest()


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def named(redaction: Redaction) -> Redaction:
    """The same, content with names that never come."""
    return Redaction(redaction.fields, redaction.key, {"nothing": frozenset(redaction.fields)})


@settings(max_examples=80)
@given(rows=rows_with(SECRET), size=st.integers(1, 60))
def test_json_lines_keep_nothing_of_what_is_redacted(rows: list[dict[str, Any]], size: int) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    left = b"".join(named(REDACTION).json_lines(cut(content, size))).decode()

    assert "§" not in left
    assert "\\u00a7" not in left
    redacted = [json.loads(line) for line in left.splitlines() if line]
    for before, after in zip(rows, redacted, strict=True):
        assert (after["id"], after["note"]) == (before["id"], before["note"])
        assert after["phone_number"] == hashed(before["phone_number"])


@settings(max_examples=80)
@given(rows=rows_with(SECRET), size=st.integers(1, 60), line_end=st.sampled_from(["\r\n", "\n"]))
def test_csv_keeps_nothing_of_what_is_redacted(rows: list[dict[str, Any]], size: int, line_end: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "Phone_Number", "callee_name", "call_variables", "note", "transcript"])
    for row in rows:
        name, variables = row["phone_number"], json.dumps(row["call_variables"])
        writer.writerow([row["id"], row["phone_number"], name, variables, note_of(row), name])
    left = b"".join(REDACTION.csv(cut(text.getvalue().encode(), size))).decode()

    assert "§" not in left
    assert "\\u00a7" not in left
    header, *after = csv.reader(io.StringIO(left, newline=""))
    assert header == ["id", "Phone_Number", "call_variables", "note"]
    assert [[*row[:2], row[3]] for row in after] == [
        [str(row["id"]), hashed(row["phone_number"]), note_of(row)] for row in rows
    ]


def note_of(row: dict[str, Any]) -> str:
    return row["note"] if isinstance(row["note"], str) else ""


def test_a_lone_carriage_return_begins_no_row() -> None:
    content = b'note,phone_number,more\n"hi\rthere",z,"a\r\nb"\nc,d,"e\nf"\n'
    left = b"".join(Redaction({"phone_number": "drop"}).csv([content]))
    assert left == b'note,more\n"hi\rthere","a\r\nb"\nc,"e\nf"\n'


SPOKEN = "Zebulon"
#: Objects and lists as JSON does not have them.
NESTED: list[str] = [
    str({"phone_number": SPOKEN}),
    f"{{'call': [{{'Phone_Number' : '{SPOKEN}'}}]}}",
    str([{"n": 1, "phone_number": SPOKEN}]),
    str([("phone_number", SPOKEN)]),
    f'{{"phone_number":"{SPOKEN}',
    f'{{"phone_number":"{SPOKEN}"}} and text behind it',
    f'{{"n": 1}}\n{{"phone_number":"{SPOKEN}"}}',
    f'[1, {{"phone_number":\xa0"{SPOKEN}"}}]',
    rf'{{"phone\u005fnumber":"{SPOKEN}',
    rf'"{{\"phone_number\":\"{SPOKEN}',
    f'\'{{"phone_number":"{SPOKEN}"}}\'',
    f'\xa0\ufeff {{\u201cphone_number\u201d: "{SPOKEN}"}}',
    f"{{phone_number: {SPOKEN}}}",
    f'[{{phone_number,"{SPOKEN}"}}]',
    f"[phone_number={SPOKEN}]",
    "[" * 100_000 + f'{{"phone_number":"{SPOKEN}"}}' + "]" * 100_000,
]


@pytest.mark.parametrize("text", NESTED, ids=lambda text: ascii(text[:30]))
def test_what_only_begins_like_json_is_refused_if_it_has_a_name(text: str) -> None:
    content = io.StringIO(newline="")
    csv.writer(content).writerows([["phone_number", "id", "vars"], ["+1", "2", text], ["+1", "2", json.dumps([text])]])
    both = content.getvalue().encode().split(b"\r\n+1,2,")
    for rows in (both[:2], both[::2]):
        with pytest.raises(LandingError, match=r"column 3|a field") as caught:
            list(Redaction({"phone_number": "drop"}).csv([b"\r\n+1,2,".join(rows)]))
        assert "'phone_number'" in str(caught.value)
        assert SPOKEN not in str(caught.value)
        assert caught.value.__context__ is None
    line = json.dumps({"phone_number": "+1", "vars": {"of": [text]}}).encode()
    with pytest.raises(LandingError, match="'phone_number'"):
        list(Redaction({"phone_number": "drop"}).json_lines([line]))
    assert b"".join(Redaction({"phone_number": "drop", "vars": "drop"}).csv([content.getvalue().encode()]))
    assert b"".join(Redaction({"phone_number": "drop", "vars": "drop"}).json_lines([line])) == b"{}\n"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f'{{"x":{{"phone_number":"{SPOKEN}"}},"x":5}}', '{"x":5}'),
        (f'[{{"phone_number":"{SPOKEN}","n":1,"phone_number":"{SPOKEN}"}}]', '[{"n":1}]'),
        (f'\xa0\ufeff{{"phone_number":"{SPOKEN}","n":1}}\u200b', '{"n":1}'),
        (f'\udca0{{"phone_number":"{SPOKEN}","n":1}}', '{"n":1}'),
        ("\xa0\ufeff{}", "\xa0\ufeff{}"),
        ("[agent] hello {n}", "[agent] hello {n}"),
        ("[agent] my phone_number is below", "[agent] my phone_number is below"),
        ('"phone_number" she said', '"phone_number" she said'),
        ("{'n': 1}", "{'n': 1}"),
        ("see {'n': 1", "see {'n': 1"),
    ],
    ids=ascii,
)
def test_what_is_nearly_json_is_redacted_or_stays_to_the_letter(text: str, left: str) -> None:
    content = io.StringIO(newline="")
    csv.writer(content).writerows([["phone_number", "vars"], ["+1", text]])
    found = b"".join(Redaction({"phone_number": "drop"}).csv([content.getvalue().encode(errors="surrogateescape")]))
    (_, (after,)) = csv.reader(io.StringIO(found.decode(), newline=""))
    assert after == left
    line = json.dumps({"phone_number": "+1", "vars": text}).encode()
    (after_line,) = b"".join(Redaction({"phone_number": "drop"}).json_lines([line])).splitlines()
    assert json.loads(after_line) == {"vars": left}


def test_long_texts_that_are_nearly_json_take_no_time() -> None:
    for long in ("{" + "\\" * 2**20, "[" * 2**20, " " * 2**20 + "a", '"' * 2**20 + "x", "{" * 2**20):
        line = json.dumps({"phone_number": "+1", "vars": long}).encode()
        started = time.process_time()
        assert len(b"".join(Redaction({"phone_number": "drop"}).json_lines([line]))) >= 2**20
        assert time.process_time() - started < 20, "hours, if each began anew"


def test_what_is_not_redacted_stays_as_it_was() -> None:
    content = b'id,phone_number,vars\r\n1,+1,"{""plan"" :1.10}"\r\n2,,\xff\r\n3,+3,"[agent] hello"\r\n'
    left = b"".join(Redaction({"phone_number": "drop"}).csv([content]))
    assert left == b'id,vars\r\n1,"{""plan"" :1.10}"\r\n2,\xff\r\n3,[agent] hello\r\n'


def test_equal_values_have_equal_hashes_and_what_is_empty_stays_empty() -> None:
    lines = b'{"a": "+1", "n": 42}\n{"a": "+1", "n": null}\n{"a": "", "n": {"b": [1]}}\n'
    rows = list(map(json.loads, b"".join(Redaction({"a": "hash", "n": "hash"}, KEY).json_lines([lines])).splitlines()))
    assert [row["a"] for row in rows] == [hashed("+1"), hashed("+1"), ""]
    assert [row["n"] for row in rows] == [hashed("42"), None, hashed('{"b":[1]}')]
    other_key = Redaction({"a": "hash", "n": "hash"}, KEY * 2)
    assert hashlib.sha256(b"+1").hexdigest() not in lines.decode() + str(rows)
    assert hashed("+1").encode() not in b"".join(other_key.json_lines([lines]))


def test_text_that_is_no_unicode_comes_through() -> None:
    lines = rb'{"phone_number": "\ud800", "note": "\udcff"}'
    (row,) = map(json.loads, b"".join(Redaction({"phone_number": "hash"}, KEY).json_lines([lines])).splitlines())
    assert row["note"] == "\udcff"
    content = b'phone_number,vars\n\xff,"{""phone_number"":""1"",""n"":""\\ud800""}"\n'
    (_, cells) = csv.reader(io.StringIO(b"".join(Redaction({"phone_number": "hash"}, KEY).csv([content])).decode()))
    assert json.loads(cells[1]) == {"phone_number": hashed("1"), "n": "\ud800"}


@pytest.mark.parametrize("rows", [1, 499, 500, 501])
def test_a_name_that_never_comes_stops_the_file(rows: int) -> None:
    misspelt = Redaction({"phone_nmber": "drop"})
    with pytest.raises(ConfigurationError, match=r"'phone_nmber'.*Nothing was landed"):
        list(misspelt.json_lines([b'{"phone_number": "+1"}\n'] * rows))
    with pytest.raises(ConfigurationError, match=r"'phone_nmber'.*Nothing was landed"):
        list(misspelt.csv([b"phone_number,id\n", *[b"+1,2\n"] * rows]))
    assert list(misspelt.json_lines([b"", b"\n"])) == list(misspelt.csv([b"", b"\n"])) == []


def test_a_field_may_be_missing_where_what_it_lies_in_is() -> None:
    redaction = Redaction({"transcript": "drop"}, within={"current_call": frozenset({"transcript"})})
    never_called = b'{"id": 1, "current_call": null}\n{"id": 2}\n'
    assert b"".join(redaction.json_lines([never_called])) == b'{"id":1,"current_call":null}\n{"id":2}\n'
    with pytest.raises(ConfigurationError, match="'transcript'"):
        list(redaction.json_lines([never_called, b'{"id": 3, "current_call": {"transcription": "hello"}}\n']))
    with pytest.raises(ConfigurationError, match="'transcript'"):
        list(redaction.csv([b"id,transcription\n1,hello\n"]))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,phone_number\n1,2,Asha\n", "3 columns and the header 2"),
        (b"a,phone_number\nAsha\n", "1 columns and the header 2"),
        (b'a,phone_number\n"Asha"x,1\n', "no CSV"),
    ],
)
def test_rows_that_cannot_be_told_apart_stop_the_file(content: bytes, says: str) -> None:
    with pytest.raises(LandingError, match=says) as caught:
        list(Redaction({"phone_number": "drop"}).csv([content]))
    assert "Asha" not in str(caught.value)
    with pytest.raises(LandingError, match="no JSON"):
        list(Redaction({"phone_number": "drop"}).json_lines([b'{"phone_number": "Asha\n']))


def test_what_was_asked_for_is_read() -> None:
    assert read_redact(["Phone_Number", "name"]) == {"phone_number": "drop", "name": "drop"}
    assert read_redact({"a": "hash", "b": "drop"}) == {"a": "hash", "b": "drop"}
    assert read_redact("a") == {"a": "drop"}
    for wrong in ({"a": "mask"}, {"a": None}, [""], [1], {"": "drop"}, 5, {"a": "drop", "A": "hash"}):
        with pytest.raises(ConfigurationError):
            read_redact(wrong)
    assert read_key("0123456789abcdef") == b"0123456789abcdef"
    for short in (None, "", "0123456789abcde"):
        with pytest.raises(ConfigurationError, match="at least 16"):
            read_key(short)
    assert "sixteen" not in repr(REDACTION)
