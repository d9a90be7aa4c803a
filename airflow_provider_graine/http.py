"""
The HTTP session with a calling service. The only module that imports httpx.

One conversation (:func:`_converse`) decides what is sent, when the token is read anew, which redirect is followed and
what an answer means; :class:`Session` and :class:`AsyncSession` only carry it out. Its rule:

- a read is repeated on connection errors, 429 and 5xx;
- a write is repeated only where it provably was not carried out (no connection came about, or the service turned it
  away because of its limits), never follows a redirect, and ends in :class:`.UnclearOutcomeError` where nobody can tell
  whether it was carried out;
- where a service has limits, every request waits for its turn, see :mod:`.limits`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final, Generic, NoReturn, TypedDict, TypeVar, cast

import httpx
import tenacity

from airflow_provider_graine import __version__
from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    UnclearOutcomeError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.services.event_stream import MEDIA_TYPE as EVENT_STREAM
from airflow_provider_graine.services.event_stream import Event, EventReader
from airflow_provider_graine.services.limits import LONGEST_PAUSE, Turn, limiter_of
from airflow_provider_graine.services.ranges import Resumable
from airflow_provider_graine.services.request import Form, Request
from airflow_provider_graine.services.settings import ServiceSettings, is_loopback

log = logging.getLogger(__name__)

T = TypeVar("T")
B = TypeVar("B")

_MOST_REDIRECTS: Final = 5
_PIECE: Final = 512 * 1024  # bytes read at a time of a download

#: Seconds an idle connection is kept; below what servers do (5 and more), so that no write meets one being closed.
_KEEP_ALIVE: Final = 4.0

#: More than an upload may have requests in flight.
_MOST_CONNECTIONS: Final = 40

#: Bytes below which a body is not worth compressing. A list of people gets 7 times shorter, and harder packing takes
#: 5 times as long for 9.
_LEAST_PACKED: Final = 1024
_PACKING: Final = 1

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

#: Whether the http library is at work for a session of this module.
_at_work: Final = ContextVar("_at_work", default=False)


class _Discreet(logging.Filter):
    """Keeps what a service says out of the http library's lines: they quote reasons, headers, redirects and errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let pass what others do, and of what is done here that it is done."""
        if not _at_work.get() and "response_body.failed" not in str(record.msg):
            return True
        if record.name == "httpx":
            return False
        record.msg, record.args = str(record.msg).partition(" ")[0], ()
        return True


# A filter of a parent is not asked for what its children say.
for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_Discreet())


@contextmanager
def _discreetly() -> Iterator[None]:
    token = _at_work.set(True)
    try:
        yield
    finally:
        _at_work.reset(token)


@dataclass(frozen=True)
class Download(Generic[B]):
    """
    An answer that is being read.

    :param length: number of bytes it will have, where the service says so
    :param blocks: the bytes, in blocks as they come over the wire
    :param media_type: what they are, as the service says
    """

    length: int | None
    blocks: B
    media_type: str


@dataclass(frozen=True)
class _ReloadToken:
    """
    The step of a conversation that asks for the token to be read from its source again.

    :param used: the token that was not accepted
    """

    used: str = field(repr=False)


_Step = httpx.Request | _ReloadToken
_Outcome = httpx.Response | Exception | None
_Conversation = Generator[_Step, _Outcome, httpx.Response]


def _converse(parts: _Parts, request: Request[Any]) -> _Conversation:
    """Yield what to do next, be sent the outcome, and return the answer of success; raise our own errors otherwise."""
    reloaded = False
    redirects = 0
    used = parts.token
    outgoing = parts.build(request)
    while True:
        outcome = yield outgoing
        if not isinstance(outcome, httpx.Response):
            _raise_for_transport(request, outcome)
        log.debug("Asked the service to %s: HTTP %d", request.does, outcome.status_code)
        if outcome.status_code == httpx.codes.UNAUTHORIZED and not reloaded:
            reloaded = True
            failure = None
            if parts.token == used:  # else another request has read it anew in the meantime
                failure = yield _ReloadToken(used)
            if isinstance(failure, Exception):
                _raise_for_reload(request, failure)
            if parts.token != used:
                used = parts.token
                outgoing = parts.build(request)
                continue
        if outcome.is_redirect and request.is_read and redirects < _MOST_REDIRECTS:
            following = outcome.next_request
            if following is not None and _may_follow(outgoing.url, following.url, parts.settings):
                redirects += 1
                outgoing = following
                continue
        if not outcome.is_success:
            _raise_for_status(request, outcome, parts.settings)
        return outcome


