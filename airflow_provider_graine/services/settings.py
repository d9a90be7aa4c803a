"""How a service is reached: address, token, time-outs; checked before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.services.limits import RequestLimits


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """
    Everything a session needs to know about the service it talks to.

    :param base_url: address below which all paths lie, without a trailing slash
    :param token: bearer token
    :param timeout: seconds without any progress after which a request is given up; default 30
    :param retries: how often a request that may be repeated is repeated; default 4
    :param allow_http: whether plain ``http://`` may be used with a host other than this machine; default no
    :param ca_bundle: file with the certificates to trust, in place of the default ones
    :param compress_requests: whether bodies are sent with gzip; default no: not every service takes that
    :param documented_errors: error sentences the vendor documents; only these are ever quoted in a message
    :param headers: sent with every request, besides the token
    :param tenant: what the vendor calls that to which a token belongs; default ``organization``
    :param not_found: what the service says of an object that it does not know; a 404 without these words comes from
        somewhere else, such as a wrong address. Default: every 404 means the object
    :param limits: how many requests the account may make; default: no limits are known
    """

    base_url: str
    token: str = field(repr=False)
    timeout: float = 30.0
    retries: int = 4
    allow_http: bool = False
    ca_bundle: str | None = None
    compress_requests: bool = False
    documented_errors: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    tenant: str = "organization"
    not_found: re.Pattern[str] | None = None
    limits: RequestLimits | None = None

    def __post_init__(self) -> None:
        if not _is_address(self.base_url):
            raise ConfigurationError(
                "The connection's host is no base URL; it looks like https://api.example.com/api/v1. Nothing was sent."
            )
        parts = urlsplit(self.base_url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigurationError(
                "The connection's host must be a bare base URL, without user, password, query or fragment. "
                "Put the token into the password field. Nothing was sent."
            )
        if parts.scheme == "http" and not self.allow_http and not is_loopback(parts.hostname or ""):
            raise ConfigurationError(
                "The connection's host is a plain http:// address of another machine: the token and the "
                "contacts would travel unencrypted. Use https://, or set allow_http in the connection's "
                "extra if you know the way to be safe. Nothing was sent."
            )
        if not self.token:
            raise ConfigurationError("The connection has no token: put it into the password field. Nothing was sent.")
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise ConfigurationError(
                "The token in the connection's password field contains blanks or characters that no token "
                "has; copy it again. Nothing was sent."
            )
        if self.timeout <= 0 or self.retries < 0:
            raise ConfigurationError(
                "In the connection's extra, timeout must be above 0 seconds and retries at least 0. Nothing was sent."
            )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"[\s\x00-\x1f\x7f\\]", url)
        )
    except ValueError:  # a port or an IPv6 address that is none
        return False


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
