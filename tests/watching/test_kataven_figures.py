"""What an event says, in whatever shape: nothing documents it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.services.kataven.received import CampaignSnapshot
from airflow_provider_graine.watching.kataven_figures import are_final, figures

COUNTS = {"pending": 6, "calling": 2, "completed": 1, "failed": 1}


@pytest.mark.parametrize(
    ("document", "total", "counts"),
    [
        ({"total": 10, "contacts": COUNTS, "active_calls": 2, "calls": 9}, 10, COUNTS),
        ({"total_contacts": 10, **COUNTS, "active_calls": 2}, 10, COUNTS),
        ({"metrics": {**COUNTS, "total": 10}}, 10, COUNTS),
        ({"contacts": {"pending": 3, "on_hold": 2}, "contact_count": 5}, 5, {"pending": 3, "on_hold": 2}),
        (COUNTS, None, COUNTS),
        ({"total": 3, "contacts": COUNTS}, None, COUNTS),
        ({"contacts": ["somebody"], "latency": {"p50": 3}}, None, {}),
        ({"pending": True, "completed": "9", "failed": -1, "total": 4.5}, None, {}),
        ({}, None, {}),
    ],
)
def test_shapes(document: dict[str, Any], total: int | None, counts: dict[str, int]) -> None:
    assert figures(CampaignSnapshot.model_validate({"status": "running", **document})) == (total, counts)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(["total", *COUNTS, "x"]), each),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["total", "contacts", *COUNTS, "x"]), JSON))
def test_an_odd_document_is_no_error_and_makes_no_sense(document: dict[str, Any]) -> None:
    total, counts = figures(CampaignSnapshot.model_validate(document))
    assert all(number >= 0 for number in counts.values())
    assert total is None or sum(counts.values()) <= total


def test_final() -> None:
    assert are_final(10, {"completed": 7, "failed": 2, "skipped": 1})
    assert not are_final(10, {"completed": 9, "calling": 1})
    assert not are_final(None, {"completed": 9})
