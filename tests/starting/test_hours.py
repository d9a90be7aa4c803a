"""Keeping calling hours: what runs is paused at closing time and resumed at opening time, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ConfigurationError, ServiceUnavailableError
from airflow_provider_graine.starting.calling_hours import read_calling_hours
from airflow_provider_graine.starting.conduct import IDLE_INTERVAL, Conduct
from airflow_provider_graine.starting.order import Order
from airflow_provider_graine.starting.steps import How, Look, Move, Rest
from airflow_provider_graine.waiting.hours import CallingHours
from tests.starting.world import Campaign, Service, Task, Wire, account, order, outcome

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
OFFICE = {"timezone": "Europe/Berlin", "working_hours": {day: {"start": "09:00", "end": "17:00"} for day in DAYS}}
NINE_TO_FIVE = read_calling_hours(OFFICE)
assert NINE_TO_FIVE is not None


def berlin(text: str) -> float:
    """Return a moment, given in UTC+2 as ``11 16:59:00``, of May 2026; the 11th is a Monday."""
    return datetime.strptime(f"2026-05-{text}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() - 7200


def closed_seconds(service: Service, hours: CallingHours) -> list[float]:
    """Return for how long each stretch of calling went on outside of the hours."""
    return [until - since - hours.open_seconds(since, until) for _, since, until in service.spans]


def resumed(service: Service) -> list[str | None]:
    """Return who had paused what the task has resumed."""
    return [each.paused_by for each in service.received if each.verb == "resume" and each.found == "paused"]


def test_outside_the_hours_nothing_is_started() -> None:
    service = account(berlin("11 20:00:00"), Campaign(work=1e5))
    task = Task(order(service, hours=NINE_TO_FIVE), service)
    end = task.run()
    assert outcome(end) is How.STARTED
    assert "Campaign c1 is not started yet, outside of the calling hours until Tue 12 May 09:00" in task.said()
    assert 0 <= service.received[0].at - berlin("12 09:00:00") <= 31
    assert len(service.requests) < 10


def test_a_campaign_of_days_is_held_every_night_and_over_the_weekend() -> None:
    service = account(berlin("14 15:00:00"), Campaign(work=20 * 3600, needs=5), Campaign(work=3600, needs=5))
    task = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service)
    end = task.run()
    assert outcome(end) is How.ENDED
    assert dict(end.statuses) == {"c1": "completed", "c2": "completed"}
    assert max(closed_seconds(service, NINE_TO_FIVE)) < 2
    assert resumed(service) == ["task"] * 3
    assert berlin("19 11:00:00") < service.clock.now < berlin("19 11:03:00")
    assert "Paused campaign c1, outside of the calling hours until Fri 15 May 09:00 Europe/Berlin." in task.said()
    assert "Resumed campaign c1; the calling hours end Fri 15 May 17:00 Europe/Berlin." in task.said()


def test_hours_in_which_nobody_may_be_called_do_not_count_as_waiting_for_the_budget() -> None:
    service = account(berlin("15 16:00:00"), Campaign(work=1e7, needs=10), Campaign())
    service.move("c1", "start", by="user")
    start = Order(campaign_ids=("c2",), hours=NINE_TO_FIVE, start_timeout=2 * 3600)
    end = Task(start, service).run()
    assert outcome(end) is How.NOT_STARTED
    assert service.clock.now == pytest.approx(berlin("18 10:00:00"), abs=5)


def test_a_pause_of_a_users_own_stays() -> None:
    service = account(berlin("11 12:00:00"), Campaign(work=10 * 3600))
    service.user(berlin("11 14:00:00"), "pause", "c1")
    service.user(berlin("13 10:00:00"), "resume", "c1")
    task = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service)
    end = task.run(losses=[(berlin("11 18:00:00"), 60), (berlin("12 10:00:00"), 3600)])
    assert outcome(end) is How.ENDED
    assert resumed(service) == ["task"], "the night after the user went on"
    assert "it stays paused" in task.said()


def test_a_process_that_is_lost_at_night_or_in_the_morning_changes_nothing() -> None:
    for lost_at in ("11 20:00:00", "12 08:59:00", "12 09:30:00"):
        service = account(berlin("11 15:00:00"), Campaign(work=8 * 3600))
        task = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service)
        end = task.run(losses=[(berlin(lost_at), 30)], until=berlin("14 00:00:00"))
        assert outcome(end) is How.ENDED, lost_at
        assert service.clock.now < berlin("12 15:05:00")
        assert max(closed_seconds(service, NINE_TO_FIVE)) < 2


def test_a_user_who_resumes_at_night_is_overruled() -> None:
    service = account(berlin("11 16:00:00"), Campaign(work=10 * 3600))
    service.user(berlin("11 22:00:00"), "resume", "c1")
    task = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service)
    task.run()
    assert max(closed_seconds(service, NINE_TO_FIVE)) <= 1.1 * IDLE_INTERVAL + 2
    assert resumed(service) == ["task", "task"]


def test_a_start_that_takes_effect_after_closing_is_paused_at_once_and_goes_on_in_the_morning() -> None:
    """The account's limits on requests hold the start up, past closing time."""
    service = account(berlin("11 16:59:58"), Campaign(work=1e5))
    end = Task(order(service, hours=NINE_TO_FIVE), service, Wire(took=[0.2, 100.0])).run()
    assert outcome(end) is How.STARTED
    assert [each.verb for each in service.received] == ["start", "pause", "resume"]
    assert service.received[-1].at >= berlin("12 09:00:00")
    assert closed_seconds(service, NINE_TO_FIVE) == [pytest.approx(0.2)]


