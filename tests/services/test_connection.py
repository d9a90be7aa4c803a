"""From the fields of a connection to an address."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.services.graine.connection import DEFAULT_BASE_URL, read_connection
from airflow_provider_graine.services.settings import ServiceSettings

TOKEN = "gat_0123456789"


def base_url(**fields: Any) -> str:
    given = {"host": None, "schema": None, "port": None, "password": TOKEN, "extra": {}, **fields}
    return read_connection(**given).settings.base_url


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "https://api.graine.ai/api/v1"),
        ({"host": "  "}, "https://api.graine.ai/api/v1"),
        ({"host": "calls.example.com"}, "https://calls.example.com/api/v1"),
        ({"host": "calls.example.com/"}, "https://calls.example.com/api/v1"),
        ({"host": "calls.example.com/gateway/v2/"}, "https://calls.example.com/gateway/v2"),
        ({"host": "https://calls.example.com"}, "https://calls.example.com/api/v1"),
        ({"host": "https://calls.example.com/gateway"}, "https://calls.example.com/gateway"),
        ({"host": " https://calls.example.com/gateway/ "}, "https://calls.example.com/gateway"),
        ({"host": "calls.example.com", "port": 8443}, "https://calls.example.com:8443/api/v1"),
        ({"host": "calls.example.com:8443"}, "https://calls.example.com:8443/api/v1"),
        ({"host": "https://calls.example.com/x", "port": 8443}, "https://calls.example.com:8443/x"),
        ({"host": "https://calls.example.com:1/x", "port": 2}, "https://calls.example.com:1/x"),
        ({"host": "localhost", "schema": "http", "port": 80}, "http://localhost:80/api/v1"),
        ({"host": "calls.example.com", "schema": "HTTPS"}, "https://calls.example.com/api/v1"),
        ({"host": "https://calls.example.com", "schema": "http"}, "https://calls.example.com/api/v1"),
        ({"host": "calls.example.com", "schema": "api/v2"}, "https://calls.example.com/api/v2"),
        ({"host": "http://127.0.0.1", "port": 9, "schema": "api/v2/"}, "http://127.0.0.1:9/api/v2"),
        ({"host": "http://[::1]:8000"}, "http://[::1]:8000/api/v1"),
        ({"host": "http://10.0.0.1", "extra": {"allow_http": "true"}}, "http://10.0.0.1/api/v1"),
    ],
)
def test_forms_of_the_host(fields: dict[str, Any], url: str) -> None:
    assert base_url(**fields) == url
    assert DEFAULT_BASE_URL == "https://api.graine.ai/api/v1"


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("http://10.0.0.1", "plain http"),
        ("http://calls.example.com", "plain http"),
        ("http://127.0.0.1.example.com", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("http://0.0.0.0", "plain http"),
        ("ftp://calls.example.com", "no base URL"),
        ("https://", "no base URL"),
        ("https://calls.example.com:port", "no base URL"),
        ("https://calls.example.com:70000", "no base URL"),
        ("https://[::1", "no base URL"),
        ("https://calls example.com", "no base URL"),
        ("http://127.0.0.1\\@calls.example.com", "no base URL"),
        ("https://me:gat_secret@calls.example.com", "bare base URL"),
        ("https://calls.example.com/api?token=gat_secret", "bare base URL"),
        ("https://calls.example.com/api#gat_secret", "bare base URL"),
    ],
)
def test_hosts_that_are_refused(host: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{said}.*Nothing was sent") as caught:
        base_url(host=host)
    assert "gat_secret" not in str(caught.value)


def test_the_token_does_not_show() -> None:
    settings = ServiceSettings(base_url=DEFAULT_BASE_URL, token=TOKEN)
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings)


@pytest.mark.parametrize("fields", [{"timeout": 0}, {"timeout": -1}, {"retries": -1}])
def test_limits_of_the_settings(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be above 0 seconds and retries at least 0"):
        ServiceSettings(base_url=DEFAULT_BASE_URL, token=TOKEN, **fields)
