"""Who an upload is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import UploadError
from airflow_provider_graine.uploads.identity import CHUNK_KEY, RUN_KEY, Mark, RunIdentity

IDENTITIES = st.builds(
    RunIdentity,
    dag_id=st.text("ab\x00.1-", max_size=4),
    run_id=st.text("ab\x00.1-", max_size=4),
    task_id=st.text("ab\x00.1-", max_size=4),
    map_index=st.integers(-1, 12),
)


@given(IDENTITIES, IDENTITIES)
@settings(derandomize=True, max_examples=300, database=None)
def test_two_tasks_never_share_a_key(one: RunIdentity, other: RunIdentity) -> None:
    assert (one.key == other.key) == (one == other)


def test_names_that_run_into_each_other_are_told_apart() -> None:
    assert (
        RunIdentity(dag_id="a\x00b", run_id="c", task_id="d").key
        != RunIdentity(dag_id="a", run_id="b\x00c", task_id="d").key
    )
    mapped = RunIdentity(dag_id="a", run_id="b", task_id="c", map_index=1)
    assert mapped.key != RunIdentity(dag_id="a", run_id="b", task_id="c\x001", map_index=-1).key


def test_key_stays_the_same_over_tries_and_clears() -> None:
    first = RunIdentity(dag_id="a", run_id="b", task_id="c")
    assert replace(first, generation=3).key == first.key
    assert replace(first, generation=3).made(first.marked(None))
    assert replace(first, generation=3).upload == first.upload


def test_redial_is_an_upload_of_its_own() -> None:
    first = RunIdentity(dag_id="a", run_id="b", task_id="c", is_for_generation=True)
    second = replace(first, generation=3)
    assert second.upload != first.upload
    assert first.made(first.marked(None))
    assert not second.made(first.marked(None))
    assert not first.made(second.marked(None))


def test_marks_win_over_the_authors_names_and_are_known_again() -> None:
    identity = RunIdentity(dag_id="a", run_id="b", task_id="c")
    metadata = identity.marked({"team": "x", RUN_KEY: "mine"}, chunk="f")
    assert metadata["team"] == "x"
    assert metadata[CHUNK_KEY] == "f"
    assert identity.made(metadata)
    assert not replace(identity, task_id="d").made(metadata)
    assert not identity.made(None)
    assert not identity.made({})
    assert CHUNK_KEY not in identity.marked(None)


# -- in a name --------------------------------------------------------------------------------------------------------

RUN: dict[str, str] = {"dag_id": "d", "run_id": "r", "task_id": "t"}


def test_mark_in_a_name_is_read_again_and_is_that_of_the_upload_alone() -> None:
    identity = RunIdentity(**RUN, generation=2)
    mark = identity.mark(chunk="0123456789abcdef" * 4, people=52_000)
    assert str(mark) == f"[af {mark.task}.-1.2.0.1.52000.0123456789abcdef]"
    assert Mark.read(f"Renewals {mark}") == Mark.read(f"x{mark} y") == mark
    assert Mark.read(f"Copy of {replace(mark, people=7)} {mark}") == mark
    assert identity.made_mark(mark, what="Campaign 1")
    for other in ({"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}):
        assert not RunIdentity(**{**RUN, **other}).made_mark(mark, what="Campaign 1")
    assert not RunIdentity(**RUN, map_index=0).made_mark(mark, what="Campaign 1")


@pytest.mark.parametrize(
    "text", [None, "", "Renewals", "[af 0123]", "[af 0123456789ab.-1.2.0.1.5.xyz]", "[af " + "1." * 99]
)
def test_what_is_no_mark(text: str | None) -> None:
    assert Mark.read(text) is None


def test_generation_in_a_mark_counts_where_each_is_an_upload_of_its_own() -> None:
    mark = RunIdentity(**RUN, generation=1).mark(chunk="0" * 64, people=1)
    assert RunIdentity(**RUN, generation=2).made_mark(mark, what="Campaign 1")
    assert not RunIdentity(**RUN, generation=2, is_for_generation=True).made_mark(mark, what="Campaign 1")
    assert RunIdentity(**RUN, generation=1, is_for_generation=True).made_mark(mark, what="Campaign 1")


def test_mark_of_another_way_to_share_the_list_out() -> None:
    mark = RunIdentity(**RUN, map_index=1, shard=(1, 3)).mark(chunk="0" * 64, people=1)
    assert not RunIdentity(**RUN, map_index=0, shard=(0, 3)).made_mark(mark, what="Campaign 1")
    with pytest.raises(UploadError, match=r"Campaign 1 of this run was made from shard 1 of 3 by mapped task 1"):
        RunIdentity(**RUN, map_index=0, shard=(0, 2)).made_mark(mark, what="Campaign 1")
    with pytest.raises(UploadError):
        RunIdentity(**RUN, map_index=0, shard=(1, 3)).made_mark(mark, what="Campaign 1")
