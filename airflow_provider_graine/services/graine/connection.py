"""The fields of a Graine connection, read into settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from airflow_provider_graine.services.graine.requests import DOCUMENTED_ERRORS
from airflow_provider_graine.services.settings import ServiceSettings
from airflow_provider_graine.services.validation import checked

#: https://graine.mintlify.app/api-reference/batches/overview
DEFAULT_BASE_URL: Final = "https://api.graine.ai/api/v1"
_DEFAULT_PATH: Final = "/api/v1"


class _Extra(BaseModel):
    model_config = ConfigDict(extra="ignore")

    organization_id: str | None = None
    timeout: float = Field(default=30.0, gt=0)
    retries: int = Field(default=4, ge=0, le=20)
    allow_http: bool = False
    ca_bundle: str | None = None

    @field_validator("organization_id", "ca_bundle", mode="after")
    @classmethod
    def _blank_is_none(cls, value: str | None) -> str | None:
        return (value or "").strip() or None


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
    *, host: str | None, schema: str | None, port: int | None, password: str | None, extra: Mapping[str, Any]
) -> ConnectionFields:
    """
    Read an Airflow connection's fields.

    :param host: base URL; a bare host name means ``https://<host>/api/v1``; default the vendor's address
    :param schema: ``https`` (default) or ``http``, where the host is a bare name
    :param port: where the host is a bare name and the port is not the scheme's own
    :param password: the token, ``gat_…``
    :param extra: ``organization_id``, ``timeout`` (seconds, 30), ``retries`` (4), ``allow_http`` (false),
        ``ca_bundle`` (path)
    :raises ConfigurationError: when a field is missing or wrong
    """
    fields = checked(_Extra, extra, what="extra of the connection")
    return ConnectionFields(
        settings=ServiceSettings(
            base_url=_base_url((host or "").strip(), schema, port),
            token=(password or "").strip(),
            timeout=fields.timeout,
            retries=fields.retries,
            allow_http=fields.allow_http,
            ca_bundle=fields.ca_bundle,
            documented_errors=DOCUMENTED_ERRORS,
        ),
        organization_id=fields.organization_id,
    )


def _base_url(host: str, schema: str | None, port: int | None) -> str:
    if not host:
        return DEFAULT_BASE_URL
    if "://" in host:
        return host.rstrip("/")
    name, slash, rest = host.partition("/")
    authority = f"{name}:{port}" if port else name
    return f"{schema or 'https'}://{authority}{slash + rest if slash else _DEFAULT_PATH}".rstrip("/")