def test_such_a_start_is_not_over_before_it_is_paused() -> None:
    service = account(berlin("11 16:59:58"), Campaign(work=1e5))
    wire = Wire(took=[0.2, 100.0], faults=[None, "lost before"])
    end = Task(order(service, hours=NINE_TO_FIVE), service, wire).run()
    assert outcome(end) is How.STARTED
    assert service.received[-1].at >= berlin("12 09:00:00")
    assert max(closed_seconds(service, NINE_TO_FIVE)) < 10


def test_a_campaign_that_a_user_has_resumed_in_the_morning_is_the_users() -> None:
    service = account(berlin("11 16:00:00"), Campaign(work=8 * 3600))
    service.user(berlin("12 09:00:01"), "resume", "c1")
    service.user(berlin("12 12:00:00"), "pause", "c1")
    service.user(berlin("12 14:00:00"), "resume", "c1")
    task = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service)
    end = task.run(losses=[(berlin("12 13:00:00"), 60)], until=berlin("14 00:00:00"))
    assert outcome(end) is How.ENDED
    assert [each.at > berlin("13 08:00:00") for each in service.received if each.verb == "resume"] == [True]


def test_a_look_that_lasts_past_closing_time_is_followed_by_no_start() -> None:
    service = account(berlin("11 16:59:40"), Campaign(work=1e5), Campaign(work=1e5))
    Task(order(service, hours=NINE_TO_FIVE), service, Wire(took=[0.2, 10.0, 100.0])).run()
    assert [(each.verb, each.campaign_id) for each in service.received[:2]] == [("start", "c1"), ("pause", "c1")]
    assert service.received[2].at >= berlin("12 09:00:00")


def test_a_pause_without_an_answer_is_ours_all_the_same() -> None:
    for fault in ("lost before", "lost after", "late", "unavailable", "mute", "proxy"):
        service = account(berlin("11 16:00:00"), Campaign(work=5 * 3600))
        task = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service, Wire(faults=[None, fault]))
        end = task.run(until=berlin("30 00:00:00"))
        assert outcome(end) is How.ENDED, fault
        assert resumed(service) == ["task"]
        assert max(closed_seconds(service, NINE_TO_FIVE)) < 45


