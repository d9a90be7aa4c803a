"""What a service calls the states of its calls, and what they mean for a wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: States of contacts that have their own time, whoever calls them.
LATER: Final = frozenset({"retrying", "followup_scheduled"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """
    The words of a service.

    :param noun: what is waited for
    :param nouns: several of it
    :param succeeded: states that end it well
    :param failed: states that end it otherwise
    :param calling: states in which people are called
    :param scheduled: the state in which it waits for a start of its own
    :param idle: other states in which a wait has nothing to say
    :param held: states in which nobody new is called until somebody does something, and the words for that
    :param due: states of contacts that a part which is calling should be getting on with; ``None``: all but those that
        may be a contact's last, and those of :data:`LATER`
    :param counts_apart: whether counts do not come with the state and have to be asked for where the outcome hangs on
        them
    :param advice: what to do when calls stand still
    """

    noun: str
    nouns: str
    succeeded: frozenset[str]
    failed: frozenset[str]
    calling: frozenset[str]
    scheduled: str
    idle: frozenset[str]
    held: Mapping[str, str]
    due: frozenset[str] | None
    counts_apart: bool = False
    advice: str

    def knows(self, status: str) -> bool:
        """Tell whether a state is one of the service's documented ones."""
        return (
            status in self.succeeded
            or status in self.failed
            or status in self.calling
            or status in self.idle
            or status in self.held
            or status == self.scheduled
        )

    def has_ended(self, status: str) -> bool:
        """Tell whether nothing changes any more in a state."""
        return status in self.succeeded or status in self.failed


GRAINE: Final = Vocabulary(
    noun="batch",
    nouns="batches",
    succeeded=frozenset({"completed"}),
    failed=frozenset({"cancelled", "expired"}),
    calling=frozenset({"in_progress", "active"}),
    scheduled="pending",
    idle=frozenset({"draft"}),
    held={"paused": "paused: nobody new is called until it is resumed"},
    due=frozenset({"pending", "dispatched", "in_flight", "in_progress"}),
    advice=(
        "Ask the service whether its worker runs; force dispatch and resume queue every pending contact again, so use "
        "them only when it is known to have stopped."
    ),
)

#: The service has no word for a campaign that was stopped: it shows as completed, see :mod:`.kataven_watch`.
STOPPED: Final = "stopped"

KATAVEN: Final = Vocabulary(
    noun="campaign",
    nouns="campaigns",
    succeeded=frozenset({"completed"}),
    failed=frozenset({"failed", STOPPED}),
    calling=frozenset({"running"}),
    scheduled="scheduled",
    idle=frozenset(),
    held={
        "paused": "paused: nobody new is called until it is resumed",
        "draft": "not started: nobody is called until it is, which a wait does not do",
    },
    due=None,
    counts_apart=True,
    advice=(
        "See at the service whether the account's call limits are used up (those of a day end at midnight UTC), and "
        "whether its dispatcher runs."
    ),
)
