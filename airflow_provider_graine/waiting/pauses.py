"""How long to wait before the next look."""

from __future__ import annotations

from typing import Final

from airflow_provider_graine.waiting.stillness import Reason

LEAST_POLL_INTERVAL: Final = 0.05
_LEAST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 600.0
_AFTER_OPENING: Final = 5.0


def jittered(pause: float, draw: float) -> float:
    """
    Spread the looks of many waits over time.

    :param pause: seconds
    :param draw: a random number in [0, 1)
    :return: seconds, between 0.9 and 1.1 times the pause
    """
    return pause * (0.9 + 0.2 * draw)


def while_standing(poll_interval: float, reason: Reason | None, *, now: float) -> float:
    """
    Return a longer pause while nobody is called anyway.

    :param poll_interval: seconds between looks while all is well
    :param reason: why nobody is called; ``None`` when that is not so
    :param now: wall-clock time in seconds since the epoch
    :return: seconds
    """
    if reason is None:
        return poll_interval
    ends_in = _LONGEST_PAUSE if reason.until is None else reason.until - now + _AFTER_OPENING
    return max(poll_interval, min(_LONGEST_PAUSE, ends_in))


def until_deadline(pause: float, *, deadline: float | None, poll_interval: float, now: float) -> float:
    """
    Shorten a pause so that it does not go beyond the deadline.

    The last second is not cut up: looks would follow each other ever faster where the pause comes out shorter.

    :param pause: seconds
    :param deadline: wall-clock time in seconds since the epoch, where there is one
    :param poll_interval: seconds between looks while all is well
    :param now: wall-clock time in seconds since the epoch
    :return: seconds
    """
    if deadline is not None:
        pause = min(pause, deadline - now)
    return max(pause, min(_LEAST_PAUSE, poll_interval))
