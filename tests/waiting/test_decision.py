from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import AuthenticationError, WaitError
from airflow_provider_graine.waiting.decision import Step, Wait
from airflow_provider_graine.waiting.event import read_event
from airflow_provider_graine.waiting.progress import Progress, summarized
from airflow_provider_graine.waiting.vocabulary import GRAINE, KATAVEN, Vocabulary


def batch(status: str, total: int | None = 10, batch_id: str = "btc_1", **counts: int) -> Progress:
    return Progress(status=status, total=total, counts=counts, id=batch_id)


def saw(*parts: Progress, wait: Wait | None = None, now: float = 0.0) -> Any:
    return (wait or Wait()).saw(parts, now=now)


@pytest.mark.parametrize(
    ("statuses", "step"),
    [
        (["completed"], Step.DONE),
        (["completed", "completed"], Step.DONE),
        ([], Step.DONE),
        (["completed", "in_progress"], Step.WAIT),
        (["cancelled"], Step.FAILED),
        (["expired"], Step.FAILED),
        (["completed", "cancelled"], Step.FAILED),
        (["cancelled", "in_progress"], Step.WAIT),
        (["paused"], Step.WAIT),
        (["pending"], Step.WAIT),
        (["draft"], Step.WAIT),
        (["archived"], Step.WAIT),
    ],
)
def test_statuses(statuses: list[str], step: Step) -> None:
    assert saw(*(batch(status, batch_id=str(i)) for i, status in enumerate(statuses))).step is step


@pytest.mark.parametrize(
    ("statuses", "step"),
    [
        (["completed"], Step.DONE),
        (["completed", "running"], Step.WAIT),
        (["failed"], Step.FAILED),
        (["completed", "stopped"], Step.FAILED),
        (["failed", "running"], Step.WAIT),
        *(([status], Step.WAIT) for status in ("draft", "scheduled", "running", "paused", "cancelled", "archived")),
    ],
)
def test_statuses_of_kataven(statuses: list[str], step: Step) -> None:
    parts = [Progress(status=status, id=str(i), vocabulary=KATAVEN) for i, status in enumerate(statuses)]
    assert saw(*parts).step is step


@pytest.mark.parametrize("words", [GRAINE, KATAVEN], ids=["graine", "kataven"])
@given(st.data())
def test_a_wait_ends_exactly_when_everything_has_ended(words: Vocabulary, data: st.DataObject) -> None:
    known = {*words.succeeded, *words.failed, *words.calling, *words.held, *words.idle, words.scheduled}
    assert all(map(words.knows, known))
    statuses = data.draw(st.lists(st.sampled_from(sorted(known | {"new_word"}))))
    decision = saw(*(Progress(status=each, total=10, id=str(i), vocabulary=words) for i, each in enumerate(statuses)))
    ended = words.succeeded | words.failed
    assert (decision.step is Step.WAIT) == any(status not in ended for status in statuses)
    assert (decision.step is Step.FAILED) == (decision.step is not Step.WAIT and bool(words.failed & set(statuses)))


def test_failure_names_the_batches_and_the_counts() -> None:
    message = saw(batch("cancelled", completed=3, busy=1), batch("completed", batch_id="btc_2", completed=10)).message
    assert "btc_1 is cancelled" in message
    assert "btc_2" not in message
    assert "14 of 20 contacts have an outcome (70%): 13 completed, 1 busy" in message


def test_many_failed_batches_make_no_endless_message() -> None:
    message = saw(*(batch("expired", batch_id=f"btc_{i}") for i in range(500))).message
    assert "and 480 more" in message
    assert len(message) < 1000


def test_pause_is_said_once_per_pause() -> None:
    wait = Wait()
    said = [saw(batch(status), wait=wait).warning for status in ("paused", "paused", "in_progress", "paused")]
    assert [bool(warning) for warning in said] == [True, False, False, True]
    assert "Batch btc_1 is paused" in str(said[0])


def test_unknown_status_is_said_once() -> None:
    wait = Wait()
    said = [saw(batch(status), wait=wait).warning for status in ("archived", "archived", "frozen")]
    assert ["archived" in str(said[0]), said[1], "frozen" in str(said[2])] == [True, None, True]


@pytest.mark.parametrize("odd", ["+919876543210 Rajesh", "919876543210", "a" * 100])
def test_words_of_the_service_that_are_none_are_not_repeated(odd: str) -> None:
    wait = Wait()
    decision = saw(batch(odd, **{odd: 3}), wait=wait)
    assert odd not in f"{decision.warning}{decision.message}{wait.remembered()}"


def test_deadline() -> None:
    wait = Wait(deadline=100.0)
    assert saw(batch("in_progress"), wait=wait, now=99.9).step is Step.WAIT
    late = saw(batch("in_progress", completed=4), wait=wait, now=100.0)
    assert late.step is Step.TIMED_OUT
    assert late.message == (
        "The time to wait is over and the calls are not done. "
        "4 of 10 contacts have an outcome (40%): 4 completed, 6 other [in_progress]."
    )
    assert saw(batch("cancelled"), wait=wait, now=101.0).step is Step.FAILED
    assert saw(batch("completed"), wait=wait, now=101.0).step is Step.DONE


@pytest.mark.parametrize(
    ("counts", "total", "line"),
    [
        ({"pending": 2, "completed": 1, "no_answer": 1}, 4, "2 of 4 contacts have an outcome (50%): 1 completed, "
         "1 no answer, 2 pending"),
        ({"completed": 8}, 10, "8 of 10 contacts have an outcome (80%): 8 completed, 2 other"),
        ({}, 0, "0 of 0 contacts have an outcome: no counts"),
        ({"completed": 8}, None, "8 completed"),
        ({}, None, "no counts"),
    ],
)  # fmt: skip
def test_progress_line(counts: dict[str, int], total: int | None, line: str) -> None:
    assert summarized(counts, total=total) == line


def test_what_has_ended_is_told_without_a_share() -> None:
    told = saw(batch("completed", completed=8)).message
    assert told == "All calls are done. 10 contacts: 8 completed, 2 other"


def test_a_share_is_not_rounded_up_to_all() -> None:
    assert "(99%)" in summarized({"completed": 999, "retrying": 1}, total=1000)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"status": "failed", "message": "m"}, WaitError),
        ({"status": "timed_out", "message": "m"}, TimeoutError),
        ({"status": "error", "error": "AuthenticationError", "message": "m"}, AuthenticationError),
        ({"status": "error", "error": "no_such_class", "message": "m"}, Exception),
        ({"status": "something new", "message": "m"}, WaitError),
        ({}, WaitError),
        (None, WaitError),
        ("done", WaitError),
    ],
)
def test_event_of_a_wait_that_did_not_end_well(event: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_event(event)


def test_event_of_a_wait_that_ended_well() -> None:
    assert read_event({"status": "done", "message": "All calls are done."}) == "All calls are done."
