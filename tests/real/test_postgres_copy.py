from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import SourceError
from airflow_provider_graine.sources import postgres
from airflow_provider_graine.sources.database import query
from airflow_provider_graine.sources.postgres import copyable
from tests.real.test_postgres import psycopg2, psycopg3

if TYPE_CHECKING:
    from tests.servers import PostgresServer

pytestmark = pytest.mark.real

PEOPLE = "'+9198765' || lpad(i::text, 5, '0') AS phone_number, 'Person ' || i AS callee_name"
# Everything that has an escape in COPY or in JSON, or looks as if it had one.
ODD = (
    *("", " ", "\\", "\\\\", "\\N", "\\n", "\\\\n", "a\\", "\\t\\", "tab\there", "line\nbreak", "cr\rlf\r\n"),
    *("\x0b\x0c\b", '"', '""', "it's", '"quoted", with comma', "null", "NULL", "\x01\x1f\x7f", "नई दिल्ली", "😀"),
    *("\\.", "\u2028", "\ufeff"),
)


@pytest.fixture(params=[psycopg2, psycopg3])
def driver(postgres_server: PostgresServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(PostgresHook, "get_conn", lambda self: request.param(postgres_server))
    return lambda: request.param(postgres_server)


def by_copy(sql: str, directory: Path, parameters: Any = None) -> list[dict[str, Any]] | None:
    with (
        ContactList(directory=directory) as contacts,
        copyable(sql, conn_id="warehouse", parameters=parameters) as table,
    ):
        if table is None or not contacts.add_copied(table.kinds, table.copy, origin="query"):
            return None
        return sent(contacts)


def by_cursor(sql: str, directory: Path, parameters: Any = None) -> list[dict[str, Any]]:
    with (
        ContactList(directory=directory) as contacts,
        query(sql, conn_id="warehouse", parameters=parameters) as (columns, rows),
    ):
        contacts.add_tuples(columns, rows, origin="query")
        return sent(contacts)


def sent(contacts: ContactList) -> list[dict[str, Any]]:
    contacts.screen()
    return [contact for chunk in contacts.chunks(1000) for contact in json.loads(chunk.contacts)]


PLAIN = {
    "odd": "(ARRAY[{}])[i % {} + 1]",
    "nothing": "NULL::text",
    "some": "CASE WHEN i % 3 = 0 THEN 'x' END",
    "padded": "'ab'::char(5)",
    "short": "'ab'::varchar(5)",
    "name": "'ab'::name",
    "id": "md5(i::text)::uuid",
    "small": "i::smallint",
    "number": "i",
    "big": "i::bigint * -10000000000",
    "premium": "(i + 0.50)::numeric(12, 2)",
    "tiny": "(i * 0.0000000001)::numeric",
    "wide": "(i * 1e30)::numeric",
    "none": "CASE i % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' END::numeric",
    "half": "i / 8.0::float8",
    "third": "i / 3.0::float8",
    "real": "i / 7.0::float4",
    "float_none": "CASE i % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' END::float8",
    "active": "i % 2 = 0",
    "due": "date '1999-12-31' + i",
    "at": "timestamp '2026-07-01 09:30:00' + i * interval '1 hour'",
    "at_exactly": "timestamp '2026-07-01 09:30:00' + i * interval '1250 microseconds'",
}


def plain_sql(connection: Any) -> str:
    """All that the copy knows, 3,000 rows of it."""
    with closing(connection), connection.cursor() as cursor:
        texts = []
        for text in ODD:
            cursor.execute("SELECT quote_literal(%s) AS text", (text,))
            row = cursor.fetchone()
            texts.append(row["text"])
    odd = PLAIN["odd"].format(", ".join(texts), len(ODD))
    columns = ", ".join(f"{value} AS {name}" for name, value in {**PLAIN, "odd": odd}.items())
    return f"SELECT {PEOPLE}, {columns} FROM generate_series(0, 2999) AS i ORDER BY i DESC"


def test_a_copy_gives_what_the_cursor_gives(driver: Any, tmp_path: Path) -> None:
    sql = plain_sql(driver())
    copied, fetched = by_copy(sql, tmp_path), by_cursor(sql, tmp_path)
    assert copied is not None
    assert len(copied) == len(fetched) == 3000
    assert copied[0]["phone_number"] == "+919876502999"
    for one, other in zip(copied, fetched, strict=True):
        assert one == other
    assert {contact["call_variables"]["odd"] for contact in copied} == set(ODD)


@pytest.mark.parametrize("end", ["", ";", " ;\n", " -- the end", "\n-- the end\n"])
def test_how_a_statement_may_end(driver: Any, tmp_path: Path, end: str) -> None:
    sql = f"WITH n AS (SELECT generate_series(1, 3) AS i) SELECT {PEOPLE}, '100%' AS share FROM n ORDER BY i{end}"
    copied = by_copy(sql, tmp_path)
    assert copied is not None
    assert [contact["phone_number"] for contact in copied] == [f"+91987650000{i}" for i in (1, 2, 3)]
    assert copied[0]["call_variables"] == {"callee_name": "Person 1", "share": "100%"}


@pytest.mark.parametrize("parameters", [(2,), [2], {"most": 2}])
def test_the_drivers_style_of_parameters(driver: Any, tmp_path: Path, parameters: Any) -> None:
    style = "%(most)s" if isinstance(parameters, dict) else "%s"
    sql = f"SELECT {PEOPLE}, '100%%' AS share FROM generate_series(1, 9) AS i WHERE i <= {style} ORDER BY i"
    copied = by_copy(sql, tmp_path, parameters)
    assert copied is not None
    assert [contact["call_variables"] for contact in copied] == [
        {"callee_name": f"Person {i}", "share": "100%"} for i in (1, 2)
    ]


@pytest.mark.parametrize(
    "column",
    [
        *("now()", "time '09:30'", "'{}'::jsonb", "'{}'::json", "ARRAY[1]", "interval '1 day'", "'x'::bytea"),
        *("'infinity'::date", "date '0044-03-15 BC'", "timestamp 'infinity'", "date '10000-01-01'"),
        "repeat('x', 5000000)",
    ],
)
def test_what_is_not_plain_is_not_copied(postgres_server: PostgresServer, tmp_path: Path, column: str) -> None:
    assert by_copy(f"SELECT {PEOPLE}, {column} AS it FROM generate_series(1, 3) AS i", tmp_path) is None


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT {PEOPLE}, 'x' AS callee_name FROM generate_series(1, 3) AS i",
        f"SELECT {PEOPLE}, 'x' AS call_variables FROM generate_series(1, 3) AS i",
        "SELECT nonsense",
        "CREATE TABLE never AS SELECT 1",
    ],
)
def test_what_is_left_to_the_cursor(postgres_server: PostgresServer, tmp_path: Path, sql: str) -> None:
    assert by_copy(sql, tmp_path) is None


