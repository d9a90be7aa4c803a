"""What the connections of all services have in common: an address in several spellings, and the same extra fields."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Extra(BaseModel):
    """The extra of a connection; a field that is blank is not given."""

    model_config = ConfigDict(extra="ignore")

    timeout: float = Field(default=30.0, gt=0, le=3600)
    retries: int = Field(default=4, ge=0, le=20)
    allow_http: bool = False
    ca_bundle: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _blank_is_not_given(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        stripped = {name: text.strip() if isinstance(text, str) else text for name, text in value.items()}
        return {name: text for name, text in stripped.items() if text != ""}


def base_url(*, host: str | None, schema: str | None, port: int | None, default: str, prefix: str | None = None) -> str:
    """
    Read the address below which all paths of a service lie.

    :param host: base URL, or a host name; none: the default
    :param schema: ``https`` (default) or ``http``, where the host does not say it; else the URL's path, which is
        where Airflow puts it for a connection that is given as a URI
    :param port: where the host does not say it and it is not the scheme's own
    :param default: the vendor's base URL; its path is taken where none is given
    :param prefix: path to add to the address; default: none where it has a path of its own
    """
    host, schema = (host or "").strip(), (schema or "").strip()
    vendor = urlsplit(default)
    if not host:
        if prefix is None:
            return default
        host = urlunsplit((vendor.scheme, vendor.netloc, "", "", ""))
    scheme, path = (schema.lower(), "") if schema.lower() in {"http", "https"} else ("https", schema)
    try:
        parts = urlsplit(host if "://" in host else f"{scheme}://{host}")
        authority = f"{parts.netloc}:{port}" if port and not parts.port else parts.netloc
    except ValueError:
        return host  # no URL, which the settings say
    path = parts.path.strip("/") or path.strip("/")
    if prefix is not None:
        path = "/".join(part for part in (path, prefix.strip("/")) if part)
    elif not path:
        path = vendor.path.strip("/")
    return urlunsplit((parts.scheme, authority, path, parts.query, parts.fragment))
