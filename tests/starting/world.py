"""A calling service, its users and a task that may be lost at any moment, all on a clock that only tests move."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from airflow_provider_graine.exceptions import (
    NotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnclearOutcomeError,
)
from airflow_provider_graine.starting.conduct import Conduct
from airflow_provider_graine.starting.order import Order
from airflow_provider_graine.starting.steps import End, How, Keep, Look, Move, Rest, Tell, Weigh

CONFLICT = 409


@dataclass
class Campaign:
    """``work`` is how many seconds it runs until it is done."""

    work: float = 600.0
    needs: int = 5
    status: str = "draft"
    ran_since: float = 0.0
    paused_by: str | None = None
    run: int = 0


@dataclass(frozen=True)
class Received:
    """A request that changes something, as it reached the service."""

    at: float
    verb: str
    campaign_id: str
    found: str
    paused_by: str | None
    is_done: bool


@dataclass
class Service:
    """
    The account.

    :param clock: the time
    :param budget: most parallel calls of all running campaigns
    """

    clock: Clock
    budget: int = 10
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    spans: list[tuple[str, float, float]] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)

    def move(self, campaign_id: str, verb: str, *, by: str = "task") -> Exception | None:
        campaign = self.campaigns.get(campaign_id)
        if campaign is None:
            return NotFoundError("unknown", status_code=404)
        wanted = {"start": ("draft", "paused"), "resume": ("paused",), "pause": ("running",), "stop": ("running",)}
        is_done = campaign.status in wanted[verb]
        if is_done and verb in ("start", "resume"):
            used = sum(each.needs for each in self.campaigns.values() if each.status == "running")
            is_done = used + campaign.needs <= self.budget
        if by == "task":
            self.received.append(
                Received(self.clock.now, verb, campaign_id, campaign.status, campaign.paused_by, is_done)
            )
        if not is_done:
            return RequestRejectedError("409", status_code=CONFLICT)
        if verb in ("start", "resume"):
            campaign.status, campaign.ran_since, campaign.paused_by = "running", self.clock.now, None
            campaign.run += 1
            run = campaign.run
            self.clock.at(self.clock.now + campaign.work, lambda: self._done(campaign_id, run))
        else:
            self._ran(campaign_id)
            campaign.status = "paused" if verb == "pause" else "completed"
            campaign.paused_by = by
        return None

    def user(self, at: float, verb: str, campaign_id: str) -> None:
        """Let a user do something, when the time has come."""
        self.clock.at(at, lambda: self.move(campaign_id, verb, by="user"))

    def _ran(self, campaign_id: str) -> None:
        campaign = self.campaigns[campaign_id]
        self.spans.append((campaign_id, campaign.ran_since, self.clock.now))
        campaign.work -= self.clock.now - campaign.ran_since

    def _done(self, campaign_id: str, run: int) -> None:
        campaign = self.campaigns[campaign_id]
        if campaign.status == "running" and campaign.run == run:
            self._ran(campaign_id)
            campaign.status = "completed"


class Clock:
    """The time, and what happens in it."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._queue: list[tuple[float, int, Callable[[], Any]]] = []
        self._number = count()

    def at(self, moment: float, what: Callable[[], Any]) -> None:
        heapq.heappush(self._queue, (max(moment, self.now), next(self._number), what))

    def pass_to(self, moment: float) -> None:
        while self._queue and self._queue[0][0] <= moment:
            self.now, _, what = heapq.heappop(self._queue)
            what()
        self.now = max(self.now, moment)


