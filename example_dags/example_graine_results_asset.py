"""
Results are landed as an asset, and another DAG runs whenever there are new ones.

``example_graine_results`` calls people, waits and lands the results; ``example_graine_outcomes`` is scheduled by them
and counts how the calls ended. Neither has to know when the other runs. Needs a connection ``graine_default``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator

call_results = Asset(name="graine_call_results", uri="file:///tmp/graine/results")

with DAG(
    dag_id="example_graine_results",
    description="Call the people in a file and land the results as an asset",
    doc_md=__doc__,
    schedule=None,
    params={
        "campaign_id": Param("cmp_abc123", description="The campaign"),
        "people": Param("file:///tmp/graine/people.csv", description="File of people, CSV, JSON lines or Parquet"),
        "results": Param(call_results.uri, description="Folder for results"),
    },
    tags=["graine", "example"],
):
    call_people = ObjectStorageToGraineOperator(
        task_id="call_people",
        campaign_id="{{ params.campaign_id }}",
        path="{{ params.people }}",
        wait_for_completion=True,
        deferrable=True,
    )

    GraineToObjectStorageOperator(
        task_id="land_results",
        batch_ids=call_people.output,
        path="{{ params.results }}",
        if_exists="replace",
        outlets=[call_results],
    )

with DAG(
    dag_id="example_graine_outcomes",
    description="Count how the calls ended whenever results have landed",
    doc_md=__doc__,
    schedule=[call_results],
    tags=["graine", "example"],
):

    @task
    def count_outcomes(triggering_asset_events: Any = None) -> dict[str, int]:
        """Return the number of people by how their calls ended; what landed is what the other task has returned."""
        import csv
        from collections import Counter

        from airflow.sdk import ObjectStoragePath

        counts: Counter[str] = Counter()
        for event in triggering_asset_events[call_results]:
            for landed in event.source_task_instance.xcom_pull():
                with ObjectStoragePath(landed["uri"]).open(newline="") as file:
                    counts.update(row["status"] for row in csv.DictReader(file))
        return dict(counts)

    count_outcomes()
