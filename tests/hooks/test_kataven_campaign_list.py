"""The list of campaigns is read to its end, whether it has pages or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_graine.exceptions import RequestRejectedError
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.kataven.account import KatavenAccount
from airflow_provider_graine.sandbox.kataven.settings import KatavenSettings
from airflow_provider_graine.services import limits

ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[KatavenAccount]:
    with Sandbox(speed=0, kataven=KatavenSettings(rate_limits=False)) as sandbox:
        connection = {**json.loads(sandbox.kataven.connection_json()), "extra": {"requests_per_minute": 10_000}}
        monkeypatch.setenv("AIRFLOW_CONN_KATAVEN_DEFAULT", json.dumps(connection))
        limits._limiters.clear()
        yield sandbox.kataven
        limits._limiters.clear()


@pytest.fixture
def hook(account: KatavenAccount) -> Iterator[KatavenHook]:
    hook = KatavenHook()
    yield hook
    hook.close()


def make(hook: KatavenHook, count: int) -> set[str]:
    contacts = b"phone_number\n+919876500001\n"
    return {
        hook.create_campaign(name=f"c{n}", agent_id=ID, phone_number_id=ID, contacts=contacts).campaign_id
        for n in range(count)
    }


def looks(account: KatavenAccount) -> int:
    return len([request for request in account.requests if (request.method, request.path) == ("GET", "/v1/campaigns")])


def read(hook: KatavenHook) -> list[str]:
    return [campaign.campaign_id for campaign in hook.iter_campaigns()]


@pytest.mark.parametrize("order", ["id", "newest", "oldest"])
@pytest.mark.parametrize(("page", "requests"), [(None, 3), (2, 4), (3, 3), (5, 2), (10, 2)])
def test_every_campaign_once(hook: KatavenHook, account: KatavenAccount, page: Any, requests: int, order: Any) -> None:
    account.settings.campaigns_page, account.settings.campaigns_order = page, order
    made = make(hook, 5)
    assert sorted(read(hook)) == sorted(made)
    assert looks(account) == requests


def test_no_campaign_is_one_request(hook: KatavenHook, account: KatavenAccount) -> None:
    assert read(hook) == []
    assert looks(account) == 1


def test_pages_that_count_from_1(hook: KatavenHook, account: KatavenAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(hook, 5)
    whole = hook.list_campaigns()

    def list_campaigns(self: KatavenHook, *, page: int | None = None) -> Any:
        return whole[2 * ((page or 1) - 1) : 2 * (page or 1)]

    monkeypatch.setattr(KatavenHook, "list_campaigns", list_campaigns)
    assert sorted(read(hook)) == sorted(made)


def test_service_that_refuses_to_be_asked_for_pages(hook: KatavenHook, account: KatavenAccount) -> None:
    made = make(hook, 3)
    account.fault("GET /campaigns", "status", status=400, when="before", after=1)
    assert sorted(read(hook)) == sorted(made)


def test_refusal_of_the_list_itself_is_none_of_a_page(hook: KatavenHook, account: KatavenAccount) -> None:
    account.fault("GET /campaigns", "status", status=400, when="before")
    with pytest.raises(RequestRejectedError):
        read(hook)
