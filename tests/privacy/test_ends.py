"""Tasks that end in another way than they should: killed, too late, retried, in doubt, with a template that fails."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_graine.retry_policies.calls import calls_retry_policy
from tests.compat import AIRFLOW_VERSION
from tests.privacy.cases import CASES, CLASSES, Use
from tests.privacy.hostile import Told
from tests.privacy.world import World

WAITING = [
    "GraineCreateBatchOperator",
    "KatavenCreateCampaignOperator",
    "KatavenStartCampaignOperator",
    "GraineBatchSensor",
    "GraineCampaignSensor",
    "KatavenCampaignSensor",
]


def hold(world: World, use: Use) -> None:
    """Pause what a sensor waits for."""
    if "batch_ids" in use.arguments:
        with world.graine() as hook:
            hook.pause_batch(use.arguments["batch_ids"][0][0])
    elif "campaign_id" in use.arguments:
        with world.graine() as hook:
            hook.pause_campaign(use.arguments["campaign_id"])
    else:
        with world.kataven() as account:
            account.pause_campaign(use.arguments["campaign_ids"][0])


@pytest.mark.parametrize("name", WAITING)
def test_a_task_that_is_killed_or_too_late(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = "Sensor" in name
    late = {"timeout" if sensor else "wait_timeout": 10.0, "poke_interval" if sensor else "poll_interval": 6.0}
    for way in ("killed", "late", "late and soft", "deferred and late", "rescheduled"):
        use = CASES[name](world)
        more: dict[str, Any] = {"on_kill": "pause", "on_timeout": "pause"}
        if way == "late and soft" or way == "rescheduled":
            if not sensor:
                continue
            more |= {**late, "soft_fail": True} if "soft" in way else {"mode": "reschedule"}
        elif "late" in way:
            more |= {**late, "deferrable": "deferred" in way}
        world.airflow.before_event = (lambda: None) if "late" in way else world.sandbox.run_until_idle
        if "late" in way and sensor:  # or the calls are over before it looks again
            hold(world, use)
        with monkeypatch.context() as patch:
            if way == "killed":
                patch.setattr("time.sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
            outcome = world.airflow.run(use.make(**more))
        expected = {"late and soft": "skipped", "rescheduled": "success"}.get(way, "failed")
        assert outcome.state == expected, (way, outcome.state, type(outcome.error))
    world.airflow.search.raise_for_leaks()


@pytest.mark.parametrize("name", ["GraineCreateBatchOperator", "KatavenCreateCampaignOperator"])
def test_an_upload_in_doubt_that_defers_and_goes_on(world: World, name: str) -> None:
    use = CASES[name](world)
    lost = iter([True])
    world.airflow.before_event = lambda: world.sandbox.advance(86_400)
    world.hostile.be("no answer", lambda told: _creates(told) and next(lost, False))
    outcome = world.airflow.run(use.make(deferrable=True, resend_after=17.0, max_parallel_uploads=1), tries=2)
    assert outcome.state == "success", (outcome.state, outcome.error)
    assert world.hostile.hits == 1
    assert any("PauseTrigger" in str(each) for each in world.airflow.deferred_to)
    world.airflow.search.raise_for_leaks()
    for path, content in world.files():
        if "ledger" in path:
            world.airflow.search.look(f"ledger {path}", content)
    assert world.airflow.search.seen["ledger"]
    world.airflow.search.raise_for_leaks()


def _creates(told: Told) -> bool:
    return told.method == "POST" and told.path.rstrip("/").endswith(("/batches", "/campaigns")) and bool(told.body)


@pytest.mark.parametrize("way", ["HTTP 401", "HTTP 503"])
def test_tries_and_what_is_decided_about_them(world: World, way: str) -> None:
    use = CASES["GraineCreateBatchOperator"](world)
    policy = {"retry_policy": calls_retry_policy()} if AIRFLOW_VERSION >= (3, 3) else {}
    world.hostile.be(way)
    notifier = CLASSES["GraineCallNotifier"](campaign_id="c", callee_conn_id="callee")
    assert world.airflow.run(use.make(on_failure_callback=notifier, retries=1, **policy), tries=2).state != "success"
    world.airflow.search.raise_for_leaks()


@pytest.mark.parametrize(
    "template",
    [
        "{{ var.value.who }}",
        "{{ conn.callee.password.nothing.there }}",
        "{{ 1 / 0 }}",
        "{{ task.contacts[0].nobody.there }}",
        "{% if %}",
    ],
)
def test_a_template_that_fails(world: World, template: str) -> None:
    use = CASES["GraineCreateBatchOperator"](world)
    outcome = world.airflow.run(use.make(metadata={"note": template}))
    assert outcome.state == "failed"
    world.airflow.search.raise_for_leaks()


def test_a_person_who_is_phoned_about_a_failure(world: World) -> None:
    class Fails(BaseOperator):
        def execute(self, context: Any) -> None:
            raise RuntimeError("It went wrong.")

    called = 0
    for way in (None, "HTTP 422", "HTTP 401", "no answer", "wrong types", "a redirect", "no HTTP"):
        notifier = CASES["GraineCallNotifier"](world).make(variables={"plan": "{{ run_id }}"})()
        world.hostile.be(way)
        assert world.airflow.run(lambda n=notifier: Fails(task_id="call", on_failure_callback=n)).state == "failed"
        world.airflow.notify(notifier)
        called += sum("/batches" in each.path and each.method == "POST" for each in world.sandbox.requests)
        world.hostile.be(None)
    assert called
    assert sum(world.sandbox.dialled.values())
    world.airflow.search.raise_for_leaks()
