"""Every operator, sensor, transfer and notifier takes templates, others' outputs, default_args and mapping alike."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier, BaseOperator, BaseSensorOperator, XComArg
from airflow.sdk import task as airflow_task

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators import graine, kataven
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sensors.graine import GraineBatchSensor
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from tests.provider.test_metadata import PUBLIC, components
from tests.task import Task

PACKAGE = "airflow_provider_graine"
#: What may come from elsewhere: an id, a path, a connection, a name, a query.
FROM_ELSEWHERE = re.compile(r"(^|_)(ids?|paths?|sql|name)$")
REQUIRED: dict[str, Any] = {
    "agent_id": "agent_1",
    "batch_id": "btc_1",
    "batch_ids": ["btc_1"],
    "campaign_id": "cmp_1",
    "changes": {"name": "Renewals"},
    "contacts": [],
    "name": "Renewals",
    "path": "file:///tmp/somewhere",
    "phone_number_id": "pn_1",
    "phone_numbers": ["+918045678900"],
    "python_callable": lambda: [],
    "sql": "SELECT 1",
    "sql_conn_id": "warehouse",
}
#: What authors set once for a whole DAG.
FOR_ALL = {
    "graine_conn_id": "other_graine",
    "kataven_conn_id": "other_kataven",
    "deferrable": True,
    "on_kill": "pause",
    "on_timeout": "pause",
    "poll_interval": 77.0,
    "poke_interval": 78.0,
    "wait_timeout": 79.0,
    "stalled_after": 80.0,
    "min_completed_share": 0.5,
    "max_failed_share": 0.25,
    "resend_after": 81.0,
    "on_invalid": "skip",
    "default_region": "IN",
    "ledger_path": "file:///tmp/ledger",
}
KEPT_AS = {"on_kill": "kill_action", "on_timeout": "timeout_action"}

OFFERED = [each for each in components() if each.__module__.removeprefix(f"{PACKAGE}.") in PUBLIC]
OPERATORS = [each for each in OFFERED if issubclass(each, BaseOperator)]
NOTIFIERS = [each for each in OFFERED if issubclass(each, BaseNotifier)]
names: dict[str, Any] = {"ids": lambda each: each.__name__}


def arguments(kind: type) -> dict[str, inspect.Parameter]:
    """The arguments that are this package's own."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if base.__module__.startswith(PACKAGE) and "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            found = {name: each for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY} | found
    return found


def required(kind: type) -> dict[str, Any]:
    own = arguments(kind)
    given = {name: REQUIRED[name] for name, each in own.items() if each.default is inspect.Parameter.empty}
    if {"batch_ids", "campaign_ids"} & set(own) and "campaign_id" in own:  # one of them
        given["campaign_id"] = REQUIRED["campaign_id"]
    return given


def made(kind: type, **given: Any) -> Any:
    return kind(**{"task_id": "it", **required(kind), **given})


def templated(kind: type) -> list[str]:
    return sorted(name for name in arguments(kind) if FROM_ELSEWHERE.search(name))


def test_the_sweep_meets_everything() -> None:
    assert len(OPERATORS) >= 27
    assert len(NOTIFIERS) == 1
    assert {"graine_conn_id", "batch_ids", "path"} <= set(templated(GraineToObjectStorageOperator))


@pytest.mark.parametrize("kind", [*OPERATORS, *NOTIFIERS], **names)
def test_what_may_come_from_elsewhere_is_templated(kind: Any) -> None:
    assert set(templated(kind)) <= set(kind.template_fields)
    assert set(kind.template_fields) - set(arguments(kind)) == set()


