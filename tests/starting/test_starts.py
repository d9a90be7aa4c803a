"""Starting within the budget, in order, each once."""

from __future__ import annotations

import random
from itertools import pairwise, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from airflow_provider_graine.starting.attempts import DOUBT
from airflow_provider_graine.starting.conduct import Conduct
from airflow_provider_graine.starting.order import Order
from airflow_provider_graine.starting.steps import How, Look, Move, Weigh
from tests.starting.world import Campaign, Clock, Service, Task, Wire, account, order, outcome

NOW = 1_778_403_600.0  # Sunday 10 May 2026, 09:00 UTC


def verbs(service: Service, *, done: bool = True) -> list[tuple[str, str]]:
    return [(each.verb, each.campaign_id) for each in service.received if each.is_done is done]


def test_drafts_are_started_in_order() -> None:
    service = account(NOW, Campaign(needs=5), Campaign(needs=5))
    end = Task(order(service), service).run()
    assert outcome(end) is How.STARTED
    assert verbs(service) == [("start", "c1"), ("start", "c2")]
    assert dict(end.statuses) == {"c1": "running", "c2": "running"}


@pytest.mark.parametrize("status", ["running", "paused", "completed", "failed", "some new word"])
def test_what_has_left_draft_is_left_alone(status: str) -> None:
    service = account(NOW, Campaign(status=status), Campaign())
    end = Task(order(service), service).run()
    assert outcome(end) is How.STARTED
    assert [each.campaign_id for each in service.received] == ["c2"]


def test_a_scheduled_campaign_is_refused_before_anything_is_sent() -> None:
    service = account(NOW, Campaign(), Campaign(status="scheduled"))
    with pytest.raises(RequestRejectedError, match="c2 is scheduled"):
        Task(order(service), service).run()
    assert not service.received


def test_a_used_up_budget_is_waited_for() -> None:
    service = account(NOW, Campaign(work=3600, needs=8, status="draft"), Campaign(needs=5))
    service.move("c1", "start", by="user")
    task = Task(order(service), service)
    end = task.run()
    assert outcome(end) is How.STARTED
    assert verbs(service) == [("start", "c2")]
    assert 3600 <= service.received[-1].at - NOW <= 3600 + 300
    assert "budget of parallel calls is used up: campaign c2 stays draft" in task.said()
    assert len(service.received) < 40


def test_an_over_late_budget_leaves_a_draft() -> None:
    service = account(NOW, Campaign(work=1e6, needs=8), Campaign(needs=5), Campaign(needs=5))
    service.move("c1", "start", by="user")
    task = Task(order(service, start_timeout=1800), service)
    end = task.run()
    assert outcome(end) is How.NOT_STARTED
    assert service.campaigns["c2"].status == service.campaigns["c3"].status == "draft"
    assert service.clock.now - NOW == pytest.approx(1800, abs=5)
    assert service.received[-1].at - NOW >= 1800, "asked once more at the end"
    assert "Campaign c2 could not be started within 30 minutes" in end.message
    assert "campaigns c2, c3 are draft" in end.message


def test_a_campaign_that_can_never_fit_is_said_to() -> None:
    service = account(NOW, Campaign(needs=11), budget=10)
    with pytest.raises(ConfigurationError, match=r"11 calls in parallel.*budget of 10 in all"):
        Task(order(service), service).run()


def test_a_closed_account_is_waited_for() -> None:
    service = account(NOW, Campaign(needs=5), budget=0)
    service.clock.at(NOW + 900, lambda: setattr(service, "budget", 10))
    end = Task(order(service), service).run()
    assert outcome(end) is How.STARTED


def test_what_waits_to_be_resumed_comes_before_what_was_never_started() -> None:
    service = account(NOW, Campaign(status="paused", needs=5), Campaign(needs=2), Campaign(needs=8, work=5000))
    service.move("c3", "start", by="user")
    kept = {"standing": {"statuses": {"c1": "paused"}, "held": ["c1"]}}
    task = Task(Order(campaign_ids=("c1", "c2"), until_ended=True), service, kept=kept)
    task.run(until=NOW + 4000)
    assert verbs(service) == []
    assert outcome(task.run()) is How.ENDED
    assert verbs(service) == [("resume", "c1"), ("start", "c2")]


def test_one_at_a_time_means_the_next_when_the_one_before_has_ended() -> None:
    service = account(NOW, Campaign(work=500), Campaign(work=100), Campaign(work=700))
    end = Task(order(service, one_at_a_time=True), service).run()
    assert outcome(end) is How.STARTED
    service.clock.pass_to(service.clock.now + 1000)
    assert [each for each, *_ in service.spans] == ["c1", "c2", "c3"]
    for (_, _, until), (_, since, _) in zip(service.spans, service.spans[1:], strict=False):
        assert 0 <= since - until <= 60 * 1.1 + 2


