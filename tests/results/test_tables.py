"""Tables made by DuckDB."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_graine.exceptions import ConfigurationError, LandingError
from airflow_provider_graine.results.tables import ensure_types, write_table

NUMBER = "+919876500001"


def made(folder: Path, *contents: str, **how: Any) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    """Write the files, make the table, and read its columns, types and rows back."""
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"it's {number}.csv")
        paths[-1].write_text(content, newline="")
    target = folder / "all.parquet"
    rows = write_table(paths, target, **{"source": "csv", "format": "parquet", **how})
    table = duckdb.read_parquet(str(target))
    read = table.fetchall()
    assert rows == len(read)
    return table.columns, [str(each) for each in table.types], read


def test_columns_are_text_and_empty_is_null(tmp_path: Path) -> None:
    text = '\ufeffid,"a name",seconds,\r\n007,"A ""x""\r\n\r\nB",61,\r\n2,,"",x\r\n'
    columns, types, rows = made(tmp_path, text)
    assert columns == ["id", "a name", "seconds", "column"]
    assert types == ["VARCHAR"] * 4
    assert rows == [("007", 'A "x"\r\n\r\nB', "61", None), ("2", None, None, "x")]


def test_columns_can_be_told_a_type(tmp_path: Path) -> None:
    text = "id,seconds,at,cost\n1,61,2026-05-10T09:00:00Z,0.5\n2,,,\n"
    types = {"seconds": "BIGINT", "cost": "DECIMAL(10, 2)", "at": "TIMESTAMP"}
    columns, read_types, rows = made(tmp_path, text, column_types=types)
    assert read_types == ["VARCHAR", "BIGINT", "TIMESTAMP", "DECIMAL(10,2)"]
    assert [row[:2] for row in rows] == [("1", 61), ("2", None)]
    assert columns == ["id", "seconds", "at", "cost"]


def test_columns_are_united_by_name_in_order_of_first_appearance(tmp_path: Path) -> None:
    columns, _, rows = made(tmp_path, "id,name\n1,a\n", "", "new,id\nx,2\n", "id,name\n3,c\n", "id;last\n4;z\n", "id\n")
    assert columns == ["id", "name", "new", "last"]
    assert rows == [("1", "a", None, None), ("2", None, "x", None), ("3", "c", None, None), ("4", None, None, "z")]


def test_csv_of_many_has_one_header(tmp_path: Path) -> None:
    (tmp_path / "1").write_text('id,name\n1,"a ""b"", c\nd"\n')
    (tmp_path / "2").write_text("id,more\n2,x\n")
    target = tmp_path / "all.csv"
    assert write_table([tmp_path / "1", tmp_path / "2"], target, source="csv", format="csv") == 2
    with target.open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "name", "more"], ["1", 'a "b", c\nd', ""], ["2", "", "x"]]


def test_json_lines_become_text_columns(tmp_path: Path) -> None:
    lines = [
        {"contact_id": "con_1", "retry_count": 2, "call_variables": {"a": [1, None]}, "next_retry_at": None},
        {"contact_id": "con_2", "summary": 'line\n"two"', "retry_count": None, "is_new": True},
    ]
    texts = [json.dumps(line) + "\n" for line in lines]
    columns, types, rows = made(tmp_path, texts[0], "", texts[1], source="jsonl")
    assert columns == ["contact_id", "retry_count", "call_variables", "next_retry_at", "summary", "is_new"]
    assert set(types) == {"VARCHAR"}
    assert rows == [
        ("con_1", "2", '{"a":[1,null]}', None, None, None),
        ("con_2", None, None, None, 'line\n"two"', "true"),
    ]
    _, types, rows = made(tmp_path, *texts, source="jsonl", column_types={"retry_count": "INTEGER"})
    assert (types[1], [row[1] for row in rows]) == ("INTEGER", [2, None])


@pytest.mark.parametrize(
    ("text", "types", "says"),
    [
        (f"id,number\n1,{NUMBER}x\n", {"number": "BIGINT"}, "does not fit the type"),
        (f"id,number\n1,{NUMBER}\n2\n", {}, "cannot be read as a table"),
        (f"id,number\n1,{NUMBER},{NUMBER}\n", {}, "cannot be read as a table"),
        ("", {}, "no header"),
        ("\r\n", {}, "no header"),
    ],
)
def test_what_is_no_table_is_told_without_quoting_it(
    tmp_path: Path, text: str, types: dict[str, str], says: str
) -> None:
    with pytest.raises(LandingError, match=says) as caught:
        made(tmp_path, text, column_types=types)
    error: BaseException | None = caught.value
    while error is not None:
        assert NUMBER not in str(error)
        error = error.__cause__ or error.__context__


def test_a_type_for_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'Seconds'"):
        made(tmp_path, "id,seconds\n1,2\n", column_types={"Seconds": "BIGINT"})


@pytest.mark.parametrize("name", ["BIGNUM64", "", "BIGINT); DROP TABLE x", "INT AS a", 7])
def test_a_type_that_does_not_exist_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match='"seconds"'):
        ensure_types({"seconds": name})


def test_types_that_exist() -> None:
    ensure_types({"a": "BIGINT", "b": "decimal(10,2)", "c": "TIMESTAMP WITH TIME ZONE", "d": "BOOLEAN"})


def test_a_long_text_is_no_broken_row(tmp_path: Path) -> None:
    _, _, rows = made(tmp_path, f'id,transcript\n1,"{"word, " * 500_000}"\n')
    assert len(rows[0][1]) == 3_000_000


def test_memory_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("id,text\n")
        for number in range(200):
            file.write(f'{number},"{number:05} {"a text, " * 100}"\n' * 1000)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = held("VmRSS")
    assert write_table([path], tmp_path / "all.parquet", source="csv", format="parquet") == 200_000
    assert path.stat().st_size > 160_000_000
    assert held("VmHWM") - before < 400


def held(name: str) -> float:
    """Memory of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000
