"""One sandbox's state: clock, simulation, faults and token, behind one lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .faults import Faults
from .graine.routes import ROUTES, GraineApi
from .graine.simulation import Simulation
from .timeline import Timeline

if TYPE_CHECKING:
    from .clock import Clock
    from .outcomes import Outcomes


class World:
    """
    What requests, the page and the Python API all look at. Hold :attr:`lock` while doing so.

    :param clock: virtual time
    :param outcomes: how calls turn out
    :param seed: for ids
    :param token: the valid token
    :param organization_id: the token's organization
    :param default_concurrency: parallel calls of a batch when nobody says
    :param max_page: longest page of a list
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
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.outcomes = outcomes
        self.seed = seed
        self.token = token
        self.organization_id = organization_id
        self.default_concurrency = default_concurrency
        self.max_page = max_page
        self.faults = Faults(f"{method} {template}" for method, template, _ in ROUTES)
        self.begin()

    def begin(self) -> None:
        """Start empty, at the clock's start. Faults stay."""
        self.clock.restart()
        self.started_at = self.clock.now()
        self.timeline = Timeline(self.started_at)
        self.simulation = Simulation(
            timeline=self.timeline,
            outcomes=self.outcomes,
            seed=self.seed,
            default_concurrency=self.default_concurrency,
        )
        self.graine = GraineApi(self.simulation, organization_id=self.organization_id, max_page=self.max_page)

    def reset(self) -> None:
        """Forget everything and set the clock back to its start."""
        self.faults.clear()
        self.begin()

    def catch_up(self) -> None:
        """Let everything happen that is due by now."""
        self.timeline.run_until(self.clock.now())

    def advance(self, seconds: float) -> None:
        """Move the clock, and let everything happen that is due by then."""
        self.clock.advance(seconds)
        self.catch_up()

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