def test_at_closing_time_what_cannot_be_seen_is_paused_nevertheless() -> None:
    service = account(berlin("11 16:00:00"), Campaign(work=5 * 3600))
    blind = [False] * 3 + [True] * 500
    task = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service, Wire(blind=blind))
    task.run(until=berlin("11 17:05:00"))
    assert [each.verb for each in service.received] == ["start", "pause"]
    assert service.received[-1].at == pytest.approx(berlin("11 17:00:00"), abs=1)


def test_who_keeps_hours_does_not_give_up_in_an_outage() -> None:
    service = account(berlin("11 12:00:00"), Campaign(work=20 * 3600))
    wire = Wire(blind=[False, *[True] * 200], faults=[None, *["unavailable"] * 30])
    end = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service, wire).run(until=berlin("30 00:00:00"))
    assert outcome(end) is How.ENDED
    service = account(berlin("11 12:00:00"), Campaign(work=20 * 3600))
    wire = Wire(blind=[False, *[True] * 200])
    with pytest.raises(ServiceUnavailableError):
        Task(order(service, until_ended=True), service, wire).run()


def test_what_was_paused_just_before_the_process_was_lost_stays_paused() -> None:
    """Better a campaign that a person has to resume than one that goes on against a person's will."""
    service = account(berlin("11 16:00:00"), Campaign(work=5 * 3600))
    conduct = Conduct(
        order(service, hours=NINE_TO_FIVE, until_ended=True), now=lambda: service.clock.now, draw=lambda: 0.5
    )
    service.move("c1", "start", by="user")
    service.clock.pass_to(berlin("11 17:00:00"))
    kept = conduct.remembered()
    for step in _answered(conduct, service):
        if isinstance(step, Move):
            break
    service.move("c1", "pause")
    task = Task(order(service, hours=NINE_TO_FIVE, until_ended=True), service, kept=kept)
    task.run(until=berlin("13 12:00:00"))
    assert service.campaigns["c1"].status == "paused"
    assert "it stays paused" in task.said()


def _answered(conduct: Conduct, service: Service) -> Any:
    steps, answer = conduct.run(), None
    while True:
        step = steps.send(answer)
        yield step
        answer = (
            {each: service.campaigns[each].status for each in step.campaign_ids} if isinstance(step, Look) else None
        )


def test_an_opening_is_not_the_moment_for_everybody() -> None:
    firsts = set()
    for draw in (0.0, 0.3, 0.9):
        service = account(berlin("11 20:00:00"), Campaign())
        steps = Conduct(
            order(service, hours=NINE_TO_FIVE), now=lambda s=service: s.clock.now, draw=lambda d=draw: d
        ).run()
        steps.send(None)
        step = steps.send({"c1": "draft"})
        while not isinstance(step, Rest):
            step = steps.send(None)
        firsts.add(round(step.seconds))
    assert len(firsts) == 3


@pytest.mark.parametrize(
    ("hours", "problem"),
    [
        ({}, "timezone: is required; working_hours: is required"),
        ({**OFFICE, "timezone": "Mars/Olympus"}, "timezone: must be an IANA time zone"),
        ({**OFFICE, "working_hours": {}}, "names no weekday"),
        ({**OFFICE, "working_hours": {"monday": {"enabled": False}}}, "all days are disabled"),
        ({**OFFICE, "working_hours": {"monday": {"start": "18:00", "end": "09:00"}}}, "start must lie before end"),
        (
            {**OFFICE, "working_hours": {"mon": {"start": "09:00", "end": "18:00"}}},
            "working_hours.mon: there",
        ),
        ({**OFFICE, "week": 1}, "week: there is no such field"),
        ("9 to 5", "must be a mapping"),
    ],
)
def test_wrong_hours_are_explained(hours: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match="calling_hours are not as they have to be") as wrong:
        read_calling_hours(hours)
    assert problem in str(wrong.value)


def test_no_hours_and_all_hours_are_no_restriction() -> None:
    assert read_calling_hours(None) is None
    always = {day: {"start": "00:00", "end": "23:59"} for day in (*DAYS, "saturday", "sunday")}
    assert read_calling_hours({"timezone": "UTC", "working_hours": always}) is None


