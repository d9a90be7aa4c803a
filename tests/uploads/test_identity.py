"""Who an upload is."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.uploads.identity import CHUNK_KEY, RUN_KEY, RunIdentity

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
