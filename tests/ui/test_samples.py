"""The course of the calls while somebody watches: bounded, honest about gaps, right to the last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.ui.answer import created
from airflow_provider_graine.ui.samples import GAP, MOST_MOMENTS, Samples
from airflow_provider_graine.ui.seen import Part, grouped
from airflow_provider_graine.waiting.vocabulary import KATAVEN


def part(name: str, completed: int, *, status: str = "in_progress", created_at: float | None = None) -> Part:
    return Part(id=name, status=status, total=100, counts={"completed": completed}, created_at=created_at)


@given(
    steps=st.lists(st.tuples(st.floats(1, 60), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=900),
)
def test_however_long_it_is_watched_it_stays_small_and_ends_right(steps: list[tuple[float, int, int]]) -> None:
    samples, now, one, two = Samples(), 0.0, 0, 0
    for passed, more, more_of_two in steps:
        now, one, two = now + passed, one + more, two + more_of_two
        samples.take([part("one", one), part("two", two), part("over", 70, status="completed")], now=now)
    course = samples.course({"one", "two", "over"})
    completed = [value for value in course["values"].get("completed", [0]) if value is not None]
    assert len(samples._moments) <= MOST_MOMENTS + 1
    assert all(len(each) <= 2 * MOST_MOMENTS + 2 for each in samples._courses.values())
    assert completed == sorted(completed)  # outcomes never become fewer
    assert completed[-1] <= one + two
    assert "over" not in samples._courses  # it had ended before
    if len(steps) <= MOST_MOMENTS:
        assert completed[-1] == one + two


def test_the_same_is_added_up_once_until_the_next_look() -> None:
    samples = Samples()
    samples.take([part("one", 1), part("two", 2)], now=0.0)
    both = samples.course({"one", "two"})
    assert samples.course(["two", "one"]) is both
    assert samples.course({"one"})["values"] == {"completed": [1]}
    samples.take([part("one", 4), part("two", 2)], now=5.0)
    assert samples.course({"one", "two"})["values"] == {"completed": [3, 6]}


def test_a_time_when_nobody_looked_is_a_gap() -> None:
    samples = Samples()
    for now in (0.0, 5.0, 10.0, 20.0 + GAP, 25.0 + GAP):
        samples.take([part("one", int(now))], now=now)
    course = samples.course({"one"})
    assert course["values"]["completed"] == [0, 5, 10, None, 20 + GAP, 25 + GAP]
    assert len(course["times"]) == 6


@given(
    parts=st.lists(st.tuples(st.floats(1.6e9, 1.8e9), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60),
    scale=st.sampled_from([1.0, 1e-3, 1e-6]),
)
def test_columns_are_few_and_lose_nobody_who_is_recent(parts: list[tuple[float, int, int]], scale: float) -> None:
    seen = [
        Part(id=str(number), status="completed", total=done + busy, counts={"completed": done, "busy": busy},
             created_at=1.7e9 + (at - 1.7e9) * scale)
        for number, (at, done, busy) in enumerate(parts)
    ]  # fmt: skip
    columns = created(seen)
    assert 1 <= len(columns["times"]) <= 24
    assert all(len(each) == len(columns["times"]) for each in columns["values"].values())
    if scale < 1:
        told = sum(sum(each) for each in columns["values"].values())
        assert told == sum(done + busy for _, done, busy in parts)


def test_people_without_a_counter_are_not_lost() -> None:
    assert grouped({"completed": 2, "dispatched": 1, "in_flight": 1, "odd word": 1}, 9) == {
        "completed": 2,
        "in_flight": 2,
        "other": 5,
    }


def test_nobody_is_settled_of_whom_that_is_not_known() -> None:
    def groups(status: str, counts: dict[str, int]) -> dict[str, int]:
        return Part(id="1", status=status, total=9, counts=counts, vocabulary=KATAVEN).groups

    assert groups("running", {"completed": 2}) == {"completed": 2, "unclear": 7}
    assert groups("completed", {"completed": 2}) == {"completed": 2, "other": 7}
    assert groups("paused", {}) == {"unknown": 9}
    assert groups("draft", {}) == {"pending": 9}
