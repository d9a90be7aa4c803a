"""An Airflow whose workers get killed, and a service that outlives them."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.managers import BaseManager
from pathlib import Path

import pytest

from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.settings import KatavenSettings
from tests.crash import runner
from tests.crash.run import PEOPLE, Airflow, Run
from tests.crash.wire import Wire

DAGS = Path(__file__).parent / "dags"

#: What a worker needs, so that each is forked off with all of it in memory.
_PRELOADED = [
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.dagbag",  # Airflow 3.2
    "airflow.models.dagbag",  # before; what is not there is left out
    "airflow.executors.workloads",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow_provider_graine.contacts.contact_list",
    "airflow_provider_graine.hooks.graine",
    "airflow_provider_graine.hooks.graine_batches",
    "airflow_provider_graine.http",
    "airflow_provider_graine.operators.graine",
    "airflow_provider_graine.results.landing",
    "airflow_provider_graine.services.graine.requests",
    "airflow_provider_graine.services.graine.sent",
    "airflow_provider_graine.sources.files",
    "airflow_provider_graine.hooks.kataven",
    "airflow_provider_graine.hooks.kataven_campaigns",
    "airflow_provider_graine.services.kataven.requests",
    "airflow_provider_graine.transfers.object_storage_to_graine",
    "airflow_provider_graine.transfers.object_storage_to_kataven",
    "airflow_provider_graine.uploads.protocol",
    "boto3",
    "duckdb",
    "phonenumbers",
    "tests.crash.runner",
    "upath.implementations.local",
]


class _Processes(BaseManager):
    """Runs the core in a process of its own."""


_Processes.register("Core", runner.Core)


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAGs folder; tests may edit what lies there."""
    return Path(shutil.copytree(DAGS, tmp_path_factory.mktemp("airflow") / "dags"))


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, dags: Path) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(home))
        patch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dags))
        patch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "1")  # also how long an end can go unnoticed
        patch.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_hex(32))
        context: ForkServerContext = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        warm_up = context.Process(target=os.getpid)
        warm_up.start()
        with_core = _Processes(ctx=multiprocessing.get_context("spawn"))
        with_core.start(runner.create_database)
        try:
            airflow = Airflow(with_core.Core(), context, home)  # type: ignore[attr-defined]
            warm_up.join()
            with airflow.wire:
                yield airflow
        finally:
            with_core.shutdown()


@pytest.fixture(scope="session")
def service_and_wire() -> Iterator[tuple[Sandbox, Wire]]:
    # Its time runs: listings can be late by seconds.
    kataven = KatavenSettings(rate_limits=False, concurrent_max=50)
    with Sandbox(speed=1, kataven=kataven) as sandbox, Wire(int(sandbox.root_url.rpartition(":")[2])) as wire:
        yield sandbox, wire


@pytest.fixture
def sandbox(service_and_wire: tuple[Sandbox, Wire]) -> Sandbox:
    sandbox, _ = service_and_wire
    sandbox.reset()
    return sandbox


@pytest.fixture
def service(service_and_wire: tuple[Sandbox, Wire], airflow: Airflow) -> Iterator[Wire]:
    """The wire to the calling service."""
    _, wire = service_and_wire
    yield wire
    wire.clear()
    airflow.wire.clear()


@pytest.fixture
def start(airflow: Airflow, service: Wire, sandbox: Sandbox, tmp_path: Path) -> Callable[[str], Run]:
    """Start a run of a DAG, on ten people and a campaign of its own."""
    campaign = urllib.request.Request(
        f"{sandbox.url}/campaigns/",
        data=json.dumps({"name": "Renewals", "agent_id": "agent_1", "phone_numbers": ["+918045678900"]}).encode(),
        headers={"Authorization": f"Bearer {sandbox.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(campaign, timeout=10) as answer:
        campaign_id = json.load(answer)["campaign_id"]
    people = tmp_path / "people.csv"
    people.write_text("phone_number,callee_name\n" + "".join(f"{number},Person\n" for number in PEOPLE))
    conf = {"campaign_id": campaign_id, "path": str(people), "ledger": str(tmp_path / "ledger")}
    return lambda dag_id: Run(airflow, service, sandbox, dag_id, conf)
