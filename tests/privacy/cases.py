"""One case for each class that people put into DAGs: how it is used, with the canaries in all it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from airflow.sdk import AssetAlias, task

from tests.kataven_service import AGENT, NUMBER
from tests.privacy.world import CALLER_ID, World, everybody
from tests.provider.test_metadata import components

#: All classes by name.
CLASSES: dict[str, Any] = {each.__name__: each for each in components()}


@dataclass(frozen=True)
class Use:
    """
    How something is used.

    :param of: makes it: a class, or a function that takes the arguments of one
    :param arguments: what it is given
    """

    of: Callable[..., Any]
    arguments: dict[str, Any] = field(repr=False)

    def make(self, **more: Any) -> Callable[[], Any]:
        """
        Return what makes it.

        :param more: further arguments, or others
        """
        return lambda: self.of(**self.arguments | more)

    @property
    def is_upload(self) -> bool:
        """Whether it puts a list of people onto a service."""
        return "on_invalid" in self.arguments

    def takes(self, name: str) -> bool:
        """Tell whether it has such an argument."""
        classes = [each for each in getattr(self.of, "__mro__", ()) if "__init__" in vars(each) and each is not object]
        return any(name in inspect.signature(each.__init__).parameters for each in classes)


Case = Callable[[World], Use]

#: Name of a class to its case.
CASES: dict[str, Case] = {}


def case(*names: str) -> Callable[[Callable[..., Use]], Callable[..., Use]]:
    """Register a case; one for several classes is given the class as well."""

    def register(function: Callable[..., Use]) -> Callable[..., Use]:
        for name in names:
            CASES[name] = partial(function, of=CLASSES[name])
        return function

    return register


def to_be_cased() -> set[str]:
    """Return the names of the classes that need a case: those that no other one derives from."""
    classes = CLASSES.values()
    return {
        name
        for name, each in CLASSES.items()
        if not any(other is not each and issubclass(other, each) for other in classes)
    }


# -- uploads ----------------------------------------------------------------------------------------------------------


_numbers = count()  # an upload that finds another's ledger has nothing to do


def _upload(world: World) -> dict[str, Any]:
    return {
        "task_id": "call",
        "on_invalid": "skip",
        "default_region": "IN",
        "suppress": [f"{world.sources}/suppressed.csv", "SELECT phone_number FROM people WHERE plan IS NULL"],
        "suppress_conn_id": "warehouse",
        "rejects_path": f"file://{world.folder}/rejected.csv",
        "ledger_path": f"file://{world.folder}/ledger-{next(_numbers)}",
        "resend_after": 0.0,
        "wait_for_completion": True,
        "poll_interval": 60.0,
        "outlets": [AssetAlias("called")],
        "max_parallel_uploads": 2,
        "batch_size": 2,
    }


def graine_upload(world: World) -> dict[str, Any]:
    """Return what uploads to Graine are given."""
    return {**_upload(world), "campaign_id": world.campaign(), "metadata": {"team": "retention"}}


def kataven_upload(world: World) -> dict[str, Any]:
    """Return what uploads to Kataven are given."""
    return {**_upload(world), "name": "Renewals", "agent_id": AGENT, "phone_number_id": NUMBER}


def _listed(world: World) -> dict[str, Any]:
    return {"contacts": everybody()}


def _queried(world: World) -> dict[str, Any]:
    return {"sql": "SELECT * FROM people", "sql_conn_id": "warehouse"}


def _stored(world: World) -> dict[str, Any]:
    files = [f"{world.sources}/people.{kind}" for kind in ("csv", "jsonl", "parquet")]
    return {"path": files, "inlets": [], "path_conn_id": None}


@case("GraineCreateBatchOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, graine_upload(world) | _listed(world))


@case("SqlToGraineOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, graine_upload(world) | _queried(world))


@case("ObjectStorageToGraineOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, graine_upload(world) | _stored(world))


@case("GraineBatchDecoratedOperator")
def _(world: World, of: Any) -> Use:
    def decorated(*, task_id: str, **arguments: Any) -> Any:
        @task.graine_batch(task_id=task_id, **arguments)
        def call_people(day: str) -> Iterator[dict[str, Any]]:
            yield from everybody()

        return call_people("2026-05-10").operator

    return Use(decorated, graine_upload(world))


@case("KatavenCreateCampaignOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, kataven_upload(world) | _listed(world) | {"start": True})


@case("SqlToKatavenOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, kataven_upload(world) | _queried(world))


@case("ObjectStorageToKatavenOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, kataven_upload(world) | _stored(world))


# -- small operators --------------------------------------------------------------------------------------------------


@case("GraineCreateCampaignOperator")
def _(world: World, of: Any) -> Use:
    arguments = {"name": "Renewals", "agent_id": "agent_1", "phone_numbers": [CALLER_ID], "timezone": "Asia/Kolkata"}
    return Use(of, {"task_id": "create", **arguments})


@case("GraineUpdateCampaignOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, {"task_id": "update", "campaign_id": world.campaign(), "changes": {"timezone": "Asia/Kolkata"}})


def _campaign_with_people(world: World) -> str:
    campaign_id = world.campaign()
    world.batch(campaign_id)
    return campaign_id


@case(
    "GraineDeleteCampaignOperator",
    "GrainePauseCampaignOperator",
    "GraineResumeCampaignOperator",
    "GraineCancelCampaignOperator",
)
def _(world: World, of: Any) -> Use:
    campaign_id = world.campaign() if "Delete" in of.__name__ else _campaign_with_people(world)
    if "Resume" in of.__name__:
        with world.graine() as hook:
            hook.pause_campaign(campaign_id)
    return Use(of, {"task_id": "change", "campaign_id": campaign_id})


@case(
    "GrainePauseBatchOperator",
    "GraineResumeBatchOperator",
    "GraineCancelBatchOperator",
    "GraineDispatchBatchOperator",
)
def _(world: World, of: Any) -> Use:
    batch_id = world.batch()
    if "Resume" in of.__name__:
        with world.graine() as hook:
            hook.pause_batch(batch_id)
    more = {"only_if_stuck": False} if "Dispatch" in of.__name__ else {}
    return Use(of, {"task_id": "change", "batch_id": batch_id, **more})


@case("KatavenStartCampaignOperator")
def _(world: World, of: Any) -> Use:
    ids = [world.draft(), world.draft()]
    arguments = {"campaign_ids": ids, "one_at_a_time": True, "wait_for_completion": True, "start_timeout": 600.0}
    return Use(of, {"task_id": "start", **arguments})


@case("KatavenResumeCampaignOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, {"task_id": "change", "campaign_id": world.running(paused=True), "start_timeout": 600.0})


@case("KatavenPauseCampaignOperator", "KatavenStopCampaignOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, {"task_id": "change", "campaign_id": world.running()})


@case("KatavenDeleteCampaignOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, {"task_id": "change", "campaign_id": world.draft()})


# -- sensors, results, reports ----------------------------------------------------------------------------------------


@case("GraineBatchSensor")
def _(world: World, of: Any) -> Use:
    return Use(of, {"task_id": "wait", "batch_ids": [[world.batch()]], "poke_interval": 60.0, "timeout": 86400.0})


@case("GraineCampaignSensor")
def _(world: World, of: Any) -> Use:
    campaign_id = _campaign_with_people(world)
    return Use(of, {"task_id": "wait", "campaign_id": campaign_id, "poke_interval": 60.0, "timeout": 86400.0})


@case("KatavenCampaignSensor")
def _(world: World, of: Any) -> Use:
    ids = [world.running(), world.running()]
    return Use(of, {"task_id": "wait", "campaign_ids": ids, "poke_interval": 60.0, "timeout": 86400.0})


def _landing(world: World) -> dict[str, Any]:
    return {
        "task_id": "land",
        "path": f"file://{world.folder}/results",
        "redact": {"phone_number": "hash"},
        "redact_conn_id": "redact_key",
        "outlets": [AssetAlias("results")],
    }


@case("GraineToObjectStorageOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, {**_landing(world), "batch_ids": [world.batch(ended=True)], "kind": "contacts"})


@case("KatavenToObjectStorageOperator")
def _(world: World, of: Any) -> Use:
    return Use(of, {**_landing(world), "campaign_ids": [world.running(ended=True)]})


@case("GraineReportOperator", "KatavenReportOperator")
def _(world: World, of: Any) -> Use:
    summary = {"read": 7, "accepted": 3, "rejected": {"duplicate": 2}, "batches": 1}
    path = f"file://{world.folder}/report.html"
    if "Graine" in of.__name__:
        return Use(of, {"task_id": "report", "path": path, "batch_ids": world.batch(ended=True), "summary": summary})
    return Use(of, {"task_id": "report", "path": path, "campaign_ids": [world.running(ended=True)]})


# -- triggers ---------------------------------------------------------------------------------------------------------


@case("GraineBatchTrigger")
def _(world: World, of: Any) -> Use:
    return Use(of, {"batch_ids": [world.batch()], "poll_interval": 60.0, "on_kill": "pause"})


@case("GraineCampaignTrigger")
def _(world: World, of: Any) -> Use:
    return Use(of, {"campaign_id": _campaign_with_people(world), "poll_interval": 60.0, "on_kill": "cancel"})


@case("GraineBatchEventTrigger")
def _(world: World, of: Any) -> Use:
    return Use(of, {"campaign_id": _campaign_with_people(world), "poll_interval": 0.01})


@case("KatavenCampaignTrigger")
def _(world: World, of: Any) -> Use:
    return Use(of, {"campaign_ids": [world.running()], "poll_interval": 60.0, "on_kill": "pause"})


@case("KatavenStartTrigger")
def _(world: World, of: Any) -> Use:
    return Use(of, {"campaign_ids": [world.draft()], "on_kill": "pause", "until_ended": True, "start_timeout": 600.0})


@case("PauseTrigger")
def _(world: World, of: Any) -> Use:
    return Use(of, {"until": 0.0, "kept": {"doubt_ends": 0.0}, "batch_ids": [world.batch()], "on_kill": "cancel"})


@case("KatavenPauseTrigger")
def _(world: World, of: Any) -> Use:
    return Use(of, {"until": 0.0, "kept": {"doubt_ends": 0.0}, "campaign_ids": [world.running()], "on_kill": "stop"})


# -- notifier, hooks --------------------------------------------------------------------------------------------------


@case("GraineCallNotifier")
def _(world: World, of: Any) -> Use:
    return Use(of, {"campaign_id": world.campaign(), "callee_conn_id": "callee", "variables": {"severity": "high"}})


@case("GraineHook", "KatavenHook")
def _(world: World, of: Any) -> Use:
    return Use(of, {})
