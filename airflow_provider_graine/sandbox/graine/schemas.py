"""What a request may contain, checked the way the vendor's framework does it."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)
from typing_extensions import TypedDict


def _iana(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("not an IANA timezone") from None
    return name


def _clock(text: str) -> str:
    time.fromisoformat(text)
    return text


Timezone = Annotated[str, AfterValidator(_iana)]
HourMinute = Annotated[str, StringConstraints(pattern=r"^\d{2}:\d{2}$"), AfterValidator(_clock)]


class Window(BaseModel):
    """One day of ``working_hours``."""

    start: HourMinute
    end: HourMinute
    enabled: bool = True


class WeekSchedule(BaseModel):
    """``working_hours``."""

    monday: Window | None = None
    tuesday: Window | None = None
    wednesday: Window | None = None
    thursday: Window | None = None
    friday: Window | None = None
    saturday: Window | None = None
    sunday: Window | None = None

    @model_serializer(mode="wrap")
    def _as_sent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {day: window for day, window in dump(self).items() if window is not None}


class RetryPolicy(BaseModel):
    """``retry_policy``."""

    max_retries: int = Field(3, ge=0)
    strategy: Literal["fixed", "exponential"] = "fixed"
    cooldown_minutes: int = Field(30, ge=0)


class CampaignPatch(BaseModel):
    """The body of a campaign's PATCH: what is left out stays."""

    name: str = Field("", min_length=1)
    agent_id: str = Field("", min_length=1)
    phone_numbers: list[str] = Field([], min_length=1)
    phone_number_strategy: Literal["round_robin", "random", "least_loaded"] = "round_robin"
    working_hours_enforced: bool = False
    timezone: Timezone | None = None
    working_hours: WeekSchedule | None = None
    retry_policy: RetryPolicy = RetryPolicy()
    default_call_variables: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class CampaignCreate(CampaignPatch):
    """The body of a campaign's POST."""

    name: str
    agent_id: str
    phone_numbers: list[str]
    organization_id: str | None = None


class ContactCreate(TypedDict, total=False):
    """One of a batch's ``contacts``."""

    phone_number: str
    call_variables: dict[str, Any] | None


class BatchCreate(BaseModel):
    """The body of a batch's POST."""

    campaign_id: str
    contacts: list[ContactCreate]
    organization_id: str | None = None
    scheduled_start: datetime | None = None
    concurrency_limit: int | None = Field(None, ge=1)
    max_retries_override: int | None = Field(None, ge=0)
    call_context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class Page(BaseModel):
    """Query parameters of the lists."""

    skip: int = Field(0, ge=0)
    limit: int = Field(50, ge=1)
    status: str | None = None
    organization_id: str | None = None
    campaign_id: str | None = None


class ContactPage(BaseModel):
    """Query parameters of a batch's contacts."""

    skip: int = Field(0, ge=0)
    limit: int = Field(100, ge=1)
    status: str | None = None
    include_calls: bool = False


CAMPAIGN_REQUIRED = ("name", "agent_id", "phone_numbers")
BATCH_REQUIRED = ("campaign_id", "contacts")
