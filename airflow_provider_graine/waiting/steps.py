"""What a wait answers to a look: what to do now, and what to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_graine.waiting.hours import CallingHours


class Step(StrEnum):
    """What to do after a look."""

    WAIT = "wait"
    LOOK_CLOSER = "look_closer"
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


class Question(StrEnum):
    """What a wait asks to look at before it decides."""

    HOURS = "hours"
    DEBUG = "debug"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """
    What a look means.

    :param step: what to do
    :param message: the sentence for the log or the error
    :param counts: contacts by state; empty when they could not be seen
    :param pause: seconds until the next look (``WAIT``), without jitter
    :param worth_telling: whether ``message`` is worth a log line now
    :param warning: something a person should look at although the wait goes on; always worth telling
    :param question: what to look at and tell :meth:`.Wait.saw_closer` (``LOOK_CLOSER``)
    :param batch_id: the batch that ``Question.DEBUG`` is about
    """

    step: Step
    message: str
    counts: dict[str, int]
    pause: float = 0.0
    worth_telling: bool = True
    warning: str | None = None
    question: Question | None = None
    batch_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Closer:
    """
    What the closer look that a wait asked for has found.

    :param hours: calling hours of the campaign, or ``None`` where there is no restriction or it is not known
    :param stuck: the service's own opinion (``diagnostics.stuck_pending``)
    :param tip: the service's advice (``diagnostics.tip``); quoted only when it is short plain text
    :param oldest_pending_at: when the oldest pending contact last changed, in seconds since the epoch
    :param error: why the closer look failed; never ends a wait
    """

    hours: CallingHours | None = None
    stuck: bool | None = None
    tip: str | None = None
    oldest_pending_at: float | None = None
    error: Exception | None = None
