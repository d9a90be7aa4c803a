"""
The HTTP session with a calling service. The only module that imports httpx.

One conversation (:func:`_converse`) decides what is sent, when the token is read anew, which redirect is followed and
what an answer means; :class:`Session` and :class:`AsyncSession` only carry it out. Its rule:

- a read is repeated on connection errors, 429 and 5xx;
- a write is repeated only where it provably was not sent (no connection came about), never follows a redirect, and
  ends in :class:`.UnclearOutcomeError` where nobody can tell whether it was carried out.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Generic, NoReturn, TypedDict, TypeVar, cast

import httpx
import tenacity

from airflow_provider_graine import __version__
from airflow_provider_graine.exceptions import (
    AuthenticationError,
    NotFoundError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    UnclearOutcomeError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.services.request import Request
from airflow_provider_graine.services.settings import ServiceSettings, is_loopback

T = TypeVar("T")
B = TypeVar("B")

#: Longest ``Retry-After``, in seconds, that is waited out inside one call; a longer one is left to the caller.
LONGEST_RETRY_AFTER: Final = 120.0
_MOST_REDIRECTS: Final = 5
_BLOCK: Final = 256 * 1024

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True)
class Download(Generic[B]):
    """
    An answer that is being read.

    :param length: number of bytes it will have, where the service says so
    :param blocks: the bytes, in blocks of at most 256 KiB
    """

    length: int | None
    blocks: B


class _ReloadToken:
    """The step of a conversation that asks for the token to be read from its source again."""


_Step = httpx.Request | _ReloadToken
_Conversation = Generator[_Step, httpx.Response | str | None, httpx.Response]


def _converse(parts: _Parts, request: Request[Any]) -> _Conversation:
    """Yield what to do next, be sent the outcome, and return the answer of success; raise our own errors otherwise."""
    reloaded = False
    redirects = 0
    outgoing = parts.build(request)
    while True:
        try:
            response = yield outgoing
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _raise_for_transport(request, error)
        assert isinstance(response, httpx.Response)  # noqa: S101 - narrows the type of what the driver sent
        if response.status_code == httpx.codes.UNAUTHORIZED and not reloaded:
            reloaded = True
            token = yield _ReloadToken()
            if isinstance(token, str) and token != parts.token:
                parts.token = token
                outgoing = parts.build(request)
                continue
        if response.is_redirect and request.is_read and redirects < _MOST_REDIRECTS:
            following = response.next_request
            if following is not None and _may_follow(outgoing.url, following.url):
                redirects += 1
                outgoing = following
                continue
        if not response.is_success:
            _raise_for_status(request, response, parts.settings)
        return response


def _may_follow(origin: httpx.URL, target: httpx.URL) -> bool:
    return target.scheme == "https" or (origin.scheme == "http" and is_loopback(target.host))


def _raise_for_transport(request: Request[Any], error: Exception) -> NoReturn:
    what = type(error).__name__
    if isinstance(error, _NOT_SENT):
        raise ServiceUnavailableError(
            f"Could not {request.does}: no connection to the service came about ({what}), so nothing was sent. "
            "Check the connection's host and the network, or try later."
        ) from error
    if request.is_read:
        raise ServiceUnavailableError(
            f"Could not {request.does}: the connection broke before the answer was complete ({what}). "
            "Nothing was changed; try again."
        ) from error
    raise UnclearOutcomeError(
        f"No answer came to the request to {request.does} ({what}): the service may or may not have carried it "
        "out. Look at the service before repeating it."
    ) from error


def _raise_for_status(request: Request[Any], response: httpx.Response, settings: ServiceSettings) -> NoReturn:
    status = response.status_code
    answered = f"Could not {request.does}: the service answered HTTP {status}"
    if not request.is_read and status not in request.refusals:
        raise UnclearOutcomeError(
            f"The request to {request.does} was answered with HTTP {status}, which does not say whether it was "
            "carried out. Look at the service before repeating it.",
            status_code=status,
        )
    if status in {401, 403}:
        raise AuthenticationError(
            f"{answered}: it does not accept the token, also after reading it anew from the connection. "
            "Nothing was changed; put a valid token into the connection.",
            status_code=status,
        )
    said = _documented_error(response, settings)
    if status == 404:
        raise NotFoundError(
            f"{answered}{said}. Nothing was changed; check the id, the organization the token belongs to, and the "
            "connection's host.",
            status_code=status,
        )
    if response.is_redirect:
        raise UnexpectedAnswerError(
            f"{answered}, a redirect that is not followed. Nothing was changed; correct the connection's host.",
            status_code=status,
        )
    if status == 429 or status >= 500 or status == 408:
        raise ServiceUnavailableError(
            f"{answered}. Nothing was changed; try later.",
            status_code=status,
            retry_after=_retry_after(response),
        )
    raise RequestRejectedError(
        f"{answered}{said}. Nothing was changed; correct the request's values, repeating it does not help.",
        status_code=status,
    )


def _documented_error(response: httpx.Response, settings: ServiceSettings) -> str:
    """Quote the service only where it says, word for word, what its documentation says: a body may echo people."""
    try:
        detail = json.loads(response.content).get("detail")
    except (ValueError, AttributeError, httpx.ResponseNotRead):
        return ""
    return f' ("{detail}")' if isinstance(detail, str) and detail in settings.documented_errors else ""


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _read(request: Request[T], response: httpx.Response) -> T:
    try:
        return request.parse(json.loads(response.content) if response.content else None)
    except (ValueError, RecursionError):
        pass  # the cause would carry the body along
    if request.is_read:
        raise UnexpectedAnswerError(
            f"Could not {request.does}: the answer (HTTP {response.status_code}, {_content_type(response)}) is not "
            "what the service documents. Nothing was changed; check the connection's host.",
            status_code=response.status_code,
        )
    raise UnclearOutcomeError(
        f"The request to {request.does} was answered with HTTP {response.status_code} and something that is not the "
        f"documented answer ({_content_type(response)}): the service may or may not have carried it out. Look at "
        "the service before repeating it.",
        status_code=response.status_code,
    )


def _content_type(response: httpx.Response) -> str:
    name = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return name if name in {"application/json", "text/html", "text/plain", "text/csv"} else "no known content type"


class _Policy(TypedDict):
    retry: Any
    wait: Callable[[tenacity.RetryCallState], float]
    stop: Any
    reraise: bool


def _is_worth_repeating(error: BaseException) -> bool:
    return isinstance(error, ServiceUnavailableError) and (error.retry_after or 0.0) <= LONGEST_RETRY_AFTER


_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=30)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ServiceError) else None
    return _backoff(state) if asked is None else asked + min(1.0, _backoff(state))


class _Parts:
    """What the sync and the async session share: settings, the token in use, and how a request is built."""

    client: httpx.Client | httpx.AsyncClient

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.token = settings.token

    def build(self, request: Request[Any]) -> httpx.Request:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        return self.client.build_request(
            request.method,
            self.settings.base_url + request.path,
            params=request.query or None,
            headers=headers,
            content=request.body,
        )


def _client_arguments(settings: ServiceSettings) -> dict[str, Any]:
    return {
        "headers": {"User-Agent": f"airflow-provider-graine/{__version__}"},
        "timeout": httpx.Timeout(settings.timeout, connect=min(settings.timeout, 10.0)),
        "limits": httpx.Limits(max_connections=20, max_keepalive_connections=20, keepalive_expiry=15.0),
        "verify": ssl.create_default_context(cafile=settings.ca_bundle) if settings.ca_bundle else True,
        "follow_redirects": False,
    }


def _policy(settings: ServiceSettings) -> _Policy:
    return {
        "retry": tenacity.retry_if_exception(_is_worth_repeating),
        "wait": _wait,
        "stop": tenacity.stop_after_attempt(settings.retries + 1),
        "reraise": True,
    }


class Session(_Parts):
    """
    A blocking session with one service: keep-alive, retries, one token.

    :param settings: how the service is reached
    :param reload_token: reads the token anew from where it is kept; called once after a 401
    """

    client: httpx.Client

    def __init__(self, settings: ServiceSettings, *, reload_token: Callable[[], str]) -> None:
        super().__init__(settings)
        self._reload_token = reload_token
        self.client = httpx.Client(**_client_arguments(settings))

    def send(self, request: Request[T]) -> T:
        """
        Send a request and return its parsed answer.

        :param request: what to send
        :return: what ``request.parse`` makes of the answer
        :raises ServiceError: one of its kinds, by what there is to do about it
        """

        def once() -> T:
            return _read(request, self._converse(request, stream=False))

        return tenacity.Retrying(**_policy(self.settings))(once)

    @contextmanager
    def stream(self, request: Request[Any]) -> Iterator[Download[Iterator[bytes]]]:
        """
        Open the answer of a read for reading it block by block.

        :param request: a read
        :return: a context manager that gives a :class:`Download`
        :raises ServiceError: when the answer cannot be had, also while it is being read
        """

        def once() -> httpx.Response:
            return self._converse(request, stream=True)

        response = tenacity.Retrying(**_policy(self.settings))(once)
        try:
            yield Download(_content_length(response), self._blocks(request, response))
        finally:
            response.close()

    def _blocks(self, request: Request[Any], response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes(_BLOCK)
        except httpx.HTTPError as error:
            _raise_for_transport(request, error)

    def _converse(self, request: Request[Any], *, stream: bool) -> httpx.Response:
        conversation = _converse(self, request)
        step = next(conversation)
        response: httpx.Response | None = None
        try:
            while True:
                if isinstance(step, _ReloadToken):
                    step = conversation.send(self._reload_token())
                    continue
                try:
                    response = self.client.send(step, stream=stream)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    step = conversation.throw(error)
                    continue
                step = conversation.send(response)
                response.close()
        except StopIteration as end:
            return cast("httpx.Response", end.value)
        except BaseException:
            if response is not None:
                response.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class AsyncSession(_Parts):
    """
    The same session for an event loop; belongs to the loop it is first used in.

    :param settings: how the service is reached
    :param reload_token: reads the token anew from where it is kept; awaited once after a 401
    """

    client: httpx.AsyncClient

    def __init__(self, settings: ServiceSettings, *, reload_token: Callable[[], Awaitable[str]]) -> None:
        super().__init__(settings)
        self._reload_token = reload_token
        self.client = httpx.AsyncClient(**_client_arguments(settings))

    async def send(self, request: Request[T]) -> T:
        """Send a request and return its parsed answer; see :meth:`Session.send`."""

        async def once() -> T:
            return _read(request, await self._converse(request, stream=False))

        return await tenacity.AsyncRetrying(**_policy(self.settings))(once)

    @asynccontextmanager
    async def stream(self, request: Request[Any]) -> AsyncIterator[Download[AsyncIterator[bytes]]]:
        """Open the answer of a read for reading it block by block; see :meth:`Session.stream`."""

        async def once() -> httpx.Response:
            return await self._converse(request, stream=True)

        response: httpx.Response = await tenacity.AsyncRetrying(**_policy(self.settings))(once)
        try:
            yield Download(_content_length(response), self._blocks(request, response))
        finally:
            await response.aclose()

    async def _blocks(self, request: Request[Any], response: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for block in response.aiter_bytes(_BLOCK):
                yield block
        except httpx.HTTPError as error:
            _raise_for_transport(request, error)

    async def _converse(self, request: Request[Any], *, stream: bool) -> httpx.Response:
        conversation = _converse(self, request)
        step = next(conversation)
        response: httpx.Response | None = None
        try:
            while True:
                if isinstance(step, _ReloadToken):
                    step = conversation.send(await self._reload_token())
                    continue
                try:
                    response = await self.client.send(step, stream=stream)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    step = conversation.throw(error)
                    continue
                step = conversation.send(response)
                await response.aclose()
        except StopIteration as end:
            return cast("httpx.Response", end.value)
        except BaseException:
            if response is not None:
                await response.aclose()
            raise

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()


def _content_length(response: httpx.Response) -> int | None:
    """Tell how many bytes the blocks will have, where the service says it and the transport did not change it."""
    if "content-encoding" in response.headers:
        return None
    length = response.headers.get("content-length", "")
    return int(length) if length.isdigit() else None
