"""People in files on a real S3 server."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import SourceError
from airflow_provider_graine.sources import files
from airflow_provider_graine.sources.files import local_files

if TYPE_CHECKING:
    from tests.servers import S3Server

pytestmark = pytest.mark.real

HEADER = "phone_number,callee_name,plan\n"


@pytest.fixture
def folder(s3_server: S3Server, request: pytest.FixtureRequest) -> str:
    return f"s3://results_store@{s3_server.bucket}/{request.node.name}"


def put(server: S3Server, folder: str, name: str, content: bytes) -> None:
    server.client().put_object(Bucket=server.bucket, Key=f"{folder.rpartition('/')[2]}/{name}", Body=content)


def test_many_small_files_of_all_kinds_in_the_order_of_their_names(
    s3_server: S3Server, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_GROUP_FILES", 50)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for n in range(120):
        row = f"+9198765{n:05},Person {n},x\n"
        match n % 3:
            case 0:
                put(s3_server, folder, f"{n:03}.csv", (HEADER + row).encode())
            case 1:
                put(s3_server, folder, f"{n:03}.csv.gz", gzip.compress((HEADER + row).encode()))
            case 2:
                line = f'{{"phone_number": "+9198765{n:05}", "callee_name": "Person {n}", "plan": "x"}}\n'
                put(s3_server, folder, f"{n:03}.jsonl", line.encode())
    parquet = tmp_path / "last.parquet"
    duckdb.execute(
        f"COPY (SELECT '+9198765' || lpad(i::VARCHAR, 5, '0') AS phone_number, 'Person' AS callee_name "
        f"FROM range(120, 2000) AS t(i)) TO '{parquet}' (FORMAT parquet)"
    )
    put(s3_server, folder, "last.parquet", parquet.read_bytes())
    parquet.unlink()
    put(s3_server, folder, "050.csv", (HEADER + "+919876500050,broken\n+919876500050,Person 50,x\n").encode())
    with ContactList() as contacts:
        for group in local_files(f"{folder}/*"):
            contacts.add_files(group)
        screening = contacts.screen()
        sent = [int(number[-5:]) for chunk in contacts.chunks(1000) for number in chunk.phone_numbers()]
    assert screening.rejected == {"malformed_row": 1, "duplicate": 1}
    assert sent == list(range(2000))
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_not_there(folder: str) -> None:
    with pytest.raises(SourceError, match="no file at"):
        list(local_files(f"{folder}/nobody.csv"))
    with pytest.raises(SourceError, match="No file matches"):
        list(local_files(f"{folder}/*.csv"))
