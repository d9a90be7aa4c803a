"""Files as everybody names them, and statements without the values in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk import Asset, ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.lineage.files import file_uri, read_files
from airflow_provider_graine.lineage.statements import without_values
from airflow_provider_graine.results.landing import uri_of


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("s3://warehouse@bucket/people.csv", "s3://bucket/people.csv"),
        ("s3a://key:secret@bucket/people.csv", "s3://bucket/people.csv"),
        ("gcs://bucket/a%b#1?.csv", "gs://bucket/a%25b%231%3F.csv"),
        ("sftp://drop@/home/calls/people.csv", "sftp:///home/calls/people.csv"),
        ("https://user:pw@files.example/people.csv?X-Amz-Signature=abc", "https://files.example/people.csv"),
        ("/data/people.csv", "file:///data/people.csv"),
        ("file:/data/../people.csv", "file:///people.csv"),
        ("people.csv", f"file://{Path.cwd()}/people.csv"),
    ],
)
def test_a_file_has_one_name_and_no_credentials(path: str, uri: str) -> None:
    assert file_uri(path) == uri
    assert file_uri(path) == Asset(uri).uri


def test_what_was_landed_is_named_as_what_is_read(tmp_path: Path) -> None:
    landed = uri_of(ObjectStoragePath(f"file://{tmp_path}") / "results.csv")
    assert [data.uri for data in read_files([landed, f"{tmp_path}/results.csv"])] == [file_uri(landed)]


def test_of_a_pattern_the_folder_is_named_and_of_many_files_the_first() -> None:
    patterns = {
        "s3://c@b/in/2026-*/*.csv": "s3://b/in",
        "s3://b/*.csv": "s3://b",
        "file:///d/[ab].csv": "file:///d",
        "file:///*.csv": "file:///",
        "/*.csv": "file:///",
        "*.csv": Path.cwd().as_uri(),
    }
    for pattern, folder in patterns.items():
        assert [data.uri for data in read_files(pattern)] == [folder]
    assert len(read_files(["/d/a*.csv", "/d/b?.csv"])) == 1
    assert len(read_files([f"s3://b/{number}.csv" for number in range(1_000)])) == 50


VALUES = st.text(st.characters(codec="ascii", min_codepoint=32), max_size=30).map(lambda text: f"secret{text}")


@given(text=VALUES, number=st.integers(10**6, 10**15), after=st.sampled_from(["", " AND b = 0", "\nORDER BY x"]))
def test_no_value_stays_in_a_statement(text: str, number: int, after: str) -> None:
    quoted, comment = text.replace("'", "''"), text.replace("*/", "").replace("\n", " ")
    name = text.replace('"', '""')
    sql = (
        f"SELECT a1, '{quoted}' AS x FROM crm.people -- {comment}\n"
        f"""/* {comment} */ WHERE n = '{quoted}' AND m IN ({number}, "{name}")"""
        f" AND o = $x${comment}$x$ AND p = -{number}.5{after}"
    )
    told = without_values(sql)
    if told is None:
        assert "\\" in sql or "'''" in sql or '"""' in sql or "q'" in sql.lower()
        return
    assert "secret" not in told
    assert str(number) not in told
    assert "FROM crm.people" in told


def test_a_parser_still_finds_the_tables() -> None:
    told = without_values(
        """SELECT p.*, "x" FROM "crm"."people" p JOIN `a.b` ON p.id = %(id)s OR p.id = ? OR p.id = $1 -- Asha's list
        # 9876543210
        WHERE p.phone_2 = 'it''s +919876543210'"""
    )
    assert told is not None
    assert " ".join(told.split()) == (
        'SELECT p.*, "_" FROM "crm"."people" p JOIN `a.b` ON p.id = NULL OR p.id = NULL OR p.id = NULL '
        "WHERE p.phone_2 = ''"
    )


@pytest.mark.parametrize(
    "condition", [r"'it\'s Asha'", "'''it's Asha'''", '"""it"s Asha"""', "q'[it's Asha]'", "nQ'{O'Brien Asha}'"]
)
def test_where_a_quote_can_be_read_in_two_ways_nothing_is_told(condition: str) -> None:
    assert without_values(f"SELECT 1 FROM t WHERE a = {condition}") is None
