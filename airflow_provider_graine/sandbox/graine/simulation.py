"""
The dialler and the state machines of campaign, batch and contact.

Every method acts at ``timeline.now``; the caller first lets the timeline catch up with the clock. Counters are kept as
things change, so that a poll costs the same for ten contacts and for a million.
"""

from __future__ import annotations

from collections import Counter, deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ..calls import place
from ..errors import WrongState
from . import model
from .hours import WorkingHours
from .model import Batch, Campaign, Contact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..calls import Call
    from ..outcomes import Outcomes
    from ..timeline import Timeline

MAX_RETRIES = 3
COOLDOWN_MINUTES = 30
FOLLOW_UP_AFTER = 1800.0
"""Seconds between a call whose callee asked to be called back and the follow-up."""
MAX_FOLLOW_UPS = 1
REPORT_DELAY = 4.0
"""Seconds a contact shows how its call ended before its retry is scheduled."""
STUCK_AFTER = 1800.0


class Simulation:
    """
    Everything that happens inside the pretended service.

    :param timeline: the queue of events; its ``now`` is the present
    :param outcomes: how calls turn out
    :param seed: for the ids
    :param default_concurrency: parallel calls of a batch when neither it nor its campaign says
    """

    def __init__(
        self, *, timeline: Timeline, outcomes: Outcomes, seed: int | str = 1, default_concurrency: int = 20
    ) -> None:
        self.timeline = timeline
        self.outcomes = outcomes
        self.seed = seed
        self.default_concurrency = default_concurrency
        self.campaigns: dict[str, Campaign] = {}
        self.batches: dict[str, Batch] = {}
        self.dialled: Counter[str] = Counter()
        self.recent_calls: deque[Call] = deque(maxlen=200)
        self._ids = 0

    # Campaigns

    def create_campaign(self, settings: dict[str, Any], organization_id: str) -> Campaign:
        """:return: a new campaign in ``draft``"""
        now = self.timeline.now
        campaign = Campaign(self._new_id("cmp"), organization_id, settings, now, now)
        _apply_settings(campaign)
        self.campaigns[campaign.campaign_id] = campaign
        return campaign

    def update_campaign(self, campaign: Campaign, changes: dict[str, Any]) -> None:
        """Replace the given settings; hours and concurrency count for the next contact dispatched."""
        campaign.settings.update(changes)
        _apply_settings(campaign)
        campaign.updated_at = self.timeline.now
        campaign.wake_at = None
        for batch in campaign.batches:
            self._enqueue(batch)
        self._serve(campaign)

    def delete_campaign(self, campaign: Campaign) -> None:
        """
        Forget a campaign; its batches stay readable.

        :raises WrongState: a batch is still open
        """
        if campaign.open_batches:
            raise WrongState("Campaign has batches that are not finished")
        del self.campaigns[campaign.campaign_id]

    def pause_campaign(self, campaign: Campaign) -> None:
        """Pause every batch in progress. A scheduled batch is not one of them."""
        if campaign.status != model.ACTIVE:
            raise WrongState(f"Campaign cannot be paused in status {campaign.status}")
        self._set_campaign(campaign, model.PAUSED)
        for batch in campaign.batches:
            if batch.status == model.IN_PROGRESS:
                self._set_batch(batch, model.PAUSED)

    def resume_campaign(self, campaign: Campaign) -> None:
        """Resume every paused batch, whoever paused it."""
        if campaign.status != model.PAUSED:
            raise WrongState(f"Campaign cannot be resumed in status {campaign.status}")
        self._set_campaign(campaign, model.ACTIVE)
        for batch in campaign.batches:
            if batch.status == model.PAUSED:
                self._start(batch)

    def cancel_campaign(self, campaign: Campaign) -> None:
        """Cancel every open batch, for good."""
        if campaign.status in (model.CANCELLED, model.COMPLETED):
            raise WrongState(f"Campaign cannot be cancelled in status {campaign.status}")
        self._set_campaign(campaign, model.CANCELLED)
        for batch in campaign.batches:
            if batch.status in model.OPEN_BATCH_STATUSES:
                self._cancel(batch)

    # Batches

    def create_batch(
        self,
        campaign: Campaign,
        contacts: Iterable[tuple[str, dict[str, Any]]],
        *,
        scheduled_start: float | None = None,
        concurrency_limit: int | None = None,
        max_retries_override: int | None = None,
        call_context: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        published: bool = True,
        webhooks: bool = True,
    ) -> Batch:
        """
        Store contacts and start dialling, or plan the start.

        :param contacts: phone number and call variables of each
        :param scheduled_start: virtual time; one that has passed means now
        :param published: ``False``: the dispatcher never hears of the batch until it is resumed or dispatched
        :param webhooks: ``False``: calls are placed and nothing is ever heard of them again
        :raises WrongState: the campaign is cancelled
        """
        if campaign.status == model.CANCELLED:
            raise WrongState("Campaign is cancelled")
        now = self.timeline.now
        batch = Batch(
            self._new_id("btc"),
            campaign,
            model.PENDING,
            now,
            now,
            scheduled_start,
            concurrency_limit,
            max_retries_override,
            call_context,
            metadata,
            published=published,
            webhooks=webhooks,
        )
        batch.contacts = [
            Contact(batch, index, number, variables, now) for index, (number, variables) in enumerate(contacts)
        ]
        batch.counts[model.PENDING] = batch.open = len(batch.contacts)
        batch.waiting.extend(batch.contacts)
        self.dialled.update(contact.phone_number for contact in batch.contacts)
        self.batches[batch.batch_id] = batch
        campaign.batches.append(batch)
        campaign.open_batches += 1
        if campaign.status in (model.DRAFT, model.COMPLETED):
            self._set_campaign(campaign, model.ACTIVE)
        if scheduled_start is not None and scheduled_start > now:
            self.timeline.at(scheduled_start, self._scheduled_start, batch)
        else:
            self._start(batch, publish=published)
        return batch

    def pause_batch(self, batch: Batch) -> None:
        """Dial nobody else; live calls go on, retries and follow-ups that come due wait."""
        if batch.status not in (model.PENDING, model.IN_PROGRESS):
            raise WrongState(f"Batch cannot be paused in status {batch.status}")
        self._set_batch(batch, model.PAUSED)

    def resume_batch(self, batch: Batch) -> None:
        """Dial on, at once, even before ``scheduled_start``."""
        if batch.status != model.PAUSED:
            raise WrongState(f"Batch cannot be resumed in status {batch.status}")
        self._start(batch)

    def cancel_batch(self, batch: Batch) -> None:
        """Skip whoever is not on the phone, for good."""
        if batch.status not in model.OPEN_BATCH_STATUSES:
            raise WrongState(f"Batch cannot be cancelled in status {batch.status}")
        self._cancel(batch)
        self._complete_campaign(batch.campaign)

    def dispatch_batch(self, batch: Batch) -> int:
        """:return: how many pending contacts were published again"""
        if batch.status != model.IN_PROGRESS:
            raise WrongState(f"Batch cannot be dispatched in status {batch.status}")
        pending = batch.counts[model.PENDING]
        self._start(batch)
        return pending

    def expire_batch(self, batch: Batch) -> None:
        """Let its end window pass: nobody else is dialled, contacts stay as they are."""
        if batch.status not in model.OPEN_BATCH_STATUSES:
            raise WrongState(f"Batch cannot expire in status {batch.status}")
        self._close(batch, model.EXPIRED)
        self._complete_campaign(batch.campaign)

    def is_stuck(self, batch: Batch) -> bool:
        """:return: contacts are pending and nothing has moved for half an hour (nobody asks why)"""
        if not batch.counts[model.PENDING] or batch.status != model.IN_PROGRESS:
            return False
        return self.timeline.now - batch.updated_at > STUCK_AFTER

    # Batch life

    def _scheduled_start(self, batch: Batch) -> None:
        if batch.status == model.PENDING:
            self._start(batch, publish=batch.published)

    def _start(self, batch: Batch, *, publish: bool = True) -> None:
        batch.published = publish
        if batch.status != model.IN_PROGRESS:
            self._set_batch(batch, model.IN_PROGRESS)
        if batch.open == 0:
            self._close(batch, model.COMPLETED)
            self._complete_campaign(batch.campaign)
            return
        self._enqueue(batch)
        self._serve(batch.campaign)

    def _cancel(self, batch: Batch) -> None:
        self._close(batch, model.CANCELLED)
        for contact in batch.contacts:
            if contact.status in model.CANCEL_SKIPS:
                self._finish(contact, model.SKIPPED)
            elif contact.next_retry_at is not None:
                self._finish(contact, contact.status)

    def _close(self, batch: Batch, status: str) -> None:
        self._set_batch(batch, status)
        batch.waiting.clear()
        batch.due.clear()
        batch.campaign.open_batches -= 1

    def _complete_campaign(self, campaign: Campaign) -> None:
        if (
            campaign.open_batches == 0
            and campaign.status in (model.ACTIVE, model.PAUSED)
            and any(batch.status == model.COMPLETED for batch in campaign.batches)
        ):
            self._set_campaign(campaign, model.COMPLETED)

    def _set_batch(self, batch: Batch, status: str) -> None:
        batch.status = status
        batch.updated_at = self.timeline.now

    def _set_campaign(self, campaign: Campaign, status: str) -> None:
        campaign.status = status
        campaign.updated_at = self.timeline.now

    # Dialling

    def _enqueue(self, batch: Batch) -> None:
        if not batch.queued and batch.status == model.IN_PROGRESS and (batch.due or batch.waiting):
            batch.queued = True
            batch.campaign.queue.append(batch)

    def _serve(self, campaign: Campaign) -> None:
        """Give free lines to the campaign's batches in turn."""
        queue = campaign.queue
        if not queue:
            return
        now = self.timeline.now
        if campaign.hours is not None and (opens := campaign.hours.next_open(now)) != now:
            if opens is not None and opens != campaign.wake_at:
                campaign.wake_at = opens
                self.timeline.at(opens, self._wake, campaign, opens)
            return
        limit = campaign.concurrency_limit
        while queue and (limit is None or campaign.live < limit):
            batch = queue.popleft()
            contact = self._next_contact(batch)
            if contact is None:
                batch.queued = False
            else:
                self._dial(contact)
                queue.append(batch)

    def _wake(self, campaign: Campaign, moment: float) -> None:
        if campaign.wake_at == moment:
            campaign.wake_at = None
            self._serve(campaign)

    def line_limit(self, batch: Batch) -> int:
        """:return: most parallel calls of this batch"""
        return batch.concurrency_limit or batch.campaign.concurrency_limit or self.default_concurrency

    def _next_contact(self, batch: Batch) -> Contact | None:
        if batch.status != model.IN_PROGRESS or not batch.published or batch.live >= self.line_limit(batch):
            return None
        if batch.due:
            return batch.due.popleft()
        return batch.waiting.popleft() if batch.waiting else None

    def _dial(self, contact: Contact) -> None:
        batch, now = contact.batch, self.timeline.now
        follow_up = contact.status == model.FOLLOWUP_SCHEDULED
        call = place(contact, now=now, outcomes=self.outcomes, follow_up=follow_up, reports=batch.webhooks)
        contact.next_retry_at = None
        self._set_contact(contact, model.DISPATCHED)
        batch.attempts += 1
        batch.follow_up_attempts += follow_up
        batch.live += 1
        batch.campaign.live += 1
        self.recent_calls.append(call)
        if batch.webhooks:
            self.timeline.at(call.begins_at, self._begin, call)
            self.timeline.at(call.ends_at, self._end, call)

    def _begin(self, call: Call) -> None:
        if call.contact.status == model.DISPATCHED:
            self._set_contact(call.contact, model.IN_PROGRESS)

    def _end(self, call: Call) -> None:
        contact = call.contact
        batch = contact.batch
        campaign = batch.campaign
        batch.live -= 1
        campaign.live -= 1
        campaign.calls["follow_up" if call.follow_up else call.draw.outcome.status] += 1
        # A call already being placed when its batch was cancelled rings all the same; its contact stays skipped.
        if contact.status == model.IN_PROGRESS:
            self._conclude(contact, call)
        self._enqueue(batch)
        self._serve(campaign)

    def _conclude(self, contact: Contact, call: Call) -> None:
        batch, outcome = contact.batch, call.draw.outcome
        going_on = batch.status in model.OPEN_BATCH_STATUSES
        if outcome.name == "follow_up" and going_on and contact.follow_up_count < MAX_FOLLOW_UPS:
            contact.follow_up_count += 1
            self._set_contact(contact, model.FOLLOWUP_SCHEDULED)
            self._plan(contact, FOLLOW_UP_AFTER, self._due)
            return
        if outcome.status == model.COMPLETED or call.follow_up:
            # A follow-up nobody answers changes nothing: the person was reached before.
            self._finish(contact, model.COMPLETED)
            return
        max_retries, cooldown = self._retry_policy(contact)
        if not outcome.retried or not going_on or max_retries == 0:
            self._finish(contact, outcome.status)
        elif contact.retry_count >= max_retries:
            self._finish(contact, model.MAX_RETRIES_REACHED)
        else:
            self._set_contact(contact, outcome.status)
            contact.next_retry_at = self.timeline.now + cooldown
            self._plan(contact, min(REPORT_DELAY, cooldown), self._schedule_retry)

    def _retry_policy(self, contact: Contact) -> tuple[int, float]:
        """:return: retries allowed, and seconds until the next one"""
        batch = contact.batch
        policy = batch.campaign.settings.get("retry_policy") or {}
        max_retries = batch.max_retries_override
        if max_retries is None:
            max_retries = policy.get("max_retries", MAX_RETRIES)
        cooldown = 60.0 * policy.get("cooldown_minutes", COOLDOWN_MINUTES)
        if policy.get("strategy") == "exponential":
            cooldown *= 2**contact.retry_count
        return max_retries, cooldown

    def _plan(self, contact: Contact, delay: float, action: Any) -> None:
        self.timeline.at(self.timeline.now + delay, action, contact)

    def _schedule_retry(self, contact: Contact) -> None:
        if contact.next_retry_at is None:  # cancelled meanwhile
            return
        if contact.batch.status not in model.OPEN_BATCH_STATUSES:
            self._finish(contact, contact.status)
            return
        contact.retry_count += 1
        self._set_contact(contact, model.RETRYING)
        self._plan(contact, contact.next_retry_at - self.timeline.now, self._due)

    def _due(self, contact: Contact) -> None:
        batch = contact.batch
        if batch.status in model.OPEN_BATCH_STATUSES:
            batch.due.append(contact)
            self._enqueue(batch)
            self._serve(batch.campaign)

    def _finish(self, contact: Contact, status: str) -> None:
        contact.next_retry_at = None
        if status != contact.status:
            self._set_contact(contact, status)
        batch = contact.batch
        batch.open -= 1
        if batch.open == 0 and batch.status in (model.IN_PROGRESS, model.PAUSED):
            self._close(batch, model.COMPLETED)
            self._complete_campaign(batch.campaign)

    def _set_contact(self, contact: Contact, status: str) -> None:
        batch, old = contact.batch, contact.status
        batch.counts[old] -= 1
        batch.counts[status] += 1
        if old == model.RETRYING:
            batch.retries[contact.retry_count] -= 1
        if status == model.RETRYING:
            batch.retries[contact.retry_count] += 1
        contact.status = status
        contact.updated_at = batch.updated_at = self.timeline.now

    def _new_id(self, prefix: str) -> str:
        self._ids += 1
        digest = blake2b(f"{self.seed}|{self._ids}".encode(), digest_size=6).hexdigest()
        return f"{prefix}_{digest}"


def _apply_settings(campaign: Campaign) -> None:
    settings = campaign.settings
    campaign.hours = None
    if settings.get("working_hours_enforced") and settings.get("working_hours"):
        campaign.hours = WorkingHours(settings["working_hours"], settings.get("timezone") or "UTC")
    limit = (settings.get("metadata") or {}).get("concurrency_limit")
    valid = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    campaign.concurrency_limit = limit if valid else None
