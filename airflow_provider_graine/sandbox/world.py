"""One sandbox's state: clock, services, faults and tokens, behind one lock."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from .bell import Bell
from .faults import Faults
from .graine.routes import PREFIX as GRAINE_PREFIX
from .graine.routes import ROUTES as GRAINE_ROUTES
from .graine.routes import GraineApi
from .graine.simulation import Simulation as GraineSimulation
from .kataven.routes import ROUTES as KATAVEN_ROUTES
from .kataven.routes import KatavenApi
from .kataven.simulation import Simulation as KatavenSimulation
from .timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .clock import Clock
    from .kataven.settings import KatavenSettings
    from .outcomes import Outcomes
    from .service import Route, Service


class World:
    """
    What requests, the page and the Python API all look at. Hold :attr:`lock` while doing so.

    :param clock: virtual time
    :param outcomes: how calls turn out
    :param seed: for ids
    :param token: the valid token of Graine, and of the controls
    :param organization_id: the token's organization
    :param default_concurrency: parallel calls of a Graine batch when nobody says
    :param max_page: longest page of a list of Graine
    :param kataven: Kataven's account, and what its documentation leaves open
    """

    def __init__(
        self,
        *,
        clock: Clock,
        outcomes: Outcomes,
        seed: int | str,
        token: str,
        organization_id: str,
        default_concurrency: int,
        max_page: int,
        kataven: KatavenSettings,
    ) -> None:
        self.lock = threading.RLock()
        self.bell = Bell()
        self.stopping = asyncio.Event()
        """Ends requests that hang, and streams (after a ring)."""
        self.clock = clock
        self.outcomes = outcomes
        self.seed = seed
        self.token = token
        self.organization_id = organization_id
        self.default_concurrency = default_concurrency
        self.max_page = max_page
        self.kataven_settings = replace(kataven)
        self._kataven_at_first = replace(kataven)
        self.routes: Mapping[str, tuple[str, tuple[Route, ...]]] = {
            "graine": (GRAINE_PREFIX, GRAINE_ROUTES),
            "kataven": (kataven.prefix, KATAVEN_ROUTES),
        }
        """Service to its prefix and endpoints."""
        self.faults = Faults(
            {
                service: [f"{method} {template}" for method, template, _ in routes]
                for service, (_, routes) in self.routes.items()
            }
        )
        self.begin()

    def begin(self) -> None:
        """Start empty, at the clock's start. Faults and settings stay."""
        self.clock.restart()
        self.started_at = self.clock.now()
        self.timeline = Timeline(self.started_at)
        self.graine = GraineApi(
            GraineSimulation(
                timeline=self.timeline,
                outcomes=self.outcomes,
                seed=self.seed,
                default_concurrency=self.default_concurrency,
            ),
            token=lambda: self.token,
            organization_id=self.organization_id,
            max_page=self.max_page,
        )
        self.kataven = KatavenApi(
            KatavenSimulation(
                timeline=self.timeline, outcomes=self.outcomes, seed=self.seed, settings=self.kataven_settings
            ),
            settings=self.kataven_settings,
            around=self,
        )
        self.bell.ring()

    def service(self, name: str) -> Service:
        """:return: a service as it is since the last :meth:`begin`"""
        return self.graine if name == "graine" else self.kataven

    def speaks_for(self, service: Service) -> bool:
        """:return: whether this is a service as it is since the last :meth:`begin`"""
        return service is self.service(service.name)

    def reset(self) -> None:
        """Forget everything and set the clock back to its start."""
        self.faults.clear()
        self.kataven_settings.take_over(self._kataven_at_first)
        self.begin()

    def catch_up(self) -> None:
        """Let everything happen that is due by now."""
        self.timeline.run_until(self.clock.now())

    @contextmanager
    def caught_up(self) -> Iterator[None]:
        """Hold the lock, with everything that is due having happened."""
        with self.lock:
            self.catch_up()
            yield

    def advance(self, seconds: float) -> None:
        """Move the clock, and let everything happen that is due by then."""
        self.clock.advance(seconds)
        self.catch_up()
        self.bell.ring()

    def run_until_idle(self, *, at_most: float) -> float:
        """
        Jump from event to event until nothing is planned.

        :param at_most: virtual seconds
        :return: virtual seconds passed
        """
        begin = self.clock.now()
        self.timeline.run_events(until=begin + at_most)
        self.advance(max(0.0, self.timeline.now - self.clock.now()))
        return self.clock.now() - begin
