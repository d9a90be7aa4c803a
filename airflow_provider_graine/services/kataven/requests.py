"""
Every documented endpoint of Kataven's campaign API, once: what it takes, what is sent, what comes back.

The hook offers each of them sync and async; neither has a description of its own. Pages are those of
https://docs.kataven.ai. Errors are plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from airflow_provider_graine.services.event_stream import MEDIA_TYPE as EVENT_STREAM
from airflow_provider_graine.services.kataven.received import (
    CallLimits,
    Campaign,
    CampaignContact,
    CampaignSnapshot,
    StateChange,
    rows,
)
from airflow_provider_graine.services.kataven.sent import CreateCampaign, contact_file
from airflow_provider_graine.services.request import File, Form, Request, path
from airflow_provider_graine.services.validation import checked

#: What the vendor's pages quote as error texts; nothing else of an error answer is ever repeated in a message.
DOCUMENTED_ERRORS: Final = frozenset({"Invalid form / CSV", "Campaign not found", "Database error"})

#: What the service says of an object that it does not know. Its pages disagree on the path below which the API lies,
#: and a 404 from beside it must not look like a campaign that is gone.
NOT_FOUND: Final = re.compile(r"(?i)\A.{0,40}\b(campaign|agent|number)\b.{0,80}\bnot found\b.{0,20}\Z")

#: What the service's limiter says, as documented on /concepts/rate-limits. It counts requests before they are carried
#: out, so a write that gets this was not: the natural reading, but no promise, so it is relied on only where nobody
#: would be called if it were wrong. A 429 with other words is a cap on calls.
TURNED_AWAY: Final = re.compile(r"\Arate_limited\b")

#: The refusals of a create: what its page and the list of common codes document; any other failure is unclear.
CREATE_REFUSALS: Final = frozenset({400, 401, 403, 404, 409})

#: Rows of a page of contacts.
CONTACTS_PER_PAGE: Final = 100

#: Seconds after which a stream of events counts as broken: three heartbeats that did not come.
_SILENCE: Final = 45.0

_CAMPAIGNS: Final = TypeAdapter(list[Campaign])
_CONTACTS: Final = TypeAdapter(list[CampaignContact])


def _anything(_: Any) -> None:
    return None


def _change_made(answer: Any) -> StateChange:
    # What comes back is not documented: whatever it is, it says no more than the status.
    return StateChange.model_validate(answer if isinstance(answer, dict) else {})


def create_campaign(
    *,
    name: str,
    agent_id: str,
    phone_number_id: str,
    contacts: Iterable[Mapping[str, Any]] | bytes,
    max_concurrent_calls: int | None = None,
    retries_per_contact: int | None = None,
    retry_delay_seconds: int | None = None,
    scheduled_at: Any = None,
) -> Request[Campaign]:
    """
    Create a campaign with everybody on it; it is a ``draft`` and calls nobody until it is started.

    The service has no idempotency key: the same request sent twice makes two drafts.

    Source: /api-reference/campaigns/create-a-campaign

    :param name: human-readable name, the only field that is the caller's to choose
    :param agent_id: the AI agent that makes the calls
    :param phone_number_id: id of the registered number that calls come from, not the number itself
    :param contacts: ``{"phone_number": E.164, "custom_fields": {…}}`` each, or a CSV file with the column
        ``phone_number``, which is then sent as it is; at most 10 MB
    :param max_concurrent_calls: most parallel calls, 1 to 100; the service's default is 5
    :param retries_per_contact: how often a person who was not reached is called again, 0 to 5; the service's default
        is 0
    :param retry_delay_seconds: how long before that, at least 60; the service's default is 300
    :param scheduled_at: datetime with a time zone, or ISO 8601 string. **Calls may then begin without a start**, and
        whether such a campaign can be stopped before is not documented; default: not before it is started
    :return: the campaign, with ``campaign_id`` and ``status``
    :raises ConfigurationError: when an argument is not as the service takes it
    """
    fields = {
        "name": name,
        "agent_id": agent_id,
        "phone_number_id": phone_number_id,
        "max_concurrent_calls": max_concurrent_calls,
        "retries_per_contact": retries_per_contact,
        "retry_delay_seconds": retry_delay_seconds,
        "scheduled_at": scheduled_at,
    }
    return Request(
        method="POST",
        path="/campaigns",
        does="create a campaign",
        parse=Campaign.model_validate,
        form=Form(
            fields=checked(CreateCampaign, fields, what="campaign").fields(),
            files={"contacts": File(name="contacts.csv", content=contact_file(contacts), media_type="text/csv")},
        ),
        refusals=CREATE_REFUSALS,
        turned_away=TURNED_AWAY,
    )


def get_campaign(campaign_id: str) -> Request[Campaign]:
    """
    Read one campaign.

    Source: /api-reference/campaigns

    :param campaign_id: the campaign
    """
    return Request(
        method="GET",
        path=path("/campaigns/{}", campaign_id),
        does=f"read campaign {campaign_id}",
        parse=Campaign.model_validate,
    )


def list_campaigns(*, page: int | None = None) -> Request[list[Campaign]]:
    """
    Read the campaigns. Whether the list has pages is not documented, and how to ask for them neither.

    Source: /api-reference/campaigns

    :param page: number of the page, from 0, asked for as with contacts: a service without pages does not look at it.
        Default: it is not sent
    """
    return Request(
        method="GET",
        path="/campaigns",
        does="list campaigns",
        parse=lambda answer: _CAMPAIGNS.validate_python(rows(answer, "campaigns")),
        params={"page": page},
    )


def delete_campaign(campaign_id: str) -> Request[None]:
    """
    Delete a campaign that was never started; only drafts can be deleted.

    Source: /concepts/campaigns

    :param campaign_id: the campaign
    """
    return Request(
        method="DELETE",
        path=path("/campaigns/{}", campaign_id),
        does=f"delete campaign {campaign_id}",
        parse=_anything,
        turned_away=TURNED_AWAY,
        may_answer_anything=True,
    )


def _change(campaign_id: str, action: str, *, calls_people: bool) -> Request[StateChange]:
    return Request(
        method="POST",
        path=path(f"/campaigns/{{}}/{action}", campaign_id),
        does=f"{action} campaign {campaign_id}",
        parse=_change_made,
        turned_away=None if calls_people else TURNED_AWAY,
        may_answer_anything=True,
    )


def start_campaign(campaign_id: str) -> Request[StateChange]:
    """
    Start to call everybody on a draft, or let a paused campaign go on.

    Refused with 409 when the ``max_concurrent_calls`` of all running campaigns together would exceed the account's
    ``concurrent_max``, and probably also in a wrong state: read the campaign to know which.

    Source: /api-reference/campaigns/start-a-campaign

    :param campaign_id: the campaign
    """
    return _change(campaign_id, "start", calls_people=True)


def pause_campaign(campaign_id: str) -> Request[StateChange]:
    """
    Hold a campaign. What becomes of live calls is not documented.

    Source: /concepts/campaigns

    :param campaign_id: the campaign
    """
    return _change(campaign_id, "pause", calls_people=False)


def resume_campaign(campaign_id: str) -> Request[StateChange]:
    """
    Let a paused campaign go on; refused with 409 as :func:`start_campaign`.

    Source: /concepts/campaigns

    :param campaign_id: the campaign
    """
    return _change(campaign_id, "resume", calls_people=True)


def stop_campaign(campaign_id: str) -> Request[StateChange]:
    """
    Stop a campaign for good: it becomes ``completed``, people not yet reached are skipped, live calls end on their own.

    Source: /concepts/campaigns

    :param campaign_id: the campaign
    """
    return _change(campaign_id, "stop", calls_people=False)


def list_campaign_contacts(
    campaign_id: str, *, status: str | None = None, page: int = 0
) -> Request[list[CampaignContact]]:
    """
    Read one page of the people on a campaign, 100 at most.

    Source: /concepts/campaigns

    :param campaign_id: the campaign
    :param status: only people in this state; a filter shifts rows between pages while states change
    :param page: number of the page, from 0
    """
    return Request(
        method="GET",
        path=path("/campaigns/{}/contacts", campaign_id),
        does=f"list the contacts of campaign {campaign_id}",
        parse=lambda answer: _CONTACTS.validate_python(rows(answer, "contacts")),
        params={"status": status, "page": page},
    )


def stream_campaign_events(campaign_id: str) -> Request[CampaignSnapshot]:
    """
    Read the figures of a campaign as they change: every 2 seconds while it runs, until it has ended.

    Source: /concepts/campaigns

    :param campaign_id: the campaign
    """
    return Request(
        method="GET",
        path=path("/campaigns/{}/events", campaign_id),
        does=f"read the events of campaign {campaign_id}",
        parse=CampaignSnapshot.model_validate,
        accept=EVENT_STREAM,
        headers={"Accept-Encoding": "identity", "Cache-Control": "no-store"},
        silence=_SILENCE,
        last_event="end",
    )


def get_call_limits() -> Request[CallLimits]:
    """
    Read the account's limits on calls; ``concurrent_max`` is what all running campaigns share.

    Source: /api-reference/call-limits
    """
    return Request(method="GET", path="/call-limits", does="read the call limits", parse=CallLimits.model_validate)
