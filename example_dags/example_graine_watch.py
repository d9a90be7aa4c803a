"""
Whenever a batch of a campaign ends, whoever started it, its results land. No task waits for that: the triggerer does.

Needs a connection ``graine_default``. Put the id of your campaign into the watcher, then let the DAG run (unpause it).
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, Param, task

from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.triggers.graine import GraineBatchEventTrigger

ended_batches = Asset(
    name="graine_ended_batches",
    watchers=[
        AssetWatcher(
            name="ended_batches_of_campaign",
            # Part of the DAG's file: no templates, no params.
            trigger=GraineBatchEventTrigger(campaign_id="cmp_abc123", statuses=["completed", "expired"]),
        )
    ],
)

with DAG(
    dag_id="example_graine_watch",
    description="Land the results of each batch that ends",
    doc_md=__doc__,
    schedule=[ended_batches],
    is_paused_upon_creation=True,  # the watch begins when the DAG is unpaused
    params={"results": Param("file:///tmp/graine/results", description="Folder for results")},
    tags=["graine", "example"],
):

    @task
    def choose_batches(triggering_asset_events: Any = None) -> list[str]:
        """Return the batches this run is for: one, or several that ended at about the same time."""
        ids = [event.extra["payload"]["batch_id"] for event in triggering_asset_events[ended_batches]]
        return list(dict.fromkeys(ids))  # an event may come twice

    GraineToObjectStorageOperator(
        task_id="land_results",
        batch_ids=choose_batches(),
        path="{{ params.results }}",
        if_exists="replace",
    )