def _may_follow(origin: httpx.URL, target: httpx.URL, settings: ServiceSettings) -> bool:
    # httpx takes the token out where the target is another host.
    if target.scheme == "http" and origin.scheme == "http":
        return settings.allow_http or is_loopback(target.host)
    return target.scheme == "https"


# These raise outside of any ``except`` and, but for a failed connect, without a cause: the http library's texts quote
# what the server sent.


def _raise_for_transport(request: Request[Any], error: Exception | None) -> NoReturn:
    if isinstance(error, ServiceError):  # the limits: nothing was sent
        raise error
    what = type(error).__name__
    if isinstance(error, _NOT_SENT):
        why = f": {error}" if isinstance(error, httpx.ConnectError) else ""
        raise ServiceUnavailableError(
            f"Could not {request.does}: no connection to the service came about ({what}{why}), so nothing was sent. "
            "Check the connection's host and the network, or try later."
        )
    if not request.is_read:
        raise UnclearOutcomeError(
            f"No answer came to the request to {request.does} ({what}): the service may or may not have carried it "
            "out. Look at the service before repeating it."
        )
    if error is not None and not isinstance(error, (httpx.HTTPError, httpx.InvalidURL)):
        raise error
    raise ServiceUnavailableError(
        f"Could not {request.does}: the connection broke before the answer was complete ({what}). "
        "Nothing was changed; try again."
    )


class _Reading:
    """How far an answer has come, and how to get the rest of it where the connection broke."""

    def __init__(self, request: Request[Any], response: httpx.Response) -> None:
        self.position = 0
        self._request = request
        self._length = _content_length(response)
        self._resumable = Resumable.offered(response.headers)
        self._begun_at = 0
        self._broken: httpx.HTTPError | None = None

    def ensure_expected(self, response: httpx.Response) -> None:
        """Raise unless the answer is the whole one, or the rest of it that was asked for."""
        if self._broken is None:
            if response.status_code != httpx.codes.OK:
                raise UnexpectedAnswerError(
                    f"Could not {self._request.does}: the service answered HTTP {response.status_code}, which is no "
                    "whole answer. Nothing was changed; check the connection's host.",
                    status_code=response.status_code,
                )
        elif self._resumable is None or not self._resumable.is_continued(
            response.status_code, response.headers, self.position
        ):
            _raise_for_transport(self._request, self._broken)

    def after(self, broken: httpx.HTTPError | None) -> Request[Any] | None:
        """
        Return what to ask for after an answer ended, ``None`` where all has come.

        :param broken: what ended it, ``None`` if it came to its end
        """
        if broken is None:
            if self._length is None or self.position == self._length:
                return None
            broken = httpx.RemoteProtocolError("more or fewer bytes than announced")
        resumable, since = self._resumable, self._begun_at
        if resumable is None or not since < self.position < resumable.length:
            _raise_for_transport(self._request, broken)
        log.info(
            "Could not %s in one go: the connection broke after %d of %d bytes (%s). Reading on from there",
            self._request.does,
            self.position,
            resumable.length,
            type(broken).__name__,
        )
        self._broken, self._begun_at = broken, self.position
        return replace(self._request, headers=resumable.asked_from(self.position))


def _raise_for_reload(request: Request[Any], error: Exception) -> NoReturn:
    raise AuthenticationError(
        f"Could not {request.does}: the service answered HTTP 401, it does not accept the token, and reading the "
        f"connection anew failed ({type(error).__name__}). Nothing was changed; put a valid token into the connection.",
        status_code=401,
    )


