"""Every class does its work, and nothing of the people and no secret is left anywhere."""

from __future__ import annotations

import pytest
from airflow.sdk import BaseOperator

from tests.privacy.cases import CASES, CLASSES, to_be_cased
from tests.privacy.world import World

OPERATORS = [name for name in CASES if issubclass(CLASSES[name], BaseOperator)]


def test_each_class_has_a_case() -> None:
    assert set(CASES) == to_be_cased()


@pytest.mark.parametrize("name", OPERATORS)
def test_a_task_that_succeeds(world: World, name: str) -> None:
    for deferrable in (False, True):
        world.sandbox.reset()  # or there is nothing left to do
        use = CASES[name](world)
        if deferrable and not use.takes("deferrable"):
            continue
        outcome = world.airflow.run(use.make(**({"deferrable": True} if deferrable else {})))
        assert outcome.state == "success", (outcome.state, type(outcome.error), outcome.error)
        # What is resumed at once waits for nothing.
        assert bool(world.airflow.deferred_to) == (deferrable and name != "KatavenResumeCampaignOperator")
    world.airflow.search.raise_for_leaks()
    assert {"log", "DAG", "rendered", "XCom", "SucceedTask", "environment"} <= world.airflow.search.seen.keys()
