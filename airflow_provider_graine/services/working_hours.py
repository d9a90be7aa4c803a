"""The calling windows of a week as an author writes them, in one form for all services."""

from __future__ import annotations

import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, model_validator

from airflow_provider_graine.services.documents import Document

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_CLOSED = {"start": "00:00", "end": "00:00", "enabled": False}

_CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _clock_time(value: str) -> str:
    if not _CLOCK_TIME.fullmatch(value):
        raise ValueError('must be a time of day of the form "HH:MM", from "00:00" to "23:59"')
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, OSError, ValueError):
        raise ValueError('must be an IANA time zone such as "Asia/Kolkata"') from None
    return value


ClockTime = Annotated[str, AfterValidator(_clock_time)]
Timezone = Annotated[str, AfterValidator(_timezone)]


class DayHours(Document):
    """The calling window of one weekday; ``enabled: false`` days never receive calls."""

    start: ClockTime
    end: ClockTime
    enabled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _a_day_without_calls_needs_no_times(cls, value: Any) -> Any:
        if isinstance(value, dict) and str(value.get("enabled")).lower() in {"false", "no", "off", "0"}:
            return {**_CLOSED, **value}
        return value

    @model_validator(mode="after")
    def _window_lies_in_one_day(self) -> DayHours:
        if self.enabled and self.start >= self.end:
            raise ValueError("start must lie before end; the service does not document windows that cross midnight")
        return self


class WorkingHours(Document):
    """
    The calling windows of a week.

    What Graine does on a weekday that is left out is not documented, so a day without hours is sent as a day
    without calls.
    """

    monday: DayHours
    tuesday: DayHours
    wednesday: DayHours
    thursday: DayHours
    friday: DayHours
    saturday: DayHours
    sunday: DayHours

    @model_validator(mode="before")
    @classmethod
    def _every_day_travels_whole(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {day: hours for day, hours in value.items() if hours is not None}
        if not given:
            raise ValueError("names no weekday: nobody could ever be called")
        whole = {day: {"enabled": True, **hours} if isinstance(hours, dict) else hours for day, hours in given.items()}
        return {**dict.fromkeys(DAYS, _CLOSED), **whole}
