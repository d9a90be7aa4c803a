"""What is sent to Kataven, checked; what it answers, in every shape that can be told apart."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.services.kataven import requests
from airflow_provider_graine.services.kataven.received import Campaign, CampaignContact, rows
from airflow_provider_graine.services.kataven.sent import MOST_CONTACT_BYTES, contact_file

NUMBER = "+14155550123"
CAMPAIGN: dict[str, Any] = {"name": "One", "agent_id": "a1", "phone_number_id": "p1"}
ONE = b"phone_number\r\n" + NUMBER.encode()


def fields(**given: Any) -> Any:
    request = requests.create_campaign(**{**CAMPAIGN, "contacts": ONE, **given})
    assert request.form is not None
    return dict(request.form.fields)


# -- sent --------------------------------------------------------------------------------------------------------------


def test_only_what_was_given_is_sent_as_text() -> None:
    assert fields() == CAMPAIGN
    assert fields(
        max_concurrent_calls=5,
        retries_per_contact=0,
        retry_delay_seconds=60,
        scheduled_at=datetime(2026, 5, 12, 9, 0, 0, 500, tzinfo=timezone(timedelta(hours=5.5))),
    ) == {
        **CAMPAIGN,
        "max_concurrent_calls": "5",
        "retries_per_contact": "0",
        "retry_delay_seconds": "60",
        "scheduled_at": "2026-05-12T03:30:00Z",
    }
    assert fields(scheduled_at="2026-05-12t03:30:00z")["scheduled_at"] == "2026-05-12T03:30:00Z"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"agent_id": ""},
        {"phone_number_id": None},
        {"max_concurrent_calls": 0},
        {"max_concurrent_calls": 101},
        {"retries_per_contact": -1},
        {"retries_per_contact": 6},
        {"retry_delay_seconds": 59},
        {"scheduled_at": "2026-05-12T09:00:00"},
        {"scheduled_at": datetime(2026, 5, 12)},
        {"scheduled_at": "2026-05-12"},
        {"scheduled_at": "soon"},
        {"scheduled_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))},
    ],
)
def test_what_the_service_would_refuse_is_not_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"campaign.*{next(iter(wrong))}.*Nothing was sent"):
        fields(**wrong)


def test_a_file_is_sent_as_it_is() -> None:
    for content in (ONE, b"\xef\xbb\xbfname,phone_number\nAnn,+14155550123\n", b'"phone_number"\n1'):
        assert contact_file(content) is content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "column phone_number"),
        (b"number\n+14155550123", "column phone_number"),
        (b"Phone_Number\n+14155550123", "column phone_number"),
        (b"phone_number;name\n+14155550123;Ann", "column phone_number"),
        (b"\xff\xfep\x00h", "column phone_number"),
        (b'"phone_number', "at least one contact"),
        (b"phone_number\r\n", "at least one contact"),
        (b"phone_number\n" + b"1" * MOST_CONTACT_BYTES, "at most 10,000,000"),
        (b"phone_number\r\n\r\n \n", "at least one contact"),
        ([], "at least one contact"),
        ([{"phone_number": "0415"}], "contact at position 1 of the list"),
        ([{"phone_number": NUMBER, "call_variables": {}}], "there is no such field"),
        ([{"phone_number": NUMBER, "custom_fields": {"x": {}}}], "custom_fields"),
        ([{"phone_number": NUMBER, "custom_fields": {"phone_number": "1"}}], "is no name for one of the custom_fields"),
    ],
)
def test_a_file_that_is_none_is_not_sent(content: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?s){said}.*Nothing was sent") as caught:
        contact_file(content)
    assert NUMBER not in str(caught.value)


def test_the_largest_file_is_sent() -> None:
    row = f"\n{NUMBER}".encode()
    content = b"phone_number" + row * ((MOST_CONTACT_BYTES - 12) // len(row))
    assert MOST_CONTACT_BYTES - len(content) < len(row)
    assert contact_file(content) is content


CELLS = st.one_of(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers())


@given(people=st.lists(st.dictionaries(st.sampled_from(["name", "due, €", 'a "b"', "\n"]), CELLS), min_size=1))
def test_a_list_of_people_becomes_a_file(people: list[dict[str, Any]]) -> None:
    contacts = [{"phone_number": f"+1415555{index:04}", "custom_fields": each} for index, each in enumerate(people)]
    found = list(csv.DictReader(io.StringIO(contact_file(contacts).decode(), newline="")))
    assert [row.pop("phone_number") for row in found] == [each["phone_number"] for each in contacts]
    columns = {name for each in people for name in each}
    assert found == [{name: str(each.get(name, "")) for name in columns} for each in people]


def test_cells_that_are_no_text() -> None:
    custom = {"yes": True, "no": False, "none": None, "due": 12.5}
    content = contact_file([{"phone_number": NUMBER, "custom_fields": custom}])
    assert content == f"phone_number,yes,no,none,due\r\n{NUMBER},true,false,,12.5\r\n".encode()


# -- received ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "c1", "status": "RUNNING", "new": 1},
        {"campaign_id": "c1", "status": "running"},
        {"campaign": {"id": "c1", "status": "running"}},
        {"data": {"id": "c1", "status": "running"}},
        {"id": "c1", "status": "running", "data": {"id": "c2"}},
    ],
)
def test_a_campaign(answer: Any) -> None:
    campaign = Campaign.model_validate(answer)
    assert (campaign.campaign_id, campaign.status) == ("c1", "running")


@pytest.mark.parametrize("answer", [None, [], {}, {"id": None}, {"id": ""}, {"id": {}}, {"data": []}, {"data": {}}])
def test_what_is_no_campaign(answer: Any) -> None:
    with pytest.raises(ValidationError):
        Campaign.model_validate(answer)


@pytest.mark.parametrize(
    "answer",
    [
        [{"id": 1}],
        {"contacts": [{"id": 1}]},
        {"contacts": [{"id": 1}], "total": 1, "page": 0},
        {"items": [{"id": 1}], "total": 1},
        {"contacts": [{"id": 1}], "errors": []},
        {"items": [{"id": 1}], "statuses": ["failed"]},
    ],
)
def test_the_rows_of_a_list(answer: Any) -> None:
    assert rows(answer, "contacts") == [{"id": 1}]


@pytest.mark.parametrize("answer", [[], {"contacts": []}, {"contacts": None}, {"items": [], "total": 0}])
def test_an_empty_list(answer: Any) -> None:
    assert rows(answer, "contacts") == []


@pytest.mark.parametrize(
    "answer", [None, "x", 1, {}, {"total": 0}, {"items": None}, {"a": [{}], "b": [{}]}, {"statuses": ["failed"]}]
)
def test_what_is_no_list(answer: Any) -> None:
    with pytest.raises(ValueError, match="list"):
        rows(answer, "contacts")


def test_a_contact() -> None:
    for answer in ({"id": 7, "phone_number": NUMBER}, {"contact_id": "7", "phone_number": NUMBER}):
        contact = CampaignContact.model_validate({**answer, "status": "Failed", "attempts": 2})
        assert (contact.contact_id, contact.identity, contact.status) == ("7", "7", "failed")
        assert contact.model_extra == {"attempts": 2}
    assert CampaignContact.model_validate({"phone_number": NUMBER}).identity == NUMBER
    odd = [CampaignContact.model_validate({"number": number}).identity for number in (1, 2, 1)]
    assert odd[0] == odd[2] != odd[1]


def test_moments_are_written_in_utc() -> None:
    assert fields(scheduled_at=datetime(2026, 5, 12, 9, tzinfo=UTC))["scheduled_at"] == "2026-05-12T09:00:00Z"
