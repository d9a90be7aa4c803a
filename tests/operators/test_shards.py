"""One list that several mapped tasks share out among themselves, against a service whose time stands still."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    ConfigurationError,
    ContactsRejectedError,
    UploadError,
)
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator
from tests.operators.test_uploads import creates, everybody_once, people, upload
from tests.task import StateStore, Task

SHARDS = [[index, 4] for index in range(4)]


def mapped(store: bool = True) -> list[Task]:
    return [Task(map_index=index, store=StateStore() if store else None) for index in range(len(SHARDS))]


def test_each_person_in_two_partitions_is_on_one_batch(sandbox: Sandbox, campaign_id: str, tmp_path: Path) -> None:
    everybody = people(100)
    national = [{**person, "phone_number": f"0{person['phone_number'][3:]}"} for person in everybody[30:70]]
    for name, part in (("north", everybody[:60]), ("south", everybody[60:] + national)):
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=["phone_number", "callee_name"])
            writer.writeheader()
            writer.writerows(part)
    tasks = mapped()
    batch_ids = [
        task.run(
            ObjectStorageToGraineOperator(
                task_id="call",
                path=f"{tmp_path.as_uri()}/*.csv",
                campaign_id=campaign_id,
                default_region="IN",
                on_invalid="skip",
                rejects_path=f"{tmp_path.as_uri()}/rejects/rejected.csv",
                shard=shard,
            )
        )
        for task, shard in zip(tasks, SHARDS, strict=True)
    ]

    assert everybody_once(sandbox, everybody)
    assert [batch_id for ids in batch_ids for batch_id in ids] == list(sandbox.batches)
    summaries = [task.xcom["summary"] for task in tasks]
    assert [summary["shard"] for summary in summaries] == SHARDS
    assert sum(summary["accepted"] for summary in summaries) == 100
    assert sum(summary["rejected"].get("duplicate", 0) for summary in summaries) == 40
    for summary in summaries:
        assert summary["read"] == 140
        assert summary["accepted"] + sum(summary["rejected"].values()) + summary["elsewhere"] == 140
    written = [f"{tmp_path.as_uri()}/rejects/rejected-{index}-of-4.csv" for index in range(4)]
    assert [summary["rejects_path"] for summary in summaries] == written
    rejects = [(tmp_path / "rejects" / Path(path).name).read_text(encoding="utf-8").splitlines() for path in written]
    assert [len(lines) - 1 for lines in rejects] == [summary["rejected"].get("duplicate", 0) for summary in summaries]


@pytest.mark.parametrize("store", [True, False], ids=["with task state", "without task state"])
@pytest.mark.parametrize("has_metadata", [True, False], ids=["with metadata", "without metadata"])
def test_a_retry_finds_its_own_batches_among_those_of_the_others(
    sandbox: Sandbox, campaign_id: str, store: bool, has_metadata: bool
) -> None:
    if not has_metadata:
        sandbox.fault("GET /batches/{batch_id}", "no_metadata", times=None)
    tasks = mapped(store)
    uploads = [upload(people(60), campaign_id, batch_size=5, shard=shard) for shard in SHARDS]
    first = [task.run(operator) for task, operator in zip(tasks, uploads, strict=True)]
    created = len(creates(sandbox))

    again = [task.run(operator) for task, operator in zip(tasks, uploads, strict=True)]

    assert again == first
    assert sorted(batch_id for ids in first for batch_id in ids) == sorted(sandbox.batches)
    assert len(creates(sandbox)) == created
    assert everybody_once(sandbox, people(60))


def test_a_try_that_broke_off_is_gone_on_with(sandbox: Sandbox, campaign_id: str) -> None:
    tasks = mapped()
    sandbox.fault("POST /batches/", "status", status=400, when="before", times=1, after=5)
    for task, shard in zip(tasks, SHARDS, strict=True):
        operator = upload(people(60), campaign_id, batch_size=5, shard=shard)
        try:
            task.run(operator)
        except Exception:
            task.run(operator)

    assert sum(task.tries for task in tasks) == 5
    assert everybody_once(sandbox, people(60))


def test_a_changed_source_is_compared_with_the_shards_own_batches(
    sandbox: Sandbox, campaign_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = mapped()
    for task, shard in zip(tasks, SHARDS, strict=True):
        task.run(upload(people(40), campaign_id, shard=shard))
    caplog.clear()
    for task, shard in zip(tasks, SHARDS, strict=True):
        task.run(upload(people(40, start=20), campaign_id, shard=shard))

    assert everybody_once(sandbox, people(60))
    vanished = [record.args[1] for record in caplog.records if "no longer in the source" in record.msg]
    assert sum(vanished) == 20  # type: ignore[arg-type, misc]


# -- parallel calls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "batch_size"), [(4, 1_000), (10, 1_000), (23, 4)])
def test_all_shards_together_stay_within_the_limit(
    sandbox: Sandbox, campaign_id: str, limit: int, batch_size: int
) -> None:
    for task, shard in zip(mapped(), SHARDS, strict=True):
        task.run(upload(people(40), campaign_id, batch_size=batch_size, concurrency_limit=limit, shard=shard))

    limits = [request.json()["concurrency_limit"] for request in creates(sandbox)]
    assert len(limits) >= 4
    assert min(limits) >= 1
    assert sum(limits) == limit
    assert everybody_once(sandbox, people(40))


def test_more_shards_than_parallel_calls_send_nothing(sandbox: Sandbox, campaign_id: str) -> None:
    for task, shard in zip(mapped(), SHARDS, strict=True):
        with pytest.raises(ConfigurationError, match="cannot be shared out among 4 shards"):
            task.run(upload(people(40), campaign_id, concurrency_limit=3, shard=shard))
    assert not creates(sandbox)


def test_a_campaign_that_caps_its_batches_leaves_the_limit_whole(sandbox: Sandbox, hook: GraineHook) -> None:
    capped = hook.create_campaign(
        name="c", agent_id="a", phone_numbers=["+918045678900"], metadata={"concurrency_limit": 2}
    ).campaign_id
    for task, shard in zip(mapped(), SHARDS, strict=True):
        task.run(upload(people(40), capped, concurrency_limit=2, shard=shard))
    assert [request.json()["concurrency_limit"] for request in creates(sandbox)] == [2, 2, 2, 2]


# -- rejected rows ----------------------------------------------------------------------------------------------------


def test_one_bad_contact_stops_all_shards(sandbox: Sandbox, campaign_id: str, tmp_path: Path) -> None:
    contacts = [*people(40), {"phone_number": "12345", "callee_name": "Malformed"}]
    rejected = Counter[str]()
    for task, shard in zip(mapped(), SHARDS, strict=True):
        path = f"{tmp_path.as_uri()}/rejected.csv"
        with pytest.raises(
            ContactsRejectedError, match=rf"1 of 41 contacts were rejected, [01] of them in .* {shard[0]} of 4"
        ):
            task.run(upload(contacts, campaign_id, shard=shard, rejects_path=path))
        rejected.update(task.xcom["summary"]["rejected"])

    assert rejected == {"invalid_number": 1}
    assert not creates(sandbox)


def test_the_log_tells_whose_rows_they_are(
    sandbox: Sandbox, campaign_id: str, task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    task.run(upload(people(40), campaign_id, shard=[1, 4]))
    [batch] = sandbox.batches.values()
    own = batch["total_contacts"]
    assert f"Read 40 contacts, {own} of them for shard 1 of 4: {own} accepted, 0 rejected" in capsys.readouterr().out


# -- the argument -----------------------------------------------------------------------------------------------------


def test_it_may_come_from_templates(sandbox: Sandbox, campaign_id: str) -> None:
    assert "shard" in ObjectStorageToGraineOperator.template_fields
    for task, shard in zip(mapped(), SHARDS, strict=True):
        task.run(upload(people(40), campaign_id, shard=tuple(map(str, shard))))
    assert everybody_once(sandbox, people(40))


def test_one_part_is_the_whole_list(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    task.run(upload(people(3), campaign_id, shard=[0, 1]))
    assert everybody_once(sandbox, people(3))
    assert task.xcom["summary"] == {"read": 3, "accepted": 3, "rejected": {}, "batches": 1}


@pytest.mark.parametrize(
    "shard", [[4, 4], [-1, 4], [0, 0], [1], [0, 1, 2], 3, "1 of 4", "14", ["a", "b"], [0.0, 4], []]
)
def test_what_is_no_shard_fails_before_the_source_is_read(
    sandbox: Sandbox, campaign_id: str, task: Task, shard: Any
) -> None:
    def contacts() -> Any:
        raise AssertionError("the source is read")
        yield

    with pytest.raises(ConfigurationError, match=r"shard must be \[index, of\]"):
        task.run(upload(contacts(), campaign_id, shard=shard))
    assert not creates(sandbox)


# -- shared out in another way than before ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("map_index", "shard"),
    [
        pytest.param(0, [0, 5], id="more shards"),
        pytest.param(4, [4, 5], id="one more task"),
        pytest.param(0, [0, 3], id="fewer shards"),
        pytest.param(0, [1, 4], id="in another order"),
        pytest.param(4, [1, 4], id="a shard twice"),
        pytest.param(0, None, id="no shards any more"),
        pytest.param(-1, None, id="one task for all"),
    ],
)
def test_another_way_to_share_out_is_refused(
    sandbox: Sandbox, campaign_id: str, map_index: int, shard: list[int] | None
) -> None:
    for task, was in zip(mapped(), SHARDS, strict=True):
        task.run(upload(people(40), campaign_id, shard=was))

    with pytest.raises(UploadError, match=r"was made from shard \d of 4 .* Nothing more was sent"):
        Task(map_index=map_index).run(upload(people(40), campaign_id, shard=shard))

    assert everybody_once(sandbox, people(40))


def test_shards_after_a_whole_list_are_refused(sandbox: Sandbox, campaign_id: str) -> None:
    Task().run(upload(people(40), campaign_id))
    for task, shard in zip(mapped(), SHARDS, strict=True):
        with pytest.raises(UploadError, match="was made from the whole list"):
            task.run(upload(people(40), campaign_id, shard=shard))
    assert everybody_once(sandbox, people(40))


def test_a_batch_that_is_not_listed_is_known_from_the_tasks_own_record(sandbox: Sandbox, campaign_id: str) -> None:
    task = Task(map_index=0)
    sandbox.fault("POST /batches/", "late", list_calls=100)
    task.run(upload(people(40), campaign_id, shard=[0, 4]))

    with pytest.raises(UploadError, match="was made from shard 0 of 4"):
        task.run(upload(people(40), campaign_id, shard=[0, 5]))

    assert len(creates(sandbox)) == 1


def test_other_runs_and_tasks_may_share_out_as_they_like(sandbox: Sandbox, campaign_id: str) -> None:
    Task(map_index=0).run(upload(people(10), campaign_id, shard=[0, 4]))
    for other in (
        Task(map_index=0, run_id="tuesday"),
        Task(map_index=0, task_id="other"),
        Task(map_index=0, dag_id="o"),
    ):
        other.run(upload(people(10, start=50), campaign_id, shard=[0, 2]))
    assert len(creates(sandbox)) == 4


def test_an_unclear_answer_is_settled_within_the_shard(sandbox: Sandbox, campaign_id: str) -> None:
    sandbox.fault("POST /batches/", "drop", times=1, after=1)
    for task, shard in zip(mapped(), SHARDS, strict=True):
        task.run(upload(people(40), campaign_id, shard=shard))
    assert len(creates(sandbox)) == 4
    assert everybody_once(sandbox, people(40))
