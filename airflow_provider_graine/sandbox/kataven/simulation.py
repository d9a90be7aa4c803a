"""
The dialler and the state machines of campaign and contact.

Every method acts at ``timeline.now``; the caller first lets the timeline catch up with the clock.
"""

from __future__ import annotations

import uuid
from collections import Counter, deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ..calls import place
from ..errors import WrongState
from . import model
from .model import Campaign, Contact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..calls import Call
    from ..outcomes import Outcomes
    from ..timeline import Timeline
    from .settings import KatavenSettings


class Simulation:
    """
    Everything that happens inside the pretended service.

    :param timeline: the queue of events; its ``now`` is the present
    :param outcomes: how calls turn out
    :param seed: for the ids
    :param settings: the account's limits, and in which statuses a campaign can be stopped
    """

    def __init__(
        self, *, timeline: Timeline, outcomes: Outcomes, settings: KatavenSettings, seed: int | str = 1
    ) -> None:
        self.timeline = timeline
        self.outcomes = outcomes
        self.settings = settings
        self.seed = seed
        self.campaigns: dict[str, Campaign] = {}
        self.dialled: Counter[str] = Counter()
        """Phone number to the contacts that have it, on campaigns that were ever started."""
        self.recent_calls: deque[Call] = deque(maxlen=200)
        self._ids = 0

    # What one can do to a campaign

    def create(
        self, contacts: Iterable[tuple[str, dict[str, str]]], *, scheduled_at: float | None, **settings: Any
    ) -> Campaign:
        """
        Store a list. Nobody is dialled yet.

        :param contacts: phone number and custom fields of each
        :param scheduled_at: when to start by itself
        :param settings: ``name``, ``agent_id`` and the other fields of :class:`~.model.Campaign`
        :return: a draft, or a scheduled campaign
        """
        now = self.timeline.now
        campaign = Campaign(self._new_id(), scheduled_at=scheduled_at, created_at=now, **settings)
        campaign.contacts = [
            Contact(campaign, index, number, fields, now) for index, (number, fields) in enumerate(contacts)
        ]
        campaign.counts[model.PENDING] = campaign.open = len(campaign.contacts)
        campaign.waiting.extend(campaign.contacts)
        self.campaigns[campaign.campaign_id] = campaign
        if scheduled_at is not None:
            campaign.status = model.SCHEDULED
            self.timeline.at(scheduled_at, self._scheduled_start, campaign)
        return campaign

    def start(self, campaign: Campaign, *, published: bool = True, webhooks: bool = True) -> None:
        """
        Dial, or dial on.

        :param published: ``False``: the dispatcher does not hear of it
        :param webhooks: ``False``: nothing is ever heard of the calls placed from now on
        :raises WrongState: neither a draft nor paused, or over the budget
        """
        _expect(campaign, (model.DRAFT, model.PAUSED), "started")
        self._check_budget(campaign)
        self._run(campaign, published=published, webhooks=webhooks)

    def pause(self, campaign: Campaign) -> None:
        """Dial nobody else; live calls go on, retries that come due wait."""
        _expect(campaign, (model.RUNNING,), "paused")
        campaign.status = model.PAUSED

    def resume(self, campaign: Campaign, *, published: bool = True, webhooks: bool = True) -> None:
        """
        Dial on.

        :param published: as for :meth:`start`
        :param webhooks: as for :meth:`start`
        :raises WrongState: not paused, or over the budget
        """
        _expect(campaign, (model.PAUSED,), "resumed")
        self._check_budget(campaign)
        self._run(campaign, published=published, webhooks=webhooks)

    def stop(self, campaign: Campaign) -> None:
        """End it: whoever is not on the phone is skipped, people called before and waiting for a retry too."""
        _expect(campaign, self.settings.stop_from, "stopped")
        for contact in campaign.contacts:
            if contact.status in (model.PENDING, model.RETRYING):
                self._set_contact(contact, model.SKIPPED)
                campaign.open -= 1
        self._close(campaign, model.COMPLETED)

    def delete(self, campaign: Campaign) -> None:
        """
        Forget a draft.

        :raises WrongState: it is something else
        """
        _expect(campaign, (model.DRAFT,), "deleted")
        del self.campaigns[campaign.campaign_id]

    def fail(self, campaign: Campaign) -> None:
        """Let it meet its terminal error: nobody else is dialled, contacts stay as they are."""
        _expect(campaign, (model.RUNNING,), "failed")
        self._close(campaign, model.FAILED)

    # The life of a campaign

    def _check_budget(self, campaign: Campaign) -> None:
        running = sum(each.max_concurrent_calls for each in self.campaigns.values() if each.status == model.RUNNING)
        most = self.settings.concurrent_max
        if running + campaign.max_concurrent_calls > most:
            raise WrongState(
                f"concurrent budget exceeded: running campaigns use {running} of {most}, this one needs "
                f"{campaign.max_concurrent_calls}; pause another campaign or reduce max_concurrent_calls"
            )

    def _scheduled_start(self, campaign: Campaign) -> None:
        if campaign.status == model.SCHEDULED:
            self._run(campaign)

    def _run(self, campaign: Campaign, *, published: bool = True, webhooks: bool = True) -> None:
        if campaign.started_at is None:
            campaign.started_at = self.timeline.now
            self.dialled.update(contact.phone_number for contact in campaign.contacts)
        campaign.status = model.RUNNING
        campaign.published = published
        campaign.webhooks = webhooks
        self._complete(campaign)
        self._serve(campaign)

    def _complete(self, campaign: Campaign) -> None:
        if campaign.status == model.RUNNING and campaign.open == 0:
            self._close(campaign, model.COMPLETED)

    def _close(self, campaign: Campaign, status: str) -> None:
        campaign.status = status
        campaign.completed_at = self.timeline.now
        campaign.waiting.clear()
        campaign.due.clear()

    # Dialling

    def _serve(self, campaign: Campaign) -> None:
        """Give free lines to whoever is next."""
        while campaign.status == model.RUNNING and campaign.published and campaign.live < campaign.max_concurrent_calls:
            queue = campaign.due or campaign.waiting
            if not queue:
                return
            self._dial(queue.popleft())

    def _dial(self, contact: Contact) -> None:
        campaign = contact.campaign
        call = place(contact, now=self.timeline.now, outcomes=self.outcomes, reports=campaign.webhooks)
        self._set_contact(contact, model.CALLING)
        campaign.attempts += 1
        campaign.live += 1
        self.recent_calls.append(call)
        if campaign.webhooks:
            self.timeline.at(call.ends_at, self._end, call)

    def _end(self, call: Call) -> None:
        contact: Contact = call.contact
        campaign, outcome = contact.campaign, call.draw.outcome
        campaign.live -= 1
        going_on = campaign.status not in model.ENDED
        if outcome.status == model.COMPLETED:
            self._finish(contact, model.COMPLETED)
        elif going_on and outcome.retried and len(contact.calls) <= campaign.retries_per_contact:
            self._set_contact(contact, model.RETRYING)
            self.timeline.at(self.timeline.now + campaign.retry_delay_seconds, self._due, contact)
        else:
            self._finish(contact, model.FAILED)
        self._serve(campaign)

    def _due(self, contact: Contact) -> None:
        campaign = contact.campaign
        if campaign.status not in model.ENDED:
            campaign.due.append(contact)
            self._serve(campaign)

    def _finish(self, contact: Contact, status: str) -> None:
        self._set_contact(contact, status)
        contact.campaign.open -= 1
        self._complete(contact.campaign)

    def _set_contact(self, contact: Contact, status: str) -> None:
        counts = contact.campaign.counts
        counts[contact.status] -= 1
        counts[status] += 1
        contact.status = status
        contact.updated_at = self.timeline.now

    def _new_id(self) -> str:
        self._ids += 1
        return made_up_id(f"{self.seed}|campaign|{self._ids}")


def made_up_id(text: str) -> str:
    """:return: a UUID, always the same for one text"""
    return str(uuid.UUID(bytes=blake2b(text.encode(), digest_size=16).digest(), version=4))


def _expect(campaign: Campaign, statuses: tuple[str, ...], what: str) -> None:
    if campaign.status not in statuses:
        raise WrongState(f"campaign is {campaign.status} and cannot be {what}")
