from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.files import CsvFile, csv_relation
from airflow_provider_graine.exceptions import ConfigurationError, SourceError

from .conftest import ASHA, HEADER, PRIYA, RAJESH, csv_text, people, person, rejects

Write = Callable[..., Path]


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("last_line_end", [True, False])
def test_plain_files(
    contacts: ContactList, write: Write, name: str, line_end: str, bom: str, last_line_end: bool
) -> None:
    text = bom + csv_text(HEADER, RAJESH, PRIYA, ASHA, line_end=line_end)
    path = write(name, text if last_line_end else text.removesuffix(line_end))
    contacts.add_file(path, format="csv", origin="people")
    assert people(contacts) == [person(RAJESH), person(PRIYA), person(ASHA)]


def test_an_empty_field_is_the_empty_string_and_nothing_is_trimmed(contacts: ContactList, write: Write) -> None:
    path = write("p.csv", 'phone_number,callee_name,a,b,c,d\n+919876543210,Asha,,"", x ,NULL\n')
    contacts.add_file(path, format="csv", origin="p")
    assert people(contacts)[0]["call_variables"] == {
        "callee_name": "Asha", "a": "", "b": "", "c": " x ", "d": "NULL",
    }  # fmt: skip


def test_quotes_line_breaks_and_other_scripts(contacts: ContactList, write: Write) -> None:
    rows = [
        ["+919876543210", 'Asha "Rao"', "one\ntwo"],
        ["+919876543211", "आशा राव", "a\r\nb"],
        ["+919876543212", "O'Neil, Jr.", "🎉\u2028\\n\t\\"],
        ["+919876543213", "Zoë", "\x01\x7f\x00"],
    ]
    contacts.add_file(write("p.csv", csv_text(HEADER, *rows)), format="csv", origin="p")
    assert people(contacts) == [person(row) for row in rows]


@pytest.mark.parametrize("size", [200_000, 3_000_000])
def test_very_long_lines(contacts: ContactList, write: Write, size: int) -> None:
    long = [PRIYA[0], PRIYA[1], "y" * size]
    contacts.add_file(write("p.csv", csv_text(HEADER, RAJESH, long, ASHA)), format="csv", origin="p")
    assert people(contacts) == [person(RAJESH), person(long), person(ASHA)]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_row_that_is_too_long_to_be_one(contacts: ContactList, write: Write, format: Any) -> None:
    rows = [RAJESH, [PRIYA[0], PRIYA[1], "y" * 20_000_000], ASHA]
    lines = "".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in rows)
    path = write(f"p.{format}", csv_text(HEADER, *rows) if format == "csv" else lines)
    contacts.add_file(path, format=format, origin="p")
    assert people(contacts) == [person(RAJESH), person(ASHA)]
    assert [row[1:3] for row in rejects(contacts)] == [["2", "malformed_row"]]


def test_an_empty_file_and_a_header_alone_are_lists_of_nobody(contacts: ContactList, write: Write) -> None:
    contacts.add_file(write("empty.csv", ""), format="csv", origin="empty")
    contacts.add_file(write("blank.csv", "\n\n"), format="csv", origin="blank")
    contacts.add_file(write("header.csv", "phone_number,callee_name\n"), format="csv", origin="header")
    contacts.add_file(write("header2.csv", "phone_number,callee_name"), format="csv", origin="header")
    assert contacts.screen().read == 0
    assert people(contacts) == []


def test_another_delimiter(contacts: ContactList, write: Write) -> None:
    path = write("p.csv", "phone_number;callee_name;plan\n+919876543210;Asha;a,b\n")
    contacts.add_file(path, format="csv", origin="p", delimiter=";")
    assert people(contacts) == [person(["+919876543210", "Asha", "a,b"])]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "→"])
def test_a_delimiter_that_is_none(contacts: ContactList, write: Write, delimiter: str) -> None:
    with pytest.raises(ConfigurationError, match="delimiter"):
        contacts.add_file(write("p.csv", "a\n"), format="csv", origin="p", delimiter=delimiter)


def test_a_column_without_a_name_is_left_out(contacts: ContactList, write: Write) -> None:
    path = write("p.csv", ",phone_number, callee_name ,\n0,+919876543210,Asha,\n1,+919876543211,Priya,x\n")
    contacts.add_file(path, format="csv", origin="p")
    assert [contact["call_variables"] for contact in people(contacts)] == [
        {"callee_name": "Asha"},
        {"callee_name": "Priya"},
    ]


