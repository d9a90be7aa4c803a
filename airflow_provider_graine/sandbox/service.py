"""What the web application asks of a service that the sandbox speaks for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from starlette.datastructures import Headers
    from starlette.responses import Response

    from .bell import Bell
    from .clock import Clock
    from .faults import Fault

    Route = tuple[str, str, Callable[[Any, "Call"], Any]]
    """Method, path below the prefix, handler."""


@dataclass(frozen=True)
class Call:
    """
    A request, free of HTTP.

    :param path: path parameters
    :param query: query parameters
    :param body: the raw body
    :param headers: names in any case
    :param faults: those that change how the request is processed, by kind
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    headers: Headers
    faults: Mapping[str, Fault] = field(default_factory=dict)


class Service(Protocol):
    """One service."""

    name: str
    prefix: str
    wrong_state: int
    """Status of an answer that says that the operation does not fit the current status."""

    def admission(self, headers: Headers) -> AbstractContextManager[Response | None]:
        """:return: to be held until the answer is sent; gives the answer to a request that may not enter"""

    def authorize(self, headers: Headers) -> None:
        """
        Check who asks.

        :raises ApiError: not somebody who may
        """

    def refuse(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> Response:
        """:return: an error as the service words it"""


class Surroundings(Protocol):
    """What a service finds around it."""

    clock: Clock
    bell: Bell
    """Rung when the clock has jumped."""
    stopping: asyncio.Event
    """Ends streams (after a ring)."""

    def caught_up(self) -> AbstractContextManager[None]:
        """Hold the lock, with everything that is due having happened."""

    def speaks_for(self, service: Service) -> bool:
        """:return: whether this still is the service; another one takes its place when all begins anew"""


def bearer(headers: Headers) -> str:
    """:return: the token sent, or nothing"""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def same(sent: str, known: str) -> bool:
    """:return: the tokens are the same; takes as long when they are not"""
    return secrets.compare_digest(sent.encode(), known.encode())
