"""What an author gets wrong is said in the author's words, without values, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.services.graine import requests
from airflow_provider_graine.services.request import path
from airflow_provider_graine.services.working_hours import DAYS

CANARY = "cAnArY"
NUMBER = "+14155550123"
CAMPAIGN = {"name": "Renewals", "agent_id": "agent_1", "phone_numbers": [NUMBER]}
OPEN = {"start": "09:00", "end": "18:00", "enabled": True}
CLOSED = {"start": "00:00", "end": "00:00", "enabled": False}


def sent(request: Any) -> Any:
    return json.loads(request.body)


def campaign(**fields: Any) -> Any:
    return sent(requests.create_campaign(**{**CAMPAIGN, **fields}))


def batch(**fields: Any) -> Any:
    return sent(requests.create_batch(**{"campaign_id": "cmp_1", "contacts": [{"phone_number": NUMBER}], **fields}))


def hours(**days: Any) -> dict[str, Any]:
    return {"working_hours": days, "timezone": "Asia/Kolkata"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "name: "),
        ({"name": None}, "name: is required"),
        ({"agent_id": 7}, "agent_id: must be a valid string"),
        ({"phone_numbers": []}, "phone_numbers: "),
        ({"phone_numbers": NUMBER}, "phone_numbers: must be a valid list"),
        ({"phone_numbers": [f"0{CANARY}"]}, "phone_numbers.0: must be a phone number in E.164 form"),
        ({"phone_number_strategy": CANARY}, "phone_number_strategy: must be 'round_robin', 'random' or 'least_loaded'"),
        ({"timezone": CANARY}, 'timezone: must be an IANA time zone such as "Asia/Kolkata"'),
        ({"timezone": "+05:30"}, "timezone: must be an IANA time zone"),
        ({"timezone": "../../etc/passwd"}, "timezone: must be an IANA time zone"),
        ({"timezone": ""}, "timezone: must be an IANA time zone"),
        ({"working_hours": {"monday": OPEN}}, "working_hours need a timezone"),
        (hours(), "working_hours: names no weekday"),
        (hours(monday={"start": "9:00", "end": "18:00"}), "working_hours.monday.start: must be a time of day"),
        (hours(monday={"start": "09:00", "end": "24:00"}), "working_hours.monday.end: must be a time of day"),
        (hours(monday={"start": "18:00", "end": "09:00"}), "working_hours.monday: start must lie before end"),
        (hours(monday={"start": "09:00", "end": "09:00"}), "working_hours.monday: start must lie before end"),
        (hours(monday={"start": "09:00"}), "working_hours.monday.end: is required"),
        (hours(monday={"enabled": True}), "working_hours.monday.start: is required"),
        (hours(monday={**OPEN, "begin": CANARY}), "working_hours.monday.begin: there is no such field"),
        (hours(monday=CANARY), "working_hours.monday: must be a mapping of fields to values"),
        (hours(Monday=OPEN), "working_hours.Monday: there is no such field"),
        ({"working_hours": CANARY, "timezone": "UTC"}, "working_hours: must be a mapping of fields to values"),
        ({"retry_policy": {"max_retry": 1}}, "retry_policy.max_retry: there is no such field"),
        ({"retry_policy": {"max_retries": -1}}, "retry_policy.max_retries: must be greater than or equal to 0"),
        ({"retry_policy": {"strategy": CANARY}}, "retry_policy.strategy: must be 'fixed' or 'exponential'"),
        ({"default_call_variables": {"callee_name": CANARY}}, "callee_name belongs to each contact"),
        ({"default_call_variables": CANARY}, "default_call_variables: must be a valid dictionary"),
        ({"metadata": {"concurrency_limit": CANARY}}, "metadata.concurrency_limit must be a whole number"),
        ({"metadata": {"concurrency_limit": 0}}, "metadata.concurrency_limit must be a whole number"),
        ({"metadata": {"concurrency_limit": True}}, "metadata.concurrency_limit must be a whole number"),
        ({"metadata": {"made": object()}}, "metadata.*cannot be written as JSON"),
        ({"metadata": {"text": "\ud800"}}, "cannot be written as JSON"),
        ({"metadata": {"raw": b"\xff" + CANARY.encode()}}, "cannot be written as JSON"),
    ],
)
def test_wrong_campaigns(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{said}.*Nothing was sent\.$") as caught:
        campaign(**fields)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"campaign_id": ""}, "campaign_id: "),
        ({"contacts": []}, "at least one contact"),
        ({"contacts": b"[]"}, "at least one contact"),
        ({"contacts": [{"phone_number": NUMBER}, {"phone_number": "0415555"}]}, "contact at position 2.*phone_number"),
        ({"contacts": [{"phone_number": NUMBER, "name": CANARY}]}, "name: there is no such field"),
        ({"contacts": [{NUMBER: CANARY}]}, "there is no such field"),
        ({"contacts": [{"call_variables": {"callee_name": CANARY}}]}, "phone_number: is required"),
        ({"contacts": [NUMBER]}, "contact at position 1.*must be a mapping of fields to values"),
        ({"contacts": {"phone_number": NUMBER}}, "contact at position 1.*must be a mapping of fields to values"),
        ({"contacts": [{"phone_number": NUMBER, "call_variables": [CANARY]}]}, "call_variables"),
        ({"concurrency_limit": 0}, "concurrency_limit: must be greater than or equal to 1"),
        ({"concurrency_limit": CANARY}, "concurrency_limit: must be a valid integer"),
        ({"max_retries_override": -1}, "max_retries_override: must be greater than or equal to 0"),
        ({"call_context": CANARY}, "call_context: must be a valid dictionary"),
        ({"scheduled_start": ""}, "scheduled_start: must be a date and time"),
        ({"scheduled_start": CANARY}, "scheduled_start: must be a date and time"),
        ({"scheduled_start": "2026-05-12"}, "scheduled_start: must be a datetime or a string, not a date without"),
        ({"scheduled_start": "20260512"}, "scheduled_start: must be a datetime or a string, not a date without"),
        ({"scheduled_start": date(2026, 5, 12)}, "scheduled_start: must be a datetime or a string, not a date without"),
        ({"scheduled_start": 1_778_000_000}, "scheduled_start: must be a datetime or a string, not of type int"),
        ({"scheduled_start": datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))}, "scheduled_start: lies out"),
    ],
)
def test_wrong_batches(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{said}.*Nothing was sent\.$") as caught:
        batch(**fields)
    assert CANARY not in str(caught.value)
    assert NUMBER not in str(caught.value)


def test_changing_nothing_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="nothing to change was given"):
        requests.update_campaign("cmp_1")


def test_hours_travel_whole_and_are_enforced() -> None:
    given = hours(monday={"start": "09:00", "end": "18:00"}, tuesday={"enabled": "false"}, sunday=None)
    assert campaign(**given) == {
        **CAMPAIGN,
        "timezone": "Asia/Kolkata",
        "working_hours_enforced": True,
        "working_hours": {**dict.fromkeys(DAYS, CLOSED), "monday": OPEN},
    }
    assert campaign(**given, working_hours_enforced=False)["working_hours_enforced"] is False
    closed = {"start": "09:00", "end": "18:00", "enabled": False}
    assert campaign(**hours(monday=OPEN, friday=closed))["working_hours"]["friday"] == closed


def test_numbers_that_a_template_made_text() -> None:
    assert batch(concurrency_limit="5", max_retries_override="0")["concurrency_limit"] == 5
    assert campaign(working_hours_enforced="true")["working_hours_enforced"] is True


def test_nothing_that_was_not_given_is_sent_as_null() -> None:
    policy = {"max_retries": 0, "strategy": None}
    assert campaign(retry_policy=policy, timezone=None) == {**CAMPAIGN, "retry_policy": {"max_retries": 0}}
    assert batch(call_context={"a": None}, scheduled_start=None) == {
        "campaign_id": "cmp_1",
        "call_context": {"a": None},
        "contacts": [{"phone_number": NUMBER}],
    }


def test_contacts_may_be_any_iterable() -> None:
    class Person(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return {"phone_number": NUMBER}[key]

        def __iter__(self) -> Any:
            return iter(["phone_number"])

        def __len__(self) -> int:
            return 1

    people = [{"phone_number": NUMBER, "call_variables": {"due": date(2026, 5, 12), "sum": Decimal("1.50")}}]
    assert batch(contacts=iter(people))["contacts"] == [
        {"phone_number": NUMBER, "call_variables": {"due": "2026-05-12", "sum": "1.50"}}
    ]
    assert batch(contacts=[Person()])["contacts"] == [{"phone_number": NUMBER}]


class NoOffset(tzinfo):
    def utcoffset(self, moment: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    ("given", "out"),
    [
        (datetime(2026, 5, 12, 9, 0), "2026-05-12T09:00:00"),
        (datetime(2026, 5, 12, 9, 0, 1, 999_999), "2026-05-12T09:00:01"),
        (datetime(2026, 5, 12, 9, 0, tzinfo=UTC), "2026-05-12T09:00:00Z"),
        (datetime(2026, 5, 12, 9, 0, tzinfo=ZoneInfo("Asia/Kolkata")), "2026-05-12T03:30:00Z"),
        (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), "2026-10-25T01:30:00Z"),
        (datetime(2026, 5, 12, 9, 0, tzinfo=NoOffset()), "2026-05-12T09:00:00"),
        (pendulum.datetime(2026, 5, 12, 9, tz="Asia/Kolkata"), "2026-05-12T03:30:00Z"),
        (pendulum.datetime(2026, 5, 12, 9), "2026-05-12T09:00:00Z"),
        (pendulum.naive(2026, 5, 12, 9), "2026-05-12T09:00:00"),
        ("2026-05-12T09:00:00", "2026-05-12T09:00:00"),
        (" 2026-05-12 09:00 ", "2026-05-12T09:00:00"),
        ("2026-05-12T09:00:00Z", "2026-05-12T09:00:00Z"),
        ("2026-05-12t09:00:00.123456789z", "2026-05-12T09:00:00Z"),
        ("2026-05-12T09:00:00+05:30", "2026-05-12T03:30:00Z"),
        ("2026-05-12 09:00:00 +00:00".replace(" +", "+"), "2026-05-12T09:00:00Z"),
    ],
)
def test_start_times(given: Any, out: str) -> None:
    assert batch(scheduled_start=given)["scheduled_start"] == out


@given(st.datetimes(timezones=st.none() | st.timezones()))
def test_any_start_time_names_the_same_moment(moment: datetime) -> None:
    try:
        out = batch(scheduled_start=moment)["scheduled_start"]
    except ConfigurationError:
        with pytest.raises(OverflowError):
            moment.astimezone(UTC)
        return
    if moment.tzinfo is None:
        assert out == moment.replace(microsecond=0).isoformat()
    else:
        assert out.endswith("Z")
        assert datetime.fromisoformat(out) == moment.astimezone(UTC).replace(microsecond=0)


@given(
    st.dictionaries(
        st.sampled_from([*DAYS, "Monday", "holiday"]),
        st.none()
        | st.text(max_size=5)
        | st.dictionaries(
            st.sampled_from(["start", "end", "enabled", "begin"]),
            st.none() | st.booleans() | st.from_regex(r"[0-2]?[0-9]:[0-9]{2}", fullmatch=True) | st.integers(),
        ),
        max_size=3,
    )
)
def test_hours_are_refused_or_travel_as_documented(days: dict[str, Any]) -> None:
    try:
        week = campaign(**hours(**days))["working_hours"]
    except ConfigurationError:
        return
    assert list(week) == list(DAYS)
    for day in week.values():
        assert set(day) == {"start", "end", "enabled"}
        assert not day["enabled"] or "00:00" <= day["start"] < day["end"] <= "23:59"


@pytest.mark.parametrize("object_id", ["", " ", ".", "..", None, 7, "a\nb", "a\x00"])
def test_ids_that_are_none(object_id: Any) -> None:
    with pytest.raises(ConfigurationError, match="Nothing was sent"):
        path("/batches/{}", object_id)


@given(st.text(min_size=1).filter(lambda text: text.isprintable() and text.strip() not in {"", ".", ".."}))
def test_no_id_reaches_another_endpoint(object_id: str) -> None:
    made = path("/batches/{}/contacts", object_id)
    assert made.count("/") == 3
    assert not set("?#\\ ") & set(made)