def _raise_for_status(request: Request[Any], response: httpx.Response, settings: ServiceSettings) -> NoReturn:
    status = response.status_code
    answered = f"Could not {request.does}: the service answered HTTP {status}"
    if status == httpx.codes.UNSUPPORTED_MEDIA_TYPE and _is_packed(response.request):
        raise RequestRejectedError(
            f"{answered}: it takes no compressed requests, so it has not even read it. Nothing was created or changed; "
            "turn compress_requests off in the connection's extra.",
            status_code=status,
        )
    said = _said(response)
    if status == 429 and request.turned_away is not None and request.turned_away.search(said):
        raise ServiceUnavailableError(
            f"{answered}: too many requests, so it has not even looked at this one. Nothing was changed; try later.",
            status_code=status,
            retry_after=_retry_after(response),
        )
    if not request.is_read and status not in request.refusals:
        raise UnclearOutcomeError(
            f"The request to {request.does} was answered with HTTP {status}, which does not say whether it was "
            "carried out. Look at the service before repeating it.",
            status_code=status,
            retry_after=_retry_after(response),
        )
    if status == 401:
        raise AuthenticationError(
            f"{answered}: it does not accept the token, also after reading it anew from the connection. "
            "Nothing was changed; put a valid token into the connection.",
            status_code=status,
        )
    if status == 403:
        raise AuthenticationError(
            f"{answered}: the token has no right to this. Nothing was changed; check the {settings.tenant} the token "
            "belongs to.",
            status_code=status,
        )
    quoted = f' ("{said}")' if said in settings.documented_errors else ""
    if status == 404 and settings.not_found is not None and not settings.not_found.search(said):
        raise UnexpectedAnswerError(
            f"{answered}, but not in the words the service has for an object that it does not know: there is most "
            "likely nothing at this address. Nothing was changed; check the connection's host and its path.",
            status_code=status,
        )
    if status == 404:
        raise NotFoundError(
            f"{answered}{quoted}. Nothing was changed; check the id, the {settings.tenant} the token belongs to, and "
            "the connection's host.",
            status_code=status,
        )
    if status in {408, 429} or status >= 500:
        raise ServiceUnavailableError(
            f"{answered}. Nothing was changed; try later.",
            status_code=status,
            retry_after=_retry_after(response),
        )
    if status < 400:
        why = "a redirect that is not followed" if response.is_redirect else "which it does not document"
        raise UnexpectedAnswerError(
            f"{answered}, {why}. Nothing was changed; check the connection's host.",
            status_code=status,
        )
    raise RequestRejectedError(
        f"{answered}{quoted}. Nothing was changed; correct the request's values, repeating it does not help.",
        status_code=status,
    )


def _said(response: httpx.Response) -> str:
    """Read an error's text. It may echo people: nothing of it may be told but what the documentation says as well."""
    try:
        text = response.content.decode(errors="replace").strip()
    except httpx.ResponseNotRead:
        return ""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    said = document.get("detail") if isinstance(document, dict) else document
    return said if isinstance(said, str) else ""


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _read(request: Request[T], response: httpx.Response) -> T:
    try:
        return request.parse(_decoded(request, response.content))
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


