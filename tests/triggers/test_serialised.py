"""
Triggers that an older version of this package has written are run by this one.

A deferred task and a watcher lie in Airflow's database as class path and arguments; an upgrade changes the code under
them. ``serialised.json`` has what each version writes.
"""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from airflow.triggers.base import BaseTrigger

from airflow_provider_graine import __version__
from airflow_provider_graine.get_provider_info import get_provider_info
from airflow_provider_graine.triggers.graine import GraineBatchTrigger, GraineCampaignTrigger
from airflow_provider_graine.triggers.kataven import KatavenCampaignTrigger
from airflow_provider_graine.triggers.kataven_start import KatavenStartTrigger
from airflow_provider_graine.triggers.pause import KatavenPauseTrigger, PauseTrigger

GOLDEN = Path(__file__).with_name("serialised.json")
WRITTEN: dict[str, dict[str, dict[str, Any]]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
ENTRIES = [
    pytest.param(entry["classpath"], entry["kwargs"], id=f"{version}: {name}")
    for version, entries in WRITTEN.items()
    for name, entry in entries.items()
]

WHAT_TO_DO = (
    f"The triggers of {__version__} are no longer written as tests/triggers/serialised.json says. If {__version__} is "
    "not released yet, correct its entries there. If it is: give each new argument a default, go on accepting each old "
    "one, raise the version, and add entries for it; never edit those of a released version, which lie in users' "
    "databases."
)


def load(classpath: str) -> type[BaseTrigger]:
    module, _, name = classpath.rpartition(".")
    trigger: type[BaseTrigger] = getattr(import_module(module), name)
    return trigger


def stored(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Send arguments through Airflow's database."""
    back: dict[str, Any] = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(kwargs))
    return back


def written_now() -> dict[str, Any]:
    watch = load("airflow_provider_graine.triggers.graine.GraineBatchEventTrigger")
    everything = {
        "graine_conn_id": "graine_eu",
        "poll_interval": 10.0,
        "deadline": 1778490000.5,
        "min_completed_share": 0.8,
        "max_failed_share": 0.1,
    }
    return {
        "batches": GraineBatchTrigger(["btc_1", "btc_2"]),
        "batches with everything": GraineBatchTrigger(
            ["btc_1"], campaign_id="cmp_1", on_kill="cancel", stalled_after=None, **everything
        ),
        "campaign": GraineCampaignTrigger("cmp_1"),
        "campaign with everything": GraineCampaignTrigger("cmp_1", on_kill="pause", stalled_after=600.0, **everything),
        "ended batches": watch(campaign_id="cmp_1"),
        "ended batches with everything": watch(
            campaign_id="cmp_1", graine_conn_id="graine_eu", poll_interval=10, statuses=("completed",)
        ),
        "kataven campaigns": KatavenCampaignTrigger(["c1", "c2"]),
        "kataven campaigns with everything": KatavenCampaignTrigger(
            ["c1"],
            "kataven_eu",
            poll_interval=10.0,
            deadline=1778490000.5,
            on_kill="stop",
            min_completed_share=0.8,
            max_failed_share=0.1,
            stalled_after=None,
        ),
        "kataven pause": KatavenPauseTrigger(1778490000.5),
        "kataven pause with everything": KatavenPauseTrigger(
            1778490000.5, kept={"looks": 2}, campaign_ids=["c1"], kataven_conn_id="kataven_eu", on_kill="stop"
        ),
        "kataven start": KatavenStartTrigger(["c1"]),
        "kataven start with everything": KatavenStartTrigger(
            ["c1", "c2"],
            "kataven_eu",
            verb="resume",
            until_ended=True,
            one_at_a_time=True,
            hours={"timezone": "UTC", "week": [[[32400, 61200]], [], [], [], [], [], []]},
            start_timeout=None,
            start_interval=120.0,
            poll_interval=30.0,
            deadline=1778490000.5,
            kept={
                "due": 1778490000.5,
                "standing": {"statuses": {"c1": "paused"}, "held": ["c1"], "accepted": ["c1"]},
                "attempts": {},
            },
            on_kill="stop",
        ),
        "pause": PauseTrigger(1778490000.5),
        "pause with everything": PauseTrigger(
            1778490000.5, kept={"looks": 2}, batch_ids=["btc_1"], graine_conn_id="graine_eu", on_kill="cancel"
        ),
    }


@pytest.mark.parametrize(("classpath", "kwargs"), ENTRIES)
def test_what_a_version_wrote_is_built_and_means_the_same(classpath: str, kwargs: dict[str, Any]) -> None:
    trigger = load(classpath)(**stored(kwargs))
    path_now, kwargs_now = trigger.serialize()
    assert {name: kwargs_now[name] for name in kwargs} == kwargs
    again = load(path_now)(**stored(kwargs_now))
    assert again.serialize() == (path_now, kwargs_now)


def test_the_current_version_writes_what_is_noted_for_it() -> None:
    now = {
        name: dict(zip(("classpath", "kwargs"), trigger.serialize(), strict=True))
        for name, trigger in written_now().items()
    }
    assert json.loads(json.dumps(now)) == now, "not JSON"
    assert now == WRITTEN.get(__version__), WHAT_TO_DO


def test_what_is_noted_names_every_trigger_and_every_argument() -> None:
    ours = {
        f"{name}.{each.__name__}"
        for triggers in get_provider_info()["triggers"]
        for name in triggers["python-modules"]
        for each in vars(import_module(name)).values()
        if inspect.isclass(each) and issubclass(each, BaseTrigger) and not inspect.isabstract(each)
    }
    entries = WRITTEN[__version__].values()
    assert {entry["classpath"] for entry in entries} == ours
    for entry in entries:
        parameters = set(inspect.signature(load(entry["classpath"])).parameters)
        assert set(entry["kwargs"]) == parameters, f"{entry['classpath']}. {WHAT_TO_DO}"


@pytest.mark.parametrize("classpath", sorted({entry.values[0] for entry in ENTRIES}))
def test_what_came_later_has_a_default(classpath: str) -> None:
    """Each argument without a default is in every version that has the trigger."""
    needed = {
        name
        for name, parameter in inspect.signature(load(classpath)).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    for entries in WRITTEN.values():
        for entry in entries.values():
            assert entry["classpath"] != classpath or needed <= set(entry["kwargs"])
