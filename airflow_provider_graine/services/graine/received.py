"""
The documents that Graine answers with.

Shapes are those of the pages named at each request in :mod:`.requests`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from airflow_provider_graine.services.answers import Answer, Counts, Id, Status


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
