"""What is known of the calls at one moment, and the line that tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_provider_graine.waiting.vocabulary import GRAINE, Vocabulary

#: States in which a contact is done with, in the order in which a reader asks for them.
FINAL_CONTACT_STATES = ("completed", "no_answer", "busy", "failed", "max_retries_reached", "skipped")


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """
    The state of one batch or campaign, or of several together.

    :param status: the service's word for the state, lower case
    :param total: number of contacts, or ``None`` where the service did not say
    :param counts: contacts by state, in the service's words
    :param id: which one it is; ``None`` for a campaign that is waited for as such
    :param starts_at: when something scheduled is to start, in seconds since the epoch, where that is known
    :param patience: seconds for which people who wait to be called again may make it look as if nothing happened
    :param vocabulary: the words of the service
    """

    status: str
    total: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    id: str | None = None
    starts_at: float | None = None
    patience: float = 0.0
    vocabulary: Vocabulary = GRAINE

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.vocabulary.has_ended(self.status)

    @property
    def has_failed(self) -> bool:
        """Whether it has ended otherwise than well."""
        return self.status in self.vocabulary.failed

    @property
    def is_calling(self) -> bool:
        """Whether people are called."""
        return self.status in self.vocabulary.calling

    @property
    def is_held(self) -> bool:
        """Whether nobody new is called until somebody does something."""
        return self.status in self.vocabulary.held


def counted(parts: Iterable[Progress]) -> dict[str, int]:
    """
    Add the counts of several parts up.

    :param parts: what is known of each
    :return: contacts by state, without zeros
    """
    total: dict[str, int] = {}
    for part in parts:
        for state, number in part.counts.items():
            total[state] = total.get(state, 0) + number
    return {state: number for state, number in total.items() if number}


def with_outcome(counts: Mapping[str, int]) -> int:
    """Return the number of contacts that are in a state which may be their last."""
    return sum(counts.get(state, 0) for state in FINAL_CONTACT_STATES)


def summarized(counts: Mapping[str, int], *, total: int | None, ended: bool = False) -> str:
    """
    Say in one line how far the calls are.

    A batch's counters leave some states out (skipped, follow-ups, retries used up): what is missing to the total is
    told as "other".

    :param counts: contacts by state
    :param total: number of contacts, where known
    :param ended: whether all of it has ended: then there is no share to tell
    """
    final = {state: counts[state] for state in FINAL_CONTACT_STATES if counts.get(state)}
    rest = {state: number for state, number in counts.items() if number and state not in final}
    parts = [f"{number} {word(state).replace('_', ' ')}" for state, number in {**final, **rest}.items()]
    if total is None:
        return ", ".join(parts) or "no counts"
    if (other := total - sum(counts.values())) > 0:
        parts.append(f"{other} other")
    listed = ", ".join(parts) or "no counts"
    if ended:
        return f"{total} contact{'' if total == 1 else 's'}: {listed}"
    done = with_outcome(counts)
    share = f" ({100 * done // total}%)" if total else ""
    return f"{done} of {total} contacts have an outcome{share}: {listed}"


def word(state: str) -> str:
    """Return a state that is a plain word as it is; anything else the service may put there is not repeated."""
    plain = state.isascii() and state.replace("_", "").isalpha() and len(state) <= 40
    return state if plain else "not a word"
