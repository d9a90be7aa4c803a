from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import SourceError

from .conftest import people, write_parquet

Write = Callable[..., Path]
PEOPLE = ["+919876543210", "+919876543211", "+447460958123"]


def called(contacts: ContactList) -> list[str]:
    contacts.add_rows([{"phone_number": number, "callee_name": "Asha"} for number in PEOPLE], origin="x")
    return [person["phone_number"] for person in people(contacts)]


@pytest.mark.parametrize(
    "entry",
    [
        "+919876543210",
        "+91 98765-43210",
        "+9109876543210",
        "tel:+919876543210",
        "+919876543210 ext. 5",
        "919876543210",
        "00919876543210",
        "09876543210",
        "9876543210",
        "(98765) 43210",
        "543210",
        "0543210",
        "9876543210.0",
        919876543210,
        919876543210.0,
        "no calls: 98765 43210",
    ],
)
def test_a_listed_number_stops_the_call_however_it_is_written(contacts: ContactList, entry: Any) -> None:
    contacts.suppress_rows([entry])
    assert called(contacts) == PEOPLE[1:]
    assert contacts.screen().rejected == {"suppressed": 1}
    assert contacts.screen().unreadable_suppressions == 0


def test_an_ending_stops_everybody_who_has_it(contacts: ContactList) -> None:
    contacts.suppress_rows(["0958123", "876543211"])
    assert called(contacts) == PEOPLE[:1]


@pytest.mark.parametrize("entry", ["\ud800+919876543210", "9876543210\ud800", "+91 \udc81 9876543210"])
def test_what_is_not_unicode_takes_no_digits_with_it(contacts: ContactList, entry: str) -> None:
    contacts.suppress_rows(["+15550000000", entry, "Zoë"])
    assert called(contacts) == PEOPLE[1:]
    assert contacts.screen().unreadable_suppressions == 1


@pytest.mark.parametrize(
    "entry",
    ["43210", "0000043210", "unknown", "9.1987654321E+11", "12345678901234567890", "\ud800", "x" * (5 * 2**20)],
)
def test_an_entry_that_stops_nobody_is_counted(contacts: ContactList, entry: str) -> None:
    contacts.suppress_rows([entry, "", " ", None])
    assert called(contacts) == PEOPLE
    assert contacts.screen().unreadable_suppressions == 1


def test_with_a_region_a_national_number_is_one_number(tmp_path: Path) -> None:
    with ContactList(directory=tmp_path, default_region="GB") as contacts:
        contacts.suppress_rows(["07460 958123", "98765 43210"])
        assert called(contacts) == PEOPLE[:2]


FILES = {
    "one.csv": "phone\n+919876543210\n",
    "no_header.csv": "+919876543210\n+15550000000\n",
    "by_name.csv": "id,phone_number\n+919876543211,+919876543210\n",
    "first.csv": "number,id\n+919876543210,919876543211\n",
    "blank_lines.csv": "phone\n\n+919876543210\n\n\n",
    "quoted.csv": 'phone,note\n"+91\n98765 43210","a ""b"", c"\n',
    "gzip.csv.gz": "phone\n+919876543210\n",
    "windows.csv": "\ufeffphone\r\n+919876543210\r\n",
    "objects.jsonl": '{"id": 1, "phone_number": "+919876543210"}\n{"phone_number": null}\n',
    "first.jsonl": '{"number": 919876543210, "id": 5}\n',
    "strings.jsonl": '"+919876543210"\n',
    "numbers.jsonl": "919876543210\n\n",
    "gzip.jsonl.gz": '"+919876543210"\n',
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_numbers(contacts: ContactList, write: Write, name: str) -> None:
    format: Any = "csv" if ".csv" in name else "jsonl"
    contacts.suppress_file(write(name, FILES[name]), format=format, origin=name)
    assert called(contacts) == PEOPLE[1:]
    assert contacts.screen().unreadable_suppressions == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("short.csv", b"phone,id\n+919876543210,1\n+919876543211\n"),
        ("quote.csv", b'phone,id\n+919876543210,1\n"+919876543211,1\n'),
        ("latin.csv", b"phone,id\n+9198765\xf6,1\n+919876543210,1\n"),
        ("broken.jsonl", b'"+919876543210"\n{"phone_number"\n'),
        ("nested.jsonl", b'"+919876543210"\n["+919876543211"]\n'),
        (
            "deep.jsonl",
            b'{"phone_number": "+919876543210"}\n{"phone_number": true, "x": 1}\n"x"\n'[:34]
            + b'\n{"phone_number": ["x"]}\n',
        ),
    ],
)
def test_a_line_that_cannot_be_read_is_counted_and_costs_itself_alone(
    contacts: ContactList, write: Write, name: str, content: bytes
) -> None:
    contacts.suppress_file(write(name, content), format=name.split(".")[1], origin=name)
    assert called(contacts) == PEOPLE[1:]
    assert contacts.screen().unreadable_suppressions == 1


