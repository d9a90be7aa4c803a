"""
The documents that are sent to Graine, checked before anything leaves.

Unknown fields are refused: a misspelt ``working_hour`` must not be lost in silence. Fields and defaults are those of
https://graine.mintlify.app/api-reference/campaigns/create and .../batches/create.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from airflow_provider_graine.exceptions import ConfigurationError

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_CLOSED = {"start": "00:00", "end": "00:00", "enabled": False}

_CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_E164 = re.compile(r"\+[1-9]\d{6,14}")


def _clock_time(value: str) -> str:
    if not _CLOCK_TIME.fullmatch(value):
        raise ValueError('must be a time of day of the form "HH:MM", from "00:00" to "23:59"')
    return value


def _e164(value: str) -> str:
    if not _E164.fullmatch(value):
        raise ValueError("must be a phone number in E.164 form: a plus sign, country code and number, digits only")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, OSError, ValueError):
        raise ValueError('must be an IANA time zone such as "Asia/Kolkata"') from None
    return value


def _scheduled_start(value: Any) -> str:
    """
    Write a start time as Graine reads it: aware as UTC with ``Z``, naive as it is (the campaign's timezone).

    An explicit offset is not documented, so none is ever sent; fractions of a second are not either and are cut.
    """
    if isinstance(value, str):
        value = _moment(value.strip().upper())
    if not isinstance(value, datetime):
        kind = "a date without a time of day" if isinstance(value, date) else f"of type {type(value).__name__}"
        raise ValueError(f"must be a datetime or a string, not {kind}")
    if value.utcoffset() is None:
        return value.replace(tzinfo=None).isoformat(timespec="seconds")
    try:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    except OverflowError:
        raise ValueError("lies outside of the years 1 to 9999") from None


def _moment(text: str) -> datetime | date:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise ValueError('must be a date and time such as "2026-05-12T09:00:00" or "2026-05-12T03:30:00Z"')


ClockTime = Annotated[str, AfterValidator(_clock_time)]
E164 = Annotated[str, AfterValidator(_e164)]
Timezone = Annotated[str, AfterValidator(_timezone)]
ScheduledStart = Annotated[str, BeforeValidator(_scheduled_start)]
Name = Annotated[str, Field(min_length=1)]


class Document(BaseModel):
    """A JSON document of a request; only the fields that were given travel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def encoded(self) -> bytes:
        """
        Return the JSON text to send.

        :raises ConfigurationError: when a value cannot be written as JSON
        """
        try:
            return self.model_dump_json(exclude_unset=True, exclude_none=True).encode()
        except ValueError:  # its text may quote the value
            pass
        raise ConfigurationError(
            f"A value in {' or '.join(sorted(self.model_fields_set))} cannot be written as JSON: only text, numbers, "
            "booleans, dates, lists and mappings can. Nothing was sent."
        )


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


class RetryPolicy(Document):
    """How often, and how far apart, Graine itself calls a person again."""

    max_retries: int | None = Field(default=None, ge=0)
    strategy: Literal["fixed", "exponential"] | None = None
    cooldown_minutes: int | None = Field(default=None, ge=0)


class _CampaignFields(Document):
    phone_number_strategy: Literal["round_robin", "random", "least_loaded"] | None = None
    working_hours_enforced: bool | None = None
    timezone: Timezone | None = None
    working_hours: WorkingHours | None = None
    retry_policy: RetryPolicy | None = None
    default_call_variables: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _metadata_limits_concurrency_sensibly(self) -> _CampaignFields:
        limit = (self.metadata or {}).get("concurrency_limit")
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise ValueError("metadata.concurrency_limit must be a whole number of at least 1")
        if "callee_name" in (self.default_call_variables or {}):
            raise ValueError("callee_name belongs to each contact, not into default_call_variables")
        return self


class CreateCampaign(_CampaignFields):
    """``POST /campaigns/``."""

    name: Name
    agent_id: Name
    phone_numbers: list[E164] = Field(min_length=1)
    organization_id: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _hours_are_meant_to_hold(cls, value: Any) -> Any:
        """Calling windows that are given are enforced; what Graine does when nobody says so is not documented."""
        if isinstance(value, dict) and value.get("working_hours") is not None:
            if value.get("timezone") is None:
                raise ValueError("working_hours need a timezone: the service's default is not documented")
            return {"working_hours_enforced": True, **value}
        return value


class UpdateCampaign(_CampaignFields):
    """``PATCH /campaigns/{campaign_id}``: only what is given changes; nested objects are sent whole."""

    name: Name | None = None
    agent_id: Name | None = None
    phone_numbers: list[E164] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _changes_something(self) -> UpdateCampaign:
        if not self.model_fields_set:
            raise ValueError("nothing to change was given")
        return self


class Contact(Document):
    """A person to call. ``callee_name`` belongs into ``call_variables``: the agent greets with it."""

    phone_number: E164
    call_variables: dict[str, Any] = Field(default_factory=dict)


class BatchOptions(Document):
    """Everything of ``POST /batches/`` but the contacts."""

    campaign_id: Name
    organization_id: Name | None = None
    scheduled_start: ScheduledStart | None = None
    concurrency_limit: int | None = Field(default=None, ge=1)
    max_retries_override: int | None = Field(default=None, ge=0)
    call_context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
