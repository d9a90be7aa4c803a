"""
The documents that Graine answers with, read tolerantly.

New fields are kept, missing ones are ``None``, and a status is any word: what a status means is decided by whoever
waits for it. Shapes are those of the pages named at each request in :mod:`.requests`.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Id = Annotated[str, Field(min_length=1)]
Status = Annotated[str, BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)]
Counts = Annotated[
    dict[str, int],
    BeforeValidator(
        lambda value: (
            {name: count for name, count in value.items() if count is not None} if isinstance(value, dict) else value
        )
    ),
]


@cache
def _never_null(document: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in document.model_fields.items() if field.default is not None)


class Answer(BaseModel):
    """A JSON document of an answer; fields we do not know are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_as_missing(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        no_nulls = _never_null(cls)
        return {name: each for name, each in value.items() if each is not None or name not in no_nulls}


class Campaign(Answer):
    """A campaign, as ``GET``, ``POST`` and ``PATCH`` return it (the last two with fewer fields)."""

    campaign_id: Id
    name: str | None = None
    status: Status | None = None
    organization_id: str | None = None
    agent_id: str | None = None
    timezone: str | None = None
    working_hours_enforced: bool | None = None
    working_hours: dict[str, Any] | None = None
    retry_policy: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    created_at: str | None = None


class StateChange(Answer):
    """The answer to pause, resume, cancel and dispatch."""

    campaign_id: str | None = None
    batch_id: str | None = None
    status: Status | None = None
    dispatched_count: int | None = None


class CampaignStats(Answer):
    """The live figures of a campaign."""

    campaign_id: str | None = None
    contact_counts: Counts
    batch_counts: Counts
    call_counters: Counts = Field(default_factory=dict)
    retry_breakdown: Counts = Field(default_factory=dict)
    in_flight_contacts: int | None = None
    total_call_attempts: int | None = None
    follow_up_attempts: int | None = None


class Batch(Answer):
    """A batch; ``metadata`` and ``call_context`` come only with ``GET /batches/{batch_id}``."""

    batch_id: Id
    campaign_id: str | None = None
    organization_id: str | None = None
    status: Status = "unknown"
    total_contacts: int | None = None
    concurrency_limit: int | None = None
    max_retries_override: int | None = None
    scheduled_start: str | None = None
    metadata: dict[str, Any] | None = None
    counters: Counts = Field(default_factory=dict)
    retry_breakdown: Counts = Field(default_factory=dict)
    created_at: str | None = None
    updated_at: str | None = None


class BatchContact(Answer):
    """A person on a batch; call records come along where they were asked for."""

    contact_id: Id
    phone_number: str | None = None
    call_variables: dict[str, Any] | None = None
    status: Status | None = None
    retry_count: int | None = None
    follow_up_count: int | None = None
    last_attempted_at: str | None = None
    next_retry_at: str | None = None


class Diagnostics(Answer):
    """The service's own opinion of a batch."""

    stuck_pending: bool | None = None
    tip: str | None = None


class BatchDebug(Answer):
    """Why a batch makes no progress; says nothing of working hours."""

    batch_id: Id
    status: Status | None = None
    status_breakdown: dict[str, Any] = Field(default_factory=dict)
    pending_sample: list[str] = Field(default_factory=list)
    diagnostics: Diagnostics = Diagnostics()
