"""One attempt to reach somebody, whichever service places it. Times are virtual seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .outcomes import Draw, Outcomes


class Callee(Protocol):
    """A contact of any service."""

    phone_number: str
    calls: list[Call]


@dataclass(slots=True, eq=False)
class Call:
    """A call under way or over. How it will end is settled when it is placed."""

    contact: Any
    number: int
    follow_up: bool
    draw: Draw
    dispatched_at: float
    begins_at: float
    answered_at: float | None
    ends_at: float

    def status(self, now: float) -> str:
        """:return: ``trying``, ``ringing``, ``in-progress``, and at the end what became of it"""
        if now < self.begins_at:
            return "trying"
        if now >= self.ends_at:
            return self.draw.outcome.call_status
        return "ringing" if self.answered_at is None or now < self.answered_at else "in-progress"

    def talk_seconds(self, now: float) -> int:
        """:return: seconds since the callee, or a machine, picked up; of the whole conversation once it is over"""
        return 0 if self.answered_at is None else max(0, round(min(now, self.ends_at) - self.answered_at))


def place(contact: Callee, *, now: float, outcomes: Outcomes, follow_up: bool = False, reports: bool = True) -> Call:
    """
    Call somebody, and note it with the contact.

    :param contact: who
    :param now: virtual time
    :param outcomes: how calls turn out
    :param follow_up: the callee has asked for it
    :param reports: ``False``: nobody will ever hear how it went
    :return: the call
    """
    draw = outcomes.draw(contact.phone_number, len(contact.calls))
    outcome = draw.outcome
    begins_at = now + draw.between(0, 0.5, 1.5)
    picked_up = begins_at + draw.between(1, *outcome.ring)
    ends_at = picked_up if outcome.talk is None else picked_up + draw.between(2, *outcome.talk)
    answered_at = None if outcome.talk is None else picked_up
    if not reports:
        begins_at, answered_at, ends_at = float("inf"), None, float("inf")
    call = Call(contact, len(contact.calls), follow_up, draw, now, begins_at, answered_at, ends_at)
    contact.calls.append(call)
    return call
