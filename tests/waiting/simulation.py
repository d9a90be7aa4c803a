"""A clock of the tests' own, a batch that is called while it runs, and a driver that waits as all callers do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_graine.waiting.decision import Closer, Decision, Question, Step, Wait, jittered
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.progress import Progress

KOLKATA = "Asia/Kolkata"
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def moment(text: str, timezone: str = "UTC") -> float:
    """Read ``2026-05-18 09:00``, which is a Monday, as people in a timezone mean it."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).timestamp()


MONDAY_NOON = moment("2026-05-18 12:00", KOLKATA)


def week(start: str = "09:00", end: str = "18:00", closed: tuple[str, ...] = ("saturday", "sunday")) -> dict[str, Any]:
    return {day: {"start": start, "end": end, "enabled": day not in closed} for day in WEEKDAYS}


def office_hours(timezone: str = KOLKATA, **kwargs: Any) -> CallingHours:
    hours = CallingHours.of(timezone=timezone, working_hours=week(**kwargs), enforced=True)
    assert hours is not None
    return hours


def batch(status: str = "in_progress", total: int | None = 10, batch_id: str | None = "btc_1", **rest: Any) -> Progress:
    """Return a batch; what is no field of it is a count."""
    starts_at = rest.pop("starts_at", None)
    return Progress(status=status, total=total, counts=rest, id=batch_id, starts_at=starts_at)


def decide(
    wait: Wait,
    *parts: Progress,
    now: float,
    hours: CallingHours | None = None,
    debug: Closer | None = None,
    asked: list[Decision] | None = None,
) -> Decision:
    """Feed a look and answer what the wait asks."""
    decision = wait.saw(parts, now=now)
    questions = 0
    while decision.step is Step.LOOK_CLOSER:
        questions += 1
        assert questions <= 2, "A wait asks for the hours and for debug, each once in a look."
        if asked is not None:
            asked.append(decision)
        closer = Closer(hours=hours) if decision.question is Question.HOURS else debug or Closer()
        decision = wait.saw_closer(closer, now=now)
    return decision


@dataclass
class Dialler:
    """A batch that is called inside calling hours, so many people a minute, and is completed when all are."""

    total: int = 600
    per_minute: float = 2.0
    hours: CallingHours | None = None
    began: float = MONDAY_NOON
    stands_still: tuple[float, float] = (0.0, 0.0)

    def __call__(self, now: float) -> list[Progress]:
        called = min(self.total, int(self._seconds(now) * self.per_minute / 60))
        answered = called * 3 // 4
        counts = {"pending": self.total - called, "completed": answered, "no_answer": called - answered}
        status = "completed" if called == self.total else "in_progress"
        return [Progress(status=status, total=self.total, counts=counts, id="btc_1")]

    def _seconds(self, now: float) -> float:
        since, until = self.stands_still
        stood = max(0.0, min(now, until) - max(self.began, since)) if since else 0.0
        if self.hours is None:
            return now - self.began - stood
        return self.hours.open_seconds(self.began, now)


@dataclass
class Story:
    """What came of a wait."""

    step: Step | None = None
    error: Exception | None = None
    message: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    at: float = 0.0
    looks: int = 0
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    asked: list[Decision] = field(default_factory=list)


def run(
    wait: Wait,
    world: Callable[[float], list[Progress]],
    *,
    start: float = MONDAY_NOON,
    outages: Callable[[float], Exception | None] = lambda now: None,
    hours: CallingHours | None = None,
    debug: Closer | None = None,
    within: float = 14 * 86400.0,
    draw: float = 0.5,
) -> Story:
    """Wait as callers do, on a clock that stands while it is not slept."""
    story, now = Story(), start
    while now < start + within:
        story.looks += 1
        error = outages(now)
        try:
            decision = (
                wait.could_not_see(error, now=now)
                if error
                else decide(wait, *world(now), now=now, hours=hours, debug=debug, asked=story.asked)
            )
        except Exception as raised:
            story.error, story.at = raised, now
            return story
        if decision.warning:
            story.warnings.append(decision.warning)
        if decision.step is not Step.WAIT:
            story.step, story.message, story.counts, story.at = decision.step, decision.message, decision.counts, now
            return story
        if decision.worth_telling:
            story.lines.append(decision.message)
        now += jittered(decision.pause, draw)
    raise AssertionError(f"The wait did not end within {within} seconds.")
