"""One call of a service as a value: what is sent, how its answer is read, what a failure of it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from airflow_provider_graine.exceptions import ConfigurationError

T = TypeVar("T")

#: Statuses with which a service says that it did not do what a write asked for.
REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 410, 413, 415, 422})


@dataclass(frozen=True, kw_only=True)
class File:
    """
    A file in a form.

    :param name: what the file is called
    :param content: its bytes
    :param media_type: what they are
    """

    name: str
    content: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, kw_only=True)
class Form:
    """
    What is sent as ``multipart/form-data``.

    :param fields: the values by field
    :param files: the files by field
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request(Generic[T]):
    """
    One call of a service, ready to be sent by a sync or an async session.

    :param method: HTTP method; ``GET`` is a read and may be repeated, everything else is a write
    :param path: path below the base URL, made with :func:`path`
    :param does: what the call does, for messages: ``"create a batch"``
    :param parse: reads the decoded JSON answer, or the data of an event of a stream; raises ``ValueError`` where it is
        not what was agreed
    :param params: query parameters; those that are ``None`` are left out
    :param body: JSON document to send, already encoded
    :param form: form to send instead
    :param accept: media type of the answer
    :param headers: further headers
    :param refusals: statuses that prove that a write was not carried out
    :param turned_away: what the service says with a 429 that proves the same; such a write is sent again. Default:
        nothing does
    :param may_answer_anything: whether an answer that is not JSON is as good as an empty one
    :param silence: seconds without a byte after which the answer counts as broken off; default: the connection's
    :param last_event: the event that ends a stream of events
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    does: str
    parse: Callable[[Any], T]
    params: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    form: Form | None = field(default=None, repr=False)
    accept: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    refusals: frozenset[int] = REFUSALS
    turned_away: re.Pattern[str] | None = None
    may_answer_anything: bool = False
    silence: float | None = None
    last_event: str | None = None

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
