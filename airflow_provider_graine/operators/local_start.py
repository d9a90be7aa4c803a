"""The argument ``local_start`` and what belongs to it: from when on people are called, by the clock where they are."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.exceptions import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_graine.contacts.local_time import LocalTime

_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_YEARS: Final = range(1971, 9999)


def read_local_start(
    *, local_start: Any, local_date: Any, timezone_column: Any, default_timezone: Any
) -> LocalTime | None:
    """
    Read the arguments; an empty text, as a template may give it, is as if nothing was given.

    :param local_start: time of day, ``"09:30"`` or a :class:`datetime.time`
    :param local_date: day, ``"2026-05-12"`` or a :class:`datetime.date`
    :param timezone_column: name of a column
    :param default_timezone: name of a time zone
    :return: ``None`` where there is no ``local_start``
    :raises ConfigurationError: when one is something else, or is given without ``local_start``
    """
    from airflow_provider_graine.contacts.local_time import LocalTime, is_time_zone

    others = {
        "local_date": local_date,
        "timezone_column": timezone_column,
        "default_timezone": default_timezone,
    }
    if _is_nothing(local_start):
        given = [name for name, value in others.items() if not _is_nothing(value)]
        if given:
            raise ConfigurationError(
                f"{' and '.join(given)} are only of use with local_start, the time of day at which people are called "
                "first. Nothing was sent."
            )
        return None
    for name in ("timezone_column", "default_timezone"):
        if not _is_nothing(others[name]) and not isinstance(others[name], str):
            raise ConfigurationError(f"{name} must be a text, not {type(others[name]).__name__}. Nothing was sent.")
    if default_timezone and not is_time_zone(default_timezone):
        raise ConfigurationError('default_timezone must be an IANA time zone such as "Asia/Kolkata". Nothing was sent.')
    return LocalTime(
        start=_time(local_start),
        on=None if _is_nothing(local_date) else _date(local_date),
        column=timezone_column or None,
        default_timezone=default_timezone or None,
    )


def _is_nothing(value: Any) -> bool:
    return value is None or value == ""


def _time(value: Any) -> time:
    if isinstance(value, str) and _CLOCK.fullmatch(value.strip()):
        return time.fromisoformat(value.strip())
    if isinstance(value, time) and value.tzinfo is None:
        return value.replace(microsecond=0)
    raise ConfigurationError(
        'local_start must be a time of day such as "09:30", without a time zone. Nothing was sent.'
    )


def _date(value: Any) -> date:
    day = value
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value.strip())
        except ValueError:
            day = None
    if not isinstance(day, date) or isinstance(day, datetime) or day.year not in _YEARS:
        raise ConfigurationError('local_date must be a day such as "2026-05-12", without a time. Nothing was sent.')
    return day
