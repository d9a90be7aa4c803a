"""Uploads that get killed: ten people from a file or a list, in both modes, with and without a ledger."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_graine.operators import upload_memory
from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator

upload_memory._PATIENCE = 0.5  # a deferrable task is to defer within the time of a test

SHARED = {
    "task_id": "call",
    "campaign_id": "{{ dag_run.conf['campaign_id'] }}",
    "batch_size": 4,
    "resend_after": 2.5,
    "retries": 3,
    "retry_delay": timedelta(0),
}
LEDGER = "{{ dag_run.conf['ledger'] }}"
PEOPLE = [{"phone_number": f"+9198765{number:05}", "callee_name": f"Person {number}"} for number in range(10)]

MODES = {"sync": False, "deferrable": True}

for mode, deferrable in MODES.items():
    for kept, ledger in {"": None, "_ledger": LEDGER}.items():
        with DAG(f"file_{mode}{kept}", schedule=None):
            ObjectStorageToGraineOperator(
                path="{{ dag_run.conf['path'] }}", deferrable=deferrable, ledger_path=ledger, **SHARED
            )
        with DAG(f"list_{mode}{kept}", schedule=None):
            GraineCreateBatchOperator(contacts=PEOPLE, deferrable=deferrable, ledger_path=ledger, **SHARED)
    for action in ("none", "cancel"):
        with DAG(f"parallel_{mode}_{action}", schedule=None):
            GraineCreateBatchOperator(
                contacts=PEOPLE,
                deferrable=deferrable,
                on_kill=action,
                max_parallel_uploads=4,
                **{**SHARED, "batch_size": 2},
            )
    with DAG(f"redial_{mode}", schedule=None):
        GraineCreateBatchOperator(contacts=PEOPLE, deferrable=deferrable, on_rerun="redial", **SHARED)