def test_a_conflict_in_another_state_is_no_budget() -> None:
    """Somebody else starts it between the look and the start."""
    service = account(NOW, Campaign(work=1e5))
    task = Task(order(service), service, Wire(took=[0.2, 4.0]))
    service.user(NOW + 1, "start", "c1")
    end = task.run()
    assert outcome(end) is How.STARTED
    assert verbs(service, done=False) == [("start", "c1")]
    assert "budget" not in task.said()


@pytest.mark.parametrize("fault", ["lost before", "lost after", "late", "mute", "proxy"])
def test_a_start_without_an_answer_is_settled_by_reading(fault: str) -> None:
    service = account(NOW, Campaign(work=1e5))
    task = Task(order(service), service, Wire(faults=[fault]))
    end = task.run()
    assert outcome(end) is How.STARTED
    assert verbs(service) == [("start", "c1")]
    assert not verbs(service, done=False)
    assert service.campaigns["c1"].run == 1


@pytest.mark.parametrize("fault", ["lost before", "proxy", "unavailable"])
def test_a_service_that_never_takes_a_start_is_given_up(fault: str) -> None:
    service = account(NOW, Campaign())
    end = Task(order(service, start_timeout=1800), service, Wire(faults=repeat(fault))).run(until=NOW + 7200)
    assert outcome(end) is How.NOT_STARTED
    assert "the service could not be asked" in end.message
    assert 1800 <= service.clock.now - NOW <= 1800 + 2 * DOUBT + 30
    assert service.campaigns["c1"].status == "draft"


def test_a_route_that_is_missing_is_not_asked_for_all_the_time() -> None:
    service = account(NOW, Campaign())
    wire = Wire()
    asked: list[float] = []

    def not_found(service: Service, step: Move) -> Exception:
        asked.append(service.clock.now)
        return NotFoundError("unknown", status_code=404)

    wire.move = not_found  # type: ignore[method-assign]
    end = Task(order(service, start_timeout=600), service, wire).run(until=NOW + 7200)
    assert outcome(end) is How.NOT_STARTED
    assert all(later - earlier >= 5 for earlier, later in pairwise(asked[:-1]))


def test_nothing_is_claimed_of_a_start_that_nobody_saw_the_end_of() -> None:
    """It took effect, and nothing can be read until long after the time is over."""
    service = account(NOW, Campaign(work=1e6))
    blind = [False, *[True] * 40]
    task = Task(order(service, start_timeout=60), service, Wire(faults=["late"], blind=blind))
    end = task.run(until=NOW + 86_400)
    assert verbs(service) == [("start", "c1")]
    assert outcome(end) is How.STARTED


def test_looks_that_lag_behind_start_nothing_twice() -> None:
    service = account(NOW, Campaign(work=1e5), Campaign(work=1e5))
    conduct = Conduct(order(service, until_ended=True), now=lambda: service.clock.now, draw=lambda: 0.5)
    steps, answer, started = conduct.run(), None, []
    for _ in range(60):
        step = steps.send(answer)
        answer = dict.fromkeys(step.campaign_ids, "draft") if isinstance(step, Look) else None
        if isinstance(step, Move):
            started.append(step.campaign_id)
            answer = "running"
    assert started == ["c1", "c2"]


def test_resume_waits_for_the_budget_too_and_refuses_what_is_not_paused() -> None:
    service = account(NOW, Campaign(work=1000, needs=8), Campaign(status="paused", needs=5))
    service.move("c1", "start", by="user")
    resume = order(service, verb="resume")
    end = Task(type(resume)(campaign_ids=("c2",), verb="resume"), service).run()
    assert outcome(end) is How.STARTED
    assert verbs(service) == [("resume", "c2")]
    for status in ("draft", "completed", "failed"):
        service.campaigns["c2"].status = status
        with pytest.raises(RequestRejectedError, match="only a paused one can be resumed"):
            Task(type(resume)(campaign_ids=("c2",), verb="resume"), service).run()


def test_an_unknown_campaign_is_believed_unknown_after_some_looks_and_the_others_go_on() -> None:
    service = account(NOW, Campaign(work=100))
    known = order(service, until_ended=True)
    end = Task(type(known)(campaign_ids=("c9", "c1"), until_ended=True), service).run()
    assert outcome(end) is How.ENDED
    assert dict(end.statuses) == {"c9": "gone", "c1": "completed"}


