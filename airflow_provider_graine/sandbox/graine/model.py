"""What the sandbox remembers: campaigns, batches and contacts. Times are virtual seconds since 1970."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..calls import Call
    from .hours import WorkingHours

# Campaigns and batches
DRAFT = "draft"
ACTIVE = "active"
PAUSED = "paused"
CANCELLED = "cancelled"
COMPLETED = "completed"
EXPIRED = "expired"
PENDING = "pending"
IN_PROGRESS = "in_progress"

# Contacts
DISPATCHED = "dispatched"
RETRYING = "retrying"
FOLLOWUP_SCHEDULED = "followup_scheduled"
FAILED = "failed"
BUSY = "busy"
NO_ANSWER = "no_answer"
SKIPPED = "skipped"
MAX_RETRIES_REACHED = "max_retries_reached"

CONTACT_STATUSES = (
    PENDING,
    DISPATCHED,
    IN_PROGRESS,
    RETRYING,
    COMPLETED,
    FAILED,
    BUSY,
    NO_ANSWER,
    SKIPPED,
    FOLLOWUP_SCHEDULED,
    MAX_RETRIES_REACHED,
)
OPEN_BATCH_STATUSES = (PENDING, IN_PROGRESS, PAUSED)
CANCEL_SKIPS = frozenset({PENDING, DISPATCHED, RETRYING, FOLLOWUP_SCHEDULED})


@dataclass(slots=True, eq=False)
class Contact:
    """A person on a batch."""

    batch: Batch
    index: int
    phone_number: str
    call_variables: dict[str, Any]
    updated_at: float
    status: str = PENDING
    retry_count: int = 0
    follow_up_count: int = 0
    next_retry_at: float | None = None
    calls: list[Call] = field(default_factory=list)

    @property
    def contact_id(self) -> str:
        """Made up when asked for: most are never asked for."""
        return f"con_{self.batch.batch_id[4:]}{self.index:06d}"


@dataclass(slots=True, eq=False)
class Batch:
    """Contacts dispatched together."""

    batch_id: str
    campaign: Campaign
    status: str
    created_at: float
    updated_at: float
    scheduled_start: float | None
    concurrency_limit: int | None
    max_retries_override: int | None
    call_context: dict[str, Any] | None
    metadata: dict[str, Any] | None
    contacts: list[Contact] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CONTACT_STATUSES, 0))
    retries: Counter[int] = field(default_factory=Counter)
    """How many contacts wait for their first, second, … retry now."""
    attempts: int = 0
    follow_up_attempts: int = 0
    open: int = 0
    """Contacts that may still change."""
    live: int = 0
    """Calls being placed, ringing or talking: what the concurrency limit is about."""
    waiting: deque[Contact] = field(default_factory=deque)
    """Never called yet, in upload order."""
    due: deque[Contact] = field(default_factory=deque)
    """Retries and follow-ups whose time has come."""
    queued: bool = False
    """Is in its campaign's queue for a free line."""
    published: bool = True
    """The dispatcher knows of it (a fault can lose the message)."""
    webhooks: bool = True
    """The carrier's reports arrive (a fault can lose them)."""
    hidden_until: float = 0.0
    hidden_lists: int = 0


@dataclass(slots=True, eq=False)
class Campaign:
    """Settings shared by its batches."""

    campaign_id: str
    organization_id: str
    settings: dict[str, Any]
    created_at: float
    updated_at: float
    status: str = DRAFT
    hours: WorkingHours | None = None
    concurrency_limit: int | None = None
    """Most parallel calls over all batches."""
    batches: list[Batch] = field(default_factory=list)
    open_batches: int = 0
    live: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    """Finished calls by outcome, as the vendor keeps them on the campaign document."""
    queue: deque[Batch] = field(default_factory=deque)
    """Batches that want to dial, taking turns."""
    wake_at: float | None = None
    hidden_until: float = 0.0
    hidden_lists: int = 0
