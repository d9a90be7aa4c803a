"""What the sandbox remembers: campaigns and their contacts. Times are virtual seconds since 1970."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..calls import Call

# Campaigns
DRAFT = "draft"
SCHEDULED = "scheduled"
RUNNING = "running"
PAUSED = "paused"
COMPLETED = "completed"
FAILED = "failed"
ENDED = (COMPLETED, FAILED)

# Contacts
PENDING = "pending"
CALLING = "calling"
RETRYING = "retrying"
"""Waits for its retry. What the API calls that is a setting."""
SKIPPED = "skipped"
CONTACT_STATUSES = (PENDING, CALLING, RETRYING, COMPLETED, FAILED, SKIPPED)


@dataclass(slots=True, eq=False)
class Contact:
    """A row of a campaign's file."""

    campaign: Campaign
    index: int
    phone_number: str
    custom_fields: dict[str, str]
    updated_at: float
    status: str = PENDING
    calls: list[Call] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Campaign:
    """A list to dial, and how."""

    campaign_id: str
    name: str
    agent_id: str
    phone_number_id: str
    max_concurrent_calls: int
    retries_per_contact: int
    retry_delay_seconds: int
    scheduled_at: float | None
    created_at: float
    status: str = DRAFT
    started_at: float | None = None
    completed_at: float | None = None
    contacts: list[Contact] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CONTACT_STATUSES, 0))
    attempts: int = 0
    open: int = 0
    """Contacts that may still change."""
    live: int = 0
    """Calls under way."""
    waiting: deque[Contact] = field(default_factory=deque)
    """Never called yet, in upload order."""
    due: deque[Contact] = field(default_factory=deque)
    """Retries whose time has come."""
    published: bool = True
    """The dispatcher knows that it runs (a fault can lose the message)."""
    webhooks: bool = True
    """The carrier's reports arrive (a fault can lose them)."""
    by_id: list[Contact] | None = None
    """Sorted when first asked for."""
    hidden_until: float = 0.0
    hidden_lists: int = 0
