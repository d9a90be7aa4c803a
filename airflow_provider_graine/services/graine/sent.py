"""
The documents that are sent to Graine, checked before anything leaves.

Fields and defaults are those of https://graine.mintlify.app/api-reference/campaigns/create and .../batches/create.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from airflow_provider_graine.services.documents import E164, Document, Name, in_utc, moment
from airflow_provider_graine.services.working_hours import Timezone, WorkingHours


def _scheduled_start(value: Any) -> str:
    """
    Write a start time as Graine reads it: aware as UTC with ``Z``, naive as it is (the campaign's timezone).

    An explicit offset is not documented, so none is ever sent; fractions of a second are not either and are cut.
    """
    start = moment(value)
    if start.utcoffset() is None:
        return start.replace(tzinfo=None).isoformat(timespec="seconds")
    return in_utc(start)


ScheduledStart = Annotated[str, BeforeValidator(_scheduled_start)]


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