def test_what_the_list_has_taken_before_stays(postgres_server: PostgresServer, tmp_path: Path) -> None:
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_rows([{"phone_number": "+919876599999", "callee_name": "Asha"}], origin="rows")
        for column, taken in (("date 'infinity'", False), ("date '2026-07-01'", True)):
            sql = f"SELECT {PEOPLE}, {column} AS due FROM generate_series(1, 3) AS i"
            with copyable(sql, conn_id="warehouse") as table:
                assert table is not None
                assert contacts.add_copied(table.kinds, table.copy, origin="query") is taken
        assert len(sent(contacts)) == 4


@pytest.mark.parametrize("setting", ["DateStyle TO 'German'", "client_encoding TO 'LATIN1'"])
def test_settings_that_change_the_texts(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, setting: str, tmp_path: Path
) -> None:
    def get_conn(self: PostgresHook) -> Any:
        connection = psycopg2(postgres_server)
        connection.cursor().execute(f"SET {setting}")
        return connection

    monkeypatch.setattr(PostgresHook, "get_conn", get_conn)
    assert by_copy(f"SELECT {PEOPLE}, date '2026-07-01' AS due FROM generate_series(1, 3) AS i", tmp_path) is None


def test_a_server_that_does_not_know_this_copy(
    driver: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=postgres.__name__)
    monkeypatch.setattr(postgres, "_COPY", "EXPORT (%s\n) TO STDOUT")
    assert by_copy(f"SELECT {PEOPLE} FROM generate_series(1, 3) AS i", tmp_path) is None
    assert caplog.messages == ["The query cannot be copied (SyntaxError)"]


def test_a_failure_on_the_way_does_not_quote_the_data(driver: Any, tmp_path: Path) -> None:
    broken = "CASE i WHEN 12000 THEN 'x' ELSE '' END"
    sql = f"SELECT {PEOPLE}, ('9198765' || i || {broken})::bigint AS digits FROM generate_series(1, 13000) AS i"
    with pytest.raises(SourceError, match="InvalidTextRepresentation") as refused:
        by_copy(sql, tmp_path)
    assert "98765" not in str(refused.value)
    assert refused.value.__context__ is None  # which would quote it


def test_a_missing_column(postgres_server: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='has no column "phone_number"'):
        by_copy("SELECT 'x'::text AS phone", tmp_path)
