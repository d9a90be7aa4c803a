"""The table "What happens when …" of docs/what_happens_when.md, on waits: each cell is read there and played."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR

from airflow_provider_graine import exceptions
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.watching.graine_watch import decide
from tests.compat import TaskDeferred
from tests.waits import Waiting, clock, waiting

__all__ = ["clock", "waiting"]

HOUR = 3600.0
PAGE = Path(__file__).parents[2] / "docs" / "what_happens_when.md"
TESTS = Path(__file__).parents[1]

CANNOT_HAPPEN = "\N{EN DASH}"

#: What the columns of the page are in the tests.
COLUMNS = {
    "operator": ["operator"],
    "operator, deferrable": ["deferrable operator"],
    "sensor, `poke`": ["batch sensor, poke", "campaign sensor, poke"],
    "sensor, `reschedule`": ["batch sensor, reschedule", "campaign sensor, reschedule"],
    "sensor, deferrable": ["batch sensor, deferrable", "campaign sensor, deferrable"],
}

#: What needs a real Airflow, and the tests there.
IN_REAL_AIRFLOW = {
    "the task is marked failed or succeeded, or cleared": ("e2e/test_kill_suite.py", "crash/test_stopped_waits.py"),
    "the worker is lost": ("crash/test_killed_uploads.py",),
    "the triggerer restarts, is killed, or hands the wait on": ("e2e/test_kill_suite.py", "triggers/test_kill.py"),
}

ERRORS = {
    "AirflowSensorTimeout": AirflowSensorTimeout,
    "AirflowTaskTimeout": AirflowTaskTimeout,
    "skipped": AirflowSkipException,
}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _table() -> tuple[list[str], dict[str, dict[str, str]]]:
    chapter = PAGE.read_text(encoding="utf-8").partition("## Waits")[2].partition("\n## ")[0]
    lines = chapter.splitlines()
    head, _, *rows = [line for line in lines if line.startswith("|")]
    columns = _cells(head)[1:]
    return columns, {name: dict(zip(columns, cells, strict=True)) for name, *cells in map(_cells, rows)}


HEAD, ROWS = _table()
PLAYED = [
    pytest.param(row, mode, column, id=f"{row}: {mode}")
    for row, cells in ROWS.items()
    if row not in IN_REAL_AIRFLOW
    for column, modes in COLUMNS.items()
    if cells[column] != CANNOT_HAPPEN
    for mode in modes
]


def _all_done(waiting: Waiting) -> Any:
    return waiting.run(on_kill="cancel", on_timeout="cancel")


def _cancel(waiting: Waiting) -> None:
    if "campaign" in waiting.mode:
        waiting.hook.cancel_campaign(waiting.campaign_id)
    else:
        waiting.hook.cancel_batch(waiting.batch_id)


def _cancelled(waiting: Waiting, **arguments: Any) -> Any:
    def end() -> None:
        if "campaign" in waiting.mode or arguments:
            _cancel(waiting)
        else:
            waiting.sandbox.expire_batch(waiting.batch_id)

    waiting.clock.after(1000, end)
    return waiting.run(on_kill="pause", on_timeout="pause", **arguments)


def _too_few(waiting: Waiting) -> Any:
    return waiting.run(min_completed_share=1.0, on_kill="cancel", on_timeout="cancel")


def _away_for_an_hour(waiting: Waiting) -> Any:
    waiting.clock.after(900, lambda: waiting.sandbox.fault("*", "status", status=503, times=None))
    waiting.clock.after(900 + HOUR, waiting.sandbox.clear_faults)
    return waiting.run(on_kill="cancel", on_timeout="cancel")


def _revoked(waiting: Waiting) -> Any:
    waiting.clock.after(1000, lambda: waiting.sandbox.rotate_token("gat_another"))
    try:
        return waiting.run(on_kill="cancel", on_timeout="cancel")
    finally:
        waiting.sandbox.rotate_token("gat_sandbox")


def _paused(waiting: Waiting) -> Any:
    waiting.clock.after(1000, lambda: waiting.hook.pause_campaign(waiting.campaign_id))
    waiting.clock.after(1000 + HOUR, lambda: waiting.hook.resume_campaign(waiting.campaign_id))
    return waiting.run(on_kill="cancel", on_timeout="cancel")


def _stands_still(waiting: Waiting) -> Any:
    waiting.sandbox.fault("POST /batches/", "lost_dispatch")
    waiting.clock.after(3 * HOUR, lambda: waiting.hook.dispatch_batch(waiting.batch_id))
    return waiting.run(on_kill="cancel", on_timeout="cancel")


def _time_is_over(waiting: Waiting, **arguments: Any) -> Any:
    return waiting.run(limit=1000, on_timeout="pause", on_kill="cancel", **arguments)


def _execution_timeout(waiting: Waiting) -> Any:
    return waiting.run(execution_timeout=timedelta(seconds=1000), on_timeout="pause", on_kill="cancel")


def _deferral_ends(waiting: Waiting) -> Any:
    arguments: dict[str, Any] = {"limit": 1000, "on_timeout": "pause", "on_kill": "cancel"}
    with pytest.raises(TaskDeferred) as raised:
        waiting.make(**arguments).execute(waiting.context())
    assert raised.value.timeout is not None
    waiting.clock.sleep(raised.value.timeout.total_seconds())
    pushed, context = dict(waiting.task.xcom), waiting.context()
    waiting.task.xcom |= pushed
    return waiting.make(**arguments).resume_execution(TRIGGER_FAIL_REPR, {"error": "Trigger timeout"}, context)


def _told_to_stop(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's signal handler calls ``on_kill``: in a nap, or where there is none, in the middle of a look."""
    if "reschedule" in waiting.mode:

        def killed_meanwhile(*arguments: Any) -> Any:
            waiting.operator.on_kill()
            return decide(*arguments)

        monkeypatch.setattr("airflow_provider_graine.watching.watch.decide", killed_meanwhile)
    else:
        waiting.clock.after(1000, lambda: waiting.operator.on_kill())
    return waiting.run(on_kill="pause", on_timeout="cancel")


