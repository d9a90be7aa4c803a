"""The same people, whichever way they come in."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.encoding import to_json
from airflow_provider_graine.contacts.files import JsonLinesFile, guess_format, json_relation
from airflow_provider_graine.exceptions import ConfigurationError, SourceError

from .conftest import ASHA, HEADER, PRIYA, RAJESH, csv_text, people, person, rejects, write_parquet

Write = Callable[..., Path]
ROWS = [RAJESH, PRIYA, ASHA]


def fresh(tmp_path: Path, **kwargs: Any) -> ContactList:
    return ContactList(directory=tmp_path, **kwargs)


# -- rows


def test_rows_may_have_different_columns(contacts: ContactList) -> None:
    contacts.add_rows(
        [
            {"phone_number": "+919876543210", "callee_name": "Asha", "plan": "Gold", "n": 1},
            {"callee_name": "Priya", "phone_number": "+919876543211", "premium": Decimal("12000.50")},
            {"phone_number": 919876543212, "callee_name": "Zoë", "": None},
        ],
        origin="contacts",
    )
    assert people(contacts) == [
        {"phone_number": "+919876543210", "call_variables": {"callee_name": "Asha", "n": 1, "plan": "Gold"}},
        {"phone_number": "+919876543211", "call_variables": {"callee_name": "Priya", "premium": "12000.50"}},
    ]
    assert rejects(contacts) == [["contacts", "3", "invalid_number", "919876543212", "Zoë"]]


def test_the_services_own_form_of_a_contact(contacts: ContactList) -> None:
    contacts.add_rows(
        [
            {"phone_number": RAJESH[0], "call_variables": {"callee_name": "Rajesh", "premium": "12000"}, "x": 1},
            {"call_variables": {"callee_name": "Priya", "phone_number": PRIYA[0], "call_variables": {"deep": 1}}},
            {"phone_number": ASHA[0], "callee_name": "Asha", "call_variables": "text"},
            {"phone_number": ASHA[0], "callee_name": "twice", "call_variables": {"callee_name": "named"}},
        ],
        origin="contacts",
    )
    assert people(contacts) == [
        {"phone_number": RAJESH[0], "call_variables": {"callee_name": "Rajesh", "premium": "12000", "x": 1}},
        {"phone_number": PRIYA[0], "call_variables": {"callee_name": "Priya", "call_variables": {"deep": 1}}},
        {"phone_number": ASHA[0], "call_variables": {"callee_name": "Asha", "call_variables": "text"}},
    ]
    assert [row[1:3] for row in rejects(contacts)] == [["4", "malformed_row"]]


def test_other_column_names(tmp_path: Path, write: Write) -> None:
    row = ["+919876543210", "Asha", "Gold"]
    header = ["mobile", "full name", "plan"]
    wanted = [person(row)]
    names = {"phone_column": "mobile", "name_column": "full name"}
    path = write("p.csv", csv_text(header, row))
    lines = write("p.jsonl", json.dumps(dict(zip(header, row, strict=True))))
    for add in (
        lambda contacts: contacts.add_file(path, format="csv", origin="p"),
        lambda contacts: contacts.add_file(lines, format="jsonl", origin="p"),
        lambda contacts: contacts.add_tuples(header, [row], origin="p"),
        lambda contacts: contacts.add_rows([dict(zip(header, row, strict=True))], origin="p"),
    ):
        with fresh(tmp_path, **names) as contacts:
            add(contacts)
            assert people(contacts) == wanted


@pytest.mark.parametrize(
    "odd", ["it's", 'say "x"', "a,b", "{}", "$[0]", "a.b", "ключ", "back\\slash", "new\nline", "; DROP"]
)
def test_columns_with_odd_names(tmp_path: Path, write: Write, odd: str) -> None:
    header = ["phone_number", "callee_name", odd]
    wanted = [{"phone_number": RAJESH[0], "call_variables": {"callee_name": RAJESH[1], odd: "v"}}]
    row = [*RAJESH[:2], "v"]
    parquet = tmp_path / "p.parquet"
    quoted = odd.replace('"', '""')
    write_parquet(parquet, f"""SELECT '{row[0]}' AS phone_number, '{row[1]}' AS callee_name, 'v' AS "{quoted}" """)
    with fresh(tmp_path) as contacts:
        contacts.add_tuples(header, [row], origin="p")
        assert people(contacts) == wanted
    format: Any
    for format, path in (
        ("csv", write("p.csv", csv_text(header, row))),
        ("jsonl", write("p.jsonl", json.dumps(dict(zip(header, row, strict=True))))),
        ("parquet", parquet),
    ):
        with fresh(tmp_path) as contacts:
            contacts.add_file(path, format=format, origin="p")
            assert people(contacts) == wanted


def test_odd_names_for_the_phone_and_name_columns(tmp_path: Path, write: Write) -> None:
    header = ['it\'s a "phone"', "the\\name'"]
    path = write("p.csv", csv_text(header, RAJESH[:2]))
    lines = write("p.jsonl", json.dumps(dict(zip(header, RAJESH, strict=False))))
    format: Any
    for format, file in (("csv", path), ("jsonl", lines)):
        with fresh(tmp_path, phone_column=header[0], name_column=header[1]) as contacts:
            contacts.add_file(file, format=format, origin="it's")
            assert people(contacts) == [{"phone_number": RAJESH[0], "call_variables": {"callee_name": RAJESH[1]}}]


def test_one_column_cannot_be_both(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="same"):
        fresh(tmp_path, phone_column="x", name_column="x")


# -- tuples


def test_tuples_are_never_all_in_memory(contacts: ContactList) -> None:
    alive = most = 0

    class Row(tuple[Any, ...]):
        def __new__(cls, values: Any) -> Row:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return super().__new__(cls, values)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    contacts.add_tuples(HEADER, (Row([f"+9198{n:08}", "Name", "x"]) for n in range(50_000)), origin="query")
    assert contacts.screen().accepted == 50_000
    assert most < 10_000


def test_a_table_without_the_columns(contacts: ContactList) -> None:
    with pytest.raises(SourceError, match=r'no column "callee_name".*Did you mean "CALLEE_NAME"'):
        contacts.add_tuples(["phone_number", "CALLEE_NAME"], [], origin="query")
    with pytest.raises(SourceError, match="same name"):
        contacts.add_tuples(["phone_number", "callee_name", "x", "x"], [], origin="query")


def test_a_source_that_fails_leaves_nothing_behind(contacts: ContactList) -> None:
    def rows() -> Iterator[list[str]]:
        for number in range(150_000):
            yield [f"+9198{number:08}", "Name", "x"]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        contacts.add_tuples(HEADER, rows(), origin="query")
    contacts.add_tuples(HEADER, [RAJESH], origin="query")
    assert contacts.screen().read == 1
    assert people(contacts) == [person(RAJESH)]


def test_a_row_of_another_length(contacts: ContactList) -> None:
    contacts.add_tuples(HEADER, [RAJESH, RAJESH[:2], [*PRIYA, "x"], ASHA], origin="query")
    assert people(contacts) == [person(RAJESH), person(ASHA)]
    assert contacts.screen().rejected == {"malformed_row": 2}


def test_a_json_column_called_call_variables_is_spread(tmp_path: Path) -> None:
    parquet = tmp_path / "p.parquet"
    write_parquet(
        parquet,
        "SELECT '+919876543210' AS phone_number, {'callee_name': 'Asha', 'n': 1.50::DECIMAL(5,2)} AS call_variables",
    )
    wanted = [{"phone_number": RAJESH[0], "call_variables": {"callee_name": "Asha", "n": "1.50"}}]
    with fresh(tmp_path) as contacts:
        contacts.add_file(parquet, format="parquet", origin="p")
        assert people(contacts) == wanted
    with fresh(tmp_path) as contacts:
        variables = {"callee_name": "Asha", "n": Decimal("1.50")}
        contacts.add_tuples(["phone_number", "call_variables"], [(RAJESH[0], variables)], origin="p")
        assert people(contacts) == wanted


# -- JSON lines


def test_json_lines_keep_their_types(contacts: ContactList, write: Write) -> None:
    variables = {
        "callee_name": "Asha",
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": None,
        "e": {"y": [1, {"z": "ü"}]},
        "f": 12345678901234567890123,
        "g": "\n\t\"'\\ \u2028 🎉",
        "h": "",
    }
    path = write("p.jsonl", json.dumps({"phone_number": RAJESH[0], **variables}) + "\n")
    contacts.add_file(path, format="jsonl", origin="p")
    assert people(contacts) == [{"phone_number": RAJESH[0], "call_variables": variables}]


def line_of(row: list[str]) -> str:
    return json.dumps(dict(zip(HEADER, row, strict=True)))


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[1]",
        b'"text"',
        b"5",
        b"null",
        b'{"phone_number": "+919876543219", "callee_name": "L\xf6st"}',
        b'{"phone_number": "+919876543219", "callee_name": "Lost"',
        b'{"phone_number": "+919876543219", "callee_name": "\\ud800"}',
        b'{"phone_number": "+919876543219", "phone_number": "+919876543218", "callee_name": "Lost"}',
        b'{"phone_number": "+919876543219"} {}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_a_line_that_is_no_contact_costs_itself_alone(
    contacts: ContactList, write: Write, line: bytes, name: str
) -> None:
    content = b"\n".join([line_of(RAJESH).encode(), line, line_of(PRIYA).encode()])
    contacts.add_file(write(name, content), format="jsonl", origin="p")
    assert people(contacts) == [person(RAJESH), person(PRIYA)]
    assert rejects(contacts) == [["p", "2", "malformed_row", "", ""]]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\n\n", "\n  \n"])
def test_json_lines_with_byte_order_mark_and_blank_lines(
    contacts: ContactList, write: Write, bom: bytes, line_end: str
) -> None:
    content = bom + (line_end.join(map(line_of, ROWS)) + line_end).encode()
    contacts.add_file(write("p.jsonl", content), format="jsonl", origin="p")
    assert people(contacts) == [person(row) for row in ROWS]


def test_not_a_number_becomes_null(tmp_path: Path, write: Write) -> None:
    row = {
        "phone_number": RAJESH[0],
        "callee_name": "Asha NaN",
        "a": float("nan"),
        "b": [float("-inf"), {"c": float("inf")}],
    }
    wanted = {"callee_name": "Asha NaN", "a": None, "b": [None, {"c": None}]}
    clean = write("clean.jsonl", json.dumps(row))
    dirty = write("dirty.jsonl", "no json\n" + json.dumps(row))
    for path in (clean, dirty):
        with fresh(tmp_path) as contacts:
            contacts.add_file(path, format="jsonl", origin="p")
            assert people(contacts)[0]["call_variables"] == wanted


def test_a_key_that_is_in_no_line(contacts: ContactList, write: Write) -> None:
    path = write("p.jsonl", '{"PhoneNumber": "+919876543210", "callee_name": "Asha"}\n{"callee_name": "Priya"}\n')
    with pytest.raises(SourceError, match=r'no column "phone_number".*Did you mean "PhoneNumber"'):
        contacts.add_file(path, format="jsonl", origin="p")


def test_a_key_that_is_empty_in_every_line_is_no_wrong_name(contacts: ContactList, write: Write) -> None:
    contacts.add_file(write("p.jsonl", '{"phone_number": null, "callee_name": "Asha"}\n'), format="jsonl", origin="p")
    assert contacts.screen().rejected == {"missing_number": 1}


def test_an_empty_json_lines_file(contacts: ContactList, write: Write) -> None:
    contacts.add_file(write("p.jsonl", ""), format="jsonl", origin="p")
    contacts.add_file(write("q.jsonl.gz", "\n"), format="jsonl", origin="p")
    assert contacts.screen().read == 0


DATABASE = duckdb.connect()
json_lines = st.lists(
    st.text('{}[]":,a1 \\\t\r\x00é', max_size=12).map(str.encode)
    | st.binary(max_size=6).map(lambda b: b.replace(b"\n", b"")),
    max_size=8,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(json_lines, min_size=1, max_size=3))
def test_duckdb_is_trusted_only_where_it_reads_each_line(tmp_path: Path, contents: list[list[bytes]]) -> None:
    files = []
    for place, lines in enumerate(contents):
        path = tmp_path / f"{place}.jsonl"
        path.write_bytes(b"{}\n" + b"\n".join(lines))
        files.append(JsonLinesFile(path, "p"))
    try:
        read = DATABASE.execute(f"SELECT json_type(json) FROM {json_relation(files)}").fetchall()
    except (duckdb.Error, UnicodeDecodeError):
        return
    counts = [file.row_count() for file in files]
    if None not in counts and sum(filter(None, counts)) == len(read) and (None,) not in read:
        types = {dict: "OBJECT", list: "ARRAY", str: "VARCHAR", int: "UBIGINT"}
        values = [list(file.values()) for file in files]
        assert [types[type(value)] for each in values for value in each] == [json_type for (json_type,) in read]
        assert [len(each) for each in values] == counts


# -- Parquet


class Color(Enum):
    RED = "red"


IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
UTC = dt.UTC
TYPED: dict[str, tuple[str, Any]] = {
    "text": ("'ü \"x\" \\ ''y'''", "ü \"x\" \\ 'y'"),
    "empty": ("''", ""),
    "nothing": ("CAST(NULL AS VARCHAR)", None),
    "whole": ("CAST(-5 AS BIGINT)", -5),
    "tiny": ("CAST(5 AS UTINYINT)", 5),
    "big": ("CAST(9223372036854775807 AS BIGINT)", 2**63 - 1),
    "real": ("CAST(0.1 AS DOUBLE)", 0.1),
    "large": ("CAST(1e300 AS DOUBLE)", 1e300),
    "round": ("CAST(3 AS DOUBLE)", 3.0),
    "nan": ("CAST('nan' AS DOUBLE)", float("nan")),
    "infinite": ("CAST('-inf' AS DOUBLE)", float("-inf")),
    "flag": ("true", True),
    "decimal": ("CAST(12000.50 AS DECIMAL(12, 2))", Decimal("12000.50")),
    "small_decimal": ("CAST(0.0000001 AS DECIMAL(12, 8))", Decimal("0.00000010")),
    "wide_decimal": ("CAST(-12345678901234567890.5 AS DECIMAL(38, 3))", Decimal("-12345678901234567890.500")),
    "day": ("DATE '2026-07-01'", dt.date(2026, 7, 1)),
    "early_day": ("DATE '0099-07-01'", dt.date(99, 7, 1)),
    "moment": ("TIMESTAMP '2026-07-01 09:00:00'", dt.datetime(2026, 7, 1, 9)),
    "fine_moment": ("TIMESTAMP '2026-07-01 09:00:00.25'", dt.datetime(2026, 7, 1, 9, 0, 0, 250_000)),
    "early_moment": ("TIMESTAMP '0099-07-01 09:00:00'", dt.datetime(99, 7, 1, 9)),
    "nano_moment": ("CAST('2026-07-01 09:00:00.000001' AS TIMESTAMP_NS)", dt.datetime(2026, 7, 1, 9, 0, 0, 1)),
    "aware": ("TIMESTAMPTZ '2026-07-01 09:00:00+05:30'", dt.datetime(2026, 7, 1, 9, tzinfo=IST).astimezone(UTC)),
    "clock": ("TIME '09:30:00'", dt.time(9, 30)),
    "fine_clock": ("TIME '09:30:00.5'", dt.time(9, 30, 0, 500_000)),
    "uuid": ("CAST('00000000-0000-0000-0000-000000000005' AS UUID)", UUID(int=5)),
    "list": ("[1.50, NULL]::DECIMAL(5,2)[]", [Decimal("1.50"), None]),
    "empty_list": ("CAST([] AS INTEGER[])", []),
    "null_list": ("CAST(NULL AS INTEGER[])", None),
    "struct": ("{'b': DATE '2026-07-01', 'a': ['x', NULL]}", {"a": ["x", None], "b": dt.date(2026, 7, 1)}),
    "null_struct": ("CAST(NULL AS STRUCT(a INTEGER))", None),
    "map": ("MAP {'k2': 2, 'k1': NULL}", {"k1": None, "k2": 2}),
    "empty_map": ("MAP([]::VARCHAR[], []::INTEGER[])", {}),
    "structs": ("[{'a': CAST('nan' AS DOUBLE)}]", [{"a": float("nan")}]),
    "enum": ("CAST('red' AS ENUM('red'))", Color.RED),
}


def test_a_typed_table_is_the_same_as_tuples_and_as_parquet(tmp_path: Path) -> None:
    parquet = tmp_path / "p.parquet"
    columns = ", ".join(f"{sql} AS {name}" for name, (sql, _) in TYPED.items())
    write_parquet(
        parquet,
        f"SELECT '+919876543210' AS phone_number, 'Asha' AS callee_name, {columns} UNION ALL "
        f"SELECT '+919876543211', 'Priya', {', '.join('NULL' for _ in TYPED)}",
    )
    header = ["phone_number", "callee_name", *TYPED]
    rows = [
        ("+919876543210", "Asha", *(value for _, value in TYPED.values())),
        ("+919876543211", "Priya", *(None for _ in TYPED)),
    ]
    bodies = []
    for add in (
        lambda contacts: contacts.add_tuples(header, rows, origin="x"),
        lambda contacts: contacts.add_rows([dict(zip(header, row, strict=True)) for row in rows], origin="x"),
        lambda contacts: contacts.add_file(parquet, format="parquet", origin="x"),
    ):
        with fresh(tmp_path) as contacts:
            add(contacts)
            contacts.screen()
            [chunk] = contacts.chunks(10)
            bodies.append(json.loads(chunk.contacts))
    assert bodies[0] == bodies[1]
    for name, (_, value) in TYPED.items():
        assert bodies[0][0]["call_variables"][name] == to_json(value, name) or name == "struct", name
        assert bodies[2][0]["call_variables"][name] == bodies[0][0]["call_variables"][name], name
    assert bodies[2] == bodies[0]


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("'secret'::BLOB", "BLOB"),
        ("INTERVAL 4711 DAY", "INTERVAL"),
        ("['secret'::BLOB]", "BLOB"),
        ("{'a': 'secret'::BLOB}", "BLOB"),
    ],
)
def test_a_parquet_type_that_has_no_json_form(contacts: ContactList, tmp_path: Path, sql: str, named: str) -> None:
    path = tmp_path / "p.parquet"
    write_parquet(path, f"SELECT '+919876543210' AS phone_number, 'Asha' AS callee_name, {sql} AS photo")
    with pytest.raises(SourceError) as refused:
        contacts.add_file(path, format="parquet", origin="p")
    assert '"photo"' in str(refused.value)
    assert named in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "4711" not in str(refused.value)


def test_json_in_parquet(contacts: ContactList, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_parquet(path, "SELECT '+919876543210' AS phone_number, 'Asha' AS callee_name, '{\"a\": [1, NaN]}'::JSON AS j")
    contacts.add_file(path, format="parquet", origin="p")
    assert people(contacts)[0]["call_variables"] == {"callee_name": "Asha", "j": {"a": [1, None]}}


def test_a_file_that_is_no_parquet(contacts: ContactList, write: Write) -> None:
    with pytest.raises(SourceError, match="cannot be read as Parquet") as refused:
        contacts.add_file(write("p.parquet", csv_text(HEADER, RAJESH)), format="parquet", origin="p")
    assert RAJESH[1] not in str(refused.value)


def test_a_parquet_file_that_is_damaged(contacts: ContactList, tmp_path: Path) -> None:
    sql = "SELECT '+9198' || (10000000 + range) AS phone_number, 'N' || hash(range) AS callee_name FROM range(20000)"
    path = write_parquet(tmp_path / "p.parquet", sql)
    data = bytearray(path.read_bytes())
    data[1000:50_000] = bytes(49_000)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        contacts.add_file(path, format="parquet", origin="p")
    assert contacts.screen().read == 0


def test_parquet_without_the_columns(contacts: ContactList, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_parquet(path, "SELECT 1 AS phone_number, 2 AS Callee_Name")
    with pytest.raises(SourceError, match=r'no column "callee_name".*"Callee_Name"'):
        contacts.add_file(path, format="parquet", origin="p")


# -- all of them


text = st.text(max_size=10)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["+91987654321", "98765", ""]), text, text, text), min_size=1, max_size=12))
@example([("+91987654321", "0", "\x1f\\u001f", "\\\x0b\x7f"), ("+91987654321", "1", "\\\\u001f", "\x1f\x1e")])
def test_four_ways_in_lead_to_the_same_people(tmp_path: Path, drawn: list[tuple[str, str, str, str]]) -> None:
    rows = [[f"{start}{tail}", name, plan] for start, tail, name, plan in drawn]
    path = {format: tmp_path / f"p.{format}" for format in ("csv", "jsonl", "parquet")}
    path["csv"].write_text(csv_text(HEADER, *rows, quoting=1), encoding="utf-8", newline="")
    path["jsonl"].write_text("".join(line_of(row) + "\n" for row in rows), encoding="utf-8", newline="")
    DATABASE.execute(f"CREATE OR REPLACE TABLE p ({', '.join(f'{name} VARCHAR' for name in HEADER)})")
    DATABASE.executemany("INSERT INTO p VALUES (?, ?, ?)", rows)
    DATABASE.execute(f"COPY p TO '{path['parquet']}'")
    results = []
    for way in ("tuples", "rows", "csv", "jsonl", "parquet"):
        with fresh(tmp_path, default_region="IN") as contacts:
            if way == "tuples":
                contacts.add_tuples(HEADER, rows, origin="x")
            elif way == "rows":
                contacts.add_rows([dict(zip(HEADER, row, strict=True)) for row in rows], origin="x")
            else:
                contacts.add_file(path[way], format=way, origin="x")
            screening = contacts.screen()
            assert screening.read == len(rows)
            results.append(
                (screening, people(contacts), rejects(contacts), [c.fingerprint for c in contacts.chunks(3)])
            )
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.csv", "csv"),
        ("s3://bucket/A.CSV.GZ", "csv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson.gz", "jsonl"),
        ("a.json", "jsonl"),
        ("part-0.snappy.parquet", "parquet"),
    ],
)
def test_the_format_by_the_name(name: str, format: Any) -> None:
    assert guess_format(name) == format


@pytest.mark.parametrize("name", ["a", "a.txt", "a.parquet.gz", "a.csv.zst", "Rajesh Sharma +919876543210"])
def test_a_name_that_says_nothing(name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        guess_format(name)
    assert "Rajesh" not in str(refused.value)


def test_a_format_that_is_none(contacts: ContactList, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="format is"):
        contacts.add_file(tmp_path / "x", format="xlsx", origin="x")  # type: ignore[arg-type]
