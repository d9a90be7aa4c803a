"""What a retry policy makes of failures, by Airflow's own counting of tries; Airflow 3.3 and later."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_provider_graine.sandbox import Sandbox
from tests.crash.requests import is_create, is_look
from tests.crash.run import Run, assert_everybody_is_on_one_batch
from tests.crash.runner import HAS_TASK_STATE
from tests.crash.wire import Ambush

pytestmark = pytest.mark.crash

if HAS_TASK_STATE:  # of the same version as the policies

    @pytest.fixture
    def revoke(sandbox: Sandbox) -> Iterator[Callable[[], None]]:
        token = sandbox.token
        yield lambda: sandbox.rotate_token("gat_another")
        sandbox.rotate_token(token)

    def test_a_revoked_token_fails_an_upload_at_once(start: Callable[[str], Run], revoke: Callable[[], None]) -> None:
        run = start("policy_sync")
        run.service.lie_in_wait(Ambush(at=is_create, strike=revoke))
        assert run.try_once() == "failed", run.log()
        assert (run.task["try_number"], run.task["max_tries"]) == (1, 3)
        assert "Retry policy decision" in run.log()
        assert not run.sandbox.batches

    def test_a_revoked_token_fails_a_deferred_wait_at_once(
        start: Callable[[str], Run], revoke: Callable[[], None]
    ) -> None:
        run = start("policy_deferrable")
        assert run.begin().end() == "deferred", run.log()
        run.service.lie_in_wait(Ambush(at=is_look, strike=revoke))
        run.fire()
        assert run.begin().end() == "failed", run.log()
        assert run.task["try_number"] == 1
        assert len(run.sandbox.batches) == 1

    def test_an_outage_is_retried(start: Callable[[str], Run]) -> None:
        run = start("policy_sync")
        outage = run.sandbox.fault("GET /batches/", "status", status=503, when="before", times=None)
        assert run.try_once() == "up_for_retry", run.log()
        assert outage.hits
        run.sandbox.clear_faults()
        assert run.try_once() == "success", run.log()
        assert_everybody_is_on_one_batch(run)
