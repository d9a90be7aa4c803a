"""How moments, stretches of time and batches are named in messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from airflow_provider_graine.waiting.progress import Progress, word

# Not strftime's: those follow the locale of the process.
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MOST_NAMED: Final = 20


def day_and_time(moment: datetime) -> str:
    """Return ``Mon 18 May 09:00``."""
    return f"{_DAYS[moment.weekday()]} {moment.day} {_MONTHS[moment.month - 1]} {moment:%H:%M}"


def utc(moment: float, *, now: float | None = None) -> str:
    """
    Return a moment in UTC, with the date unless it is today's.

    :param moment: seconds since the epoch
    :param now: what today is; default: always with the date
    """
    told = datetime.fromtimestamp(moment, UTC)
    if now is not None and told.date() == datetime.fromtimestamp(now, UTC).date():
        return f"{told:%H:%M} UTC"
    return f"{day_and_time(told)} UTC"


def duration(seconds: float) -> str:
    """Return a stretch of time as a person says it: ``45 seconds``, ``31 minutes``, ``2 h 5 min``."""
    if seconds < 120:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    minutes = int(seconds // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def name(part: Progress) -> str:
    """Return what a part is called within a sentence."""
    return f"{part.vocabulary.noun} {part.id}" if part.id else "the campaign"


def subject(parts: Sequence[Progress]) -> str:
    """Return the beginning of a sentence about some parts, up to and with the verb."""
    if len(parts) == 1:
        return f"{name(parts[0])[0].upper()}{name(parts[0])[1:]} is"
    return f"{len(parts)} {parts[0].vocabulary.nouns} are"


def with_statuses(parts: Sequence[Progress]) -> str:
    """Return each part with its status; of very many the first ones."""
    named = ", ".join(f"{part.id or 'the campaign'} is {word(part.status)}" for part in parts[:_MOST_NAMED])
    return f"{named} and {len(parts) - _MOST_NAMED} more" if len(parts) > _MOST_NAMED else named
