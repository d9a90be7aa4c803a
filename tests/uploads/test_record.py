"""What is remembered, and how small values hold it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.uploads.record import OwnMemory, PagedMemory, Record, SeveralMemories, short

MOST_BYTES = 60_000  # what Airflow's task state takes for one value, with room

NAMES = st.text("0123456789abcdef", min_size=16, max_size=16)
RECORDS = st.builds(
    Record,
    intents=st.dictionaries(NAMES, st.floats(0, 2e9), max_size=3),
    batches=st.dictionaries(st.text(min_size=1, max_size=12), NAMES, max_size=5),
    before=st.none() | st.lists(st.text(max_size=12), max_size=3).map(tuple),
    batch_size=st.none() | st.integers(1, 1000),
)
STABLE = settings(derandomize=True, max_examples=100, database=None)


class Values:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.written: list[str] = []

    def get(self, key: str) -> Any:
        return json.loads(self.values.get(key, "null"))

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)
        self.written.append(key)


@given(RECORDS)
@STABLE
def test_record_survives_json(record: Record) -> None:
    assert Record.from_json(json.loads(json.dumps(record.as_json()))) == record


@given(RECORDS, RECORDS)
@STABLE
def test_two_records_know_together_what_either_knows(one: Record, other: Record) -> None:
    both = one.united(other)
    assert both.batches == {**one.batches, **other.batches}
    for name in {*one.intents, *other.intents} - set(both.batches.values()):
        assert both.intents[name] == max(record.intents[name] for record in (one, other) if name in record.intents)
    assert not set(both.intents) & set(both.batches.values())
    assert both.before == (one.before if one.before is not None else other.before)
    assert both.united(one).united(other) == both
    assert one.united(Record(before=one.before)).intents.items() <= one.intents.items()


def test_intent_is_settled_by_its_batch() -> None:
    record = Record().intending("a" * 64, at=1.0).intending("b" * 64, at=2.0)
    assert not record.is_blank
    settled = record.settled("a" * 64, batch_id="btc_1").settled("b" * 64, batch_id=None)
    assert settled == Record(batches={"btc_1": short("a" * 64)})
    assert settled.settled("c" * 64, batch_id=None) == settled
    assert Record(before=("btc_0",)).is_blank


@given(RECORDS)
@STABLE
def test_pages_give_back_what_was_written(record: Record) -> None:
    values = Values()
    PagedMemory(values, owner=1).write(record)
    assert PagedMemory(values, owner=1).read() == record


def test_only_changed_pages_are_written_and_all_values_are_small() -> None:
    values = Values()
    memory = PagedMemory(values, owner=1, name="upload-0")
    batches = {f"btc_{number:036}": f"{number:016x}" for number in range(12_000)}
    before = tuple(f"btc_{number:036}" for number in range(500))
    record = Record(batches=batches, before=before, intents={"f" * 16: 1e9})
    memory.write(record)
    assert max(map(len, values.values.values())) < MOST_BYTES
    assert len(values.values) == 12_000 / 500 + 1

    values.written.clear()
    more = record.settled("e" * 64, batch_id="btc_new")
    memory.write(more)
    assert len(values.written) == 2
    assert values.written[-1] == "upload-0.1"  # the head last: it counts the pages
    assert PagedMemory(values, owner=1, name="upload-0").read() == more
    assert list(PagedMemory(values, owner=1, name="upload-0").read().batches) == list(more.batches)  # type: ignore[union-attr]


def test_later_try_reads_what_all_before_it_did_and_an_earlier_one_does_not_touch_it() -> None:
    values = Values()
    first, second, third = (PagedMemory(values, owner=owner) for owner in (1, 2, 3))
    first.write(Record(batches={"btc_1": "a" * 16}, before=()))
    second.write(Record(intents={"b" * 16: 5.0}))
    first.write(Record(batches={"btc_1": "a" * 16, "btc_2": "c" * 16}, before=()))
    assert third.read() == Record(batches={"btc_1": "a" * 16, "btc_2": "c" * 16}, intents={"b" * 16: 5.0}, before=())
    assert first.read() == Record(batches={"btc_1": "a" * 16, "btc_2": "c" * 16}, before=())


def test_taking_over_stops_all_earlier_tries_and_no_later_one() -> None:
    values = Values()
    memories = [PagedMemory(values, owner=owner) for owner in (1, 2, 3, 4)]
    memories[2].take_over()
    assert [memory.is_taken_over() for memory in memories] == [True, True, False, False]
    values.written.clear()
    memories[2].take_over()
    assert not values.written


def test_memory_with_a_page_missing_is_no_memory() -> None:
    values = Values()
    PagedMemory(values, owner=1).write(Record(batches={"btc_1": "a" * 16}))
    del values.values["upload.1.0"]
    assert PagedMemory(values, owner=2).read() is None


def test_nothing_is_remembered_at_first() -> None:
    assert PagedMemory(Values(), owner=3).read() is None
    assert SeveralMemories(PagedMemory(Values(), owner=1), OwnMemory()).read() is None
    assert OwnMemory().read() is None


def test_several_memories_know_what_one_of_them_knows() -> None:
    state, ledger = Values(), Values()
    memory = SeveralMemories(PagedMemory(state, owner=1), PagedMemory(ledger, owner=1))
    memory.write(Record(batches={"btc_1": "a" * 16}))
    assert state.values == ledger.values
    state.values.clear()
    assert memory.read() == Record(batches={"btc_1": "a" * 16})

    later = SeveralMemories(PagedMemory(state, owner=2), PagedMemory(ledger, owner=2))
    later.take_over()
    state.values.clear()
    assert memory.is_taken_over()
    assert not later.is_taken_over()


def test_own_memory_outlives_nothing() -> None:
    memory = OwnMemory(Record(batches={"btc_1": "a" * 16}))
    memory.take_over()
    assert not memory.is_taken_over()
    assert not memory.is_shared
    memory.write(Record())
    assert memory.read() == Record()


def test_what_was_deleted_is_not_missed_whoever_remembers_it() -> None:
    first = Record(batches={"a": "1", "b": "2"})
    second = first.without(["a"])
    assert second.batches == {"b": "2"}
    assert first.united(second).batches == second.united(first).batches == {"b": "2"}
    assert Record.from_json(second.as_json()) == second
    values: dict[str, Any] = {}
    store = SimpleNamespace(get=values.get, set=values.__setitem__)
    PagedMemory(store, owner=1).write(first)
    PagedMemory(store, owner=2).write(second)
    read = PagedMemory(store, owner=3).read()
    assert read is not None
    assert read.batches == {"b": "2"}
