"""Triggers: their rows, their events, what they log, and what they fail with."""

from __future__ import annotations

import pytest
from airflow.triggers.base import BaseTrigger

from tests.privacy.cases import CASES, CLASSES
from tests.privacy.world import World

TRIGGERS = [name for name in CASES if issubclass(CLASSES[name], BaseTrigger)]
#: The sessions on an event loop understand answers as the others do.
SOME = ("HTTP 401", "HTTP 422", "HTTP 503", "wrong types", "no JSON", "a redirect", "no HTTP", "no answer")


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_that_fires(world: World, name: str) -> None:
    use = CASES[name](world)
    if name == "GraineBatchEventTrigger":
        # What had ended before the first look is not told.
        world.airflow.before_event = lambda: None
        event = world.airflow.fire(use.make()(), meanwhile=world.sandbox.run_until_idle)
    else:
        event = world.airflow.fire(use.make()())
    assert isinstance(event, dict), event
    world.airflow.search.raise_for_leaks()
    assert {"trigger", "event"} <= world.airflow.search.seen.keys()


@pytest.mark.parametrize("name", [name for name in TRIGGERS if "Pause" not in name])  # those ask nobody
def test_a_trigger_whose_service_quotes_what_it_was_told(world: World, name: str) -> None:
    hits = 0
    for way in SOME:
        use = CASES[name](world)
        world.hostile.be(way)
        more = {"deadline": world.sandbox.now + 600} if use.takes("deadline") else {}
        world.airflow.fire(use.make(**more)(), patience=0.15 if "Event" in name else 5.0)
        hits += world.hostile.hits
        world.hostile.be(None)
    assert hits >= len(SOME)
    world.airflow.search.raise_for_leaks()


@pytest.mark.parametrize("way", [None, "HTTP 422", "no answer", "wrong types"])
def test_a_trigger_whose_task_a_user_ends(world: World, way: str | None) -> None:
    stopped, world.airflow.before_event = 0, lambda: None
    for name in TRIGGERS:
        use = CASES[name](world)
        if "on_kill" not in use.arguments:
            continue
        world.hostile.be(way)
        world.airflow.kill(use.make()())
        stopped += 1
        world.hostile.be(None)
    assert stopped >= 6
    paths = [*world.sandbox.requests, *world.sandbox.kataven.requests]
    assert way or any(each.path.endswith(("/pause", "/cancel", "/stop")) for each in paths)
    world.airflow.search.raise_for_leaks()
