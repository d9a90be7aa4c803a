"""The JSON shapes in which the service answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..clock import iso
from . import model
from .simulation import made_up_id

if TYPE_CHECKING:
    from .model import Campaign, Contact
    from .settings import KatavenSettings

Json = dict[str, Any]


def campaign(campaign: Campaign) -> Json:
    """:return: a campaign, as everywhere: without contacts and their number"""
    return {
        "id": campaign.campaign_id,
        "name": campaign.name,
        "agent_id": campaign.agent_id,
        "phone_number_id": campaign.phone_number_id,
        "status": campaign.status,
        "max_concurrent_calls": campaign.max_concurrent_calls,
        "retries_per_contact": campaign.retries_per_contact,
        "retry_delay_seconds": campaign.retry_delay_seconds,
        "scheduled_at": iso(campaign.scheduled_at),
        "created_at": iso(campaign.created_at),
        "created_by": "api-key",
        "started_at": iso(campaign.started_at),
        "completed_at": iso(campaign.completed_at),
    }


def snapshot(campaign: Campaign, settings: KatavenSettings) -> Json:
    """:return: the data of an event"""
    counts = dict.fromkeys((shown(status, settings) for status in model.CONTACT_STATUSES), 0)
    for status, count in campaign.counts.items():
        counts[shown(status, settings)] += count
    return {
        "campaign_id": campaign.campaign_id,
        "status": campaign.status,
        "total": len(campaign.contacts),
        "contacts": counts,
        "active_calls": campaign.live,
        "calls": campaign.attempts,
    }


def contact(contact: Contact, settings: KatavenSettings) -> Json:
    """:return: a contact as the contacts endpoint lists it"""
    last = contact.calls[-1] if contact.calls else None
    is_known = last is not None and contact.status != model.CALLING
    return {
        "id": contact_id(contact),
        "campaign_id": contact.campaign.campaign_id,
        "phone_number": contact.phone_number,
        "custom_fields": contact.custom_fields,
        "status": shown(contact.status, settings),
        "attempts": len(contact.calls),
        "last_attempt_at": iso(last.dispatched_at if last else None),
        "last_outcome": last.draw.outcome.name if last and is_known else None,
        "updated_at": iso(contact.updated_at),
    }


def contact_id(contact: Contact) -> str:
    """:return: its id, made up when asked for: most are never asked for"""
    return made_up_id(f"{contact.campaign.campaign_id}|{contact.index}")


def shown(status: str, settings: KatavenSettings) -> str:
    """:return: a contact's status as the API calls it"""
    return settings.retry_status if status == model.RETRYING else status
