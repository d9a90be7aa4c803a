"""
One look at Kataven's campaigns, as the waiting core wants to see it.

A campaign says its status and no more. Two things it does not say are asked for at its end: whether somebody stopped
it, which shows as ``completed`` as well but leaves people ``skipped``, and, where the outcome hangs on them, how many
calls were completed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from airflow_provider_graine.exceptions import (
    CallingError,
    NotFoundError,
    RequestRejectedError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.services.paging import Reading
from airflow_provider_graine.waiting.decision import Closer, Question
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.vocabulary import KATAVEN, STOPPED
from airflow_provider_graine.watching.watch import Watch, moment

if TYPE_CHECKING:
    from airflow_provider_graine.services.kataven.received import CallLimits, Campaign, CampaignContact
    from airflow_provider_graine.waiting.decision import Decision

_COMPLETED: Final = "completed"
_SKIPPED: Final = "skipped"
#: Campaigns from which on one list of all is less than a request for each.
_LISTED: Final = 3


class LimitsReads(Protocol):
    """What a closer look asks for."""

    def aget_call_limits(self) -> Awaitable[CallLimits]:
        """Read the account's limits on calls."""


class Reads(LimitsReads, Protocol):
    """What looks ask for; a :class:`.KatavenHook` answers it."""

    def aget_campaign(self, campaign_id: str) -> Awaitable[Campaign]:
        """Read one campaign."""

    def alist_campaigns(self) -> Awaitable[list[Campaign]]:
        """Read all campaigns of the account."""

    def alist_campaign_contacts(
        self, campaign_id: str, *, status: str | None = None, page: int = 0
    ) -> Awaitable[list[CampaignContact]]:
        """Read one page of the people on a campaign."""


class KatavenCampaignWatch(Watch[Reads]):
    """
    Looks at campaigns until each has ended; one that has ended is not asked for again.

    :param campaign_ids: the campaigns
    """

    def __init__(self, campaign_ids: Iterable[str]) -> None:
        self._seen: dict[str, Progress | None] = dict.fromkeys(campaign_ids)
        self._counted: dict[str, CountedContacts] = {}

    async def alook(self, hook: Reads) -> list[Progress]:
        """Read every campaign that may still change, on an event loop."""
        still_open = [each for each, seen in self._seen.items() if seen is None or not seen.has_ended]
        listed = await list_campaigns(hook, still_open)
        for each in still_open:
            self._seen[each] = await see_campaign(hook, each, listed.get(each))
        return [seen for seen in self._seen.values() if seen is not None]

    async def alook_closer(self, hook: Reads, decision: Decision) -> Closer:
        """Answer the question of a decision, on an event loop; a failure is an answer too."""
        return await look_closer(hook, hook, decision, {each: self._count(each) for each in self._seen})

    def _count(self, campaign_id: str) -> CountedContacts:
        return self._counted.setdefault(campaign_id, CountedContacts(campaign_id))


async def list_campaigns(hook: Reads, wanted: Collection[str]) -> dict[str, Campaign]:
    """
    Read the account's campaigns, where that takes fewer requests than one for each that is wanted.

    :param hook: the connection
    :param wanted: the campaigns
    :return: those of the wanted ones that are listed; whether a list has pages is not documented, so that others may be
        there all the same
    """
    if len(wanted) < _LISTED:
        return {}
    try:
        listed = await hook.alist_campaigns()
    except (NotFoundError, RequestRejectedError, UnexpectedAnswerError):
        return {}
    return {each.campaign_id: each for each in listed if each.campaign_id in wanted and each.status}


async def see_campaign(hook: Reads, campaign_id: str, listed: Campaign | None = None) -> Progress:
    """
    Look at one campaign.

    :param hook: the connection
    :param campaign_id: the campaign
    :param listed: what a list has just said of it
    """
    campaign = listed or await hook.aget_campaign(campaign_id)
    status = campaign.status or "unknown"
    if status == _COMPLETED and await _was_stopped(hook, campaign_id):
        status = STOPPED
    return Progress(
        status=status,
        id=campaign_id,
        starts_at=moment(campaign.scheduled_at) if status == KATAVEN.scheduled else None,
        patience=float(campaign.retry_delay_seconds or 0) if campaign.retries_per_contact else 0.0,
        vocabulary=KATAVEN,
    )


async def _was_stopped(hook: Reads, campaign_id: str) -> bool:
    """Tell whether somebody was left out, which is what a stop does; ``False`` also where the service does not say."""
    try:
        people = await hook.alist_campaign_contacts(campaign_id, status=_SKIPPED)
    except (NotFoundError, RequestRejectedError, UnexpectedAnswerError):
        return False
    # Whether this word can be asked for is not documented: everybody may come.
    return any(person.status == _SKIPPED for person in people)


class CountedContacts:
    """
    Counts the people on a campaign that has ended; after a failure it goes on where that was.

    :param campaign_id: the campaign
    """

    def __init__(self, campaign_id: str) -> None:
        self.campaign_id = campaign_id
        self._reading: Reading[CampaignContact] = Reading(
            key=lambda contact: contact.identity, what=f"contacts of campaign {campaign_id}"
        )
        self._counts: Counter[str] = Counter()

    async def acount(self, hook: Reads) -> tuple[int, dict[str, int]]:
        """
        Read all pages that were not read yet.

        :param hook: the connection
        :return: how many people there are, and how many in each state
        """
        while self._reading.total is None:
            people = await hook.alist_campaign_contacts(self.campaign_id, page=self._reading.page)
            self._counts.update(person.status or "unknown" for person in self._reading.take(people))
        return self._reading.total, dict(self._counts)


async def look_closer(
    hook: Reads, limits: LimitsReads, decision: Decision, counted: Mapping[str, CountedContacts]
) -> Closer:
    """
    Answer the question of a decision.

    :param hook: the connection
    :param limits: what knows the account's limits on calls
    :param decision: with the question
    :param counted: what counts the people on each campaign that is waited for
    :return: the answer; that the service could not be asked is one too
    """
    try:
        if decision.question is Question.COUNTS:
            parts = []
            for each, contacts in counted.items():
                total, counts = await contacts.acount(hook)
                parts.append(Progress(status=_COMPLETED, total=total, counts=counts, id=each, vocabulary=KATAVEN))
            return Closer(parts=parts)
        if decision.question is Question.DEBUG:
            return Closer(tip=_tip(await limits.aget_call_limits()))
    except CallingError as error:
        return Closer(error=error)
    return Closer()  # the service keeps no calling hours


def _tip(limits: CallLimits) -> str | None:
    """Name the limits that let nobody be called."""
    return ", ".join(f"{name}: 0" for name in type(limits).model_fields if getattr(limits, name) == 0) or None
