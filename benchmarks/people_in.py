"""
People from CSV and from PostgreSQL onto batches, with all checks, against plain scripts that check nothing.

``python -m benchmarks.people_in [--rows 1000000] [--batch-size 1000] [--repeat 3] [--only csv|sql]``
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.answering import answering_server
from benchmarks.measuring import Line, Measured, airflow_home, medians, report, took
from benchmarks.people import number, upload, write_numbers, write_people

if TYPE_CHECKING:
    from tests.servers import PostgresServer

_CSV_TARGET = 0.5
_SQL_TARGET = 0.8
SQL = "SELECT phone_number, callee_name, policy_number, plan, premium, renewal_date, city FROM people"
_TEXTS_SQL = SQL.replace("premium, renewal_date", "premium::text AS premium, renewal_date::text AS renewal_date")


# -- the plain scripts


def plain_csv(path: str, url: str, batch_size: int) -> None:
    import csv
    import json
    from itertools import islice

    import httpx

    with httpx.Client(timeout=60) as client, open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        while chunk := list(islice(rows, batch_size)):
            contacts = [{"phone_number": row.pop("phone_number"), "call_variables": row} for row in chunk]
            body = json.dumps({"campaign_id": "camp_1", "contacts": contacts})
            answer = client.post(f"{url}/batches/", content=body, headers={"Content-Type": "application/json"})
            answer.raise_for_status()


def plain_sql(dsn: str, sql: str, url: str, batch_size: int) -> None:
    import json

    import httpx
    import psycopg2

    with httpx.Client(timeout=60) as client, psycopg2.connect(dsn) as connection, connection.cursor("people") as cursor:
        cursor.execute(sql)
        while rows := cursor.fetchmany(batch_size):
            columns = [column.name for column in cursor.description]
            contacts = []
            for row in rows:
                person = dict(zip(columns, row, strict=True))
                contacts.append({"phone_number": person.pop("phone_number"), "call_variables": person})
            body = json.dumps({"campaign_id": "camp_1", "contacts": contacts}, default=str)
            answer = client.post(f"{url}/batches/", content=body, headers={"Content-Type": "application/json"})
            answer.raise_for_status()


# -- the operators


def from_csv(path: str, suppressed: str | None, batch_size: int = 1_000) -> dict[str, Any]:
    return upload(
        "object_storage_to_graine:ObjectStorageToGraineOperator",
        path=path,
        suppress=suppressed,
        batch_size=batch_size,
    )


def from_sql(sql: str, suppressed: str, batch_size: int = 1_000) -> dict[str, Any]:
    return upload(
        "sql_to_graine:SqlToGraineOperator",
        sql=sql,
        sql_conn_id="warehouse",
        suppress=suppressed,
        batch_size=batch_size,
    )


def load(server: PostgresServer, path: Path) -> str:
    """Copy the CSV file into a table; gives what psycopg2 connects with."""
    import psycopg2

    dsn = f"host={server.socket_directory} port={server.port} user={server.user} dbname={server.database}"
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor, path.open(encoding="utf-8") as file:
        cursor.execute(
            "CREATE TABLE people (phone_number text, callee_name text, policy_number text, plan text, "
            "premium numeric(12, 2), renewal_date date, city text)"
        )
        cursor.copy_expert("COPY people FROM STDIN (FORMAT csv, HEADER true)", file)
    return dsn


def compared(plain: Measured, ours: Measured, *, source: str, target: float) -> Iterator[Line]:
    ratio = ours.wall / plain.wall
    yield took(f"{source}, plain script", plain)
    yield took(f"{source}, operator", ours)
    yield Line(f"{source}, ratio", f"{ratio:.2f}", f"at most {target}", ratio <= target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch-size", type=int, default=1_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=["csv", "sql"])
    options = parser.parse_args()

    from tests.servers import postgres

    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as directory, answering_server() as server:
        size = {"batch_size": options.batch_size}
        people = str(write_people(Path(directory) / "people.csv", options.rows))
        opted_out = str(write_numbers(Path(directory) / "opted_out.csv", map(number, range(0, options.rows, 100))))
        if options.only != "sql":
            with airflow_home(graine_default=server.airflow_connection):
                runs = medians(
                    options.repeat,
                    plain=("benchmarks.people_in:plain_csv", {"path": people, "url": server.url, **size}),
                    ours=("benchmarks.people_in:from_csv", {"path": people, "suppressed": opted_out, **size}),
                )
            lines += compared(runs["plain"], runs["ours"], source="CSV", target=_CSV_TARGET)
        if options.only != "csv":
            with (
                postgres() as database,
                airflow_home(graine_default=server.airflow_connection, warehouse=database.airflow_connection),
            ):
                dsn = load(database, Path(people))
                for sql, source in (
                    (SQL, "PostgreSQL, with numeric and date"),
                    (_TEXTS_SQL, "PostgreSQL, texts alone"),
                ):
                    runs = medians(
                        options.repeat,
                        plain=("benchmarks.people_in:plain_sql", {"dsn": dsn, "sql": sql, "url": server.url, **size}),
                        ours=("benchmarks.people_in:from_sql", {"sql": sql, "suppressed": opted_out, **size}),
                    )
                    lines += compared(runs["plain"], runs["ours"], source=source, target=_SQL_TARGET)
        print(json.dumps(server.counts()))
    return report(f"{options.rows:,} people onto batches of {options.batch_size:,}, median of {options.repeat}", lines)


if __name__ == "__main__":
    sys.exit(main())