def test_an_order_comes_back_from_a_database_and_never_without_its_hours() -> None:
    first = Order(campaign_ids=("c1",), hours=NINE_TO_FIVE, until_ended=True, deadline=5.0)
    assert Order.from_kwargs(first.as_kwargs()).as_kwargs() == first.as_kwargs()
    with pytest.raises(ValueError, match="cannot be read"):
        Order.from_kwargs({**first.as_kwargs(), "hours": {"timezone": "Mars/Olympus", "week": []}})


FAULTS = [None, None, None, "lost before", "lost after", "late", "mute", "proxy"]
WEEKS = st.fixed_dictionaries(
    {
        "timezone": st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/New_York", "Pacific/Auckland"]),
        "working_hours": st.dictionaries(
            st.sampled_from((*DAYS, "saturday", "sunday")),
            st.sampled_from([(9, 17), (0, 12), (12, 23), (10, 11)]).map(
                lambda day: {"start": f"{day[0]:02}:00", "end": f"{day[1]:02}:00"}
            ),
            min_size=1,
        ),
    }
)
MOMENTS = st.floats(datetime(2026, 1, 1, tzinfo=UTC).timestamp(), datetime(2026, 12, 1, tzinfo=UTC).timestamp())


@settings(max_examples=50)
@given(data=st.data(), week=WEEKS, now=MOMENTS, poll_interval=st.sampled_from([300.0, 900.0]))
def test_over_weeks_calls_are_in_the_hours_and_only_what_was_paused_for_them_is_resumed(
    data: st.DataObject, week: dict[str, Any], now: float, poll_interval: float
) -> None:
    hours = read_calling_hours(week)
    assert hours is not None
    works = st.sampled_from([60.0, 4000.0, 40_000.0])
    campaigns = data.draw(
        st.lists(st.builds(Campaign, work=works, needs=st.sampled_from([3, 5])), min_size=1, max_size=3)
    )
    service = account(now, *campaigns)
    faults = data.draw(st.lists(st.sampled_from(FAULTS), max_size=15))
    losses = data.draw(st.lists(st.tuples(st.floats(now + 60, now + 6 * 86400), st.floats(1, 7200)), max_size=3))
    for number, at in enumerate(data.draw(st.lists(st.floats(now, now + 6 * 86400), max_size=4))):
        moment = hours.opens_at(at)
        if moment is None or not hours.is_open(moment + 300):
            continue  # at closing time itself, nobody can tell who was first
        which = f"c{number % len(campaigns) + 1}"
        service.user(moment, "pause", which)
    for day in range(10, 60, 2):  # somebody looks after what stays paused
        opening = hours.opens_at(now + day * 86400)
        for which in service.campaigns:
            if opening is not None:
                service.user(opening + 1, "resume", which)
    how = {"one_at_a_time": data.draw(st.booleans()), "poll_interval": poll_interval}
    draws = data.draw(st.randoms(use_true_random=False))
    task = Task(
        order(service, hours=hours, until_ended=True, start_timeout=None, **how),
        service,
        Wire(faults=faults),
        draw=draws.random,
    )
    end = task.run(losses=losses, until=now + 400 * 86400)
    assert outcome(end) is How.ENDED
    assert set(end.statuses.values()) == {"completed"}
    away = sum(seconds for _, seconds in losses)
    assert max(closed_seconds(service, hours)) <= away + 60 * len(faults) + 1.1 * poll_interval + 10
    assert [each for each in resumed(service) if each != "task"] == []
    starts = [each for each in service.received if each.verb == "start"]
    assert all(each.found == "draft" for each in starts)
    assert sorted(each.campaign_id for each in starts if each.is_done) == sorted(service.campaigns)
    assert all(hours.is_open(each.at) or hours.is_open(each.at - 1) for each in starts)
    assert len(service.requests) < 30_000
