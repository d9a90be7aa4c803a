"""What a conduct is asked to bring about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from airflow_provider_graine.waiting.hours import CallingHours

#: Seconds inside the calling hours for which a campaign waits for its start.
START_TIMEOUT: Final = 21_600.0
#: Longest pause, in seconds, between two attempts to start while the budget is used up.
START_INTERVAL: Final = 300.0
#: Seconds between two looks at campaigns that run. With less, a few tasks use up the account's requests of a day.
POLL_INTERVAL: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """
    Which campaigns are to be started, when, and for how long they are looked after.

    :param campaign_ids: the campaigns, in the order in which they are started
    :param verb: ``"start"`` for drafts, ``"resume"`` for paused campaigns
    :param until_ended: whether to go on until all have ended, and keep the hours meanwhile; else until all are started
    :param one_at_a_time: whether each is started only when the one before has ended
    :param hours: when people may be called; ``None``: at any time
    :param start_timeout: seconds inside the hours for which each may wait for its start, from when its turn comes;
        ``None``: any time
    :param start_interval: longest pause, in seconds, between two attempts while the budget is used up
    :param poll_interval: seconds between looks at campaigns that run
    :param deadline: wall-clock time, in seconds since the epoch, at which all of it has taken too long; ``None``: never
    """

    campaign_ids: tuple[str, ...]
    verb: Literal["start", "resume"] = "start"
    until_ended: bool = False
    one_at_a_time: bool = False
    hours: CallingHours | None = None
    start_timeout: float | None = START_TIMEOUT
    start_interval: float = START_INTERVAL
    poll_interval: float = POLL_INTERVAL
    deadline: float | None = None

    def as_kwargs(self) -> dict[str, Any]:
        """Return JSON values for :meth:`from_kwargs`."""
        return {
            "campaign_ids": list(self.campaign_ids),
            "verb": self.verb,
            "until_ended": self.until_ended,
            "one_at_a_time": self.one_at_a_time,
            "hours": self.hours.remembered() if self.hours is not None else None,
            "start_timeout": self.start_timeout,
            "start_interval": self.start_interval,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
        }

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> Self:
        """
        Return the order that :meth:`as_kwargs` has described.

        :raises ValueError: when the hours cannot be read: without them people would be called at any time
        """
        hours = kwargs["hours"]
        recalled = CallingHours.recalled(hours) if hours is not None else None
        if hours is not None and recalled is None:
            raise ValueError("The calling hours that were kept cannot be read.")
        return cls(**{**kwargs, "campaign_ids": tuple(kwargs["campaign_ids"]), "hours": recalled})
