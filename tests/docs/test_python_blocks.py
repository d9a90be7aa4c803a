"""
Every block of Python on the pages runs.

A block with tests is run by pytest. Any other is executed inside a DAG, with the names that its page takes for granted
(see :func:`granted`), beside a sandbox whose time stands still; a block that imports something imports all it needs.
DAGs and tasks that come of it must be fit for the scheduler.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from airflow.sdk import (
    DAG,
    Asset,
    AssetWatcher,
    Context,
    ObjectStoragePath,
    Param,
    chain,
    dag,
    get_current_context,
    task,
)
from airflow.sdk.definitions._internal.contextmanager import DagContext

from airflow_provider_graine.get_provider_info import get_provider_info
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import KatavenSettings, Sandbox
from airflow_provider_graine.watching import graine_stop, kataven_stop
from tests.docs.pages import ROOT, Block, blocks, in_language
from tests.http.talking import note_naps
from tests.kataven_service import AGENT, NUMBER
from tests.service import sandbox, shared_sandbox

__all__ = ["sandbox", "shared_sandbox"]

# Airflow's own warnings, raised while it runs a DAG in this process, are not for these tests to judge.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.filterwarnings("error:::airflow_provider_graine")]

#: What users import and Airflow need not know.
ALSO_PUBLIC = ["airflow_provider_graine.exceptions", "airflow_provider_graine.retry_policies.calls"]

BLOCKS = in_language("python")
TESTS = [block for block in BLOCKS if "\ndef test_" in block.text]
TUTORIAL = next(block for block in blocks(ROOT / "docs" / "tutorial.md") if "first_calls" in block.text)
PEOPLE = next(block for block in blocks(ROOT / "docs" / "tutorial.md") if block.language == "csv")


def public_names() -> dict[str, Any]:
    """Give what users import from the modules that the provider's metadata names."""
    info = get_provider_info()
    kinds = [row for kind in ("hooks", "operators", "sensors", "triggers") for row in info.get(kind, ())]
    modules = [module for row in kinds for module in row["python-modules"]]
    modules += [row["python-module"] for row in info["transfers"]]
    modules += [path.rpartition(".")[0] for path in info.get("notifications", ())]
    names = {}
    for module in map(import_module, [*modules, *ALSO_PUBLIC]):
        own = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
        names |= {name: getattr(module, name) for name in own | set(getattr(module, "__all__", ())) if name[0] != "_"}
    return names


def granted(sandbox: Sandbox) -> dict[str, Any]:
    """Give the names that fragments use without a word."""
    names = public_names()
    campaign = names["GraineCreateCampaignOperator"](
        task_id="earlier_campaign", name="Renewals", agent_id="agent_abc123", phone_numbers=["+918045678900"]
    )
    called = names["GraineCreateBatchOperator"](
        task_id="earlier_call", contacts=[{"phone_number": "+919876543210"}], campaign_id=campaign.output
    )
    drafts = names["KatavenCreateCampaignOperator"](
        task_id="earlier_drafts", name="Renewals", agent_id=AGENT, phone_number_id=NUMBER, contacts=[]
    )
    hook = GraineHook()
    campaign_id = hook.create_campaign(name="Renewals", agent_id="agent_1", phone_numbers=["+918045678900"]).campaign_id
    contacts = [{"phone_number": "+919876543210", "call_variables": {"callee_name": "Asha Rao"}}]
    batch_id = hook.create_batch(campaign_id=campaign_id, contacts=contacts).batch_id
    hook.close()
    airflow = {each.__name__: each for each in (DAG, Asset, AssetWatcher, Context, ObjectStoragePath, Param)}
    times = {each.__name__: each for each in (date, datetime, timedelta)} | {"UTC": UTC}
    functions = {"task": task, "dag": dag, "chain": chain, "get_current_context": get_current_context}
    at_hand = {"campaign": campaign, "called": called, "drafts": drafts, "sandbox": sandbox, "json": json, "Path": Path}
    ids = {"campaign_id": campaign_id, "batch_id": batch_id, "Sandbox": Sandbox, "KatavenSettings": KatavenSettings}
    return {**names, **airflow, **times, **functions, **at_hand, **ids}


