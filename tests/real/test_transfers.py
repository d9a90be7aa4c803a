"""The whole way between real servers: PostgreSQL or S3 in, the service, S3 out."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook

from airflow_provider_graine.exceptions import TaskKilledError
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sources.database import query
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator
from airflow_provider_graine.transfers.sql_to_graine import SqlToGraineOperator
from tests.exports import one_batch, statuses
from tests.servers import PostgresServer, S3Server
from tests.task import Task

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def insured(postgres_server: PostgresServer) -> Iterator[PostgresHook]:
    """2,500 policy holders, 100 of whom opted out."""
    hook = PostgresHook("warehouse")
    hook.run(
        [
            "CREATE TABLE insured (id int, phone_number text, callee_name text, premium numeric(12, 2), "
            "renewal_date date, seen_at timestamptz, tags jsonb, active boolean)",
            "INSERT INTO insured SELECT i, '+9198765' || lpad(i::text, 5, '0'), 'Person ' || i, i + 0.50, "
            "date '2026-07-01', timestamptz '2026-05-10 09:00:00+05:30', '{\"a\": [1, null]}', i % 2 = 0 "
            "FROM generate_series(1, 2500) i",
            "CREATE TABLE do_not_call AS SELECT phone_number FROM insured WHERE id <= 100",
        ]
    )
    yield hook
    hook.run(["DROP TABLE insured", "DROP TABLE do_not_call"])


def sent(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [
        contact
        for request in sandbox.requests
        if (request.method, request.path) == ("POST", "/api/v1/batches/")
        for contact in request.json()["contacts"]
    ]


def test_people_from_postgresql(
    sandbox: Sandbox, campaign_id: str, task: Task, insured: PostgresHook, caplog: pytest.LogCaptureFixture
) -> None:
    operator = SqlToGraineOperator(
        task_id="call",
        sql_conn_id="warehouse",
        sql="SELECT phone_number, callee_name, premium, renewal_date, seen_at, tags, active "
        "FROM insured WHERE id <= %(last)s ORDER BY id",
        parameters={"last": 2000},
        suppress="SELECT phone_number FROM do_not_call",
        campaign_id=campaign_id,
        batch_size=500,
        on_invalid="skip",
    )
    with caplog.at_level("DEBUG"):
        batch_ids = task.run(operator)

    assert task.xcom["summary"] == {"read": 2000, "accepted": 1900, "rejected": {"suppressed": 100}, "batches": 4}
    assert [sandbox.batches[batch_id]["total_contacts"] for batch_id in batch_ids] == [500, 500, 500, 400]
    assert set(sandbox.dialled.values()) == {1}
    assert sent(sandbox)[0] == {
        "phone_number": "+919876500101",
        "call_variables": {
            "active": False,
            "callee_name": "Person 101",
            "premium": "101.50",
            "renewal_date": "2026-07-01",
            "seen_at": sent(sandbox)[0]["call_variables"]["seen_at"],
            "tags": {"a": [1, None]},
        },
    }
    assert sent(sandbox)[0]["call_variables"]["seen_at"].startswith("2026-05-10T")
    assert "98765" not in caplog.text
    assert "Person" not in caplog.text


def test_query_is_read_through_a_server_side_cursor(insured: PostgresHook) -> None:
    """The whole result would be some 600 MB in the client."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sql = "SELECT i, repeat('x', 2000) FROM generate_series(1, 300000) i"
    with query(sql, conn_id="warehouse") as (columns, rows):
        assert len(columns) == 2
        assert sum(1 for _ in rows) == 300_000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024, f"reading 600 MB took {grown // 1024} MiB"


def test_query_given_up_halfway_leaves_the_server_usable(insured: PostgresHook) -> None:
    with query("SELECT generate_series(1, 1000000)", conn_id="warehouse") as (_, rows):
        next(rows)
    assert insured.get_first("SELECT count(*) FROM insured")[0] == 2500


def test_files_in_s3_are_called_and_the_results_land_there(
    sandbox: Sandbox, campaign_id: str, s3_server: S3Server
) -> None:
    client, bucket = s3_server.client(), s3_server.bucket
    for part in range(3):
        text = "phone_number,callee_name\n" + "".join(
            f"+9198765{number:05},Person {number}\n" for number in range(part * 400, part * 400 + 400)
        )
        client.put_object(Bucket=bucket, Key=f"people/part-{part}.csv.gz", Body=gzip.compress(text.encode()))
    client.put_object(Bucket=bucket, Key="optouts/today.csv", Body=b"phone_number\n98765 00007\n")
    root = f"s3://results_store@{bucket}"

    task = Task()
    batch_ids = task.run(
        ObjectStorageToGraineOperator(
            task_id="call",
            path=f"{root}/people/*.csv.gz",
            suppress=f"{root}/optouts/*.csv",
            campaign_id=campaign_id,
            batch_size=500,
            on_invalid="skip",
            rejects_path=f"{root}/results/rejected.csv",
        )
    )
    sandbox.run_until_idle()
    landed = Task(task_id="land").run(
        GraineToObjectStorageOperator(
            task_id="land", batch_ids=batch_ids, path=f"s3://{bucket}/results", path_conn_id="results_store"
        )
    )

    assert task.xcom["summary"]["accepted"] == 1199
    assert set(sandbox.dialled.values()) == {1}
    assert len(sandbox.dialled) == 1199
    assert [file["rows"] for file in landed] == [500, 500, 199]
    assert [file["uri"] for file in landed] == [f"s3://{bucket}/results/{batch_id}.csv" for batch_id in batch_ids]
    called = set()
    for file in landed:
        body = client.get_object(Bucket=bucket, Key=file["uri"].removeprefix(f"s3://{bucket}/"))["Body"].read()
        assert len(body) == file["bytes"]
        called |= {row["phone_number"] for row in csv.DictReader(io.StringIO(body.decode(), newline=""))}
    assert called == set(sandbox.dialled)
    rejected = client.get_object(Bucket=bucket, Key="results/rejected.csv")["Body"].read().decode()
    assert rejected.splitlines()[1].endswith("suppressed,+919876500007,Person 7")


