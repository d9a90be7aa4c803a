"""The fields of a Kataven connection, read into settings."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.services.connection import Extra, base_url
from airflow_provider_graine.services.kataven.requests import DOCUMENTED_ERRORS, NOT_FOUND
from airflow_provider_graine.services.limits import RequestLimits
from airflow_provider_graine.services.settings import ServiceSettings
from airflow_provider_graine.services.validation import checked

#: https://docs.kataven.ai/api-reference/introduction
DEFAULT_BASE_URL: Final = "https://api.kataven.ai/v1"

#: What every JSON web token begins with.
_SIGNED: Final = "eyJ"


class _Extra(Extra):
    # As https://docs.kataven.ai/concepts/rate-limits says: how often to try again, and how much is allowed.
    retries: int = Field(default=3, ge=0, le=20)
    requests_per_minute: int = Field(default=60, ge=1)
    requests_per_hour: int = Field(default=1_000, ge=1)
    requests_per_day: int = Field(default=10_000, ge=1)
    requests_in_flight: int = Field(default=20, ge=1)
    account_id: str | None = None
    path_prefix: str | None = None


def read_connection(
    *, host: str | None, schema: str | None, port: int | None, password: str | None, extra: Any
) -> ServiceSettings:
    """
    Read an Airflow connection's fields.

    :param host: base URL, or a host name, default the vendor's; see :func:`.base_url`
    :param schema: scheme, or the URL's path; without any path: ``/v1``
    :param port: where the host does not say it and it is not the scheme's own
    :param password: the token: an API key ``sk_live_…``, or a JSON web token
    :param extra: ``account_id`` (needed with a JSON web token), ``path_prefix``, ``requests_per_minute`` (60),
        ``requests_per_hour`` (1,000), ``requests_per_day`` (10,000), ``requests_in_flight`` (20), ``timeout`` (seconds,
        30, at most 3600), ``retries`` (3), ``allow_http`` (false), ``ca_bundle`` (path)
    :raises ConfigurationError: when a field is missing or wrong
    """
    fields = checked(_Extra, extra, what="extra of the connection")
    token = (password or "").strip()
    return ServiceSettings(
        base_url=base_url(host=host, schema=schema, port=port, default=DEFAULT_BASE_URL, prefix=fields.path_prefix),
        token=token,
        timeout=fields.timeout,
        retries=fields.retries,
        allow_http=fields.allow_http,
        ca_bundle=fields.ca_bundle,
        documented_errors=DOCUMENTED_ERRORS,
        headers=_headers(token, fields.account_id),
        tenant="account",
        not_found=NOT_FOUND,
        limits=RequestLimits(
            account=fields.account_id or _account(token),
            per_minute=fields.requests_per_minute,
            per_hour=fields.requests_per_hour,
            per_day=fields.requests_per_day,
            in_flight=fields.requests_in_flight,
        ),
    )


def _headers(token: str, account_id: str | None) -> dict[str, str]:
    if token.startswith("pk_"):
        raise ConfigurationError(
            "The connection's password is the public key of a widget, which is no credential: put an API key "
            "(sk_live_…) there. Nothing was sent."
        )
    if not token.startswith(_SIGNED):
        return {}
    if account_id is None:
        raise ConfigurationError(
            "The connection's token is a JSON web token, which does not say what account is meant: put account_id into "
            "the connection's extra. Nothing was sent."
        )
    if not account_id.isascii() or not account_id.isprintable():
        raise ConfigurationError("In the connection's extra, account_id is no id of an account. Nothing was sent.")
    return {"X-Account-ID": account_id}


def _account(token: str) -> str:
    """
    Tell keys of different accounts apart: ``sk_live_<account>_<rest>``.

    Both parts may contain underscores. Where the rest does, two keys of one account count as two accounts.
    """
    return token.rpartition("_")[0] or token