def test_what_nobody_can_wait_out_is_raised() -> None:
    steps = Conduct(order(account(NOW, Campaign())), now=lambda: NOW).run()
    steps.send(None)
    with pytest.raises(AuthenticationError):
        steps.send({"c1": AuthenticationError("401", status_code=401)})
    steps = Conduct(order(account(NOW, Campaign())), now=lambda: NOW).run()
    steps.send(None)
    steps.send({"c1": "draft"})
    with pytest.raises(RequestRejectedError):
        steps.send(RequestRejectedError("400", status_code=400))


def test_an_outage_of_hours_ends_a_start_and_one_of_minutes_does_not() -> None:
    service = account(NOW, Campaign(work=1e5))
    end = Task(order(service), service, Wire(blind=[True] * 6)).run()
    assert outcome(end) is How.STARTED
    service = account(NOW, Campaign(work=1e5))
    with pytest.raises(ServiceUnavailableError):
        Task(order(service), service, Wire(blind=[True] * 1000)).run()
    assert service.clock.now - NOW >= 7200
    assert not service.received


def test_the_wait_has_a_deadline() -> None:
    service = account(NOW, Campaign(work=1e5))
    end = Task(order(service, until_ended=True, deadline=NOW + 500), service).run()
    assert outcome(end) is How.TIMED_OUT
    assert service.clock.now == pytest.approx(NOW + 500, abs=2)


def test_ten_waiting_tasks_make_few_requests_and_start_one_after_the_other() -> None:
    """All are refused at the same moment; requests in any minute, from the second on, stay far below the limit."""
    clock = Clock(NOW)
    service = Service(clock, 5, {f"c{number}": Campaign(work=4000, needs=5) for number in range(11)})
    service.move("c0", "start", by="user")
    chance = random.Random(5)
    requests: list[float] = []
    due = [(NOW, number) for number in range(1, 11)]
    conducts = {}
    for _, number in due:
        conduct = Conduct(type(order(service))(campaign_ids=(f"c{number}",)), now=lambda: clock.now, draw=chance.random)
        conducts[number] = (conduct.run(), None)
    while due and clock.now < NOW + 3600:
        moment, number = min(due)
        due.remove((moment, number))
        clock.pass_to(moment)
        steps, answer = conducts[number]
        try:
            step = steps.send(answer)
        except StopIteration:
            continue
        answer, rest = None, 0.0
        match step:
            case Look(ids):
                answer = {each: service.campaigns[each].status for each in ids}
            case Move(each, verb):
                answer = service.move(each, verb) or "running"
            case Weigh(each):
                answer = (5, 5)
            case _:
                rest = getattr(step, "seconds", 0.0)
        if answer is not None:
            requests.append(clock.now - NOW)
        conducts[number] = (steps, answer)
        due.append((clock.now + rest, number))
    late = [at for at in requests if at > 300]
    worst = max(sum(at <= other < at + 60 for other in late) for at in late)
    assert worst <= 20, "a third of what the account may"
    assert max(sum(at <= other < at + 5 for other in late) for at in late) <= 10, "no two thirds of them together"
    assert len(late) / (3300 / 3600) <= 900, "an hour's worth"


@given(data=st.data())
def test_no_start_reaches_a_campaign_that_has_left_draft(data: st.DataObject) -> None:
    campaigns = data.draw(
        st.lists(
            st.builds(Campaign, work=st.sampled_from([50.0, 900.0, 20_000.0]), needs=st.integers(1, 10)),
            min_size=1,
            max_size=4,
        )
    )
    service = account(NOW, *campaigns)
    faults = st.sampled_from([None, None, "lost before", "lost after", "late", "unavailable", "mute", "proxy"])
    wire = Wire(
        faults=data.draw(st.lists(faults, max_size=12)),
        blind=data.draw(st.lists(st.booleans(), max_size=12)),
        took=data.draw(st.lists(st.sampled_from([0.1, 2.0, 4.0]), max_size=20)),
    )
    how: dict[str, Any] = {"one_at_a_time": data.draw(st.booleans()), "until_ended": data.draw(st.booleans())}
    draws = data.draw(st.randoms(use_true_random=False))
    task = Task(order(service, start_timeout=None, **how), service, wire, draw=draws.random)
    losses = data.draw(st.lists(st.tuples(st.floats(NOW + 200, NOW + 5000), st.floats(70, 600)), max_size=2))
    end = task.run(losses=losses, until=NOW + 30 * 86400)
    assert outcome(end) is (How.ENDED if how["until_ended"] else How.STARTED)
    for each in service.received:
        assert (each.verb, each.found) == ("start", "draft")
    assert sorted(id for _, id in verbs(service)) == sorted(service.campaigns)
    assert all(each.run == 1 for each in service.campaigns.values())
