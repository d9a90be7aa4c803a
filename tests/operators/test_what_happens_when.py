"""The table "What happens when …" of docs/what_happens_when.md, on uploads: one test a row, of the row's name."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.exceptions import AuthenticationError, ServiceUnavailableError, UploadError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.triggers.graine import GraineBatchTrigger
from tests.task import StateStore, Task

PAGE = Path(__file__).parents[2] / "docs" / "what_happens_when.md"


class WorkerLostError(BaseException):
    """The process is gone; nothing after it runs."""


def people(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    return [{"phone_number": f"+9198765{i:05}", "callee_name": f"Person {i}"} for i in range(start, start + count)]


def upload(contacts: Any, campaign_id: str, **arguments: Any) -> GraineCreateBatchOperator:
    arguments = {"batch_size": 10, "resend_after": 2.0, **arguments}
    return GraineCreateBatchOperator(task_id="call", contacts=contacts, campaign_id=campaign_id, **arguments)


def creates(sandbox: Sandbox) -> int:
    return sum((request.method, request.path) == ("POST", "/api/v1/batches/") for request in sandbox.requests)


def everybody_once(sandbox: Sandbox, contacts: list[dict[str, Any]]) -> bool:
    return sandbox.dialled == dict.fromkeys((contact["phone_number"] for contact in contacts), 1)


@pytest.fixture(params=["task state", "ledger", "service alone"])
def memory(request: pytest.FixtureRequest, task: Task, tmp_path: Path) -> dict[str, Any]:
    """What outlives a try: the arguments of the operator that go with it."""
    task.store = StateStore() if request.param == "task state" else None
    return {"ledger_path": tmp_path.as_uri()} if request.param == "ledger" else {}


def test_every_row_has_its_test() -> None:
    table = PAGE.read_text().partition("## Uploads")[2].split("\n## ")[0]
    rows = re.findall(r"^\| (?!…|---)(.+?) \|", table.replace("| … with", "| with"), flags=re.MULTILINE)
    names = {"test_" + re.sub(r"[^a-z0-9]+", "_", row.lower().replace("`", "")).strip("_") for row in rows}
    assert len(rows) > 10
    assert names <= set(globals()), f"no test for {sorted(names - set(globals()))}"


def test_the_task_is_retried(sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any]) -> None:
    sandbox.fault("POST /batches/", "status", status=401, when="before", after=1)
    with pytest.raises(AuthenticationError):
        task.run(upload(people(30), campaign_id, **memory))

    batch_ids = task.run(upload(people(30), campaign_id, **memory))

    assert [sandbox.contacts(batch_id)[0]["phone_number"] for batch_id in batch_ids] == [
        f"+9198765{i:05}" for i in (0, 10, 20)
    ]
    assert everybody_once(sandbox, people(30))


def test_a_finished_upload_is_cleared(sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any]) -> None:
    first = task.run(upload(people(30), campaign_id, **memory))
    sandbox.run_until_idle()
    assert task.run(upload(people(30), campaign_id, **memory)) == first
    assert creates(sandbox) == 3


def test_a_finished_upload_of_a_cancelled_campaign_is_cleared(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, task: Task
) -> None:
    first = task.run(upload(people(30), campaign_id))
    hook.cancel_campaign(campaign_id)
    assert task.run(upload(people(30), campaign_id)) == first
    assert creates(sandbox) == 3


def test_with_on_rerun_redial(sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any]) -> None:
    arguments = {"on_rerun": "redial", "retries": 2, **memory}
    task.max_tries = 2
    sandbox.fault("POST /batches/", "status", status=401, when="before", after=1)
    with pytest.raises(AuthenticationError):
        task.run(upload(people(20), campaign_id, **arguments))
    first = task.run(upload(people(20), campaign_id, **arguments))
    assert everybody_once(sandbox, people(20)), "a retry redials nobody"

    task.max_tries = task.tries + 2  # what a clear does
    second = task.run(upload(people(20), campaign_id, **arguments))
    assert not set(first) & set(second)
    assert set(sandbox.dialled.values()) == {2}

    assert task.run(upload(people(20), campaign_id, **arguments)) == second
    assert set(sandbox.dialled.values()) == {2}, "a retry of the cleared task redials nobody"


def test_the_task_is_marked_failed(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    operator = upload(people(20), campaign_id)
    batch_ids = task.run(operator)
    operator.on_kill()
    assert [sandbox.batches[batch_id]["status"] for batch_id in batch_ids] == ["in_progress"] * 2


@pytest.mark.parametrize("processed", [True, False], ids=["after the send", "before the send"])
def test_the_worker_is_lost(
    sandbox: Sandbox,
    campaign_id: str,
    task: Task,
    memory: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    processed: bool,
) -> None:
    """Killed processes are in tests/crash; here the death is an exception that nothing catches."""
    from airflow_provider_graine.hooks.graine_batches import GraineBatches

    create, calls = GraineBatches.create, 0

    def dies(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != 2:
            return create(self, *args, **kwargs)
        if processed:
            create(self, *args, **kwargs)
        raise WorkerLostError

    monkeypatch.setattr(GraineBatches, "create", dies)
    sandbox.fault("POST /batches/", "late", list_calls=2, times=None)
    with pytest.raises(WorkerLostError):
        task.run(upload(people(30), campaign_id, resend_after=4.0, **memory))

    batch_ids = task.run(upload(people(30), campaign_id, resend_after=4.0, **memory))

    assert len(batch_ids) == 3
    assert everybody_once(sandbox, people(30))


def test_the_triggerer_restarts(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    batch_ids = task.run(upload(people(20), campaign_id))
    trigger = GraineBatchTrigger(batch_ids=batch_ids, poll_interval=0.05)

    async def run() -> dict[str, Any]:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0.3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.to_thread(sandbox.run_until_idle)
        again = GraineBatchTrigger(**trigger.serialize()[1])
        return dict((await anext(again.run())).payload)

    assert asyncio.run(run())["status"] == "done"
    assert creates(sandbox) == 2
    assert not [request for request in sandbox.requests if request.path.endswith(("/pause", "/cancel", "/resume"))]


def test_a_create_times_out(
    sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(sandbox.connection_json()), "extra": {"timeout": 0.5}}
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))
    sandbox.fault("POST /batches/", "hang", when="after", seconds=1.5, after=1)
    assert len(task.run(upload(people(30), campaign_id, **memory))) == 3
    assert everybody_once(sandbox, people(30))
    assert creates(sandbox) == 3


def test_the_token_is_revoked(sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any]) -> None:
    sandbox.rotate_token("gat_new_token")
    with pytest.raises(AuthenticationError, match="does not accept the token"):
        task.run(upload(people(30), campaign_id, **memory))
    sandbox.rotate_token("gat_sandbox")
    task.run(upload(people(30), campaign_id, **memory))
    assert everybody_once(sandbox, people(30))


def test_the_service_is_down_for_an_hour(
    sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(sandbox.connection_json()), "extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps({**connection, "host": "http://127.0.0.1:1/api/v1"}))
    for _ in range(3):
        with pytest.raises(ServiceUnavailableError):
            task.run(upload(people(30), campaign_id, **memory))
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", json.dumps(connection))
    sandbox.fault("GET *", "status", status=503, when="before", times=1)
    with pytest.raises(ServiceUnavailableError):
        task.run(upload(people(30), campaign_id, **memory))

    task.run(upload(people(30), campaign_id, **memory))
    assert everybody_once(sandbox, people(30))


def test_the_source_has_changed(sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any]) -> None:
    sandbox.fault("POST /batches/", "status", status=401, when="before", after=2)
    with pytest.raises(AuthenticationError):
        task.run(upload(people(30), campaign_id, **memory))

    batch_ids = task.run(upload(list(reversed(people(35)[3:])), campaign_id, **memory))

    assert everybody_once(sandbox, people(35))
    assert sorted(batch_ids) == sorted(sandbox.batches)


def test_the_service_takes_only_smaller_batches(
    sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any]
) -> None:
    sandbox.fault("POST /batches/", "limit", max_contacts=6, times=None)
    batch_ids = task.run(
        upload(people(33), campaign_id, batch_size=20, resend_after=0.3, concurrency_limit=30, **memory)
    )
    sizes = [sandbox.batches[batch_id]["total_contacts"] for batch_id in batch_ids]
    assert max(sizes) <= 6
    assert sum(sizes) == 33
    assert everybody_once(sandbox, people(33))
    assert sum(sandbox.batches[batch_id]["concurrency_limit"] for batch_id in batch_ids) <= 30


def test_the_service_stores_a_batch_in_part(
    sandbox: Sandbox, campaign_id: str, task: Task, memory: dict[str, Any]
) -> None:
    sandbox.fault("POST /batches/", "partial", keep=4, after=1)
    for _ in range(2):
        with pytest.raises(UploadError, match="holds 4 contacts where 10 were sent"):
            task.run(upload(people(30), campaign_id, **memory))
    assert creates(sandbox) == 2
    assert set(sandbox.dialled.values()) == {1}


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_the_campaign_was_paused_or_cancelled(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, task: Task, state: str
) -> None:
    Task(task_id="earlier").run(upload(people(1), campaign_id))
    {"paused": hook.pause_campaign, "cancelled": hook.cancel_campaign}[state](campaign_id)
    with pytest.raises(UploadError, match=f"is {state}.*Nothing was sent"):
        task.run(upload(people(5, start=10), campaign_id))
    assert creates(sandbox) == 1


@pytest.mark.parametrize("fault", ["drop", "html"])
def test_service_without_metadata_is_asked_for_the_people(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, task: Task, memory: dict[str, Any], fault: Any
) -> None:
    yesterday = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": "x"}} for i in range(10)]
    if memory or task.store:  # without any memory a batch of the same people cannot be told from ours
        hook.create_batch(campaign_id=campaign_id, contacts=yesterday)
    sandbox.fault("GET /batches/{batch_id}", "no_metadata", times=None)
    sandbox.fault("POST /batches/", fault, when="after", after=1)
    before = len(sandbox.batches)

    first = task.run(upload(people(30), campaign_id, **memory))
    again = task.run(upload(people(30), campaign_id, **memory))

    assert first == again
    assert len(sandbox.batches) == before + 3


def test_try_that_stood_still_while_its_successor_finished_sends_nothing_more(
    sandbox: Sandbox, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any memory the two cannot know of each other but by the service."""
    from airflow_provider_graine.hooks.graine_batches import GraineBatches

    create = GraineBatches.create
    successor = Task(store=None, tries=1)

    def stands_still(self: Any, *args: Any, **kwargs: Any) -> Any:
        batch = create(self, *args, **kwargs)
        monkeypatch.setattr(GraineBatches, "create", create)
        successor.run(upload(people(30), campaign_id, resend_after=0.5))
        return batch

    monkeypatch.setattr(GraineBatches, "create", stands_still)
    batch_ids = Task(store=None).run(upload(people(30), campaign_id, resend_after=0.5))

    assert len(batch_ids) == 3
    assert creates(sandbox) == 3
    assert everybody_once(sandbox, people(30))
