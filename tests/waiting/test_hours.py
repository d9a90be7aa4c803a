from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.waiting.hours import CallingHours
from tests.waiting.simulation import KOLKATA, WEEKDAYS, moment, office_hours, week

ZONES = ("Europe/Berlin", "America/New_York", KOLKATA, "Australia/Lord_Howe", "Africa/Casablanca")

#: Around the days on which the clocks of these zones change, and some on which none does.
CHANGES = [
    moment(day)
    for day in ("2026-03-07", "2026-03-28", "2026-10-24", "2026-10-31", "2026-05-18", "2026-02-14", "2026-04-03")
]

clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
days = st.one_of(
    st.fixed_dictionaries({"start": clocks, "end": clocks, "enabled": st.just(True)}),
    st.fixed_dictionaries({"start": clocks, "end": clocks, "enabled": st.sampled_from([True, False])}),
    st.none(),
)
weeks = st.fixed_dictionaries(dict.fromkeys(WEEKDAYS, days))


def minute(clock: str) -> int:
    """Minutes of the day; its last one is how people write the end of a day."""
    value = int(clock[:2]) * 60 + int(clock[3:])
    return 1440 if value == 1439 else value


def open_by_the_clock_on_the_wall(now: float, zone: ZoneInfo, schedule: dict[str, Any]) -> bool:
    local = datetime.fromtimestamp(now, zone)
    shown = local.hour * 60 + local.minute
    today = schedule[WEEKDAYS[local.weekday()]]
    before = schedule[WEEKDAYS[local.weekday() - 1]]
    if before and before["enabled"] and minute(before["start"]) >= minute(before["end"]) > shown:
        return True
    if today is None:
        return True
    if not today["enabled"]:
        return False
    start, end = minute(today["start"]), minute(today["end"])
    return start >= end or start <= shown < end


@settings(max_examples=60)
@given(zone=st.sampled_from(ZONES), schedule=weeks, start=st.sampled_from(CHANGES), shift=st.integers(0, 1440))
def test_hours_are_what_the_clock_on_the_wall_says(
    zone: str, schedule: dict[str, Any], start: float, shift: int
) -> None:
    hours = CallingHours.of(timezone=zone, working_hours=schedule, enforced=True)
    minutes = [start + 60.0 * (shift + number) for number in range(2 * 1440)]
    expected = [open_by_the_clock_on_the_wall(now, ZoneInfo(zone), schedule) for now in minutes]
    if hours is None:
        assert all(expected)
        return
    assert [hours.is_open(now) for now in minutes] == expected
    assert hours.open_seconds(minutes[0], minutes[-1] + 60) == 60 * sum(expected)
    if True in expected:
        assert hours.opens_at(minutes[0]) == minutes[expected.index(True)]
    else:
        assert (opening := hours.opens_at(minutes[0])) is None or opening > minutes[-1]


moments = st.floats(min_value=moment("2026-01-01"), max_value=moment("2027-01-01"))


@given(zone=st.sampled_from(ZONES), schedule=weeks, at=st.tuples(moments, moments, moments).map(sorted))
def test_open_seconds_add_up(zone: str, schedule: dict[str, Any], at: list[float]) -> None:
    hours = CallingHours.of(timezone=zone, working_hours=schedule, enforced=True)
    if hours is None:
        return
    first, second, third = at
    together = hours.open_seconds(first, third)
    assert hours.open_seconds(first, second) + hours.open_seconds(second, third) == pytest.approx(together, abs=1e-3)
    assert 0 <= together <= third - first


@given(zone=st.sampled_from(ZONES), schedule=weeks, now=moments, seconds=st.floats(min_value=0, max_value=20 * 86400))
def test_after_is_the_inverse_of_open_seconds(zone: str, schedule: dict[str, Any], now: float, seconds: float) -> None:
    hours = CallingHours.of(timezone=zone, working_hours=schedule, enforced=True)
    if hours is None:
        return
    end = hours.after(now, seconds)
    if end is None:
        assert hours.open_seconds(now, now + 366 * 86400) < seconds + 1
    else:
        assert hours.open_seconds(now, end) == pytest.approx(seconds, abs=1e-3)
        assert seconds < 0.001 or hours.open_seconds(now, end - 0.001) < seconds


@given(zone=st.sampled_from(ZONES), schedule=weeks, now=moments)
def test_an_opening_is_open_and_the_moment_before_is_not(zone: str, schedule: dict[str, Any], now: float) -> None:
    hours = CallingHours.of(timezone=zone, working_hours=schedule, enforced=True)
    if hours is None:
        return
    opening = hours.opens_at(now)
    if opening is None:
        assert hours.open_seconds(now, now + 7 * 86400) == 0
    elif opening == now:
        assert hours.is_open(now)
    else:
        assert opening > now
        assert hours.is_open(opening)
        assert not hours.is_open(opening - 0.5 if opening - 0.5 > now else now)
        assert hours.open_seconds(now, opening) == 0


