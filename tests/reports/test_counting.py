from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.reports.tally import Rate, Tally
from airflow_provider_graine.reports.uploads import Uploads, read_summaries

NOT_KNOWN = st.none() | st.sampled_from(["", "soon", 5, True, {"a": 1}, "9999-12-31T23:59:59-23:00"])
PERSON = st.fixed_dictionaries(
    {},
    optional={
        "status": NOT_KNOWN
        | st.sampled_from(["completed", "Busy", "pending", "dispatched", "skipped", "+91 98", "new"]),
        "last_attempted_at": NOT_KNOWN | st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
        "retry_count": NOT_KNOWN | st.integers(-1, 9),
        "follow_up_count": NOT_KNOWN | st.integers(0, 3),
        "phone_number": st.just("+919876500001"),
    },
)


@settings(max_examples=60)
@given(people=st.lists(st.lists(PERSON, max_size=12), max_size=3))
def test_nobody_is_counted_twice_or_lost_and_nothing_else_is_kept(people: list[list[dict[str, Any]]]) -> None:
    together, all_at_once = Tally(ZoneInfo("Asia/Kolkata")), Tally(ZoneInfo("Asia/Kolkata"))
    for some in people:
        tally = Tally(ZoneInfo("Asia/Kolkata"))
        for person in some:
            tally.count(person)
            all_at_once.count(person)
        together.add(tally)
    assert together == all_at_once
    assert together.people == sum(map(len, people)) == together.outcomes.total()
    for groups in (together.by_hour, together.by_attempts):
        assert sum(rate.called for rate in groups.values()) == together.total.called <= together.people
        assert sum(rate.answered for rate in groups.values()) == together.total.answered
    assert together.total.answered == together.outcomes["completed"]
    assert "98" not in repr(together)


def test_hours_are_those_of_the_zone_and_who_is_being_called_has_no_outcome_yet() -> None:
    tally = Tally(ZoneInfo("Asia/Kolkata"))
    for status, at, retries in (
        ("completed", "2026-05-10T03:35:00Z", 0),
        ("busy", "2026-05-10T05:05:00+02:00", 2),
        ("no_answer", "2026-05-10T03:35:00", 0),  # without an offset: UTC
        ("completed", None, None),
        ("in_progress", "2026-05-10T03:35:00Z", 0),
        ("pending", None, 0),
        ("skipped", None, 0),
        ("skipped", "2026-05-10T15:35:00Z", 1),
    ):
        tally.count({"status": status, "last_attempted_at": at, "retry_count": retries})
    assert tally.total == Rate(5, 2)
    assert tally.by_hour == {9: Rate(2, 1), 8: Rate(1, 0), None: Rate(1, 1), 21: Rate(1, 0)}
    assert tally.by_attempts == {1: Rate(2, 1), 3: Rate(1, 0), None: Rate(1, 1), 2: Rate(1, 0)}
    assert tally.retries == 3


def test_summaries_of_uploads_add_up() -> None:
    whole = {"read": 10, "accepted": 7, "rejected": {"duplicate": 2, "suppressed": 1}, "batches": 1}
    shards = [
        {"read": 10, "accepted": 3, "rejected": {"duplicate": 1}, "batches": 1, "shard": [0, 2], "elsewhere": 6},
        {"read": 10, "accepted": 6, "rejected": {}, "batches": 1, "shard": [1, 2], "elsewhere": 4},
    ]
    assert read_summaries(whole) == Uploads(10, 7, {"duplicate": 2, "suppressed": 1})  # type: ignore[arg-type]
    assert read_summaries([whole, (each for each in shards), None]) == Uploads(
        20,
        16,
        {"duplicate": 3, "suppressed": 1},  # type: ignore[arg-type]
    )
    assert read_summaries('{"read": 1, "accepted": 1}') == Uploads(1, 1)
    assert read_summaries(None) is read_summaries([]) is None
    strange = read_summaries({"read": 1, "accepted": 0, "rejected": {"+919876500001": 1}})
    assert strange == Uploads(1, 0, {"unknown": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", ["{'read': 1}", 5, [5], {"read": 1}, {"read": "many", "accepted": 1}, {"accepted": 1}]
)
def test_what_is_no_summary_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'upload\.output\["summary"\]'):
        read_summaries(wrong)
