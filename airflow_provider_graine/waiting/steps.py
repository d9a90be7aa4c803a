"""What a wait answers to a look: what to do now, and what to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.progress import Progress


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
    COUNTS = "counts"


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
    :param about: what ``Question.DEBUG`` is about: the batch, or the campaign of a service without batches
    """

    step: Step
    message: str
    counts: dict[str, int]
    pause: float = 0.0
    worth_telling: bool = True
    warning: str | None = None
    question: Question | None = None
    about: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Closer:
    """
    What the closer look that a wait asked for has found.

    :param hours: calling hours of the campaign, or ``None`` where there is no restriction or it is not known
    :param stuck: the service's own opinion (``diagnostics.stuck_pending``)
    :param tip: the service's advice (``diagnostics.tip``); quoted only when it is short plain text
    :param oldest_pending_at: when the oldest pending contact last changed, in seconds since the epoch
    :param parts: everything that is waited for, with counts, where those were asked for and can be had
    :param error: why the closer look failed; never ends a wait
    """

    hours: CallingHours | None = None
    stuck: bool | None = None
    tip: str | None = None
    oldest_pending_at: float | None = None
    parts: Sequence[Progress] = ()
    error: Exception | None = None
