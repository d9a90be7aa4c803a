"""``@task.graine_batch``: a function gives the people, and the task is an upload like any other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG, XComArg
from airflow.sdk import task as airflow_task

from airflow_provider_graine.exceptions import ConfigurationError, ContactsRejectedError, SourceError
from airflow_provider_graine.operators.graine_upload import GraineUploadOperator
from airflow_provider_graine.sandbox import Sandbox
from tests.task import Task

SHORT = {"resend_after": 2.0}


def person(number: int, **variables: Any) -> dict[str, Any]:
    return {"phone_number": f"+9198765{number:05}", "callee_name": f"Testina {number}", **variables}


def operator(made: Any) -> Any:
    """The operator of a decorated function that was called."""
    assert isinstance(made, XComArg)
    (found,) = (each for each, _ in made.iter_references())
    return found


def numbers(sandbox: Sandbox) -> list[str]:
    return [contact["phone_number"] for batch_id in sandbox.batches for contact in sandbox.contacts(batch_id)]


def test_what_it_yields_is_called(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    @airflow_task.graine_batch(campaign_id="{{ run_id }}", batch_size=2, metadata={"team": "retention"})
    def call_people(plan: str, *, first: int, run_id: str | None = None) -> Iterator[dict[str, Any]]:
        """Call some people."""
        for number in range(first, first + 3):
            yield person(number, plan=plan, run=run_id)
        yield {"phone_number": "+919876543210", "call_variables": {"callee_name": "Testina", "plan": plan}}

    task.run_id = campaign_id
    call = operator(call_people("{{ run_id }}-plan", first=7))
    assert isinstance(call, GraineUploadOperator)
    assert call.doc_md == "Call some people."
    context = task.context()
    call.render_template_fields(context)
    batch_ids = call.execute(context)

    assert batch_ids == list(sandbox.batches)
    assert numbers(sandbox) == ["+919876500007", "+919876500008", "+919876500009", "+919876543210"]
    first = sandbox.contacts(batch_ids[0])[0]
    assert first["call_variables"] == {
        "callee_name": "Testina 7",
        "plan": f"{campaign_id}-plan",
        "run": campaign_id,
    }
    assert sandbox.batches[batch_ids[0]]["metadata"]["team"] == "retention"
    assert task.xcom["summary"] == {"read": 4, "accepted": 4, "rejected": {}, "batches": 2}
    rendered = json.dumps({name: getattr(call, name) for name in call.template_fields})
    assert not any(number in rendered for number in sandbox.dialled)


def test_people_are_taken_as_they_come(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    class Person(dict[str, Any]):
        alive = most = 0

        def __init__(self, number: int) -> None:
            super().__init__(person(number))
            Person.alive += 1
            Person.most = max(Person.most, Person.alive)

        def __del__(self) -> None:
            Person.alive -= 1

    @airflow_task.graine_batch(campaign_id=campaign_id, batch_size=20_000)
    def call_people() -> Iterator[dict[str, Any]]:
        yield from map(Person, range(20_000))

    task.run(operator(call_people()))
    assert sum(sandbox.dialled.values()) == 20_000
    assert Person.most < 10_000, "they were gathered first"


def test_a_retry_calls_the_function_again_and_nobody_twice(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    lists = [[1, 2, 3, 4, 5], [5, 6, 4, 2, 1], [6, 1]]

    @airflow_task.graine_batch(campaign_id=campaign_id, batch_size=2, **SHORT)
    def call_people() -> list[dict[str, Any]]:
        return [person(number) for number in lists.pop(0)]

    call = operator(call_people())
    sandbox.fault("POST /batches/", "status", status=401, when="before", after=1)
    with pytest.raises(Exception, match="token"):
        task.run(call)
    assert len(sandbox.batches) == 1
    task.run(call)
    assert sorted(numbers(sandbox)) == [f"+91987650000{number}" for number in (1, 2, 4, 5, 6)]
    task.run(call)
    assert set(sandbox.dialled.values()) == {1}
    assert not lists


def test_an_upload_that_gave_its_slot_up_calls_the_function_again(
    sandbox: Sandbox, campaign_id: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_graine.operators.upload_memory._PATIENCE", 0.0)
    called = []

    @airflow_task.graine_batch(campaign_id=campaign_id, deferrable=True, resend_after=0.5)
    def call_people() -> Iterator[dict[str, Any]]:
        called.append(True)
        yield from map(person, range(3))

    call = operator(call_people())
    sandbox.fault("POST /batches/", "late", list_calls=1)
    sandbox.fault("POST /batches/", "drop", when="after")
    context = task.context()
    with pytest.raises(TaskDeferred) as deferred:
        call.execute(context)
    assert deferred.value.method_name == "execute_resumed"

    async def fire() -> Any:
        return (await anext(deferred.value.trigger.run())).payload

    batch_ids = call.execute_resumed(context, asyncio.run(fire()))
    assert len(called) == 2
    assert batch_ids == list(sandbox.batches)
    assert set(sandbox.dialled.values()) == {1}


def test_it_waits_in_the_triggerer_as_other_uploads_do(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    @airflow_task.graine_batch(campaign_id=campaign_id, wait_for_completion=True, deferrable=True, on_kill="cancel")
    def call_people() -> list[dict[str, Any]]:
        return [person(1)]

    call = operator(call_people())
    with pytest.raises(TaskDeferred) as deferred:
        task.run(call)
    path, kwargs = deferred.value.trigger.serialize()
    assert path.endswith("GraineBatchTrigger")
    assert kwargs["batch_ids"] == list(sandbox.batches)
    assert kwargs["on_kill"] == "cancel"
    done = {"status": "done", "message": "All calls are done", "counts": {}, "error": None}
    event = {**done, "batch_ids": kwargs["batch_ids"]}
    assert call.execute_complete(task.context(), event) == list(sandbox.batches)


def test_the_list_is_screened(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    @airflow_task.graine_batch(campaign_id=campaign_id)
    def call_people() -> list[Any]:
        return [person(1), {"phone_number": "12", "callee_name": "Bad"}, "not a person"]

    with pytest.raises(ContactsRejectedError, match="2 of 3 contacts were rejected"):
        task.run(operator(call_people()))
    task.run(operator(call_people.override(task_id="others", on_invalid="skip")()))
    assert numbers(sandbox) == ["+919876500001"]


class NoSeries:
    given: ClassVar[list[Any]] = [None, person(1), "+919876500001", 7]


@pytest.mark.parametrize("given", NoSeries.given, ids=lambda given: type(given).__name__)
def test_what_is_no_series_of_people_is_refused(sandbox: Sandbox, campaign_id: str, task: Task, given: Any) -> None:
    @airflow_task.graine_batch(campaign_id=campaign_id)
    def call_people() -> Any:
        return given

    with pytest.raises(SourceError, match=f"returned {type(given).__name__}; it has to return or yield") as raised:
        task.run(operator(call_people()))
    assert "98765" not in str(raised.value)
    assert not sandbox.batches


def test_the_functions_own_error_ends_the_task_before_anything_is_sent(
    sandbox: Sandbox, campaign_id: str, task: Task
) -> None:
    @airflow_task.graine_batch(campaign_id=campaign_id, batch_size=1)
    def call_people() -> Iterator[dict[str, Any]]:
        yield person(1)
        raise LookupError("the list ends here")

    with pytest.raises(LookupError, match="ends here"):
        task.run(operator(call_people()))
    assert not sandbox.batches


def test_an_async_function_is_refused_where_it_is_written() -> None:
    async def call_people() -> Any:
        yield person(1)

    with pytest.raises(TypeError, match="plain function"):
        airflow_task.graine_batch(campaign_id="cmp_1")(call_people)()


def test_wrong_arguments_are_refused_before_the_function_is_called(
    sandbox: Sandbox, campaign_id: str, task: Task
) -> None:
    called = []

    @airflow_task.graine_batch(campaign_id=campaign_id, on_invalid="maybe")
    def call_people() -> list[Any]:
        called.append(True)
        return []

    with pytest.raises(ConfigurationError, match="on_invalid"):
        task.run(operator(call_people()))
    assert not called


def test_it_is_used_often_mapped_and_with_what_other_tasks_give(sandbox: Sandbox, campaign_id: str) -> None:
    with DAG("calls", schedule=None, default_args={"graine_conn_id": "of_the_dag", "retries": 4}) as dag:

        @airflow_task
        def campaign() -> str:
            return campaign_id

        @airflow_task
        def regions() -> list[str]:
            return ["north", "south"]

        made = campaign()

        @airflow_task.graine_batch(campaign_id=made, on_kill="pause")
        def call_people(region: str, first: int = 0) -> Iterator[dict[str, Any]]:
            yield person(first, region=region)

        call_people("east")
        call_people("west")
        call_people.override(task_id="again", retries=0)(region=made)
        call_people.override(task_id="mapped").partial(first=5).expand(region=regions())

    assert set(dag.task_dict) == {"campaign", "regions", "call_people", "call_people__1", "again", "mapped"}
    assert dag.task_dict["again"].upstream_task_ids == {"campaign"}
    assert dag.task_dict["call_people__1"].upstream_task_ids == {"campaign"}
    assert dag.task_dict["mapped"].upstream_task_ids == {"campaign", "regions"}
    assert (dag.task_dict["call_people"].retries, dag.task_dict["again"].retries) == (4, 0)
    mapped = dag.task_dict["mapped"].unmap({"op_kwargs": {"region": "north"}})
    assert (mapped.op_kwargs, mapped.graine_conn_id, mapped.kill_action, mapped.retries) == (
        {"first": 5, "region": "north"},
        "of_the_dag",
        "pause",
        4,
    )