@pytest.fixture(scope="module")
def database() -> None:
    """Airflow's database, for runs of DAGs."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def dags_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Airflow's folder of DAGs, with the tutorial's DAG and list of people."""
    from airflow import settings

    (tmp_path / "dags").mkdir()
    # Nobody races the test: the wait need not be that of a real Airflow.
    (tmp_path / "dags" / "first_calls.py").write_text(TUTORIAL.text.replace("poll_interval=10", "poll_interval=0.5"))
    (tmp_path / "people.csv").write_text(PEOPLE.text)
    monkeypatch.setattr(settings, "DAGS_FOLDER", str(tmp_path / "dags"))
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    return tmp_path


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_a_block_with_tests_passes(
    block: Block, database: None, dags_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = dags_folder / f"test_block_{block.line}.py"
    file.write_text(block.text)
    outcome = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(dags_folder), "-c", "/dev/null", str(file)])
    said = capfd.readouterr().out
    assert outcome == pytest.ExitCode.OK, said
    assert "passed" in said
    if "first_calls" in block.text:
        assert len((dags_folder / "results" / "calls.csv").read_text().splitlines()) == 1 + 3
        assert len((dags_folder / "results" / "rejected.csv").read_text().splitlines()) == 1 + 2


@pytest.mark.parametrize("block", [block for block in BLOCKS if block not in TESTS], ids=str)
def test_a_block_runs(block: Block, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note_naps(monkeypatch)
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", sandbox.kataven.connection_json())
    assert words_of_no_choice(block) == []
    source = tmp_path / "block.py"
    source.write_text(block.text)
    with DAG(dag_id="page", schedule=None) as page:
        names = {} if _imports(block) else granted(sandbox)
        names |= {"__name__": "block", "__file__": str(source)}
        earlier, asked = set(page.task_dict), len(sandbox.requests)
        with noted_dags(monkeypatch) as made:
            outcome = eval(compile(block.text, str(source), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)
    assert made or set(page.task_dict) > earlier or len(sandbox.requests) > asked or "assert " in block.text, (
        "the block does nothing"
    )
    for each in [page, *made]:
        _fit_for_the_scheduler(each)


@contextmanager
def noted_dags(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[DAG]]:
    """Note the DAGs that are made meanwhile, as Airflow does when it reads a file."""
    made: list[DAG] = []
    monkeypatch.setitem(sys.modules, "block", type(sys)("block"))
    monkeypatch.setattr(DagContext, "current_autoregister_module_name", "block")
    monkeypatch.setattr(DagContext, "autoregistered_dags", registered := set())
    yield made
    made += [dag for dag, _ in registered]


def _imports(block: Block) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(block.text)))


def _fit_for_the_scheduler(dag: DAG) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag.check_cycle()
    templates = dag.get_template_env()
    for each in dag.tasks:
        for field in each.template_fields:
            if isinstance(value := getattr(each, field, None), str):
                templates.parse(value)
    serialized = DagSerialization.to_dict(dag)
    assert set(DagSerialization.from_dict(serialized).task_dict) == set(dag.task_dict)


def words_of_no_choice(block: Block) -> list[str]:
    """Give the arguments that are none of the few words which their class takes: those are checked when it runs."""
    names = public_names()
    wrong = []
    for call in (node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Call)):
        named = call.func.value if isinstance(call.func, ast.Attribute) else call.func  # Operator.partial(…) as well
        choices = _choices(names.get(named.id)) if isinstance(named, ast.Name) else {}
        for each in call.keywords:
            if isinstance(each.value, ast.Constant) and each.value.value not in choices.get(
                each.arg, (each.value.value,)
            ):
                wrong.append(ast.unparse(each))
    return wrong


def _choices(kind: Any) -> dict[str | None, tuple[Any, ...]]:
    choices: dict[str | None, tuple[Any, ...]] = {}
    for base in reversed(kind.__mro__) if inspect.isclass(kind) else ():
        if base.__module__.startswith("airflow_provider_graine") and "__init__" in vars(base):
            stop = kataven_stop if "kataven" in base.__module__ else graine_stop
            names = {"Literal": Literal, "Action": stop.Action}
            for name, annotation in inspect.get_annotations(base.__init__).items():
                if words := re.search(r"Literal\[.*?\]|\bAction\b", annotation):
                    choices[name] = (*get_args(eval(words[0], names)), None)
    return choices


def test_words_that_an_argument_does_not_take_are_found() -> None:
    text = 'SqlToGraineOperator.partial(on_invalid="skp", sql="SELECT 1").expand(shard=[])\nKatavenHook(x=1)\n'
    assert words_of_no_choice(Block(ROOT, 1, "python", text)) == ["on_invalid='skp'"]
    text = 'SqlToGraineOperator(on_kill="stop")\nKatavenStartCampaignOperator(on_kill="stop", on_timeout="cancel")'
    assert words_of_no_choice(Block(ROOT, 1, "python", text)) == ["on_kill='stop'", "on_timeout='cancel'"]
    text = 'GraineToObjectStorageOperator(if_exists="overwrite", kind="csv")'
    assert words_of_no_choice(Block(ROOT, 1, "python", text)) == ["if_exists='overwrite'"]