@given(zone=st.sampled_from(ZONES), schedule=weeks, at=st.lists(moments, min_size=1, max_size=8))
def test_hours_recalled_are_the_same_hours(zone: str, schedule: dict[str, Any], at: list[float]) -> None:
    hours = CallingHours.of(timezone=zone, working_hours=schedule, enforced=True)
    if hours is None:
        return
    recalled = CallingHours.recalled(json.loads(json.dumps(hours.remembered())))
    assert recalled is not None
    assert [recalled.is_open(now) for now in at] == [hours.is_open(now) for now in at]
    assert recalled.local(at[0]) == hours.local(at[0])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | clocks,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
odd_days = st.fixed_dictionaries(
    {}, optional={"start": json_values, "end": json_values, "enabled": json_values, "note": json_values}
)
odd_weeks = st.dictionaries(st.sampled_from([*WEEKDAYS, "Monday", "holiday", ""]), odd_days | json_values)
names = st.text(max_size=10) | st.sampled_from(
    [*ZONES, "Mars/Olympus", "../../etc/passwd", "Europe", "", "\x00", "a" * 999]
)


@given(timezone=json_values | names, schedule=json_values | odd_weeks, enforced=json_values)
def test_odd_documents_are_no_restriction_or_hours_that_work(timezone: Any, schedule: Any, enforced: Any) -> None:
    hours = CallingHours.of(timezone=timezone, working_hours=schedule, enforced=enforced)
    if hours is not None:
        assert enforced is True
        now = moment("2026-03-28 12:00")
        hours.is_open(now)
        hours.opens_at(now)
        hours.open_seconds(now, now + 86400)
        hours.after(now, 86400)
        hours.local(now)


@given(kept=json_values | st.fixed_dictionaries({"timezone": names, "week": json_values}))
def test_an_odd_memory_of_hours_is_none(kept: Any) -> None:
    assert CallingHours.recalled(kept if isinstance(kept, dict) else {}) is None


@pytest.mark.parametrize(
    "kwargs",
    [
        {"enforced": False},
        {"enforced": None},
        {"enforced": "true"},
        {"timezone": None},
        {"timezone": "Mars/Olympus"},
        {"working_hours": None},
        {"working_hours": {}},
        {"working_hours": week("18:00", "09:00", closed=())},
        {"working_hours": {day: {"start": "00:00", "end": "24:00", "enabled": True} for day in WEEKDAYS}},
    ],
)
def test_what_is_not_known_restricts_nothing(kwargs: dict[str, Any]) -> None:
    given = {"timezone": KOLKATA, "working_hours": week(), "enforced": True, **kwargs}
    assert CallingHours.of(**given) is None


def test_a_week_in_kolkata() -> None:
    hours = office_hours()
    friday_evening = moment("2026-05-22 18:00", KOLKATA)
    assert hours.is_open(friday_evening - 1)
    assert not hours.is_open(friday_evening)
    opening = hours.opens_at(friday_evening)
    assert opening == moment("2026-05-25 09:00", KOLKATA)
    assert hours.local(opening) == "Mon 25 May 09:00 Asia/Kolkata"
    assert hours.open_seconds(friday_evening - 3600, opening + 60) == 3660
    assert hours.after(friday_evening - 3600, 3660) == opening + 60


def test_a_missing_day_counts_as_open() -> None:
    schedule = {day: hours for day, hours in week().items() if day != "sunday"}
    hours = CallingHours.of(timezone=KOLKATA, working_hours=schedule, enforced=True)
    assert hours is not None
    assert hours.is_open(moment("2026-05-24 03:00", KOLKATA))
    assert not hours.is_open(moment("2026-05-23 12:00", KOLKATA))


def test_a_window_over_midnight_keeps_the_night_open() -> None:
    schedule = week("22:00", "02:00", closed=tuple(WEEKDAYS[1:]))
    hours = CallingHours.of(timezone=KOLKATA, working_hours=schedule, enforced=True)
    assert hours is not None
    assert hours.is_open(moment("2026-05-18 12:00", KOLKATA))
    assert hours.is_open(moment("2026-05-19 01:59", KOLKATA))
    assert not hours.is_open(moment("2026-05-19 02:00", KOLKATA))


def test_every_day_disabled_never_opens() -> None:
    hours = CallingHours.of(timezone=KOLKATA, working_hours=week(closed=WEEKDAYS), enforced=True)
    assert hours is not None
    assert hours.opens_at(moment("2026-05-18")) is None
    assert hours.after(moment("2026-05-18"), 1) is None


def test_a_window_that_begins_in_the_hour_that_is_left_out() -> None:
    """In Berlin the clock goes from 01:59 to 03:00 on 29 March 2026."""
    hours = office_hours("Europe/Berlin", start="02:30", end="04:00", closed=())
    night = moment("2026-03-29 00:00", "Europe/Berlin")
    assert hours.opens_at(night) == moment("2026-03-29 01:00")
    assert hours.open_seconds(night, night + 6 * 3600) == 3600


def test_a_window_in_the_hour_that_comes_twice() -> None:
    """In Berlin the clock goes from 02:59 back to 02:00 on 25 October 2026."""
    hours = office_hours("Europe/Berlin", start="02:30", end="04:00", closed=())
    night = moment("2026-10-25 00:00", "Europe/Berlin")
    assert hours.open_seconds(night, night + 6 * 3600) == 1800 + 1800 + 3600