PLAYS: dict[str, Callable[..., Any]] = {
    "all calls are done": _all_done,
    "a batch is cancelled or expires": _cancelled,
    "too few were completed, or too many failed": _too_few,
    "the service is away for an hour": _away_for_an_hour,
    "the token is revoked": _revoked,
    "a batch is paused": _paused,
    "a batch stands still": _stands_still,
    "`wait_timeout` or `timeout` is over": _time_is_over,
    "`execution_timeout` is over": _execution_timeout,
    "Airflow itself ends the deferral": _deferral_ends,
    "the time is over, with `soft_fail`": lambda waiting: _time_is_over(waiting, soft_fail=True),
    "a batch is cancelled, with `never_fail`": lambda waiting: _cancelled(waiting, never_fail=True),
    "the worker is told to stop (SIGTERM)": _told_to_stop,
}


def test_each_row_is_played_or_named() -> None:
    assert set(ROWS) == PLAYS.keys() | IN_REAL_AIRFLOW.keys()
    assert [*COLUMNS, "the calls"] == HEAD
    assert len(PLAYED) > 60


def _named() -> Iterator[str]:
    for files in IN_REAL_AIRFLOW.values():
        yield from files


@pytest.mark.parametrize("file", sorted(set(_named())))
def test_the_named_tests_are_there(file: str) -> None:
    assert re.search(r"^def test_", (TESTS / file).read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize(("row", "waiting", "column"), PLAYED, indirect=["waiting"])
def test_cell(
    row: str,
    waiting: Waiting,
    column: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task, calls = ROWS[row][column].strip("`"), ROWS[row]["the calls"].strip("`")
    play = PLAYS[row]
    arguments = [monkeypatch] if play is _told_to_stop else []
    by_hand = {"a batch is paused": ["pause campaign", "resume campaign"]}.get(row, [])

    if task in ("success", "goes on"):
        result = play(waiting, *arguments)
        assert result == ([waiting.batch_id] if waiting.is_operator else None)
        assert sandbox.batches[waiting.batch_id]["status"] == "completed"
    else:
        error = ERRORS.get(task) or getattr(exceptions, task)
        with pytest.raises(error) as raised:
            play(waiting, *arguments)
        assert raised.type is error

    done = [stop for stop in waiting.stops if stop not in by_hand and "cancel" not in stop]
    if calls in ("on_timeout", "on_kill"):
        assert done == waiting.stop("pause")  # what each of these plays asks for, and once
        assert "Paused" in capsys.readouterr().out
    else:
        assert done == []
    by_somebody_else = ["a batch is cancelled or expires", "a batch is cancelled, with `never_fail`"]
    assert row in by_somebody_else or not any("cancel" in stop for stop in waiting.stops)
    assert waiting.creates == 1
