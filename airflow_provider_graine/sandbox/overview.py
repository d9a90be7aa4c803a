"""What the page shows."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any

from .clock import iso
from .graine import model as graine
from .graine.views import contact_counts
from .kataven import model as kataven

if TYPE_CHECKING:
    from .calls import Call
    from .graine.model import Batch
    from .graine.model import Campaign as GraineCampaign
    from .kataven.model import Campaign as KatavenCampaign
    from .world import World

CAMPAIGNS = 12
BATCHES = 60
CALLS = 40
KATAVEN_CONTACTS = {
    kataven.PENDING: graine.PENDING,
    kataven.CALLING: graine.IN_PROGRESS,
    kataven.RETRYING: graine.RETRYING,
    kataven.COMPLETED: graine.COMPLETED,
    kataven.FAILED: graine.FAILED,
    kataven.SKIPPED: graine.SKIPPED,
}
"""Kataven's contact statuses in Graine's words: the page counts both together."""


def overview(world: World, hint: dict[str, str]) -> dict[str, Any]:
    """:return: virtual time, totals, the newest campaigns and batches, the latest calls; no whole phone number"""
    now = world.timeline.now
    batches = list(world.graine.simulation.batches.values())
    lists = list(world.kataven.simulation.campaigns.values())
    campaigns = sorted(
        [
            *((each.created_at, _graine_campaign(each, now)) for each in _newest(world.graine.simulation.campaigns)),
            *((each.created_at, _kataven_campaign(each)) for each in _newest(world.kataven.simulation.campaigns)),
        ],
        key=lambda made: made[0],
    )
    calls = sorted(
        chain(world.graine.simulation.recent_calls, world.kataven.simulation.recent_calls),
        key=lambda call: call.dispatched_at,
    )
    contacts = Counter(contact_counts(batches))
    for each in lists:
        contacts.update(_counts(each))
    return {
        "now": iso(now),
        "elapsed": now - world.started_at,
        "speed": world.clock.speed,
        "seed": str(world.seed),
        "hint": hint,
        "faults": [
            {"on": fault.on, "what": fault.what, "service": fault.service, "hits": fault.hits, "times": fault.times}
            for fault in world.faults
        ],
        "contacts": contacts,
        "total_contacts": contacts.total(),
        "calls": sum(batch.attempts for batch in batches) + sum(each.attempts for each in lists),
        "live_calls": sum(batch.live for batch in batches) + sum(each.live for each in lists),
        "batches_by_status": Counter(batch.status for batch in batches),
        "campaign_count": len(world.graine.simulation.campaigns) + len(lists),
        "batch_count": len(batches),
        "campaigns": [campaign for _, campaign in reversed(campaigns[-CAMPAIGNS:])],
        "batches": [_batch(batch) for batch in reversed(batches[-BATCHES:])],
        "recent_calls": [_call(call, now) for call in reversed(calls[-CALLS:])],
    }


def _newest(campaigns: dict[str, Any]) -> list[Any]:
    return list(campaigns.values())[-CAMPAIGNS:]


def _graine_campaign(campaign: GraineCampaign, now: float) -> dict[str, Any]:
    opens = now if campaign.hours is None else campaign.hours.next_open(now)
    return {
        "service": "Graine",
        "campaign_id": campaign.campaign_id,
        "name": campaign.settings["name"],
        "status": campaign.status,
        "contacts": contact_counts(campaign.batches),
        "total_contacts": sum(len(batch.contacts) for batch in campaign.batches),
        "calls": sum(batch.attempts for batch in campaign.batches),
        "live_calls": campaign.live,
        "concurrency_limit": campaign.concurrency_limit,
        "batches": len(campaign.batches),
        "open_batches": campaign.open_batches,
        "timezone": campaign.settings.get("timezone") or "UTC",
        "outside_hours": opens != now,
        "opens_at": iso(opens) if opens != now else None,
    }


def _kataven_campaign(campaign: KatavenCampaign) -> dict[str, Any]:
    return {
        "service": "Kataven",
        "campaign_id": campaign.campaign_id,
        "name": campaign.name,
        "status": campaign.status,
        "contacts": {**dict.fromkeys(graine.CONTACT_STATUSES, 0), **_counts(campaign)},
        "total_contacts": len(campaign.contacts),
        "calls": campaign.attempts,
        "live_calls": campaign.live,
        "concurrency_limit": campaign.max_concurrent_calls,
    }


def _counts(campaign: KatavenCampaign) -> dict[str, int]:
    return {KATAVEN_CONTACTS[status]: count for status, count in campaign.counts.items()}


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "campaign": batch.campaign.settings["name"],
        "status": batch.status,
        "contacts": batch.counts,
        "total_contacts": len(batch.contacts),
        "calls": batch.attempts,
        "live_calls": batch.live,
        "created_at": iso(batch.created_at),
        "scheduled_start": iso(batch.scheduled_start) if batch.status == graine.PENDING else None,
    }


def _call(call: Call, now: float) -> dict[str, Any]:
    over, contact = now >= call.ends_at, call.contact
    in_batch = hasattr(contact, "batch")
    return {
        "id": f"{contact.batch.batch_id if in_batch else contact.campaign.campaign_id}/{contact.index}/{call.number}",
        "phone": f"••• {contact.phone_number[-2:]}",
        "campaign": contact.batch.campaign.settings["name"] if in_batch else contact.campaign.name,
        "status": call.status(now),
        "outcome": call.draw.outcome.name if over else None,
        "attempt": call.number + 1,
        "follow_up": call.follow_up,
        "seconds": call.talk_seconds(now),
        "at": iso(call.dispatched_at),
    }
