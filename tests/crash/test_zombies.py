"""
A worker that is taken for dead, and is not: it goes on when its successor has done everything.

Only where both see the same memory, Airflow's task state or a ledger, is it promised that it sends nothing any more.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from tests.crash.requests import is_create, is_intent
from tests.crash.run import Airflow, Run, assert_everybody_is_on_one_batch
from tests.crash.runner import HAS_TASK_STATE
from tests.crash.wire import Ambush, Wire

pytestmark = pytest.mark.crash

MODES = ["sync", "deferrable"]
MEMORIES = ["_ledger", ""] if HAS_TASK_STATE else ["_ledger"]


def outlived(run: Run, wire: Wire, ambush: Ambush) -> None:
    """Let the first try freeze in an ambush, the second do everything, and the first go on."""
    thawed = threading.Event()

    def freeze() -> None:
        zombie.signal(signal.SIGSTOP)
        assert thawed.wait(60)

    ambush.strike = freeze
    wire.lie_in_wait(ambush)
    zombie = run.begin()
    assert ambush.struck.wait(60)
    run.notice_loss()
    assert run.task["state"] == "up_for_retry"
    assert run.try_once() == "success", run.log()
    assert_everybody_is_on_one_batch(run)

    thawed.set()
    zombie.signal(signal.SIGCONT)
    zombie.join()
    assert run.task == {"state": "success", "try_number": 2, "max_tries": 3, "next_method": None}
    assert_everybody_is_on_one_batch(run)
    if HAS_TASK_STATE:
        assert "a later one has taken over" in run.log()


@pytest.mark.parametrize("memory", MEMORIES, ids=lambda memory: "ledger" if memory else "task state")
@pytest.mark.parametrize("mode", MODES)
def test_zombie_that_gets_its_answer_late(start: Callable[[str], Run], mode: str, memory: str) -> None:
    run = start(f"file_{mode}{memory}")
    outlived(run, run.service, Ambush(at=is_create, when="after", strike=lambda: None))


if HAS_TASK_STATE:

    @pytest.mark.parametrize("mode", MODES)
    def test_zombie_that_is_about_to_send(start: Callable[[str], Run], airflow: Airflow, mode: str) -> None:
        outlived(start(f"file_{mode}"), airflow.wire, Ambush(at=is_intent, nth=2, strike=lambda: None))