def _decoded(request: Request[Any], content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except (ValueError, RecursionError):
        if request.may_answer_anything:
            return None
        raise


def _content_type(response: httpx.Response) -> str:
    known = {"application/json", "text/html", "text/plain", "text/csv", EVENT_STREAM}
    name = _media_type(response)
    return name if name in known else "no known content type"


def _media_type(response: httpx.Response) -> str:
    media_type: str = response.headers.get("content-type", "")
    return media_type.partition(";")[0].strip().lower()


class _Events(Generic[T]):
    """What is read out of a stream of events, and whether it came to its end."""

    def __init__(self, request: Request[T], media_type: str) -> None:
        if media_type != EVENT_STREAM:
            raise UnexpectedAnswerError(
                f"Could not {request.does}: the answer is no stream of events. Nothing was changed; check the "
                "connection's host."
            )
        self.has_ended = False
        self._request = request
        self._reader = EventReader()

    def feed(self, block: bytes) -> Iterator[T | None]:
        for event in self._reader.feed(block):
            self.has_ended = event is not None and event.name == self._request.last_event
            news = self._parsed(event)
            if news is not None or not self.has_ended:
                yield news
            if self.has_ended:
                return

    def _parsed(self, event: Event | None) -> T | None:
        try:
            return self._request.parse(json.loads(event.data)) if event else None
        except (ValueError, RecursionError):
            return None

    def raise_for_tear(self) -> NoReturn:
        _raise_for_transport(self._request, httpx.RemoteProtocolError("closed"))


class _Turned(httpx.SyncByteStream):
    """The bytes of an answer, which end a turn when they are closed."""

    def __init__(self, stream: httpx.SyncByteStream, turn: Turn) -> None:
        self._stream = stream
        self._turn = turn

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._turn.end()


class _AsyncTurned(httpx.AsyncByteStream):
    """The same on an event loop."""

    def __init__(self, stream: httpx.AsyncByteStream, turn: Turn) -> None:
        self._stream = stream
        self._turn = turn

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for block in self._stream:
            yield block

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._turn.end()


class _Policy(TypedDict):
    retry: Any
    wait: Callable[[tenacity.RetryCallState], float]
    stop: Any
    reraise: bool


def _is_worth_repeating(error: BaseException) -> bool:
    return isinstance(error, ServiceUnavailableError) and (error.retry_after or 0.0) <= LONGEST_PAUSE


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
        self.limiter = limiter_of(settings.base_url, settings.limits) if settings.limits else None

    def packed(self, request: Request[T]) -> Request[T]:
        """Compress the body of a request, where the connection says so; once, however often it is then sent."""
        if not self.settings.compress_requests or request.body is None or len(request.body) < _LEAST_PACKED:
            return request
        body = gzip.compress(request.body, compresslevel=_PACKING, mtime=0)
        return replace(request, body=body, headers={**request.headers, "Content-Encoding": "gzip"})

    def place(self, request: Request[Any]) -> AbstractContextManager[None]:
        """Have a place among the streams that stay open, where there is a limit on them."""
        return self.limiter.stream(does=request.does) if self.limiter else nullcontext()

    def after(self, response: httpx.Response, turn: Turn) -> None:
        """Keep the limits by what an answer says of them."""
        asked = _retry_after(response) if response.status_code == httpx.codes.TOO_MANY_REQUESTS else None
        if asked is not None and self.limiter is not None:
            self.limiter.leave_alone(asked)
        turn.answered()
        if response.is_closed:
            turn.end()

    def build(self, request: Request[Any]) -> httpx.Request:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": request.accept}
        headers |= {**self.settings.headers, **request.headers}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        more: dict[str, Any] = _as_form(request.form) if request.form else {"content": request.body}
        if request.silence is not None:
            more["timeout"] = _timeout(self.settings, request.silence)
        try:
            return self.client.build_request(
                request.method,
                _address(self.settings.base_url + request.path),
                params=request.query or None,
                headers=headers,
                **more,
            )
        except (httpx.InvalidURL, UnicodeError):
            pass
        raise ConfigurationError(
            f"Could not {request.does}: the ids and filters make no address. Nothing was sent; correct them."
        )


@lru_cache(maxsize=128)
def _address(url: str) -> httpx.URL:
    return httpx.URL(url)  # parsed once: most requests of an upload go where the last one went


def _as_form(form: Form) -> dict[str, Any]:
    # A form without a file would be sent as ``application/x-www-form-urlencoded``; none of ours is.
    return {
        "data": dict(form.fields),
        "files": {name: (file.name, file.content, file.media_type) for name, file in form.files.items()},
    }


def _timeout(settings: ServiceSettings, silence: float) -> httpx.Timeout:
    return httpx.Timeout(settings.timeout, connect=min(settings.timeout, 10.0), read=silence)


def _client_arguments(settings: ServiceSettings) -> dict[str, Any]:
    return {
        "headers": {"User-Agent": f"airflow-provider-graine/{__version__}"},
        "timeout": _timeout(settings, settings.timeout),
        "limits": httpx.Limits(
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=_MOST_CONNECTIONS,
            keepalive_expiry=_KEEP_ALIVE,
        ),
        "verify": _trust(settings.ca_bundle),
        "follow_redirects": False,
        # A proxy from the environment would carry what must not leave this machine off it.
        "trust_env": not is_loopback(httpx.URL(settings.base_url).host),
    }


def _trust(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        return _tls(ca_bundle, os.stat(ca_bundle).st_mtime_ns if ca_bundle else 0)
    except (OSError, ValueError) as error:
        what = type(error).__name__
    raise ConfigurationError(
        f"The certificates that ca_bundle in the connection's extra names cannot be read ({what}). Nothing was sent."
    )


@lru_cache(maxsize=8)
def _tls(ca_bundle: str | None, _changed: int) -> ssl.SSLContext:
    # Shared: to load the certificates takes 0.1 s and 1 MB, and a triggerer holds thousands of sessions.
    return ssl.create_default_context(cafile=ca_bundle) if ca_bundle else httpx.create_ssl_context()


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
        self._renewing = threading.Lock()
        self.client = httpx.Client(**_client_arguments(settings))
        weakref.finalize(self, self.client.close)  # operators come and go without a place to close their hook

    def send(self, request: Request[T]) -> T:
        """
        Send a request and return its parsed answer. May be called in several threads at once.

        :param request: what to send
        :return: what ``request.parse`` makes of the answer
        :raises ServiceError: one of its kinds, by what there is to do about it
        """
        outgoing = self.packed(request)

        def once() -> T:
            return _read(request, self._converse(outgoing, stream=False))

        return tenacity.Retrying(**_policy(self.settings))(once)

    @contextmanager
    def stream(self, request: Request[Any]) -> Iterator[Download[Iterator[bytes]]]:
        """
        Open the answer of a read for reading it block by block.

        :param request: a read
        :return: a context manager that gives a :class:`Download`
        :raises ServiceError: when the answer cannot be had, also while it is being read
        """
        response = self._open(request)
        blocks = self._blocks(request, response)
        try:
            yield Download(_content_length(response), blocks, _media_type(response))
        finally:
            blocks.close()
            response.close()

    @contextmanager
    def events(self, request: Request[T]) -> Iterator[Iterator[T | None]]:
        """
        Open a stream of events for reading it one by one.

        :param request: a read that is answered with such a stream
        :return: a context manager that gives what ``request.parse`` makes of each event, ``None`` for one that says
            nothing but that the service is alive; ends with the event that ``request`` calls the last one
        :raises ServiceUnavailableError: when the stream cannot be had, falls silent or ends without that event
        """
        with self.place(request), self.stream(request) as download:
            events = self._events(_Events(request, download.media_type), download.blocks)
            yield events

    @staticmethod
    def _events(events: _Events[T], blocks: Iterator[bytes]) -> Iterator[T | None]:
        for block in blocks:
            yield from events.feed(block)
            if events.has_ended:
                return
        events.raise_for_tear()

    def _open(self, request: Request[Any]) -> httpx.Response:
        def once() -> httpx.Response:
            return self._converse(request, stream=True)

        return tenacity.Retrying(**_policy(self.settings))(once)

    def _blocks(self, request: Request[Any], response: httpx.Response) -> Generator[bytes, None, None]:
        reading = _Reading(request, response)
        while True:
            broken = None
            _read_large_pieces(response)
            try:
                reading.ensure_expected(response)
                for block in response.iter_bytes() if _is_packed(response) else response.iter_raw():
                    reading.position += len(block)
                    yield block
            except httpx.HTTPError as error:
                broken = error
            finally:
                response.close()
            following = reading.after(broken)
            if following is None:
                return
            with suppress(RequestRejectedError):  # it takes no ranges after all
                response = self._open(following)

    def _converse(self, request: Request[Any], *, stream: bool) -> httpx.Response:
        conversation = _converse(self, request)
        response: httpx.Response | None = None
        outcome: _Outcome = None
        try:
            while True:
                step = conversation.send(outcome)
                if response is not None:
                    response.close()
                    response = None
                try:
                    if isinstance(step, _ReloadToken):
                        self._renew(step.used)
                        outcome = None
                    else:
                        outcome = response = self._exchange(request, step, stream=stream)
                except Exception as error:
                    outcome = error
        except StopIteration as end:
            return cast("httpx.Response", end.value)
        except BaseException:
            if response is not None:
                response.close()
            raise

    def _exchange(self, request: Request[Any], outgoing: httpx.Request, *, stream: bool) -> httpx.Response:
        if self.limiter is None:
            with _discreetly():
                return self.client.send(outgoing, stream=stream)
        turn = self.limiter.turn("read" if request.is_read else "write", does=request.does)
        try:
            with _discreetly():
                response = self.client.send(outgoing, stream=stream)
            self.after(response, turn)
        except BaseException:
            turn.end()
            raise
        if stream:
            response.stream = _Turned(cast("httpx.SyncByteStream", response.stream), turn)
        return response

    def _renew(self, used: str) -> None:
        with self._renewing:
            if self.token == used:  # else another thread has read it anew while this one waited
                self.token = self._reload_token()

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
        self._renewing = asyncio.Lock()
        self.client = httpx.AsyncClient(**_client_arguments(settings))

    async def send(self, request: Request[T]) -> T:
        """Send a request and return its parsed answer; see :meth:`Session.send`."""
        outgoing = self.packed(request)

        async def once() -> T:
            return _read(request, await self._converse(outgoing, stream=False))

        return await tenacity.AsyncRetrying(**_policy(self.settings))(once)

    @asynccontextmanager
    async def stream(self, request: Request[Any]) -> AsyncIterator[Download[AsyncIterator[bytes]]]:
        """Open the answer of a read for reading it block by block; see :meth:`Session.stream`."""
        response = await self._open(request)
        blocks = self._blocks(request, response)
        try:
            yield Download(_content_length(response), blocks, _media_type(response))
        finally:
            await blocks.aclose()
            await response.aclose()

    @asynccontextmanager
    async def events(self, request: Request[T]) -> AsyncIterator[AsyncIterator[T | None]]:
        """Open a stream of events for reading it one by one; see :meth:`Session.events`."""
        with self.place(request):
            async with self.stream(request) as download:
                events = self._events(_Events(request, download.media_type), download.blocks)
                try:
                    yield events
                finally:
                    await events.aclose()

    @staticmethod
    async def _events(events: _Events[T], blocks: AsyncIterator[bytes]) -> AsyncGenerator[T | None, None]:
        async for block in blocks:
            for event in events.feed(block):
                yield event
            if events.has_ended:
                return
        events.raise_for_tear()

    async def _open(self, request: Request[Any]) -> httpx.Response:
        async def once() -> httpx.Response:
            return await self._converse(request, stream=True)

        response: httpx.Response = await tenacity.AsyncRetrying(**_policy(self.settings))(once)
        return response

    async def _blocks(self, request: Request[Any], response: httpx.Response) -> AsyncGenerator[bytes, None]:
        reading = _Reading(request, response)
        while True:
            broken = None
            try:
                reading.ensure_expected(response)
                async for block in response.aiter_bytes() if _is_packed(response) else response.aiter_raw():
                    reading.position += len(block)
                    yield block
            except httpx.HTTPError as error:
                broken = error
            finally:
                await response.aclose()
            following = reading.after(broken)
            if following is None:
                return
            with suppress(RequestRejectedError):  # it takes no ranges after all
                response = await self._open(following)

    async def _converse(self, request: Request[Any], *, stream: bool) -> httpx.Response:
        conversation = _converse(self, request)
        response: httpx.Response | None = None
        outcome: _Outcome = None
        try:
            while True:
                step = conversation.send(outcome)
                if response is not None:
                    await response.aclose()
                    response = None
                try:
                    if isinstance(step, _ReloadToken):
                        await self._renew(step.used)
                        outcome = None
                    else:
                        outcome = response = await self._exchange(request, step, stream=stream)
                except Exception as error:
                    outcome = error
        except StopIteration as end:
            return cast("httpx.Response", end.value)
        except BaseException:
            if response is not None:
                await response.aclose()
            raise

    async def _exchange(self, request: Request[Any], outgoing: httpx.Request, *, stream: bool) -> httpx.Response:
        if self.limiter is None:
            with _discreetly():
                return await self.client.send(outgoing, stream=stream)
        turn = await self.limiter.aturn("read" if request.is_read else "write", does=request.does)
        try:
            with _discreetly():
                response = await self.client.send(outgoing, stream=stream)
            self.after(response, turn)
        except BaseException:
            turn.end()
            raise
        if stream:
            response.stream = _AsyncTurned(cast("httpx.AsyncByteStream", response.stream), turn)
        return response

    async def _renew(self, used: str) -> None:
        async with self._renewing:
            if self.token == used:  # else another request has read it anew while this one waited
                self.token = await self._reload_token()

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()


def _content_length(response: httpx.Response) -> int | None:
    """Tell how many bytes the blocks will have, where the service says it and the transport did not change it."""
    if _is_packed(response):
        return None
    try:
        return int(response.headers["content-length"])
    except (KeyError, ValueError):
        return None


def _is_packed(message: httpx.Request | httpx.Response) -> bool:
    return "content-encoding" in message.headers


def _read_large_pieces(response: httpx.Response) -> None:
    """
    Read as much at a time as is there.

    The library asks the connection for 64 KiB at a time, and what it does for each piece takes longer than to count,
    hash and write it. Over TLS a piece is a record of at most 16 KiB whatever is asked for.
    """
    connection: Any = response.extensions.get("network_stream")
    if connection is None:  # a transport without one, as in somebody's tests
        return
    read = type(connection).read
    connection.read = lambda max_bytes, timeout=None: read(connection, max(max_bytes, _PIECE), timeout)
