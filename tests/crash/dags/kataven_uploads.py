"""Uploads to Kataven that get killed: ten people from a file, in both modes, with and without a ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_graine.operators import upload_memory
from airflow_provider_graine.transfers.object_storage_to_kataven import ObjectStorageToKatavenOperator

upload_memory._PATIENCE = 0.5  # a deferrable task is to defer within the time of a test


def upload(dag_id: str, **arguments: Any) -> None:
    with DAG(dag_id, schedule=None):
        ObjectStorageToKatavenOperator(
            task_id="call",
            path="{{ dag_run.conf['path'] }}",
            name="Renewals",
            agent_id="11111111-1111-4111-8111-111111111111",
            phone_number_id="22222222-2222-4222-8222-222222222222",
            batch_size=4,
            resend_after=2.5,
            retries=3,
            retry_delay=timedelta(0),
            **arguments,
        )


for mode, deferrable in {"sync": False, "deferrable": True}.items():
    for kept, ledger in {"": None, "_ledger": "{{ dag_run.conf['ledger'] }}"}.items():
        upload(f"kataven_{mode}{kept}", deferrable=deferrable, ledger_path=ledger)
    upload(f"kataven_redial_{mode}", deferrable=deferrable, on_rerun="redial")
