"""What the page shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .clock import iso
from .graine import model, views

if TYPE_CHECKING:
    from .graine.model import Batch, Call, Campaign
    from .world import World

CAMPAIGNS = 12
BATCHES = 60
CALLS = 40


def overview(world: World, hint: dict[str, str]) -> dict[str, Any]:
    """:return: virtual time, totals, the newest campaigns and batches, the latest calls; no whole phone number"""
    simulation = world.simulation
    now = world.timeline.now
    batches = list(simulation.batches.values())
    campaigns = list(simulation.campaigns.values())
    statuses = Counter(batch.status for batch in batches)
    return {
        "now": iso(now),
        "elapsed": now - world.started_at,
        "speed": world.clock.speed,
        "seed": str(world.seed),
        "hint": hint,
        "faults": [
            {"on": fault.on, "what": fault.what, "hits": fault.hits, "times": fault.times} for fault in world.faults
        ],
        "contacts": views.contact_counts(batches),
        "total_contacts": sum(len(batch.contacts) for batch in batches),
        "calls": sum(batch.attempts for batch in batches),
        "live_calls": sum(batch.live for batch in batches),
        "batches_by_status": statuses,
        "campaign_count": len(campaigns),
        "batch_count": len(batches),
        "campaigns": [_campaign(campaign, now) for campaign in reversed(campaigns[-CAMPAIGNS:])],
        "batches": [_batch(batch) for batch in reversed(batches[-BATCHES:])],
        "recent_calls": [_call(call, now) for call in reversed(list(simulation.recent_calls)[-CALLS:])],
    }


def _campaign(campaign: Campaign, now: float) -> dict[str, Any]:
    opens = now if campaign.hours is None else campaign.hours.next_open(now)
    return {
        "campaign_id": campaign.campaign_id,
        "name": campaign.settings["name"],
        "status": campaign.status,
        "contacts": views.contact_counts(campaign.batches),
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
        "scheduled_start": iso(batch.scheduled_start) if batch.status == model.PENDING else None,
    }


def _call(call: Call, now: float) -> dict[str, Any]:
    over = now >= call.ends_at
    return {
        "id": views.execution_id(call),
        "phone": f"••• {call.contact.phone_number[-2:]}",
        "campaign": call.contact.batch.campaign.settings["name"],
        "status": call.status(now),
        "outcome": call.draw.outcome.name if over else None,
        "attempt": call.number + 1,
        "follow_up": call.follow_up,
        "seconds": call.talk_seconds(now),
        "at": iso(call.dispatched_at),
    }
