"""One call of a service as a value: what is sent, how its answer is read, what a failure of it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from airflow_provider_graine.exceptions import ConfigurationError

T = TypeVar("T")

#: Statuses with which a service says that it did not do what a write asked for.
REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 410, 413, 415, 422})


@dataclass(frozen=True, kw_only=True)
class Request(Generic[T]):
    """
    One call of a service, ready to be sent by a sync or an async session.

    :param method: HTTP method; ``GET`` is a read and may be repeated, everything else is a write
    :param path: path below the base URL, made with :func:`path`
    :param does: what the call does, for messages: ``"create a batch"``
    :param parse: reads the decoded JSON answer; raises ``ValueError`` where it is not what was agreed
    :param params: query parameters; those that are ``None`` are left out
    :param body: JSON document to send, already encoded
    :param accept: media type of the answer
    :param headers: further headers
    :param refusals: statuses that prove that a write was not carried out
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    does: str
    parse: Callable[[Any], T]
    params: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    accept: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    refusals: frozenset[int] = REFUSALS

    @property
    def is_read(self) -> bool:
        """Whether the call changes nothing, so that it may be repeated at will."""
        return self.method == "GET"

    @property
    def query(self) -> dict[str, str]:
        """The query parameters as they go over the wire."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in self.params.items()
            if value is not None
        }


def path(template: str, *ids: str) -> str:
    """
    Fill ids into a path, quoted so that no id can reach another endpoint.

    :param template: the path, with ``{}`` for each id
    :param ids: opaque ids
    :raises ConfigurationError: when an id is none
    """
    for value in ids:
        if not isinstance(value, str) or value.strip() in {"", ".", ".."} or not value.isprintable():
            raise ConfigurationError(
                f"The id for {template} is empty or no id at all. Nothing was sent; give the id the service gave out."
            )
    return template.format(*(quote(value, safe="") for value in ids))
