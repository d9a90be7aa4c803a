"""What comes back is read tolerantly: new fields and statuses, missing fields, nulls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from airflow_provider_graine.services.graine import received, requests
from airflow_provider_graine.services.paging import apages, pages

CASES: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (received.Campaign, {"campaign_id": "cmp_1"}),
    (received.Batch, {"batch_id": "btc_1"}),
    (received.BatchContact, {"contact_id": "con_1"}),
    (received.BatchDebug, {"batch_id": "btc_1"}),
    (received.StateChange, {}),
    (received.CampaignStats, {"contact_counts": {}, "batch_counts": {}}),
]
MODELS = pytest.mark.parametrize(("model", "least"), CASES, ids=lambda case: getattr(case, "__name__", ""))


@MODELS
def test_missing_fields_nulls_and_new_fields(model: type[BaseModel], least: dict[str, Any]) -> None:
    bare = model.model_validate(least)
    nulls = model.model_validate({**dict.fromkeys(model.model_fields), **least})
    assert nulls.model_dump() == bare.model_dump()
    more = model.model_validate({**least, "brand_new": {"deep": [None]}, "copy": 1, "class": 2})
    assert more.model_extra == {"brand_new": {"deep": [None]}, "copy": 1, "class": 2}


@MODELS
def test_without_its_id_it_is_no_answer(model: type[BaseModel], least: dict[str, Any]) -> None:
    for name in least:
        with pytest.raises(ValueError):
            model.model_validate({each: value for each, value in least.items() if each != name})
    for nothing in (None, [], "text", 1):
        with pytest.raises(ValueError):
            model.model_validate(nothing)


def test_statuses_are_any_word_in_lower_case() -> None:
    assert received.Batch.model_validate({"batch_id": "b", "status": "CANCELLED"}).status == "cancelled"
    assert received.Campaign.model_validate({"campaign_id": "c", "status": "Archived"}).status == "archived"


def test_nulls_are_kept_where_they_mean_something() -> None:
    contact = {"contact_id": "con_1", "next_retry_at": None, "current_call": None}
    assert received.BatchContact.model_validate(contact).model_dump(exclude_unset=True) == contact


def test_counts_without_nulls() -> None:
    batch = received.Batch.model_validate({"batch_id": "b", "counters": {"pending": 2, "new": 1, "busy": None}})
    assert batch.counters == {"pending": 2, "new": 1}


def test_ids_may_be_numbers() -> None:
    assert requests.get_batch("7").parse({"batch_id": 7}).batch_id == "7"


def test_the_example_of_the_documentation() -> None:
    stats = received.CampaignStats.model_validate(
        {
            "campaign_id": "cmp_1",
            "contact_counts": {"pending": 3, "dispatched": 3, "retrying": 12, "completed": 50},
            "batch_counts": {"in_progress": 1},
            "call_counters": {"completed_calls": 50},
            "retry_breakdown": {"retry_1": 10, "retry_2": 2},
            "in_flight_contacts": 28,
            "total_call_attempts": 90,
            "follow_up_attempts": 5,
        }
    )
    assert stats.retry_breakdown == {"retry_1": 10, "retry_2": 2}
    debug = received.BatchDebug.model_validate(
        {
            "batch_id": "btc_1",
            "status": "in_progress",
            "status_breakdown": {"pending": {"count": 4, "oldest_updated_at": "2026-05-12T09:00:00Z"}},
            "pending_sample": ["con_1"],
            "diagnostics": {"stuck_pending": True, "tip": "restart"},
        }
    )
    assert debug.diagnostics.stuck_pending is True


ROWS = st.lists(st.integers(0, 20), max_size=30)


@given(rows=ROWS, size=st.integers(1, 7))
def test_every_row_of_a_listing_comes_once(rows: list[int], size: int) -> None:
    def read(skip: int) -> list[int]:
        return rows[skip : skip + size]

    async def aread(skip: int) -> list[int]:
        return read(skip)

    async def collected() -> list[int]:
        return [row async for row in apages(aread, key=lambda row: row)]

    expected = list(dict.fromkeys(rows))
    assert list(pages(read, key=lambda row: row)) == expected
    assert asyncio.run(collected()) == expected