def test_torn_download_leaves_nothing_in_s3(
    sandbox: Sandbox, campaign_id: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(sandbox.connection_json()), "extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))
    people = [{"phone_number": f"+9198765{number:05}", "callee_name": "A"} for number in range(300)]
    from airflow_provider_graine.operators.graine import GraineCreateBatchOperator

    (batch_id,) = Task().run(GraineCreateBatchOperator(task_id="call", contacts=people, campaign_id=campaign_id))
    sandbox.run_until_idle()
    land: dict[str, Any] = {
        "task_id": "land",
        "batch_ids": batch_id,
        "path": f"s3://results_store@{s3_server.bucket}/torn",
    }
    sandbox.fault("GET /batches/{batch_id}/export.csv", "tear", fraction=0.6, times=None)
    with pytest.raises(Exception, match="connection broke"):
        Task().run(GraineToObjectStorageOperator(**land))
    assert "Contents" not in s3_server.client().list_objects_v2(Bucket=s3_server.bucket, Prefix="torn/")

    sandbox.clear_faults()
    (file,) = Task().run(GraineToObjectStorageOperator(**land))
    assert file["rows"] == 300


@pytest.mark.parametrize("ranges", [False, True])
def test_ten_torn_downloads_show_nothing_partial_in_s3(s3_server: S3Server, ranges: bool) -> None:
    client, chance = s3_server.client(), random.Random(4)
    root = f"torn/{'in' if ranges else 'no'}_ranges"

    def sizes(prefix: str) -> set[int]:
        found = client.list_objects_v2(Bucket=s3_server.bucket, Prefix=prefix).get("Contents", [])
        return {each["Size"] for each in found}

    whole = None
    with one_batch(contacts=2_000, text="A" * 3_000, ranges=ranges) as (sandbox, batch_id):
        for number in range(11):
            if whole is not None:
                sandbox.fault("GET /batches/{batch_id}/export.csv", "tear", fraction=chance.random())
            seen, done = set[int](), threading.Event()

            def look(prefix: str = f"{root}/{number}/", seen: set[int] = seen, done: threading.Event = done) -> None:
                while not done.is_set():
                    seen |= sizes(prefix)
                    done.wait(0.01)

            thread = threading.Thread(target=look)
            thread.start()
            try:
                (file,) = Task(task_id="land").run(
                    GraineToObjectStorageOperator(
                        task_id="land",
                        batch_ids=batch_id,
                        path=f"s3://results_store@{s3_server.bucket}/{root}/{number}",
                    )
                )
            finally:
                done.set()
                thread.join()
            whole = whole or file
            assert file["bytes"] > 10_000_000  # more than one part
            assert file["sha256"] == whole["sha256"]
            body = client.get_object(Bucket=s3_server.bucket, Key=f"{root}/{number}/{batch_id}.csv")["Body"].read()
            assert hashlib.sha256(body).hexdigest() == whole["sha256"]
            assert seen | sizes(f"{root}/{number}/") == {whole["bytes"]}
        assert statuses(sandbox).count(206) == (10 if ranges else 0)
        assert len(statuses(sandbox)) == 21
    uploads = client.list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads", [])
    assert not [each for each in uploads if each["Key"].startswith("torn/")]


def test_a_killed_task_leaves_nothing_in_s3(s3_server: S3Server) -> None:
    """As Airflow does it: SIGTERM, whose handler calls ``on_kill`` and lets the task go on."""
    client = s3_server.client()

    def uploads() -> list[Any]:
        found = client.list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads", [])
        return [each for each in found if each["Key"].startswith("killed/")]

    with one_batch(contacts=6_000, text="A" * 3_000, ranges=False) as (_, batch_id):
        operator = GraineToObjectStorageOperator(
            task_id="land", batch_ids=batch_id, path=f"s3://results_store@{s3_server.bucket}/killed"
        )

        def kill() -> None:
            deadline = time.monotonic() + 30
            while not uploads():
                assert time.monotonic() < deadline
            os.kill(os.getpid(), signal.SIGTERM)

        handler = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
        thread = threading.Thread(target=kill)
        thread.start()
        try:
            with pytest.raises(TaskKilledError, match="no partial file was left"):
                Task(task_id="land").run(operator)
        finally:
            thread.join()
            signal.signal(signal.SIGTERM, handler)
    assert uploads() == []
    assert "Contents" not in client.list_objects_v2(Bucket=s3_server.bucket, Prefix="killed/")
