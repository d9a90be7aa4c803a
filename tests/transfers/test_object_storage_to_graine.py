from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_graine.exceptions import ConfigurationError, ContactsRejectedError, SourceError
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator
from tests.task import Task

CSV = 'phone_number,callee_name,plan\n+919876500001,"Sharma, Rajesh",Basic\n+919876500002,Priya,\n'


def upload(path: Any, campaign_id: str, **arguments: Any) -> ObjectStorageToGraineOperator:
    return ObjectStorageToGraineOperator(task_id="call", path=path, campaign_id=campaign_id, **arguments)


def sent(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [
        contact
        for request in sandbox.requests
        if (request.method, request.path) == ("POST", "/api/v1/batches/")
        for contact in request.json()["contacts"]
    ]


EXPECTED = [
    {"phone_number": "+919876500001", "call_variables": {"callee_name": "Sharma, Rajesh", "plan": "Basic"}},
    {"phone_number": "+919876500002", "call_variables": {"callee_name": "Priya", "plan": ""}},
]


def write(folder: Path, name: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if ".csv" in name:
        content = CSV.encode()
    elif ".jsonl" in name:
        rows = [{"phone_number": row["phone_number"], **row["call_variables"]} for row in EXPECTED]  # type: ignore[dict-item]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        duckdb.sql(
            "SELECT * FROM (VALUES ('+919876500001', 'Sharma, Rajesh', 'Basic'), ('+919876500002', 'Priya', '')) "
            "AS people(phone_number, callee_name, plan)"
        ).write_parquet(str(file))
        return file
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return file


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.jsonl", "p.jsonl.gz", "p.parquet"])
@pytest.mark.parametrize("as_uri", [True, False])
def test_formats(sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path, name: str, as_uri: bool) -> None:
    file = write(tmp_path, name)
    task.run(upload(file.as_uri() if as_uri else str(file), campaign_id))
    assert sent(sandbox) == EXPECTED


def test_format_can_be_told(sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path) -> None:
    file = write(tmp_path, "people.csv").rename(tmp_path / "people.data")
    with pytest.raises(ConfigurationError, match="format"):
        task.run(upload(str(file), campaign_id))
    task.run(upload(str(file), campaign_id, file_format="csv"))
    assert sent(sandbox) == EXPECTED


def test_columns_and_delimiter(sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("Mobile;Name\n098765 00001;Rajesh\n")
    task.run(
        upload(str(file), campaign_id, phone_column="Mobile", name_column="Name", delimiter=";", default_region="IN")
    )
    assert sent(sandbox) == [{"phone_number": "+919876500001", "call_variables": {"callee_name": "Rajesh"}}]


def test_pattern_reads_files_in_the_order_of_their_names(
    sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path
) -> None:
    for day in (3, 1, 2):
        (tmp_path / f"day-{day}.csv").write_text(f"phone_number,callee_name\n+91987650000{day},P\n+919876500001,P\n")
    (tmp_path / "other.csv").write_text("nothing\n")
    task.run(upload(f"{tmp_path.as_uri()}/day-*.csv", campaign_id, on_invalid="skip"))

    assert [contact["phone_number"][-1] for contact in sent(sandbox)] == ["1", "2", "3"]
    assert task.xcom["summary"]["rejected"] == {"duplicate": 3}


def test_list_of_paths(sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path) -> None:
    paths = []
    for i in (2, 1):
        file = tmp_path / f"{i}.csv"
        file.write_text(f"phone_number,callee_name\n+91987650000{i},P\n")
        paths.append(str(file))
    task.run(upload(paths, campaign_id))
    assert [contact["phone_number"][-1] for contact in sent(sandbox)] == ["2", "1"]


@pytest.mark.parametrize("name", ["gone.csv", "gone-*.csv", "gone/*.csv"])
def test_missing_files_are_not_an_empty_list(
    sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path, name: str
) -> None:
    with pytest.raises(SourceError):
        task.run(upload(str(tmp_path / name), campaign_id))
    assert not sent(sandbox)


def test_broken_lines_are_rejected_and_counted(sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("phone_number,callee_name\n+919876500001,A\n+919876500002,B,too,many\n+919876500003,C\n")
    with pytest.raises(ContactsRejectedError, match="1 malformed_row"):
        task.run(upload(str(file), campaign_id))
    assert not sent(sandbox)

    task.run(upload(str(file), campaign_id, on_invalid="skip"))
    assert task.xcom["summary"] == {"read": 3, "accepted": 2, "rejected": {"malformed_row": 1}, "batches": 1}


def test_missing_column_names_no_person(sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("+919876500001,Rajesh\n+919876500002,Priya\n")
    with pytest.raises(SourceError) as error:
        task.run(upload(str(file), campaign_id))
    assert "phone_number" in str(error.value)
    assert not any(word in str(error.value) for word in ("Rajesh", "98765"))
