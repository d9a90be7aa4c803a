"""A run that is late, and then fails: somebody is to be phoned by the triggerer, the worker and the DAG processor."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_graine.notifications.graine import GraineCallNotifier

try:
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
except ImportError:  # Airflow 3.1
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

BY_CONNECTION = {"campaign_id": "{{ var.value.on_call_campaign }}", "callee_conn_id": "on_call"}
BY_TEMPLATE = {
    "campaign_id": "{{ var.value.on_call_campaign }}",
    "phone_number": "{{ var.value.on_call_number }}",
    "callee_name": "{{ conn.on_call.login }}",
}

with DAG(
    "phoned",
    schedule=None,
    on_failure_callback=GraineCallNotifier(**BY_CONNECTION),
    deadline=[
        DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(seconds=1),
            callback=AsyncCallback(GraineCallNotifier, kwargs=kwargs),
        )
        for kwargs in (BY_CONNECTION, BY_TEMPLATE)
    ],
):

    @task(on_failure_callback=GraineCallNotifier(**BY_TEMPLATE))
    def fail_late(until: str) -> None:
        """Fail once the deadline has been told of; nobody's number stands in what is raised."""
        import pathlib

        while not pathlib.Path(until).exists():
            time.sleep(0.2)
        raise LookupError("nothing there")

    fail_late("{{ dag_run.conf['until'] }}")
