"""From the fields of a Kataven connection to an address, a token and limits."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.services.kataven.connection import DEFAULT_BASE_URL, read_connection
from airflow_provider_graine.services.settings import ServiceSettings

KEY = "sk_live_acme_0123456789"
SIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"


def read(**fields: Any) -> ServiceSettings:
    return read_connection(**{"host": None, "schema": None, "port": None, "password": KEY, "extra": {}, **fields})


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "https://api.kataven.ai/v1"),
        ({"host": "api.kataven.ai"}, "https://api.kataven.ai/v1"),
        ({"host": "https://api.kataven.ai/"}, "https://api.kataven.ai/v1"),
        ({"host": "https://api.kataven.ai/api/v1"}, "https://api.kataven.ai/api/v1"),
        ({"host": "api.kataven.ai", "schema": "hub-api"}, "https://api.kataven.ai/hub-api"),
        ({"host": "localhost", "schema": "http", "port": 8000}, "http://localhost:8000/v1"),
        ({"extra": {"path_prefix": "/api/v1"}}, "https://api.kataven.ai/api/v1"),
        ({"extra": {"path_prefix": " "}}, "https://api.kataven.ai/v1"),
        ({"extra": {"path_prefix": "/"}}, "https://api.kataven.ai"),
        ({"host": "hub.kataven.ai", "extra": {"path_prefix": "/"}}, "https://hub.kataven.ai"),
        ({"host": "hub.kataven.ai", "extra": {"path_prefix": "hub-api/"}}, "https://hub.kataven.ai/hub-api"),
        ({"host": "gate.example.com/calls", "extra": {"path_prefix": "v1"}}, "https://gate.example.com/calls/v1"),
        ({"host": "https://api.kataven.ai/v1", "extra": {"path_prefix": "api/v1"}}, "https://api.kataven.ai/v1/api/v1"),
    ],
)
def test_forms_of_the_address(fields: dict[str, Any], url: str) -> None:
    assert read(**fields).base_url == url
    assert DEFAULT_BASE_URL == "https://api.kataven.ai/v1"


@pytest.mark.parametrize("host", ["http://10.0.0.1", "ftp://x", "https://[::1", "https://me:secret@api.kataven.ai"])
def test_hosts_that_are_refused(host: str) -> None:
    for extra in ({}, {"path_prefix": "v1"}):
        with pytest.raises(ConfigurationError, match="Nothing was sent") as caught:
            read(host=host, extra=extra)
        assert "secret" not in str(caught.value)


def test_an_api_key_needs_no_account() -> None:
    assert read().headers == {}
    assert read(extra={"account_id": "acme"}).headers == {}


def test_a_signed_token_needs_one() -> None:
    assert read(password=SIGNED, extra={"account_id": " acme "}).headers == {"X-Account-ID": "acme"}
    with pytest.raises(ConfigurationError, match=r"put account_id into.*Nothing was sent"):
        read(password=SIGNED)
    for odd in ("acme\r\nX-Other: 1", "äcme"):
        with pytest.raises(ConfigurationError, match="account_id is no id") as caught:
            read(password=SIGNED, extra={"account_id": odd})
        assert odd not in str(caught.value)


def test_a_widgets_public_key_is_no_credential() -> None:
    with pytest.raises(ConfigurationError, match=r"public key of a widget.*Nothing was sent") as caught:
        read(password="pk_live_acme_1")
    assert "acme" not in str(caught.value)


def test_the_documented_limits_are_the_default() -> None:
    settings = read()
    assert settings.limits is not None
    assert (settings.limits.per_minute, settings.limits.per_hour, settings.limits.per_day) == (60, 1000, 10_000)
    assert settings.limits.in_flight == 20
    assert settings.retries == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"password": "sk_live_acme_1"}, {"password": "sk_live_acme_2"}, True),
        ({"password": "sk_live_my_team_1"}, {"password": "sk_live_my_team_2"}, True),
        ({"password": "sk_live_acme_1"}, {"password": "sk_live_other_1"}, False),
        ({"password": "sk_live_acme_1"}, {"password": "sk_live_acme_too_1"}, False),
        ({"password": "one"}, {"password": "other"}, False),
        (
            {"password": SIGNED, "extra": {"account_id": "acme"}},
            {"password": SIGNED + "x", "extra": {"account_id": "acme"}},
            True,
        ),
        (
            {"password": SIGNED, "extra": {"account_id": "acme"}},
            {"password": SIGNED, "extra": {"account_id": "other"}},
            False,
        ),
    ],
)
def test_who_shares_the_limits(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    first, second = read(**one).limits, read(**other).limits
    assert first is not None
    assert second is not None
    assert (first.account == second.account) is same


@pytest.mark.parametrize(
    "name", ["requests_per_minute", "requests_per_hour", "requests_per_day", "requests_in_flight", "timeout"]
)
@pytest.mark.parametrize("value", [0, -1, "many"])
def test_limits_that_are_none(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"extra of the connection.*{name}.*Nothing was sent"):
        read(extra={name: value})


def test_nothing_secret_shows() -> None:
    for password in (KEY, SIGNED):
        settings = read(password=password, extra={"account_id": "acme"})
        assert password not in repr(settings)
        assert "0123" not in repr(settings)
