"""The sandbox as an object: a real HTTP server on a thread of its own, and a view of what it knows."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import app
from .clock import Clock
from .faults import Fault
from .graine import views
from .graine.routes import PREFIX
from .kataven.account import KatavenAccount
from .kataven.settings import KatavenSettings
from .outcomes import Outcomes
from .view import View
from .world import World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from .faults import What
    from .recording import ReceivedRequest, Recorder

MONTH = 30 * 86_400.0


class Sandbox:
    """
    A local stand-in for the calling services Graine and, as :attr:`kataven`, Kataven. Nobody is phoned.

    Use it as a context manager; it answers from ``__enter__`` to ``__exit__``.

    :param speed: virtual seconds per real second; ``0``: time stands still until :meth:`advance`
    :param seed: the same seed gives the same phone number the same outcomes
    :param token: the token it accepts
    :param host: address to listen on
    :param port: ``0``: any free port
    :param start: virtual time at the start: ISO 8601 or datetime, naive means UTC; default: the real time
    :param outcomes: weight of each outcome: ``completed``, ``follow_up``, ``voicemail``, ``no_answer``, ``busy``,
        ``failed``, ``unreachable``; default: about what a campaign sees
    :param scripts: phone number to its outcomes, one for each attempt, the last one repeating
    :param default_concurrency: parallel calls of a batch when neither it nor its campaign says
    :param max_page: longest page of a list; a larger ``limit`` is cut without a word
    :param organization_id: the organization of the token
    :param export_ranges: ``export.csv`` can be asked for in parts (``Range``, ``If-Range``)
    :param gzip_requests: bodies may come with ``Content-Encoding: gzip``; else they are answered with 415
    :param kataven: Kataven's account, and what the sandbox makes of that vendor's documentation; default: as documented
    :param record_requests: keep what was received in :attr:`requests`
    :param allow_remote: listen on an address that other machines reach
    :raises ValueError: ``host`` is not a loopback address and ``allow_remote`` is false
    """

    def __init__(
        self,
        *,
        speed: float = 60.0,
        seed: int | str = 1,
        token: str = "gat_sandbox",  # noqa: S107 - it opens nothing but this
        host: str = "127.0.0.1",
        port: int = 0,
        start: datetime | str | None = None,
        outcomes: Mapping[str, float] | None = None,
        scripts: Mapping[str, str | Sequence[str]] | None = None,
        default_concurrency: int = 20,
        max_page: int = 1000,
        organization_id: str = "org_sandbox",
        export_ranges: bool = False,
        gzip_requests: bool = False,
        kataven: KatavenSettings | None = None,
        record_requests: bool = True,
        allow_remote: bool = False,
    ) -> None:
        if not allow_remote and not is_loopback(host):
            raise ValueError(f"{host} is not a loopback address; allow_remote=True lets other machines in")
        self._host = host
        self._port = port
        self._allow_remote = allow_remote
        self._export_ranges = export_ranges
        self._gzip_requests = gzip_requests
        self._record_requests = record_requests
        self._world = World(
            clock=Clock(speed=speed, start=start),
            outcomes=Outcomes(seed=seed, shares=outcomes, scripts=scripts),
            seed=seed,
            token=token,
            organization_id=organization_id,
            default_concurrency=default_concurrency,
            max_page=max_page,
            kataven=kataven or KatavenSettings(),
        )
        self.kataven = KatavenAccount(self._world, root_url=lambda: self.root_url, requests=self._requests)
        """The Kataven half. Everything else here that is about one service is about Graine."""
        self._recorder: Recorder | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    # Life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """
        Listen, and return once requests are answered. Virtual time starts here.

        :raises OSError: the port is taken
        """
        if self._thread is not None:
            raise RuntimeError("the sandbox is running already")
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise
        self._port = listener.getsockname()[1]
        self._world.begin()
        self._world.stopping = asyncio.Event()
        names = ["127.0.0.1", "localhost", "[::1]", "::1", self._host]
        self._recorder = app.build(
            self._world,
            record_requests=self._record_requests,
            hosts=None if self._allow_remote else names,
            hint=self._hint(),
            export_ranges=self._export_ranges,
            gzip_requests=self._gzip_requests,
        )
        config = uvicorn.Config(
            self._recorder,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config, self._world)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="graine-sandbox", daemon=True
        )
        self._thread.start()
        self._server.answering.wait()

    def stop(self) -> None:
        """Answer nothing any more. What was seen stays readable."""
        if self._thread is None or self._server is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._thread = self._server = None

    # Where it is

    @property
    def root_url(self) -> str:
        """``http://127.0.0.1:PORT``, where the page is."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL of Graine's API."""
        return self.root_url + PREFIX

    @property
    def token(self) -> str:
        """The token it accepts now."""
        return self._world.token

    def connection_json(self) -> str:
        """:return: an Airflow connection, as a value for ``AIRFLOW_CONN_GRAINE_DEFAULT``"""
        return json.dumps({"conn_type": "graine", "host": self.url, "password": self.token})

    def _hint(self) -> dict[str, str]:
        hidden = {"password": "<token>"} if self._allow_remote else {}
        graine, kataven = (
            json.dumps({**json.loads(connection), **hidden})
            for connection in (self.connection_json(), self.kataven.connection_json())
        )
        return {"url": self.url, "connection": graine, "kataven_connection": kataven}

    # What it has seen

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Those of the latest 10,000 requests (or 64 MB of bodies) that were under the API's prefix, oldest first."""
        return self._requests(PREFIX)

    def _requests(self, prefix: str) -> list[ReceivedRequest]:
        recorded = self._recorder.requests if self._recorder else ()
        return [request for request in list(recorded) if request.path.startswith(f"{prefix}/")]

    @property
    def dialled(self) -> Counter[str]:
        """Phone number to the number of stored contacts that have it."""
        with self._world.lock:
            return self._world.graine.simulation.dialled.copy()

    @property
    def attempts(self) -> Counter[str]:
        """Phone number to the number of calls placed to it, retries and follow-ups included."""
        placed: Counter[str] = Counter()
        with self._world.caught_up():
            for batch in self._world.graine.simulation.batches.values():
                for contact in batch.contacts:
                    if contact.calls:
                        placed[contact.phone_number] += len(contact.calls)
        return placed

    @property
    def campaigns(self) -> Mapping[str, dict[str, Any]]:
        """Campaign id to what its GET shows, now."""
        return View(self._world, lambda: self._world.graine.simulation.campaigns, views.campaign_whole)

    @property
    def batches(self) -> Mapping[str, dict[str, Any]]:
        """Batch id to what its GET shows, now."""
        return View(self._world, lambda: self._world.graine.simulation.batches, views.batch_whole)

    def contacts(self, batch_id: str) -> list[dict[str, Any]]:
        """:return: the contacts of a batch in upload order, with their calls"""
        with self._world.caught_up():
            batch = self._world.graine.simulation.batches[batch_id]
            now = self._world.timeline.now
            return [views.contact(contact, now, include_calls=True) for contact in batch.contacts]

    # What one can do to it

    @property
    def now(self) -> float:
        """Virtual time, in seconds since 1970."""
        return self._world.clock.now()

    def advance(self, seconds: float) -> None:
        """
        Jump forward; everything due by then has happened when this returns.

        :param seconds: virtual seconds
        """
        with self._world.lock:
            self._world.advance(seconds)

    def run_until_idle(self, *, at_most: float = MONTH) -> float:
        """
        Jump from event to event until nothing is planned: all calls made, all retries done.

        :param at_most: virtual seconds, default 30 days
        :return: virtual seconds passed
        """
        with self._world.lock:
            return self._world.run_until_idle(at_most=at_most)

    def rotate_token(self, new: str) -> None:
        """Accept ``new`` from now on, and the old token no more."""
        with self._world.lock:
            self._world.token = new

    def expire_batch(self, batch_id: str) -> None:
        """Let the end window of an open batch pass: it becomes ``expired`` and dials nobody else."""
        with self._world.caught_up():
            self._world.graine.simulation.expire_batch(self._world.graine.simulation.batches[batch_id])

    def reset(self) -> None:
        """Forget campaigns, batches, calls, requests and faults of both services; virtual time starts again."""
        with self._world.lock:
            self._world.reset()
            if self._recorder:
                self._recorder.clear()

    def fault(self, on: str, what: What, **how: Any) -> Fault:
        """
        Make something go wrong.

        :param on: endpoint, such as ``"POST /batches/"`` or ``"GET /batches/{batch_id}"``
        :param what: kind of fault
        :param how: ``times=1``, ``after=0``, ``when="after"`` and what else :class:`~.faults.Fault` has
        :return: the fault; its ``hits`` says how often it struck
        :raises ValueError: it could never happen
        """
        with self._world.lock:
            return self._world.faults.add(Fault(on=on, what=what, **how))

    @property
    def faults(self) -> list[Fault]:
        """The faults in force at both services, those used up included."""
        return list(self._world.faults)

    def clear_faults(self) -> None:
        """Let everything work again, at both services."""
        with self._world.lock:
            self._world.faults.clear()


class _Protocol(H11Protocol):
    """Lets a fault reach the connection, to end it."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """Tells when it answers, and frees hanging requests when it stops."""

    def __init__(self, config: uvicorn.Config, world: World) -> None:
        super().__init__(config)
        self._world = world
        self.answering = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._world.stopping.set()
        self._world.bell.ring()
        await super().shutdown(sockets)


def is_loopback(host: str) -> bool:
    """:return: only this machine reaches ``host``"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
