"""The fields of a Graine connection, read into settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from airflow_provider_graine.services.graine.requests import DOCUMENTED_ERRORS
from airflow_provider_graine.services.settings import ServiceSettings
from airflow_provider_graine.services.validation import checked

#: https://graine.mintlify.app/api-reference/batches/overview
DEFAULT_BASE_URL: Final = "https://api.graine.ai/api/v1"
_DEFAULT_PATH: Final = "api/v1"


class _Extra(BaseModel):
    model_config = ConfigDict(extra="ignore")

    organization_id: str | None = None
    timeout: float = Field(default=30.0, gt=0, le=3600)
    retries: int = Field(default=4, ge=0, le=20)
    allow_http: bool = False
    ca_bundle: str | None = None
    compress_requests: bool = False

    @model_validator(mode="before")
    @classmethod
    def _blank_is_not_given(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        stripped = {name: text.strip() if isinstance(text, str) else text for name, text in value.items()}
        return {name: text for name, text in stripped.items() if text != ""}


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

    :param host: base URL, or a host name; default the vendor's address
    :param schema: ``https`` (default) or ``http``, where the host does not say it; else the URL's path, which is
        where Airflow puts it for a connection that is given as a URI. Without any path: ``/api/v1``
    :param port: where the host does not say it and it is not the scheme's own
    :param password: the token, ``gat_…``
    :param extra: ``organization_id``, ``timeout`` (seconds, 30, at most 3600), ``retries`` (4), ``allow_http``
        (false), ``ca_bundle`` (path), ``compress_requests`` (false)
    :raises ConfigurationError: when a field is missing or wrong
    """
    fields = checked(_Extra, extra, what="extra of the connection")
    return ConnectionFields(
        settings=ServiceSettings(
            base_url=_base_url((host or "").strip(), (schema or "").strip(), port),
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


def _base_url(host: str, schema: str, port: int | None) -> str:
    if not host:
        return DEFAULT_BASE_URL
    scheme, path = (schema.lower(), "") if schema.lower() in {"http", "https"} else ("https", schema)
    try:
        parts = urlsplit(host if "://" in host else f"{scheme}://{host}")
        authority = f"{parts.netloc}:{port}" if port and not parts.port else parts.netloc
    except ValueError:
        return host  # no URL, which the settings say
    path = parts.path.strip("/") or path.strip("/") or _DEFAULT_PATH
    return urlunsplit((parts.scheme, authority, path, parts.query, parts.fragment))
