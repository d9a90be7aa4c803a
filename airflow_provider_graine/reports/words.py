"""What services call the states of people and batches, and how a report shows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: The state of somebody whose call came to what it was for.
ANSWERED: Final = "completed"
#: States in which nobody knows yet what came of the last call.
IN_FLIGHT: Final = frozenset({"dispatched", "in_progress", "in_flight", "dialing", "calling", "ringing", "in_call"})
#: States that only those have who were called.
CALLED: Final = frozenset(
    {ANSWERED, "failed", "busy", "no_answer", "max_retries_reached", "retrying", "followup_scheduled"}
)

_WORD: Final = re.compile(r"[a-z][a-z_]{0,39}")


@dataclass(frozen=True)
class Outcome:
    """
    How a state is shown.

    :param label: what it is called
    :param color: name of its colour, see ``charts/theme.css``
    """

    label: str
    color: str


_OUTCOMES: Final = {
    ANSWERED: Outcome("Completed", "completed"),
    "dispatched": Outcome("Being dialled", "in_flight"),
    "in_progress": Outcome("On the phone", "in_flight"),
    "in_flight": Outcome("On the phone", "in_flight"),
    "retrying": Outcome("Retry due", "retrying"),
    "followup_scheduled": Outcome("Follow-up due", "followup"),
    "no_answer": Outcome("No answer", "no_answer"),
    "busy": Outcome("Busy", "busy"),
    "failed": Outcome("Failed", "failed"),
    "max_retries_reached": Outcome("Retries used up", "exhausted"),
    "skipped": Outcome("Skipped", "skipped"),
    "pending": Outcome("Pending", "pending"),
}
ORDER: Final = tuple(_OUTCOMES)


def plain(word: object) -> str:
    """
    Return a service's word where it looks like one, for it comes from outside and is shown.

    :param word: a status or a reason
    """
    return word if isinstance(word, str) and _WORD.fullmatch(word) else "unknown"


def outcome(status: str) -> Outcome:
    """
    Tell how a state is shown; one that is not documented by its own name.

    :param status: the service's word
    """
    return _OUTCOMES.get(status) or Outcome(spelt(status), "in_flight" if status in IN_FLIGHT else "skipped")


def spelt(word: str) -> str:
    """
    Write a service's word for reading.

    :param word: such as ``missing_number``
    """
    return plain(word).replace("_", " ").capitalize()