@dataclass
class Wire:
    """
    What becomes of requests.

    :param faults: for each change in turn: ``None``, ``"lost before"``, ``"lost after"``, ``"late"`` (it takes effect
        half a minute after the answer was given up), ``"unavailable"``, ``"mute"`` (the answer says nothing) or
        ``"proxy"`` (it is not the service's, which never saw the request)
    :param blind: for each look in turn, whether it fails
    :param took: seconds each request takes, in turn
    """

    faults: Iterable[str | None] = ()
    blind: Iterable[bool] = ()
    took: Iterable[float] = ()

    def __post_init__(self) -> None:
        self._faults, self._blind, self._took = iter(self.faults), iter(self.blind), iter(self.took)

    def duration(self) -> float:
        return next(self._took, 0.2)

    def look(self, service: Service, ids: tuple[str, ...]) -> dict[str, str | Exception]:
        if next(self._blind, False):
            return dict.fromkeys(ids, ServiceUnavailableError("no answer"))
        missing = NotFoundError("unknown", status_code=404)
        return {each: service.campaigns[each].status if each in service.campaigns else missing for each in ids}

    def move(self, service: Service, step: Move) -> str | Exception | None:
        fault = next(self._faults, None)
        clock = service.clock
        match fault:
            case "unavailable":
                return ServiceUnavailableError("not sent")
            case "late":
                clock.at(clock.now + 30, lambda: service.move(step.campaign_id, step.verb))
            case None | "lost after":
                answer = service.move(step.campaign_id, step.verb)
                if fault is None:
                    return answer or service.campaigns[step.campaign_id].status
            case "mute":
                return service.move(step.campaign_id, step.verb)
            case "proxy":
                return None
        return UnclearOutcomeError("no answer")


@dataclass
class Task:
    """
    A task that carries a conduct out, on a worker first and then on a triggerer.

    :param order: what is asked for
    :param service: the account
    :param wire: the way there
    :param draw: random numbers in [0, 1)
    """

    order: Order
    service: Service
    wire: Wire = field(default_factory=Wire)
    draw: Callable[[], float] = lambda: 0.5
    log: list[Tell] = field(default_factory=list)
    kept: dict[str, Any] | None = None
    end: End | None = None
    is_lost: bool = False
    is_away: bool = False

    def said(self) -> str:
        return " ".join(each.sentence for each in self.log)

    def run(self, *, losses: Iterable[tuple[float, float]] = (), until: float = float("inf")) -> End | None:
        """
        Carry it out to the end.

        :param losses: when the process is lost, and for how many seconds; another one goes on after that
        :param until: when the test gives up
        """
        clock = self.service.clock
        losses = sorted(losses)
        while self.end is None and clock.now < until:
            lost_at, away = next(((at, away) for at, away in losses if at > clock.now), (float("inf"), 0.0))
            self._live(min(lost_at, until))
            if self.end is None:
                clock.pass_to(max(clock.now, min(lost_at, until)) + away)
        return self.end

    def _live(self, until: float) -> None:
        clock = self.service.clock
        conduct = Conduct(self.order, kept=self.kept, now=lambda: clock.now, draw=self.draw)
        for moment, step in self._steps(conduct):
            if moment >= until:
                return
            if isinstance(step, Keep) or (self.kept is None and isinstance(step, Rest)):
                self.kept = json.loads(json.dumps(conduct.remembered()))

    def _steps(self, conduct: Conduct) -> Generator[tuple[float, Any], None, None]:
        clock, steps, answer = self.service.clock, conduct.run(), None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                self.end = stop.value
                return
            answer = None
            yield clock.now, step
            match step:
                case Look(ids):
                    self._pass()
                    answer = self.wire.look(self.service, ids)
                case Move():
                    self._pass()
                    answer = self.wire.move(self.service, step)
                case Weigh(each):
                    self._pass()
                    answer = (self.service.campaigns[each].needs, self.service.budget)
                case Rest(seconds):
                    yield clock.now + seconds, step
                    clock.pass_to(clock.now + seconds)
                case Tell():
                    self.log.append(step)

    def _pass(self) -> None:
        clock = self.service.clock
        self.service.requests.append(clock.now)
        clock.pass_to(clock.now + self.wire.duration())


def account(now: float, *campaigns: Campaign, budget: int = 10) -> Service:
    """Return a service with campaigns ``c1``, ``c2``, …."""
    return Service(Clock(now), budget, {f"c{number}": replace(each) for number, each in enumerate(campaigns, 1)})


def order(service: Service, **how: Any) -> Order:
    """Return an order for all campaigns of a service."""
    return Order(campaign_ids=tuple(service.campaigns), **how)


def outcome(end: End | None) -> How | None:
    """Return how it ended; ``None``: not yet."""
    return None if end is None else end.how