@pytest.mark.parametrize("kind", OPERATORS, **names)
def test_it_is_rendered_and_may_come_from_another_task(kind: Any) -> None:
    fields = templated(kind)
    with DAG("calls", schedule=None) as dag:

        @airflow_task
        def upstream() -> str:
            return "given"

        by_template = made(kind, task_id="by_template", **dict.fromkeys(fields, "{{ run_id }}-x"))
        by_xcom = made(kind, task_id="by_xcom", **dict.fromkeys(fields, upstream()))
    by_template.render_template_fields({"run_id": "r1"})
    assert {name: getattr(by_template, name) for name in fields} == dict.fromkeys(fields, "r1-x")
    assert dag.task_dict["by_xcom"].upstream_task_ids == {"upstream"}
    assert all(isinstance(getattr(by_xcom, name), XComArg) for name in fields)


@pytest.mark.parametrize("kind", OPERATORS, **names)
def test_default_args_reach_it_mapped_or_not(kind: Any) -> None:
    own = {*arguments(kind), *({"poke_interval"} if issubclass(kind, BaseSensorOperator) else ())}
    if kind is kataven.KatavenResumeCampaignOperator:
        own -= {"on_kill", "on_timeout"}  # the calls are not this task's
    wanted = {name: value for name, value in FOR_ALL.items() if name in own}
    assert wanted.keys() & {"graine_conn_id", "kataven_conn_id"}
    given = {"task_id": "mapped", **required(kind)}
    over = next(name for name in ("batch_id", "batch_ids", "campaign_id", "name") if name in given)
    values = [given.pop(over)] * 2
    with DAG("calls", schedule=None, default_args=FOR_ALL) as dag:
        plain = made(kind, task_id="plain")
        if "python_callable" not in given:  # mapped over the function's own arguments
            kind.partial(**given).expand(**{over: values})
    operators = [plain]
    if "mapped" in dag.task_dict:
        operators.append(dag.task_dict["mapped"].unmap({over: values[0]}))
        assert getattr(operators[1], over) == values[0]
    for operator in operators:
        assert {name: getattr(operator, KEPT_AS.get(name, name)) for name in wanted} == wanted


def test_batches_are_mapped_over(sandbox: Sandbox, hook: GraineHook, campaign_id: str, tmp_path: Path) -> None:
    """One task for each batch of an upload: held, let go, waited for, landed, cancelled."""
    people = [{"phone_number": f"+91987650000{number}", "callee_name": f"Person {number}"} for number in range(4)]
    with DAG("calls", schedule=None) as dag:
        call = graine.GraineCreateBatchOperator(
            task_id="call", campaign_id=campaign_id, contacts=people, batch_size=2, graine_conn_id="graine_default"
        )
        for kind in (
            graine.GrainePauseBatchOperator,
            graine.GraineResumeBatchOperator,
            graine.GraineCancelBatchOperator,
        ):
            kind.partial(task_id=kind.verb).expand(batch_id=call.output)
        GraineBatchSensor.partial(task_id="wait", poke_interval=5).expand(batch_ids=call.output)
        GraineToObjectStorageOperator.partial(task_id="land", path=tmp_path.as_uri()).expand(batch_ids=call.output)
    batch_ids = Task().run(call)

    def each(task_id: str, over: str) -> list[Any]:
        assert dag.task_dict[task_id].upstream_task_ids == {"call"}
        return [
            Task(map_index=index).run(dag.task_dict[task_id].unmap({over: batch_id}))
            for index, batch_id in enumerate(batch_ids)
        ]

    def states() -> list[str]:
        return [batch["status"] for batch in sandbox.batches.values()]

    assert each("pause", "batch_id") == batch_ids
    assert states() == ["paused"] * 2
    each("resume", "batch_id")
    assert states() == ["in_progress"] * 2
    sandbox.run_until_idle()
    each("wait", "batch_ids")
    landed = each("land", "batch_ids")
    assert [[file["batch_id"] for file in files] for files in landed] == [[batch_id] for batch_id in batch_ids]
    hook.create_batch(campaign_id=campaign_id, contacts=[{"phone_number": "+919876500009"}])
    batch_ids = [list(sandbox.batches)[-1]]
    each("cancel", "batch_id")
    assert states() == ["completed", "completed", "cancelled"]
