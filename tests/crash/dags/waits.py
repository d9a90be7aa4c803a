"""Waits that get stopped: ten people on three batches, or a campaign; nobody's calls end within a test."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.sensors.graine import GraineCampaignSensor

CAMPAIGN = "{{ dag_run.conf['campaign_id'] }}"
PEOPLE = [{"phone_number": f"+9198765{number:05}", "callee_name": f"Person {number}"} for number in range(10)]
RETRIED: dict[str, Any] = {"retries": 1, "retry_delay": timedelta(0)}


def upload(dag_id: str, **arguments: Any) -> None:
    with DAG(dag_id, schedule=None):
        GraineCreateBatchOperator(
            task_id="call",
            campaign_id=CAMPAIGN,
            contacts=PEOPLE,
            batch_size=4,
            resend_after=2.5,
            wait_for_completion=True,
            **{"poll_interval": 30, **RETRIED, **arguments},
        )


def sensor(dag_id: str, **arguments: Any) -> None:
    with DAG(dag_id, schedule=None):
        GraineCampaignSensor(task_id="wait", campaign_id=CAMPAIGN, **{"poke_interval": 30, **RETRIED, **arguments})


for action in ("none", "pause", "cancel"):
    upload(f"upload_{action}", on_kill=action, on_timeout="cancel")
    upload(f"deferred_{action}", on_kill=action, on_timeout="cancel", deferrable=True)
    sensor(f"poke_{action}", on_kill=action, on_timeout="cancel")
upload("upload_without_retries", on_kill="pause", retries=0)
sensor("reschedule", on_kill="pause", mode="reschedule")
sensor("poke_lenient", on_kill="pause", never_fail=True, silent_fail=True)

TIMEOUT = timedelta(seconds=6)
upload("upload_execution_timeout", on_kill="cancel", on_timeout="pause", execution_timeout=TIMEOUT)
upload("deferred_execution_timeout", on_kill="cancel", on_timeout="pause", execution_timeout=TIMEOUT, deferrable=True)
upload("upload_wait_timeout", on_kill="cancel", on_timeout="pause", wait_timeout=2)
upload("deferred_wait_timeout", on_kill="cancel", on_timeout="pause", wait_timeout=2, deferrable=True)
sensor("poke_execution_timeout", on_kill="cancel", on_timeout="pause", execution_timeout=TIMEOUT)
sensor("poke_timeout", on_kill="cancel", on_timeout="pause", timeout=2, poke_interval=0.5)
sensor("poke_soft_execution_timeout", on_timeout="pause", execution_timeout=TIMEOUT, soft_fail=True)
sensor("deferred_soft_timeout", on_timeout="pause", timeout=2, soft_fail=True, deferrable=True)
