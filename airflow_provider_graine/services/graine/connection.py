"""The fields of a Graine connection, read into settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_graine.services.connection import Extra, base_url
from airflow_provider_graine.services.graine.requests import DOCUMENTED_ERRORS
from airflow_provider_graine.services.settings import ServiceSettings
from airflow_provider_graine.services.validation import checked

#: https://graine.mintlify.app/api-reference/batches/overview
DEFAULT_BASE_URL: Final = "https://api.graine.ai/api/v1"


class _Extra(Extra):
    organization_id: str | None = None
    compress_requests: bool = False


@dataclass(frozen=True, kw_only=True)
class ConnectionFields:
    """
    What a Graine connection says.

    :param settings: how the service is reached
    :param organization_id: sent with requests that take one; ``None``: the token's own
    """

    settings: ServiceSettings
    organization_id: str | None


def read_connection(
    *, host: str | None, schema: str | None, port: int | None, password: str | None, extra: Any
) -> ConnectionFields:
    """
    Read an Airflow connection's fields.

    :param host: base URL, or a host name, default the vendor's; see :func:`.base_url`
    :param schema: scheme, or the URL's path; without any path: ``/api/v1``
    :param port: where the host does not say it and it is not the scheme's own
    :param password: the token, ``gat_…``
    :param extra: ``organization_id``, ``timeout`` (seconds, 30, at most 3600), ``retries`` (4), ``allow_http``
        (false), ``ca_bundle`` (path), ``compress_requests`` (false)
    :raises ConfigurationError: when a field is missing or wrong
    """
    fields = checked(_Extra, extra, what="extra of the connection")
    return ConnectionFields(
        settings=ServiceSettings(
            base_url=base_url(host=host, schema=schema, port=port, default=DEFAULT_BASE_URL),
            token=(password or "").strip(),
            timeout=fields.timeout,
            retries=fields.retries,
            allow_http=fields.allow_http,
            ca_bundle=fields.ca_bundle,
            compress_requests=fields.compress_requests,
            documented_errors=DOCUMENTED_ERRORS,
        ),
        organization_id=fields.organization_id,
    )
