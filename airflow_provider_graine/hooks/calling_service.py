"""What the hooks of all calling services share: an Airflow connection turned into sync and async sessions."""

from __future__ import annotations

import asyncio
import functools
import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, overload

from airflow.sdk import BaseHook

from airflow_provider_graine.exceptions import AuthenticationError, CallingError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_graine.http import AsyncSession, Session
    from airflow_provider_graine.services.request import Request
    from airflow_provider_graine.services.settings import ServiceSettings

P = ParamSpec("P")
T = TypeVar("T")

_TEST_TIMEOUT: Final = 10.0  # seconds; somebody is looking at the form


class CallingServiceHook(BaseHook):
    """
    Base of the hooks: owns the token and the HTTP sessions of one connection.

    :param conn_id: the Airflow connection
    """

    conn_type: str

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id
        self._session: Session | None = None
        self._on_loop: _OnLoop | None = None
        self._settings: ServiceSettings | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles open connections of their own and carry no token."""
        return {**self.__dict__, "_session": None, "_on_loop": None, "_settings": None}

    @abstractmethod
    def read_settings(self, connection: Connection, extra: Mapping[str, Any]) -> ServiceSettings:
        """
        Read how the service is reached from a connection.

        :param connection: the Airflow connection
        :param extra: its decoded extra
        :raises ConfigurationError: when a field is missing or wrong
        """

    @abstractmethod
    def probe(self) -> Request[Any]:
        """Return a small read that shows whether address and token are right."""

    @property
    def settings(self) -> ServiceSettings:
        """How the service is reached; read once from the connection."""
        if self._settings is None:
            connection = self.get_connection(self.conn_id)
            self._settings = self._masked(self.read_settings(connection, connection.extra_dejson))
        return self._settings

    async def _asettings(self) -> ServiceSettings:
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

        connection = await get_async_connection(self.conn_id, hook=self)
        settings = self.read_settings(connection, await get_async_extra_dejson(connection))
        await self._amask(settings.token)
        return settings

    @staticmethod
    def _masked(settings: ServiceSettings) -> ServiceSettings:
        from airflow.sdk.log import mask_secret

        mask_secret(settings.token)
        return settings

    @staticmethod
    async def _amask(token: str) -> None:
        from airflow.sdk import log

        if hasattr(log, "amask_secret"):
            await log.amask_secret(token)
        else:
            from asgiref.sync import sync_to_async

            await sync_to_async(log.mask_secret)(token)

    def _reload_token(self) -> str:
        self._settings = None
        return self.settings.token

    async def _areload_token(self) -> str:
        self._settings = await asyncio.shield(self._asettings())
        return self._settings.token

    @property
    def session(self) -> Session:
        """The blocking session; opened on first use."""
        if self._session is None:
            from airflow_provider_graine.http import Session

            self._session = Session(self.settings, reload_token=self._reload_token)
        return self._session

    async def asession(self) -> AsyncSession:
        """Return the session of the running event loop; opened on first use."""
        loop = asyncio.get_running_loop()
        if self._on_loop is None or self._on_loop.loop is not loop:
            self._on_loop = _OnLoop(loop)
        mine = self._on_loop
        async with mine.opening:
            if mine.session is None:
                if self._settings is None:
                    # Broken off half-way, a question to Airflow's supervisor ends the triggerer of Airflow 3.1.
                    self._settings = await asyncio.shield(self._asettings())
                # The first import of the HTTP library, and the certificates, would hold up everybody on the loop.
                mine.session = await asyncio.to_thread(_open, self._settings, self._areload_token)
            return mine.session

    def close(self) -> None:
        """Close the blocking session's connections."""
        if self._session is not None:
            self._session.close()
            self._session = None

    async def aclose(self) -> None:
        """Close the connections of the running event loop's session."""
        mine, self._on_loop = self._on_loop, None
        if mine is not None and mine.session is not None and mine.loop is asyncio.get_running_loop():
            await mine.session.close()

    def test_connection(self) -> tuple[bool, str]:
        """
        Check address and token with one small read; costs and changes nothing.

        :return: whether it works, and a sentence for the person who set the connection up
        """
        try:
            from airflow_provider_graine.http import Session

            quick = replace(self.settings, retries=0, timeout=min(self.settings.timeout, _TEST_TIMEOUT))
            with closing(Session(quick, reload_token=self._reload_token)) as session:
                session.send(self.probe())
        except AuthenticationError:
            return False, "The service was reached, but it does not accept the token."
        except CallingError as error:
            return False, str(error)
        except Exception as error:
            return False, f"The connection could not be read ({type(error).__name__})."
        return True, "The service was reached and accepts the token."

    def completed(self, arguments: dict[str, Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
        """
        Add to a call's arguments what the connection knows and the caller left open.

        :param arguments: the keyword arguments of the call
        :param parameters: the parameters the endpoint takes
        """
        return arguments


class _OnLoop:
    """What belongs to one event loop: its session, and the right to open it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.opening = asyncio.Lock()
        self.session: AsyncSession | None = None


def _open(settings: ServiceSettings, reload_token: Callable[[], Awaitable[str]]) -> AsyncSession:
    import anyio

    from airflow_provider_graine.http import AsyncSession

    anyio.run(anyio.sleep, 0)  # what httpx imports with its first request
    return AsyncSession(settings, reload_token=reload_token)


class _Offered(Generic[P, T]):
    """Turns the description of an endpoint into a method of the hook."""

    def __init__(self, describe: Callable[P, Request[T]], prefix: str) -> None:
        self.__doc__ = describe.__doc__
        self.__name__ = prefix + describe.__name__
        self._describe = describe
        self._parameters = inspect.signature(describe).parameters

    def _request(self, hook: CallingServiceHook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request[T]:
        return self._describe(*args, **hook.completed(kwargs, self._parameters))


class Call(_Offered[P, T]):
    """A blocking method of the hook, made from the description of an endpoint."""

    @overload
    def __get__(self, hook: None, owner: type) -> Call[P, T]: ...

    @overload
    def __get__(self, hook: CallingServiceHook, owner: type) -> Callable[P, T]: ...

    def __get__(self, hook: CallingServiceHook | None, owner: type) -> Call[P, T] | Callable[P, T]:
        if hook is None:
            return self

        @functools.wraps(self._describe)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            session = hook.session
            return session.send(self._request(hook, args, kwargs))

        return call


class AsyncCall(_Offered[P, T]):
    """The same method for an event loop."""

    @overload
    def __get__(self, hook: None, owner: type) -> AsyncCall[P, T]: ...

    @overload
    def __get__(self, hook: CallingServiceHook, owner: type) -> Callable[P, Awaitable[T]]: ...

    def __get__(self, hook: CallingServiceHook | None, owner: type) -> AsyncCall[P, T] | Callable[P, Awaitable[T]]:
        if hook is None:
            return self

        @functools.wraps(self._describe)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            session = await hook.asession()
            return await session.send(self._request(hook, args, kwargs))

        return call


def offered(describe: Callable[P, Request[T]]) -> tuple[Call[P, T], AsyncCall[P, T]]:
    """
    Offer an endpoint as a pair of methods, blocking and for an event loop.

    :param describe: makes the request from the method's arguments
    """
    return Call(describe, ""), AsyncCall(describe, "a")