@pytest.mark.parametrize(
    ("column", "kind"), [("number", "VARCHAR"), (None, "VARCHAR"), (None, "BIGINT"), (None, "DOUBLE")]
)
def test_parquet_files_of_numbers(contacts: ContactList, tmp_path: Path, column: str | None, kind: str) -> None:
    path = tmp_path / "s.parquet"
    write_parquet(path, f"SELECT 919876543210::BIGINT::{kind} AS number, '+919876543211' AS other")
    contacts.suppress_file(path, format="parquet", origin="s", column=column)
    assert called(contacts) == PEOPLE[1:]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "number,Mobile No\n1,+919876543210\n"), ("a.jsonl", json.dumps({"Mobile No": "+919876543210"}))],
)
def test_a_column_of_numbers_that_is_not_there(contacts: ContactList, write: Write, name: str, content: str) -> None:
    with pytest.raises(SourceError) as missing:
        contacts.suppress_file(write(name, content), format=name.split(".")[1], origin="s", column="mobile_no")
    assert "98765" not in str(missing.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,number\n,+919876543210\n"),
        ("a.csv", "name,number\nAsha,+919876543210\nRao 5,+919876543211\n"),
        ("a.csv", 'name,number\n"Asha\nRao",+919876543210\n'),
        ("a.jsonl", '{"id": 7, "number": "+919876543210"}\n'),
    ],
)
def test_a_list_without_one_number_is_a_mistake(contacts: ContactList, write: Write, name: str, content: str) -> None:
    contacts.suppress_file(write("b.csv", "phone\n+919876543210\n"), format="csv", origin="b")
    with pytest.raises(SourceError, match="not one number"):
        contacts.suppress_file(write(name, content), format=name.split(".")[1], origin="s")


def test_an_empty_list_stops_nobody(contacts: ContactList, write: Write) -> None:
    contacts.suppress_file(write("a.csv", ""), format="csv", origin="s")
    contacts.suppress_file(write("b.csv", "phone\n"), format="csv", origin="s")
    contacts.suppress_file(write("c.jsonl", ""), format="jsonl", origin="s")
    assert called(contacts) == PEOPLE


def test_people_on_a_batch_are_taken_out_and_those_who_vanished_are_counted(contacts: ContactList) -> None:
    assert called(contacts) == PEOPLE
    on_batch = ["+919876543211", "919876543211", "+919999999999", "+919999999999", "who?"]
    assert contacts.vanished(on_batch) == 2
    assert contacts.exclude(on_batch) == 1
    assert contacts.exclude(on_batch) == 0
    assert contacts.exclude(PEOPLE[:2]) == 1
    assert contacts.remaining() == 1
    [chunk] = contacts.chunks(10)
    assert chunk.phone_numbers() == [PEOPLE[2]]
    assert contacts.vanished([]) == 0


def test_a_suppressed_person_counts_as_vanished(contacts: ContactList) -> None:
    contacts.suppress_rows([PEOPLE[0]])
    called(contacts)
    assert contacts.vanished(PEOPLE) == 1
    assert contacts.exclude(PEOPLE) == 2
