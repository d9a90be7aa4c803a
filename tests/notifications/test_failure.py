"""Two callbacks about one failure are one, and two failures are two."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.notifications.failure import Failure
from airflow_provider_graine.uploads.identity import RunIdentity
from tests.notifications.conftest import NUMBER, dag_context, deadline_context, task_context


def test_the_same_failure_is_known_again_wherever_it_is_told() -> None:
    assert Failure.of(task_context()).key(NUMBER) == Failure.of(task_context(in_worker=False)).key(NUMBER)
    assert Failure.of(dag_context()).key(NUMBER) == Failure.of(dag_context(task_id="another", try_number=3)).key(NUMBER)
    assert Failure.of(deadline_context()).key(NUMBER) == Failure.of(deadline_context()).key(NUMBER)


def test_each_failure_is_another() -> None:
    contexts = [
        task_context(),
        task_context(try_number=2),
        task_context(map_index=0),
        task_context(map_index=1),
        task_context(task_id="load2"),
        task_context(dag_id="sale", task_id="sload"),
        dag_context(),
        dag_context(clear_number=1),
        deadline_context(),
        deadline_context("0199-2"),
        {"dag": SimpleNamespace(dag_id="other"), "run_id": "scheduled__1", "reason": "timed_out"},
    ]
    contexts[5]["dag_run"].dag_id = "sale"
    keys = {Failure.of(context).key(number) for context in contexts for number in (NUMBER, "+14155550124")}
    assert len(keys) == 2 * len(contexts)


def test_a_context_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no DAG run"):
        Failure.of({})


def test_no_upload_takes_the_batch_for_its_own() -> None:
    context = task_context()
    marks = Failure.of(context).marks(NUMBER)
    upload = RunIdentity(dag_id="sales", run_id="scheduled__1", task_id="load", shard=(0, 2))
    upload.ensure_same_shards(marks, batch_id="btc_1")
    assert not upload.made(marks)
    assert NUMBER not in str(marks)
    assert "no row" not in str(marks)
    assert marks["airflow_failed_exception_type"] == "ValueError"
