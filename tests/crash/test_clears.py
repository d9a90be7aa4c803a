"""What a clear means with ``on_rerun="redial"``, and what a retry never means, by Airflow's own counting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.requests import is_create
from tests.crash.run import PEOPLE, Airflow, Run, assert_everybody_is_on_one_batch
from tests.crash.wire import Ambush

pytestmark = pytest.mark.crash

MODES = ["sync", "deferrable"]


def die_after(run: Run, creates: int) -> None:
    """Let the next try be killed when the service has created so many batches for it."""
    run.service.lie_in_wait(Ambush(at=is_create, nth=creates, when="after", strike=run.kill_task))


@pytest.fixture
def edit_dag(dags: Path, airflow: Airflow) -> Iterator[Callable[[dict[str, str]], None]]:
    """Edit the DAG file while a run goes on."""
    file = dags / "uploads.py"
    original = file.read_text()

    def edit(changes: dict[str, str]) -> None:
        text = original
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        file.write_text(text)
        airflow.core.read_dags()

    yield edit
    file.write_text(original)
    airflow.core.read_dags()


@pytest.mark.parametrize("mode", MODES)
def test_clear_of_a_finished_upload_dials_nobody(start: Callable[[str], Run], mode: str) -> None:
    run = start(f"file_{mode}")
    assert run.try_once() == "success"
    run.clear()
    assert run.try_once() == "success"
    assert_everybody_is_on_one_batch(run)


@pytest.mark.parametrize("mode", MODES)
def test_redial_calls_again_once_per_clear(start: Callable[[str], Run], mode: str) -> None:
    run = start(f"redial_{mode}")
    for times in (1, 2, 3):
        die_after(run, 1)
        assert run.try_once() == "up_for_retry"
        die_after(run, 1)
        assert run.try_once() == "up_for_retry"
        assert run.try_once() == "success", run.log()
        assert run.sandbox.dialled == dict.fromkeys(PEOPLE, times)
        assert len(run.xcom("return_value")) == 3
        run.clear()


def test_clear_while_deferred_sends_nothing_twice(start: Callable[[str], Run]) -> None:
    run = start("file_deferrable")
    run.sandbox.fault("POST /batches/", "late", virtual_seconds=1.0, times=None)
    run.sandbox.fault("POST /batches/", "status", when="after", after=1)
    assert run.begin().end() == "deferred"
    run.clear()
    assert run.try_once() == "success"
    assert_everybody_is_on_one_batch(run)


@pytest.mark.parametrize("retries", [1, 5])
def test_retries_edited_between_two_tries_is_no_wish_to_redial(
    start: Callable[[str], Run], edit_dag: Callable[[dict[str, str]], None], retries: int
) -> None:
    run = start("redial_sync")
    die_after(run, 2)
    assert run.try_once() == "up_for_retry"
    edit_dag({'"retries": 3': f'"retries": {retries}'})
    assert run.try_once() == "success"
    assert_everybody_is_on_one_batch(run)


def test_redial_written_into_the_dag_between_two_tries_is_none_yet(
    start: Callable[[str], Run], edit_dag: Callable[[dict[str, str]], None]
) -> None:
    run = start("list_sync")
    die_after(run, 2)
    assert run.try_once() == "up_for_retry"
    edit_dag({'on_rerun="redial", **SHARED': "**SHARED", '"retries": 3': '"on_rerun": "redial", "retries": 3'})
    assert run.try_once() == "success"
    assert_everybody_is_on_one_batch(run)

    run.clear()
    assert run.try_once() == "success"
    assert run.sandbox.dialled == dict.fromkeys(PEOPLE, 2)
