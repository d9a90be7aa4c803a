"""Calls that stand still: because nobody may be dialled, because nothing is due, or because something is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_graine.waiting import memory
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.look import Look, due_contacts
from airflow_provider_graine.waiting.steps import Closer
from airflow_provider_graine.waiting.vocabulary import LATER
from airflow_provider_graine.waiting.words import duration, name, utc

_LONGEST_TIP: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """
    Why calls that stand still may.

    :param sentence: the reason, to follow the line of progress
    :param nobody_is_called: whether nobody at all is called for the time being
    :param until: when that ends, in seconds since the epoch, where it is known
    """

    sentence: str
    nobody_is_called: bool = True
    until: float | None = None


_ONLY_RETRIES: Final = Reason(sentence="only scheduled retries and follow-ups are left", nobody_is_called=False)
NEVER_OPEN: Final = Reason(sentence="outside calling hours, which have no opening in the next 8 days")


def reason_to_stand(look: Look, *, hours: CallingHours | None, now: float) -> Reason | None:
    """
    Find out why calls may stand still now.

    :param look: what was seen
    :param hours: calling hours, where there is a restriction
    :param now: wall-clock time in seconds since the epoch
    :return: the reason, or ``None`` when they should be getting on, or are held by a person
    """
    if look.scheduled_for is not None and look.scheduled_for > now:
        return Reason(sentence=f"dialling starts {utc(look.scheduled_for)}", until=look.scheduled_for)
    if not look.calling:
        return None
    if hours is not None and not hours.is_open(now):
        opening = hours.opens_at(now)
        if opening is None:
            return NEVER_OPEN
        return Reason(sentence=f"outside calling hours, dialling resumes {hours.local(opening)}", until=opening)
    later = any(look.counts.get(state, 0) > 0 for state in LATER)
    return _ONLY_RETRIES if later and not look.due else None


class Stillness:
    """
    For how long nothing has changed although something could.

    :param kept: what :meth:`remembered` returned in an earlier process
    """

    __slots__ = ("seconds", "warned")

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self.seconds = max(0.0, memory.number(kept, "seconds") or 0.0)
        self.warned = kept.get("warned") is True

    def is_stalled(self, after: float | None, patience: float = 0.0) -> bool:
        """
        Tell whether it is time to warn a person, once per stall.

        :param after: seconds; ``None``: never
        :param patience: seconds more, for reasons that nobody can see
        """
        return after is not None and not self.warned and self.seconds >= after + patience

    def moved(self) -> bool:
        """Note a change; return whether it ends a stall that a person was warned of."""
        warned, self.warned, self.seconds = self.warned, False, 0.0
        return warned

    def remembered(self) -> dict[str, Any]:
        """Return what a later process has to know."""
        return {"seconds": self.seconds, "warned": self.warned} if self.seconds or self.warned else {}


def stall_warning(look: Look, closer: Closer, *, still: float, hours_error: Exception | None, now: float) -> str:
    """
    Say that calls make no progress, what is known of it, and what to do.

    :param look: what was seen, with contacts that are due
    :param closer: the answer of the service
    :param still: seconds inside calling hours without any change
    :param hours_error: why the calling hours could not be read
    :param now: wall-clock time in seconds since the epoch
    """
    worst = look.due[0]
    more = f" (and {len(look.due) - 1} more)" if len(look.due) > 1 else ""
    sentences = [
        f"Nothing has changed for {duration(still)} inside calling hours: "
        f"{due_contacts(worst)} contacts of {name(worst)}{more} are due."
    ]
    if hours_error is not None:
        sentences[0] = f"{sentences[0][:-1]}, if these are calling hours, which could not be read."
    if closer.oldest_pending_at is not None and 0 <= closer.oldest_pending_at <= now:
        sentences.append(f"The oldest pending contact last changed {duration(now - closer.oldest_pending_at)} ago.")
    if closer.stuck is not None:
        sentences.append(f"The service {'calls it stuck' if closer.stuck else 'does not call it stuck'}.")
    if tip := _quotable(closer.tip):
        sentences.append(f'It says: "{tip}"')
    if closer.error is not None:
        sentences.append(f"A closer look failed: {closer.error}")
    sentences.append(f"Nothing was done to the calls and the wait goes on. {worst.vocabulary.advice}")
    return " ".join(sentences)


def _quotable(tip: object) -> str | None:
    """Return short plain text without anything like a number to call, an address, a link or a token."""
    if not isinstance(tip, str) or not 0 < len(tip) <= _LONGEST_TIP or not tip.isprintable():
        return None
    return None if re.search(r"\d(?:[ ().-]*\d){5}|[@<>{}]|://|gat_|sk_", tip) else tip
