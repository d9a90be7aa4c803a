"""An upload whose retries a policy decides about."""

from __future__ import annotations

from datetime import timedelta

from airflow import __version__ as airflow_version
from airflow.sdk import DAG

from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.retry_policies.calls import calls_retry_policy

PEOPLE = [{"phone_number": f"+9198765{number:05}", "callee_name": f"Person {number}"} for number in range(10)]

if tuple(int(part) for part in airflow_version.split(".")[:2]) >= (3, 3):
    for mode in ("sync", "deferrable"):
        with DAG(f"policy_{mode}", schedule=None):
            GraineCreateBatchOperator(
                task_id="call",
                campaign_id="{{ dag_run.conf['campaign_id'] }}",
                contacts=PEOPLE,
                wait_for_completion=mode == "deferrable",
                poll_interval=1,
                deferrable=mode == "deferrable",
                retries=3,
                retry_delay=timedelta(0),
                retry_policy=calls_retry_policy(),
            )
