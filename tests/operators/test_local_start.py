"""``local_start``: each region in its own morning, against a service whose time goes on while somebody sleeps."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.exceptions import ConfigurationError, ContactsRejectedError, UploadError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.operators.kataven import KatavenCreateCampaignOperator
from airflow_provider_graine.operators.upload_memory import WallClock
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator
from airflow_provider_graine.transfers.object_storage_to_kataven import ObjectStorageToKatavenOperator
from airflow_provider_graine.transfers.sql_to_graine import SqlToGraineOperator
from airflow_provider_graine.transfers.sql_to_kataven import SqlToKatavenOperator
from tests.operators.test_uploads import creates, everybody_once, upload
from tests.task import StateStore, Task
from tests.waits import VirtualClock, Waiting, clock

__all__ = ["clock"]

HOUR = 3600.0
INDIA, LONDON, NEW_YORK, TOKYO = "+9198765000{:02}", "+442079460{:03}", "+12125550{:03}", "+8131234{:04}"
#: It is Sunday, 09:00 UTC: 10:00 in London, 05:00 in New York.
PEOPLE = [
    {"phone_number": form.format(number), "callee_name": f"Person {number}"}
    for number in range(4)
    for form in (INDIA, LONDON, NEW_YORK, TOKYO)
]
STARTS = {
    "+1": "2026-05-10T13:30:00Z",
    "+8": "2026-05-11T00:30:00Z",
    "+9": "2026-05-11T04:00:00Z",
    "+4": "2026-05-11T08:30:00Z",
}


@pytest.fixture(autouse=True)
def one_time(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WallClock, "now", lambda _: clock.now)


def sent(sandbox: Sandbox) -> list[tuple[str, list[str]]]:
    """When each batch was to start, and who is on it."""
    bodies = [request.json() for request in creates(sandbox)]
    return [(body["scheduled_start"], [each["phone_number"] for each in body["contacts"]]) for body in bodies]


def test_each_region_has_batches_of_its_own_and_nobody_is_called_before(
    sandbox: Sandbox, campaign_id: str, task: Task, clock: VirtualClock
) -> None:
    batch_ids = task.run(upload(PEOPLE, campaign_id, local_start="09:30", batch_size=3, concurrency_limit=20))

    requests = sent(sandbox)
    assert [start for start, _ in requests] == [start for start in STARTS.values() for _ in range(2)]
    for start, numbers in requests:
        assert {STARTS[number[:2]] for number in numbers} == {start}
    assert sorted(batch_ids) == sorted(sandbox.batches)
    assert task.xcom["summary"]["batches"] == 8
    assert sum(request.json()["concurrency_limit"] for request in creates(sandbox)) == 20
    assert {batch["status"] for batch in sandbox.batches.values()} == {"pending"}
    assert not sandbox.attempts
    for hours, regions in ((4.4, ""), (0.2, "1"), (11, "18"), (3.5, "189"), (4.5, "1894")):
        clock.sleep(hours * HOUR)
        assert {number[1] for number in sandbox.attempts} == set(regions)
    assert everybody_once(sandbox, PEOPLE)


@pytest.mark.parametrize(
    ("store", "turned"), [(True, True), (False, False)], ids=["another order", "nothing remembered"]
)
def test_a_retry_after_the_morning_of_some_has_passed(
    sandbox: Sandbox, campaign_id: str, clock: VirtualClock, store: bool, turned: bool
) -> None:
    task = Task(store=StateStore() if store else None)
    sandbox.fault("POST /batches/", "status", status=500, when="after", times=1, after=3)
    sandbox.fault("POST /batches/", "status", status=400, when="before", times=1, after=4)
    with pytest.raises(Exception, match="400"):
        task.run(upload(PEOPLE, campaign_id, local_start="09:30", batch_size=2))
    first = sent(sandbox)
    clock.sleep(19.2 * HOUR)  # India's morning has come: 04:12 UTC

    contacts = PEOPLE[::-1] if turned else PEOPLE
    batch_ids = task.run(upload(contacts, campaign_id, local_start="09:30", batch_size=2))

    assert sorted(batch_ids) == sorted(sandbox.batches)
    later = dict(sent(sandbox)[len(first) :])
    assert set(later) == {"2026-05-11T08:30:00Z", "2026-05-12T04:00:00Z"}  # India: tomorrow
    again = task.run(upload(contacts, campaign_id, local_start="09:30", batch_size=2))
    assert sorted(again) == sorted(batch_ids)
    clock.sleep(30 * HOUR)
    assert everybody_once(sandbox, PEOPLE)


def test_a_wait_goes_on_until_the_last_region_is_done_and_calls_nothing_stalled(
    sandbox: Sandbox,
    campaign_id: str,
    hook: GraineHook,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = Waiting("deferrable operator", clock, sandbox, hook, campaign_id)
    options = {"wait_for_completion": True, "deferrable": True, "poll_interval": 900.0}
    monkeypatch.setattr(waiting, "make", lambda **_: upload(PEOPLE[:8], campaign_id, local_start="09:30", **options))
    caplog.set_level(logging.INFO)
    assert len(waiting.run()) == 4
    assert {batch["status"] for batch in sandbox.batches.values()} == {"completed"}
    assert "Nothing has changed" not in caplog.text
    assert clock.passed >= 23.5 * HOUR


def test_zones_by_column_through_a_file_in_shards(
    sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path
) -> None:
    lines = ["phone_number,callee_name,zone"]
    zones = ["Asia/Tokyo", "", "Europe/London", "America/Chicago"]
    chosen = [random.Random(n).randrange(4) for n in range(40)]
    lines += [f"+9198765{n:05},Person {n},{zones[zone]}" for n, zone in enumerate(chosen)]
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for index in range(2):
        operator = ObjectStorageToGraineOperator(
            task_id="call",
            path=f"{tmp_path.as_uri()}/people.csv",
            campaign_id=campaign_id,
            local_start=time(9, 30),
            local_date=date(2026, 5, 12),
            timezone_column="zone",
            shard=[index, 2],
        )
        Task(map_index=index).run(operator)
    starts = {number: start for start, numbers in sent(sandbox) for number in numbers}
    expected = ["2026-05-12T00:30:00Z", "2026-05-12T04:00:00Z", "2026-05-12T08:30:00Z", "2026-05-12T14:30:00Z"]
    assert starts == {f"+9198765{n:05}": expected[zone] for n, zone in enumerate(chosen)}
    assert len(sent(sandbox)) == 8


def test_who_is_nowhere_stops_the_list_or_is_rejected(
    sandbox: Sandbox, campaign_id: str, task: Task, tmp_path: Path
) -> None:
    contacts = [*PEOPLE, {"phone_number": "+18005550199", "callee_name": "Toll-free"}]
    with pytest.raises(ContactsRejectedError, match="1 unknown_timezone"):
        task.run(upload(contacts, campaign_id, local_start="09:30"))
    assert sent(sandbox) == []
    task.run(upload(contacts, campaign_id, local_start="09:30", default_timezone="Asia/Tokyo"))
    assert dict(sent(sandbox))["2026-05-11T00:30:00Z"][-1] == "+18005550199"


@pytest.mark.parametrize(
    "arguments",
    [
        {"local_start": "9:30"},
        {"local_start": "24:00"},
        {"local_start": "09:30+05:30"},
        {"local_start": 930},
        {"local_start": "09:30", "scheduled_start": "2026-05-12T09:00:00Z"},
        {"local_start": "09:30", "local_date": "tomorrow"},
        {"local_start": "09:30", "local_date": datetime(2026, 5, 12)},
        {"local_start": "09:30", "local_date": "0001-01-01"},
        {"local_start": "09:30", "default_timezone": "Asia/Bombay"},
        {"local_start": "09:30", "timezone_column": ["zone"]},
        {"local_start": "09:30", "timezone_column": "callee_name"},
        {"local_date": "2026-05-12"},
        {"local_start": "", "timezone_column": "zone", "default_timezone": "Asia/Tokyo"},
        {"local_start": "09:30", "local_date": "2026-05-10"},
    ],
    ids=str,
)
def test_arguments_that_are_wrong(sandbox: Sandbox, campaign_id: str, task: Task, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"[Nn]othing (more )?was sent"):
        task.run(upload(PEOPLE, campaign_id, **arguments))
    assert sent(sandbox) == []


def test_nothing_given_is_as_ever(sandbox: Sandbox, campaign_id: str, task: Task) -> None:
    """Templates give empty texts."""
    task.run(upload(PEOPLE, campaign_id, local_start="", local_date="", timezone_column="", default_timezone=""))
    (request,) = creates(sandbox)
    assert "scheduled_start" not in request.json()


def test_arguments_are_templates_of_each_operator() -> None:
    for operator in (GraineCreateBatchOperator, SqlToGraineOperator, ObjectStorageToGraineOperator):
        assert {"local_start", "local_date", "timezone_column", "default_timezone"} <= set(operator.template_fields)


@pytest.mark.parametrize(
    "make",
    [
        lambda **kataven: KatavenCreateCampaignOperator(contacts=[], **kataven),
        lambda **kataven: SqlToKatavenOperator(sql="SELECT 1", sql_conn_id="db", **kataven),
        lambda **kataven: ObjectStorageToKatavenOperator(path="file:///people.csv", **kataven),
    ],
    ids=["contacts", "sql", "files"],
)
@pytest.mark.parametrize("argument", ["local_start", "local_date", "timezone_column", "default_timezone"])
def test_kataven_operators_do_not_take_it(make: Callable[..., Any], argument: str) -> None:
    given = {"name": "Renewals", "agent_id": "agent", "phone_number_id": "number"}
    make(task_id="call", **given)
    with pytest.raises(TypeError, match=argument):
        make(task_id="call", **given, **{argument: "09:30"})


def test_an_unclear_create_whose_hour_comes_meanwhile(sandbox: Sandbox, campaign_id: str, clock: VirtualClock) -> None:
    """Found again, not sent again; and what is left of that hour goes to the next day."""
    clock.sleep(4 * HOUR + 24 * 60)  # six minutes before New York's morning
    sandbox.fault("POST /batches/", "status", status=500, when="before", times=1)
    contacts = [person for person in PEOPLE if person["phone_number"].startswith("+1")]
    task = Task()
    operator = upload(contacts, campaign_id, local_start="09:30", batch_size=2, resend_after=300)
    try:
        task.run(operator)
    except UploadError:
        task.run(operator)
    starts = [start for start, _ in sent(sandbox)]
    assert starts[0] == "2026-05-10T13:30:00Z"
    assert set(starts[1:]) == {"2026-05-11T13:30:00Z"}
    clock.sleep(26 * HOUR)
    assert everybody_once(sandbox, contacts)