MALFORMED = {
    "too few columns": b"+919876543219,Lost",
    "too many columns": b"+919876543219,Lost,x,y",
    "not UTF-8": b"+919876543219,L\xf6st,x",
    "a quote inside quotes": b'+919876543219,"Lo"st,x',
    "a quote that is never closed": b'+919876543219,"Lost,x',
    "white space": b"   ",
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz"])
def test_a_malformed_line_costs_itself_alone(
    contacts: ContactList, write: Write, line: bytes, position: int, name: str
) -> None:
    lines = [csv_text(row).encode() for row in (RAJESH, PRIYA)]
    lines.insert(position, line + b"\n")
    contacts.add_file(write(name, csv_text(HEADER).encode() + b"".join(lines)), format="csv", origin="p")
    assert people(contacts) == [person(RAJESH), person(PRIYA)]
    assert rejects(contacts) == [["p", str(position + 1), "malformed_row", "", ""]]


def test_a_stray_quote_does_not_take_the_rest_of_a_long_file_with_it(contacts: ContactList, write: Write) -> None:
    after = [[f"+9198{number:08}", f"Person {number}", "x"] for number in range(50_000)]
    text = csv_text(HEADER, RAJESH) + '+919876543219,"Lost,x\n' + csv_text(*after)
    contacts.add_file(write("p.csv", text), format="csv", origin="p")
    screening = contacts.screen()
    assert (screening.read, screening.accepted) == (50_002, 50_001)
    assert screening.rejected == {"malformed_row": 1}


def test_blank_lines_and_mixed_line_ends_are_no_people(contacts: ContactList, write: Write) -> None:
    rows = [csv_text(row).rstrip("\n") for row in (RAJESH, PRIYA, ASHA)]
    text = f"\n{','.join(HEADER)}\r\n{rows[0]}\r\n\r\n{rows[1]}\n\n{rows[2]}\r\n\n"
    contacts.add_file(write("p.csv", text), format="csv", origin="p")
    assert people(contacts) == [person(RAJESH), person(PRIYA), person(ASHA)]
    assert contacts.screen().rejected == {}


def test_carriage_returns_alone(contacts: ContactList, write: Write) -> None:
    contacts.add_file(write("p.csv", csv_text(HEADER, RAJESH, PRIYA, line_end="\r")), format="csv", origin="p")
    assert people(contacts) == [person(RAJESH), person(PRIYA)]


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("Phone Number,callee_name", 'Did you mean "Phone Number"?'),
        ("phone_numbers,callee_name", 'Did you mean "phone_numbers"?'),
        ("phoneNumber,callee_name", 'Did you mean "phoneNumber"?'),
        ("+919876543210,Rajesh Sharma", None),
        ("mobile,callee_name", None),
    ],
)
def test_a_missing_column_is_said_without_listing_the_header(
    contacts: ContactList, write: Write, header: str, hint: str | None
) -> None:
    with pytest.raises(SourceError) as missing:
        contacts.add_file(write("p.csv", header + "\n"), format="csv", origin="lists/p.csv")
    message = str(missing.value)
    assert 'no column "phone_number"' in message
    assert "lists/p.csv" in message
    assert (hint in message) if hint else ("Did you mean" not in message)
    assert "Rajesh" not in message
    assert "98765" not in message


@pytest.mark.parametrize(
    "content",
    ["phone_number,callee_name,callee_name\n", '"phone_number,callee_name\n', b"phone_number,callee_n\xffme\n"],
)
def test_a_header_that_is_none(contacts: ContactList, write: Write, content: str | bytes) -> None:
    with pytest.raises(SourceError, match="header"):
        contacts.add_file(write("p.csv", content), format="csv", origin="p")


def test_two_names_for_one_person(write: Write, tmp_path: Path) -> None:
    path = write("p.csv", "phone_number,callee_name,full_name\n+919876543210,A,B\n")
    with (
        ContactList(directory=tmp_path, name_column="full_name") as contacts,
        pytest.raises(SourceError, match="beside"),
    ):
        contacts.add_file(path, format="csv", origin="p")


def test_a_file_cut_short(contacts: ContactList, write: Write) -> None:
    whole = write("p.csv.gz", csv_text(HEADER, *([f"+9198{n:08}", f"Name {n}", "x"] for n in range(20_000))))
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(SourceError, match="could not be read to its end"):
        contacts.add_file(whole, format="csv", origin="p.csv.gz")


def test_a_file_that_is_not_there(contacts: ContactList, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="FileNotFoundError"):
        contacts.add_file(tmp_path / "none.csv", format="csv", origin="none.csv")


DATABASE = duckdb.connect()
field = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(field, field), max_size=8), line_end=st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_writes_is_read_back(tmp_path: Path, rows: list[tuple[str, str]], line_end: str) -> None:
    lines = [[f"+9198765{position:05}", f"n{name}", plan] for position, (name, plan) in enumerate(rows)]
    path = tmp_path / "p.csv"
    text = csv_text(HEADER, *lines, line_end=line_end, quoting=csv.QUOTE_ALL)
    path.write_bytes(text.encode())
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_file(path, format="csv", origin="p")
        assert people(contacts) == [person(line) for line in lines]


csv_lines = st.lists(st.text('ab,"\\\r\n \x00ÿ', max_size=10).map(lambda text: text.encode("latin-1")), max_size=12)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(csv_lines, min_size=1, max_size=3))
def test_duckdb_is_trusted_only_where_python_reads_the_same(tmp_path: Path, contents: list[list[bytes]]) -> None:
    files = []
    for place, lines in enumerate(contents):
        path = tmp_path / f"{place}.csv"
        path.write_bytes(b"phone_number,callee_name\n" + b"\n".join(b"+919876543210,n" + line for line in lines))
        files.append(CsvFile(path, "p"))
    try:
        read = DATABASE.execute(
            f"SELECT coalesce(phone_number, ''), coalesce(callee_name, '') FROM {csv_relation(files)}"
        ).fetchall()
    except duckdb.Error:
        return
    counts = [file.row_count() for file in files]
    if None not in counts and sum(filter(None, counts)) == len(read):
        rows = [list(file.rows()) for file in files]
        assert read == [tuple(row or ()) for each in rows for row in each]
        assert [len(each) for each in rows] == counts
