"""The page in Airflow's interface, and reports: they count, and know nobody."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.privacy.canaries import PEOPLE
from tests.privacy.cases import CASES
from tests.privacy.hostile import WAYS
from tests.privacy.world import World

CONNECTIONS = {"graine_default": "graine", "kataven_default": "kataven"}
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(world: World, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask the page for some addresses, at the end of one look each, and look through all it answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Airflow's own API server brings with it
        from airflow_provider_graine.ui import access, app
    import httpx

    # Airflow's log-in and its database have tests of their own.
    monkeypatch.setattr(app, "readable", lambda dag_ids, *_: set(dag_ids))
    monkeypatch.setattr(app, "states_of", lambda makers: dict.fromkeys(makers, "running"))
    monkeypatch.setattr(app, "tasks_of_marks", lambda _: {})
    monkeypatch.setattr(app, "offered_connections", lambda: CONNECTIONS)
    monkeypatch.setattr(app, "connection_type", CONNECTIONS.get)

    def ask(*paths: str) -> dict[str, Any]:
        page = app.make_app()
        page.dependency_overrides[access.may_see_calls] = lambda: object()

        async def get() -> dict[str, Any]:
            told = {}
            transport = httpx.ASGITransport(page, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://airflow.example/") as client:
                for path in paths:
                    answer = await client.get(path)
                    while path.startswith("/api/calls") and answer.json().get("is_refreshing"):  # a busy machine
                        answer = await client.get(path)
                    world.airflow.search.look(f"page {path.partition('?')[0]}, headers", str(answer.headers))
                    world.airflow.search.look(f"page {path.partition('?')[0]}", answer.content)
                    told[path] = answer
            await page.state.watched.aclose()
            return told

        found = world.airflow.attempt("page", lambda: asyncio.run(get()))
        assert isinstance(found, dict), found
        return found

    return ask


PATHS = ("/", "/api/connections", *(f"/api/calls?conn_id={each}" for each in CONNECTIONS))


def test_what_the_page_is_told(world: World, ask: Ask) -> None:
    world.airflow.run(CASES["GraineCreateBatchOperator"](world).make(wait_for_completion=False))
    world.batch()
    world.running()
    told = ask(*PATHS, *(f"/static/{name}" for name in ("calls.js", "words.js")))
    assert {answer.status_code for answer in told.values()} == {200}
    summaries = {conn_id: told[f"/api/calls?conn_id={conn_id}"].json()["summary"] for conn_id in CONNECTIONS}
    assert summaries["graine_default"]["contacts"] >= 2 * len(PEOPLE)
    assert summaries["kataven_default"]["parts"] == 1
    world.airflow.search.raise_for_leaks()


def test_what_the_page_is_told_of_a_service_that_quotes(world: World, ask: Ask) -> None:
    world.batch()
    world.running()
    hits = 0
    for way in WAYS:
        world.hostile.be(way)
        ask(*PATHS[2:])
        hits += world.hostile.hits
        world.hostile.be(None)
    assert hits >= 2 * len(WAYS)
    world.airflow.search.raise_for_leaks()


@pytest.mark.parametrize("name", ["GraineReportOperator", "KatavenReportOperator"])
def test_a_report(world: World, name: str) -> None:
    assert world.airflow.run(CASES[name](world).make()).state == "success"
    [(path, report)] = world.files()
    assert path == "report.html"
    assert len(report) > 10_000
    world.airflow.search.look("report file", report)
    world.airflow.search.raise_for_leaks()


@pytest.mark.parametrize("name", ["GraineCreateBatchOperator", "KatavenCreateCampaignOperator"])
def test_what_is_kept_in_files_of_an_upload(world: World, name: str) -> None:
    assert world.airflow.run(CASES[name](world).make()).state == "success"
    files = dict(world.files())
    ledger = {path: content for path, content in files.items() if path.startswith("ledger")}
    assert ledger
    for path, content in ledger.items():
        world.airflow.search.look(f"ledger {path}", content)
    world.airflow.search.raise_for_leaks()
    # The one file that people are meant to be in.
    world.airflow.search.look("rejects file", files["rejected.csv"])
    assert world.airflow.search.leaks
