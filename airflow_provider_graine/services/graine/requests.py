"""
Every documented endpoint of Graine's campaign API, once: what it takes, what is sent, what comes back.

The hook offers each of them sync and async; neither has a description of its own. Pages are those of
https://graine.mintlify.app. Collections are addressed with their trailing slash, as documented.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.services.graine.received import (
    Batch,
    BatchContact,
    BatchDebug,
    Campaign,
    CampaignStats,
    StateChange,
)
from airflow_provider_graine.services.graine.sent import BatchOptions, Contact, CreateCampaign, UpdateCampaign
from airflow_provider_graine.services.request import Request, path
from airflow_provider_graine.services.validation import checked

#: What the vendor's pages quote as error texts; nothing else of an error answer is ever repeated in a message.
DOCUMENTED_ERRORS: Final = frozenset(
    {
        "agent_id is required",
        "campaign_id is required",
        "Invalid or expired token",
        "Campaign not found",
        "Campaign not found or does not belong to this org",
        "Batch not found",
    }
)

#: The refusals that the pages of the two create endpoints document; any other failure of a create is unclear.
CREATE_REFUSALS: Final = frozenset({400, 401, 404})

_CAMPAIGNS: Final = TypeAdapter(list[Campaign])
_BATCHES: Final = TypeAdapter(list[Batch])
_CONTACTS: Final = TypeAdapter(list[BatchContact])


def _anything(_: Any) -> None:
    return None


def _change_made(answer: Any) -> StateChange:
    # The answer to a cancel is not documented: an empty one says as much as its status.
    return StateChange.model_validate({} if answer is None else answer)


# -- campaigns ---------------------------------------------------------------------------------------------------------


def create_campaign(
    *,
    name: str,
    agent_id: str,
    phone_numbers: list[str],
    organization_id: str | None = None,
    phone_number_strategy: str | None = None,
    working_hours_enforced: bool | None = None,
    timezone: str | None = None,
    working_hours: Mapping[str, Any] | None = None,
    retry_policy: Mapping[str, Any] | None = None,
    default_call_variables: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Request[Campaign]:
    """
    Create a campaign; it stays a ``draft`` and calls nobody until it gets a batch.

    Source: /api-reference/campaigns/create

    :param name: human-readable name
    :param agent_id: the AI agent that makes the calls
    :param phone_numbers: one or more caller ids, E.164
    :param organization_id: default: the connection's, else the token's
    :param phone_number_strategy: ``round_robin`` (the service's default), ``random`` or ``least_loaded``
    :param working_hours_enforced: whether the windows hold; here ``True`` once ``working_hours`` are given
    :param timezone: IANA name, for ``working_hours`` and for naive start times of batches
    :param working_hours: weekday to ``{"start": "HH:MM", "end": "HH:MM", "enabled": bool}``; weekdays left out are
        sent as days without calls
    :param retry_policy: ``max_retries`` (3), ``strategy`` (``fixed`` or ``exponential``), ``cooldown_minutes`` (30)
    :param default_call_variables: merged into each contact's variables, which win
    :param metadata: anything; ``concurrency_limit`` caps the parallel calls of all batches together
    :return: the campaign, with ``campaign_id`` and ``status``
    :raises ConfigurationError: when an argument is not as the service takes it
    """
    fields = {
        "name": name,
        "agent_id": agent_id,
        "phone_numbers": phone_numbers,
        "organization_id": organization_id,
        "phone_number_strategy": phone_number_strategy,
        "working_hours_enforced": working_hours_enforced,
        "timezone": timezone,
        "working_hours": working_hours,
        "retry_policy": retry_policy,
        "default_call_variables": default_call_variables,
        "metadata": metadata,
    }
    return Request(
        method="POST",
        path="/campaigns/",
        does="create a campaign",
        parse=Campaign.model_validate,
        body=checked(CreateCampaign, fields, what="campaign").encoded(),
        refusals=CREATE_REFUSALS,
    )


def get_campaign(campaign_id: str) -> Request[Campaign]:
    """
    Read one campaign.

    Source: /api-reference/campaigns/get

    :param campaign_id: the campaign
    :return: the whole document, ``metadata`` included
    """
    return Request(
        method="GET",
        path=path("/campaigns/{}", campaign_id),
        does=f"read campaign {campaign_id}",
        parse=Campaign.model_validate,
    )


def update_campaign(
    campaign_id: str,
    *,
    name: str | None = None,
    agent_id: str | None = None,
    phone_numbers: list[str] | None = None,
    phone_number_strategy: str | None = None,
    working_hours_enforced: bool | None = None,
    timezone: str | None = None,
    working_hours: Mapping[str, Any] | None = None,
    retry_policy: Mapping[str, Any] | None = None,
    default_call_variables: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Request[Campaign]:
    """
    Change the given fields of a campaign; new hours hold at once for calls not yet placed.

    Whether nested objects are merged or replaced is not documented: give them whole.

    Source: /api-reference/campaigns/update

    :param campaign_id: the campaign
    :return: the campaign as the service answers, possibly with only the changed fields
    :raises ConfigurationError: when an argument is not as the service takes it, or none is given
    """
    fields = {
        "name": name,
        "agent_id": agent_id,
        "phone_numbers": phone_numbers,
        "phone_number_strategy": phone_number_strategy,
        "working_hours_enforced": working_hours_enforced,
        "timezone": timezone,
        "working_hours": working_hours,
        "retry_policy": retry_policy,
        "default_call_variables": default_call_variables,
        "metadata": metadata,
    }
    return Request(
        method="PATCH",
        path=path("/campaigns/{}", campaign_id),
        does=f"change campaign {campaign_id}",
        parse=Campaign.model_validate,
        body=checked(UpdateCampaign, fields, what="change of the campaign").encoded(),
    )


def list_campaigns(
    *, organization_id: str | None = None, status: str | None = None, skip: int = 0, limit: int = 50
) -> Request[list[Campaign]]:
    """
    Read one page of the campaigns.

    The endpoint is named on /api-reference/campaigns/overview; its parameters are those of the batch list, by
    analogy.

    :param organization_id: default: the connection's, else the token's
    :param status: only campaigns in this state
    :param skip: how many to pass over
    :param limit: page size
    """
    return Request(
        method="GET",
        path="/campaigns/",
        does="list campaigns",
        parse=_CAMPAIGNS.validate_python,
        params={"organization_id": organization_id, "status": status, "skip": skip, "limit": limit},
    )


def delete_campaign(campaign_id: str) -> Request[None]:
    """
    Delete a campaign. What this does to its batches and to running calls is not documented.

    Source: /api-reference/campaigns/overview

    :param campaign_id: the campaign
    """
    return Request(
        method="DELETE",
        path=path("/campaigns/{}", campaign_id),
        does=f"delete campaign {campaign_id}",
        parse=_anything,
    )


def _change(kind: str, object_id: str, action: str) -> Request[StateChange]:
    noun = {"campaigns": "campaign", "batches": "batch"}[kind]
    return Request(
        method="POST",
        path=path(f"/{kind}/{{}}/{action}", object_id),
        does=f"{action} {noun} {object_id}",
        parse=_change_made,
    )


def pause_campaign(campaign_id: str) -> Request[StateChange]:
    """
    Hold every running batch of a campaign; live calls end on their own.

    Source: /api-reference/campaigns/lifecycle

    :param campaign_id: the campaign
    """
    return _change("campaigns", campaign_id, "pause")


def resume_campaign(campaign_id: str) -> Request[StateChange]:
    """
    Let **every** paused batch of a campaign go on; all pending contacts are published again.

    Source: /api-reference/campaigns/lifecycle

    :param campaign_id: the campaign
    """
    return _change("campaigns", campaign_id, "resume")


def cancel_campaign(campaign_id: str) -> Request[StateChange]:
    """
    Stop a campaign and its batches for good; contacts not yet reached become ``skipped``.

    Source: /api-reference/campaigns/lifecycle

    :param campaign_id: the campaign
    """
    return _change("campaigns", campaign_id, "cancel")


def get_campaign_stats(campaign_id: str) -> Request[CampaignStats]:
    """
    Read the live figures of a campaign.

    Source: /api-reference/campaigns/stats

    :param campaign_id: the campaign
    """
    return Request(
        method="GET",
        path=path("/campaigns/{}/stats", campaign_id),
        does=f"read the stats of campaign {campaign_id}",
        parse=CampaignStats.model_validate,
    )


def list_campaign_batches(
    campaign_id: str, *, status: str | None = None, organization_id: str | None = None, skip: int = 0, limit: int = 50
) -> Request[list[Batch]]:
    """
    Read one page of a campaign's batches, with live counters and without ``metadata``.

    Source: /api-reference/campaigns/stats

    :param campaign_id: the campaign
    :param status: only batches in this state; a filter shifts rows between pages while states change
    :param organization_id: default: the connection's, else the token's
    :param skip: how many to pass over
    :param limit: page size
    """
    return Request(
        method="GET",
        path=path("/campaigns/{}/batches", campaign_id),
        does=f"list the batches of campaign {campaign_id}",
        parse=_BATCHES.validate_python,
        params={"organization_id": organization_id, "status": status, "skip": skip, "limit": limit},
    )


# -- batches -----------------------------------------------------------------------------------------------------------


def create_batch(
    *,
    campaign_id: str,
    contacts: Iterable[Mapping[str, Any]] | bytes,
    organization_id: str | None = None,
    scheduled_start: Any = None,
    concurrency_limit: int | None = None,
    max_retries_override: int | None = None,
    call_context: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Request[Batch]:
    """
    Create a batch. **The service starts to call everybody on it at once**, unless ``scheduled_start`` is given.

    The service has no idempotency key: the same request sent twice calls everybody twice.

    Source: /api-reference/batches/create

    :param campaign_id: the campaign
    :param contacts: ``{"phone_number": E.164, "call_variables": {"callee_name": …, …}}`` each, or the JSON text of
        such a list, which is then sent as it is
    :param organization_id: default: the connection's, else the token's
    :param scheduled_start: datetime or ISO 8601 string; aware ones are sent as UTC with ``Z``, naive ones as they
        are (the service reads them in the campaign's timezone); default: at once
    :param concurrency_limit: most parallel calls of this batch; overrides the campaign's
    :param max_retries_override: overrides the campaign's ``retry_policy.max_retries``
    :param call_context: passed to the telephony layer
    :param metadata: anything; comes back from :func:`get_batch` only
    :return: the batch, with ``batch_id``, ``status`` and ``total_contacts``
    :raises ConfigurationError: when an argument is not as the service takes it
    """
    fields = {
        "campaign_id": campaign_id,
        "organization_id": organization_id,
        "scheduled_start": scheduled_start,
        "concurrency_limit": concurrency_limit,
        "max_retries_override": max_retries_override,
        "call_context": call_context,
        "metadata": metadata,
    }
    options = checked(BatchOptions, fields, what="batch").encoded()
    people = contacts if isinstance(contacts, bytes) else _encoded(contacts)
    if people == b"[]":
        raise ConfigurationError("A batch needs at least one contact. Nothing was sent.")
    return Request(
        method="POST",
        path="/batches/",
        does=f"create a batch in campaign {campaign_id}",
        parse=Batch.model_validate,
        body=b"".join((options[:-1], b',"contacts":', people, b"}")),
        refusals=CREATE_REFUSALS,
    )


def _encoded(contacts: Iterable[Mapping[str, Any]]) -> bytes:
    documents = (
        checked(Contact, contact, what=f"contact at position {position} of the list").encoded()
        for position, contact in enumerate(contacts, 1)
    )
    return b"[" + b",".join(documents) + b"]"


def get_batch(batch_id: str) -> Request[Batch]:
    """
    Read one batch, with live counters and its ``metadata``.

    Source: /api-reference/batches/get

    :param batch_id: the batch
    """
    return Request(
        method="GET",
        path=path("/batches/{}", batch_id),
        does=f"read batch {batch_id}",
        parse=Batch.model_validate,
    )


def list_batches(
    *,
    organization_id: str | None = None,
    campaign_id: str | None = None,
    status: str | None = None,
    skip: int = 0,
    limit: int = 50,
) -> Request[list[Batch]]:
    """
    Read one page of the batches, without ``metadata``.

    Source: /api-reference/batches/list

    :param organization_id: default: the connection's, else the token's
    :param campaign_id: only this campaign's batches
    :param status: only batches in this state; a filter shifts rows between pages while states change
    :param skip: how many to pass over
    :param limit: page size
    """
    return Request(
        method="GET",
        path="/batches/",
        does="list batches",
        parse=_BATCHES.validate_python,
        params={
            "organization_id": organization_id,
            "campaign_id": campaign_id,
            "status": status,
            "skip": skip,
            "limit": limit,
        },
    )


def list_batch_contacts(
    batch_id: str, *, include_calls: bool = False, status: str | None = None, skip: int = 0, limit: int = 100
) -> Request[list[BatchContact]]:
    """
    Read one page of the people on a batch.

    Source: /api-reference/batches/contacts

    :param batch_id: the batch
    :param include_calls: whether each contact carries its call records
    :param status: only contacts in this state; a filter shifts rows between pages while states change
    :param skip: how many to pass over
    :param limit: page size
    """
    return Request(
        method="GET",
        path=path("/batches/{}/contacts", batch_id),
        does=f"list the contacts of batch {batch_id}",
        parse=_CONTACTS.validate_python,
        params={"include_calls": include_calls, "status": status, "skip": skip, "limit": limit},
    )


def pause_batch(batch_id: str) -> Request[StateChange]:
    """
    Hold a batch; live calls end on their own.

    Source: /api-reference/batches/lifecycle

    :param batch_id: the batch
    """
    return _change("batches", batch_id, "pause")


def resume_batch(batch_id: str) -> Request[StateChange]:
    """
    Let a paused batch go on; all its pending contacts are published again.

    Source: /api-reference/batches/lifecycle

    :param batch_id: the batch
    """
    return _change("batches", batch_id, "resume")


def cancel_batch(batch_id: str) -> Request[StateChange]:
    """
    Stop a batch for good; contacts not yet reached become ``skipped``.

    Source: /api-reference/batches/lifecycle

    :param batch_id: the batch
    """
    return _change("batches", batch_id, "cancel")


def dispatch_batch(batch_id: str) -> Request[StateChange]:
    """
    Publish every pending contact of a batch again, after an outage of the service's worker.

    Contacts that are queued but not yet consumed are still pending, and whether the service drops the second message
    is not documented: **people may be called twice**. Never done automatically.

    Source: /api-reference/batches/dispatch

    :param batch_id: the batch
    """
    return _change("batches", batch_id, "dispatch")


def debug_batch(batch_id: str) -> Request[BatchDebug]:
    """
    Read why a batch makes no progress.

    Source: /api-reference/batches/debug

    :param batch_id: the batch
    """
    return Request(
        method="GET",
        path=path("/batches/{}/debug", batch_id),
        does=f"debug batch {batch_id}",
        parse=BatchDebug.model_validate,
    )


def export_batch(batch_id: str) -> Request[None]:
    """
    Read the outcome of a batch as CSV. The columns are not documented.

    Source: /api-reference/batches/overview

    :param batch_id: the batch
    """
    return Request(
        method="GET",
        path=path("/batches/{}/export.csv", batch_id),
        does=f"download the results of batch {batch_id}",
        parse=_anything,
        accept="text/csv",
    )
