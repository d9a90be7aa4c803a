"""Kataven, as the tests call it: an account of the sandbox whose time stands still until somebody sleeps."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.services import limits
from airflow_provider_graine.watching.clock import clock

AGENT = "11111111-1111-4111-8111-111111111111"
NUMBER = "22222222-2222-4222-8222-222222222222"
MANY = dict.fromkeys(("requests_per_minute", "requests_per_hour", "requests_per_day"), 1_000_000)

Draft = Callable[..., str]


@pytest.fixture
def kataven(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[KatavenAccount]:
    """An empty account, known to Airflow as ``kataven_default``; what it allows is as good as unlimited."""
    account = sandbox.kataven
    account.settings.rate_limits = False
    connection = {**json.loads(account.connection_json()), "extra": MANY}
    monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
    limits._limiters.clear()
    yield account
    limits._limiters.clear()


@pytest.fixture
def draft(kataven: KatavenAccount) -> Iterator[Draft]:
    """Creates campaigns."""
    hook, made = KatavenHook(), iter(range(10_000))

    def create(people: int = 3, **fields: Any) -> str:
        contacts = [{"phone_number": f"+9198{next(made):04}{person:04}"} for person in range(people)]
        options = {"name": "Renewals", "agent_id": AGENT, "phone_number_id": NUMBER, **fields}
        return hook.create_campaign(contacts=contacts, **options).campaign_id

    yield create
    hook.close()


@pytest.fixture
def calendar(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox's time is everybody's: who sleeps lets it pass."""
    real = asyncio.sleep

    async def wait(event: asyncio.Event, *, at_most: float) -> None:
        await asyncio.to_thread(sandbox.advance, at_most)
        await real(0)

    monkeypatch.setattr(time, "sleep", sandbox.advance)
    monkeypatch.setattr(clock, "wall", lambda: sandbox.now)
    monkeypatch.setattr(clock, "wait", wait)
    return sandbox


def changes(account: KatavenAccount) -> list[str]:
    """Return what was asked for that changes something, without creates: ``start c1``."""
    paths = [each.path.split("/") for each in account.requests if each.method == "POST"]
    deleted = [f"delete {each.path.split('/')[-1]}" for each in account.requests if each.method == "DELETE"]
    return [f"{path[-1]} {path[-2]}" for path in paths if path[-1] != "campaigns"] + deleted


def status(account: KatavenAccount, campaign_id: str) -> str:
    """Return a campaign's status."""
    return str(account.campaigns[campaign_id]["status"])
