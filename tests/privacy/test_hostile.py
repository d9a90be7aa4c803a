"""Whatever a service says when it fails, it stays with the service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from airflow.sdk import BaseOperator

from tests.privacy.cases import CASES, CLASSES, Use
from tests.privacy.hostile import WAYS, Told
from tests.privacy.world import World, people

OPERATORS = [name for name in CASES if issubclass(CLASSES[name], BaseOperator)]
#: What a request that fails in some way leads to is the same for all; what classes make of it is not.
SOME = ("HTTP 422", "wrong types", "no answer")
#: Those that read lists from elsewhere do the same as these, once they have read them.
UPLOADS = ("GraineCreateBatchOperator", "KatavenCreateCampaignOperator")
SHORT = {"suppress": None, "rejects_path": None, "ledger_path": None, "contacts": people()}


def _is_write(told: Told) -> bool:
    return told.method != "GET"


def _is_read(told: Told) -> bool:
    return told.method == "GET"


@pytest.mark.parametrize("name", OPERATORS)
def test_a_service_that_quotes_what_it_was_told(world: World, name: str) -> None:
    hits = 0
    for only in (_is_write, _is_read):
        for way in SOME:
            use = CASES[name](world)
            if use.is_upload and (only is _is_read or way != SOME[0]):
                continue
            hits += _run(world, use, way, only)
    assert hits
    world.airflow.search.raise_for_leaks()


@pytest.mark.parametrize("name", UPLOADS)
def test_all_ways_in_which_an_upload_fails(world: World, name: str) -> None:
    for way in WAYS if "Graine" in name else SOME:
        use = CASES[name](world)
        use.arguments.update(SHORT)
        assert _run(world, use, way, _is_write)
    for way in SOME:
        use = CASES[name](world)
        use.arguments.update(SHORT)
        assert _run(world, use, way, _is_read)
    world.airflow.search.raise_for_leaks()


def _run(world: World, use: Use, way: str, only: Callable[[Told], bool]) -> int:
    world.hostile.be(way, only)
    # Looks that fail end no wait.
    outcome = world.airflow.run(use.make(execution_timeout=timedelta(seconds=8)))
    hits = world.hostile.hits
    world.hostile.be(None)
    assert outcome.state in ("success", "failed"), (way, outcome)
    return hits
