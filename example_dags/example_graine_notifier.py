"""
Python chooses who is called; and when the run fails or takes too long, somebody on call is phoned, once.

Needs a connection ``graine_default``; a connection ``on_call`` (of any type) with the name of the person to be phoned
as login and the number as password; and an Airflow variable ``on_call_campaign`` with the id of the campaign for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow import __version__ as airflow_version
from airflow.sdk import DAG, Param, task

from airflow_provider_graine.notifications.graine import GraineCallNotifier
from airflow_provider_graine.retry_policies.calls import calls_retry_policy
from airflow_provider_graine.sensors.graine import GraineBatchSensor

try:
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
except ImportError:  # Airflow 3.1
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

# Who is phoned stands in a connection: what stands here is stored with the DAG, and with each deadline.
PHONE_SOMEBODY: dict[str, Any] = {"campaign_id": "{{ var.value.on_call_campaign }}", "callee_conn_id": "on_call"}

default_args: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(minutes=5)}
if tuple(map(int, airflow_version.split(".")[:2])) >= (3, 3):
    # Bad input and a token that is not accepted fail at once; all else is retried.
    default_args["retry_policy"] = calls_retry_policy()

with DAG(
    dag_id="example_graine_notifier",
    description="Call people chosen in Python, and phone somebody when that fails",
    doc_md=__doc__,
    schedule=None,
    params={
        "campaign_id": Param("cmp_abc123", description="The campaign"),
        "people": Param("file:///tmp/graine/people", description="Folder with a CSV file of people for each region"),
        "regions": Param(["north", "south"], type="array", description="Names of the files"),
    },
    default_args=default_args,
    on_failure_callback=GraineCallNotifier(**PHONE_SOMEBODY),
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=6),
        callback=AsyncCallback(GraineCallNotifier, kwargs=PHONE_SOMEBODY),
    ),
    tags=["graine", "example"],
):

    @task
    def choose_regions(params: dict[str, Any]) -> list[str]:
        """Return the regions: a task of its own calls the people of each."""
        return list(params["regions"])

    @task.graine_batch(campaign_id="{{ params.campaign_id }}", on_invalid="skip", max_retries_override=1)
    def call_people(region: str, folder: str) -> Iterator[dict[str, Any]]:
        """Yield who is called: everybody who has agreed. They go to the service and into no XCom."""
        import csv

        from airflow.sdk import ObjectStoragePath

        with (ObjectStoragePath(folder) / f"{region}.csv").open(newline="") as file:
            for person in csv.DictReader(file):
                if person.pop("agreed") == "yes":
                    yield {**person, "region": region}

    called = call_people.partial(folder="{{ params.people }}").expand(region=choose_regions())

    GraineBatchSensor.partial(task_id="wait_for_calls", deferrable=True, poke_interval=60, timeout=6 * 60 * 60).expand(
        batch_ids=called
    )
