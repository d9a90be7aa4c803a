"""What a conduct asks its driver to do, one thing after the other, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

#: What can be asked of a campaign. ``start`` is for drafts, ``resume`` for paused campaigns.
Verb = Literal["start", "resume", "pause"]


@dataclass(frozen=True, slots=True)
class Look:
    """
    Read campaigns.

    The answer is a mapping of each id to its status in lower case, or to the error in its place.
    """

    campaign_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """
    Send one request that changes a campaign, once.

    The answer is the status that the service answers with, ``None`` where it says yes and no more, or the error.
    """

    campaign_id: str
    verb: Verb


@dataclass(frozen=True, slots=True)
class Weigh:
    """
    Compare what a campaign needs with the whole budget of the account.

    The answer is a pair: its ``max_concurrent_calls`` and the account's ``concurrent_max``, ``None`` where not known.
    """

    campaign_id: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Let time pass; the conduct may go on in another process meanwhile, from what it has remembered."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Keep:
    """What the conduct remembers has changed in a way that must outlive this process: keep it now."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Say something in the log."""

    sentence: str
    is_warning: bool = False


Step = Look | Move | Weigh | Rest | Keep | Tell


class How(StrEnum):
    """How a conduct ends."""

    STARTED = "started"
    ENDED = "ended"
    NOT_STARTED = "not_started"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """
    The end of a conduct.

    :param how: ``STARTED``: all have been started; ``ENDED``: all have ended, in whatever way; ``NOT_STARTED``: the
        time to start was over; ``TIMED_OUT``: the time for everything was over
    :param message: the sentence for the log or the error
    :param statuses: the last known status of each campaign
    """

    how: How
    message: str
    statuses: Mapping[str, str | None]
