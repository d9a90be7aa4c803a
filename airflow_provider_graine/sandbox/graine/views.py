"""The JSON shapes in which the service answers."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..clock import iso
from . import model
from .conversation import COST_PER_MINUTE, details

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..calls import Call
    from .model import Batch, Campaign, Contact
    from .simulation import Simulation

Json = dict[str, Any]

SETTINGS = (
    "phone_numbers",
    "phone_number_strategy",
    "working_hours_enforced",
    "timezone",
    "working_hours",
    "retry_policy",
    "default_call_variables",
)
EXPORT_COLUMNS = (
    "contact_id",
    "phone_number",
    "callee_name",
    "status",
    "retry_count",
    "follow_up_count",
    "last_attempted_at",
    "next_retry_at",
    "execution_id",
    "call_status",
    "duration_seconds",
    "sentiment",
    "summary",
    "hangup_by",
    "hangup_reason",
    "recording_url",
    "call_variables",
)


def campaign_created(campaign: Campaign) -> Json:
    """:return: the answer to a create"""
    return {
        "campaign_id": campaign.campaign_id,
        "name": campaign.settings["name"],
        "status": campaign.status,
        "organization_id": campaign.organization_id,
        "agent_id": campaign.settings["agent_id"],
    }


def campaign_listed(campaign: Campaign) -> Json:
    """:return: a campaign without its ``metadata``"""
    return {
        "campaign_id": campaign.campaign_id,
        "name": campaign.settings["name"],
        "organization_id": campaign.organization_id,
        "agent_id": campaign.settings["agent_id"],
        "status": campaign.status,
        **{key: campaign.settings.get(key) for key in SETTINGS},
        **_call_counters(campaign),
        "created_at": iso(campaign.created_at),
        "updated_at": iso(campaign.updated_at),
    }


def campaign_whole(campaign: Campaign) -> Json:
    """:return: a campaign as its own GET shows it"""
    return {**campaign_listed(campaign), "metadata": campaign.settings.get("metadata")}


def campaign_stats(campaign: Campaign) -> Json:
    """:return: counts over all batches"""
    counts = contact_counts(campaign.batches)
    batch_counts = dict.fromkeys((model.PENDING, model.IN_PROGRESS, model.PAUSED, model.COMPLETED, model.CANCELLED), 0)
    retries: Counter[int] = Counter()
    for batch in campaign.batches:
        if batch.status in batch_counts:
            batch_counts[batch.status] += 1
        retries.update(batch.retries)
    in_flight = (model.DISPATCHED, model.IN_PROGRESS, model.RETRYING, model.FOLLOWUP_SCHEDULED)
    return {
        "campaign_id": campaign.campaign_id,
        "contact_counts": counts,
        "batch_counts": batch_counts,
        "call_counters": _call_counters(campaign),
        "retry_breakdown": _retry_breakdown(retries),
        "in_flight_contacts": sum(counts[status] for status in in_flight),
        "total_call_attempts": sum(batch.attempts for batch in campaign.batches),
        "follow_up_attempts": sum(batch.follow_up_attempts for batch in campaign.batches),
    }


def contact_counts(batches: Iterable[Batch]) -> dict[str, int]:
    """:return: number of contacts in each contact status"""
    counts = dict.fromkeys(model.CONTACT_STATUSES, 0)
    for batch in batches:
        for status, number in batch.counts.items():
            counts[status] += number
    return counts


def batch_created(batch: Batch) -> Json:
    """:return: the answer to a create"""
    return {
        "batch_id": batch.batch_id,
        "campaign_id": batch.campaign.campaign_id,
        "organization_id": batch.campaign.organization_id,
        "status": batch.status,
        "total_contacts": len(batch.contacts),
        "created_at": iso(batch.created_at),
    }


def batch_listed(batch: Batch) -> Json:
    """:return: a batch as ``GET /batches/`` lists it: without ``metadata``"""
    return {
        "batch_id": batch.batch_id,
        "campaign_id": batch.campaign.campaign_id,
        "organization_id": batch.campaign.organization_id,
        "status": batch.status,
        "total_contacts": len(batch.contacts),
        "concurrency_limit": batch.concurrency_limit or batch.campaign.concurrency_limit,
        "scheduled_start": iso(batch.scheduled_start),
        "counters": _counters(batch),
        "created_at": iso(batch.created_at),
        "updated_at": iso(batch.updated_at),
    }


def batch_whole(batch: Batch) -> Json:
    """:return: a batch as its own GET shows it"""
    return {
        **batch_listed(batch),
        "max_retries_override": batch.max_retries_override,
        "call_context": batch.call_context,
        "metadata": batch.metadata,
    }


def batch_of_campaign(batch: Batch) -> Json:
    """:return: a batch as ``GET /campaigns/{campaign_id}/batches`` lists it"""
    return {
        "batch_id": batch.batch_id,
        "campaign_id": batch.campaign.campaign_id,
        "status": batch.status,
        "total_contacts": len(batch.contacts),
        "counters": _counters(batch),
        "retry_breakdown": _retry_breakdown(batch.retries),
        "created_at": iso(batch.created_at),
    }


def batch_debug(batch: Batch, simulation: Simulation) -> Json:
    """:return: the answer of the debug endpoint"""
    oldest: dict[str, float] = {}
    for contact in batch.contacts:
        oldest[contact.status] = min(contact.updated_at, oldest.get(contact.status, contact.updated_at))
    breakdown: dict[str, Json] = {}
    for status, count in batch.counts.items():
        if count:
            breakdown[status] = {"count": count}
            if status != model.COMPLETED:
                breakdown[status]["oldest_updated_at"] = iso(oldest[status])
    pending = sorted(
        (contact for contact in batch.contacts if contact.status == model.PENDING),
        key=lambda contact: contact.updated_at,
    )
    stuck = simulation.is_stuck(batch)
    tip = "Pending contacts make no progress: check the worker, then force dispatch." if stuck else "No problem seen."
    return {
        "batch_id": batch.batch_id,
        "status": batch.status,
        "status_breakdown": breakdown,
        "pending_sample": [contact.contact_id for contact in pending[:3]],
        "diagnostics": {"stuck_pending": stuck, "tip": tip},
    }


def contact(contact: Contact, now: float, *, include_calls: bool = False) -> Json:
    """:return: a contact as the contacts endpoint lists it"""
    batch = contact.batch
    seen: Json = {
        "contact_id": contact.contact_id,
        "batch_id": batch.batch_id,
        "campaign_id": batch.campaign.campaign_id,
        "phone_number": contact.phone_number,
        "call_variables": contact.call_variables,
        "status": contact.status,
        "retry_count": contact.retry_count,
        "follow_up_count": contact.follow_up_count,
        "last_attempted_at": iso(contact.calls[-1].dispatched_at if contact.calls else None),
        "next_retry_at": iso(contact.next_retry_at),
        "latest_retry_count": contact.retry_count,
    }
    if include_calls:
        records = [call_record(call, now) for call in contact.calls]
        seen["current_call"] = records[-1] if records else None
        seen["call_records"] = records
    return seen


def call_record(call: Call, now: float) -> Json:
    """:return: what is known about one attempt at ``now``"""
    outcome, over = call.draw.outcome, now >= call.ends_at
    answered = call.answered_at is not None
    nothing = {"transcript": None, "summary": None, "sentiment": None}
    return {
        "execution_id": execution_id(call),
        "call_status": call.status(now),
        "attempt": call.number + 1,
        "is_follow_up": call.follow_up,
        "started_at": iso(call.dispatched_at),
        "ended_at": iso(call.ends_at) if over else None,
        "duration_seconds": call.talk_seconds(now),
        "recording_url": f"https://recordings.invalid/{execution_id(call)}.mp3" if over and answered else None,
        **(details(call) if over else nothing),
        "hangup_by": outcome.hangup_by if over else None,
        "hangup_reason": outcome.hangup_reason if over else None,
        "total_cost": round(call.talk_seconds(now) / 60 * COST_PER_MINUTE, 4) if over else None,
    }


def execution_id(call: Call) -> str:
    """:return: the id of one attempt"""
    return f"exec_{call.contact.contact_id[4:]}{call.number + 1:02d}"


def export_rows(contacts: Iterable[Contact], now: float, *, header: bool = False) -> str:
    """:return: CSV lines, one for each contact with its latest call"""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    if header:
        writer.writerow(EXPORT_COLUMNS)
    for each in contacts:
        row = contact(each, now)
        row["callee_name"] = each.call_variables.get("callee_name")
        row["call_variables"] = json.dumps(each.call_variables, ensure_ascii=False)
        if each.calls:
            row.update(call_record(each.calls[-1], now))
        writer.writerow([row.get(column) for column in EXPORT_COLUMNS])
    return text.getvalue()


def _counters(batch: Batch) -> dict[str, int]:
    counts = batch.counts
    return {
        "pending": counts[model.PENDING],
        "dispatched": counts[model.DISPATCHED],
        "in_flight": counts[model.IN_PROGRESS],
        "retrying": counts[model.RETRYING],
        "completed": counts[model.COMPLETED],
        "failed": counts[model.FAILED],
        "busy": counts[model.BUSY],
        "no_answer": counts[model.NO_ANSWER],
    }


def _call_counters(campaign: Campaign) -> dict[str, int]:
    calls = campaign.calls
    return {
        "completed_calls": calls[model.COMPLETED],
        "failed_calls": calls[model.FAILED],
        "busy_calls": calls[model.BUSY],
        "no_answer_calls": calls[model.NO_ANSWER],
        "follow_up_calls": calls["follow_up"],
    }


def _retry_breakdown(retries: Counter[int]) -> dict[str, int]:
    return {f"retry_{number}": count for number, count in sorted(retries.items()) if count}
