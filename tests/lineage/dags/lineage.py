"""A list is called, its results land, and another DAG goes on with them."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, task

from airflow_provider_graine.lineage.assets import create_graine_asset
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator

FOLDER, CAMPAIGN, HOST = os.environ["LINEAGE_FOLDER"], os.environ["LINEAGE_CAMPAIGN"], os.environ["LINEAGE_HOST"]

called_people = create_graine_asset(campaign_id=CAMPAIGN, host=HOST)
landed_results = Asset("landed_results")
result_files = AssetAlias("renewal-results")

with DAG(dag_id="lineage_calls"):
    called = ObjectStorageToGraineOperator(
        task_id="call",
        campaign_id=CAMPAIGN,
        path=f"file://{FOLDER}/people/*.csv",
        suppress=[f"{FOLDER}/do_not_call.csv"],
        rejects_path=f"{FOLDER}/rejected.csv",
        on_invalid="skip",
        batch_size=3,
        deferrable=False,
        outlets=[called_people],
    )
    GraineToObjectStorageOperator(
        task_id="land",
        batch_ids=called.output,
        path=f"{FOLDER}/results",
        kind="contacts",
        outlets=[result_files, landed_results],
    )

with DAG(dag_id="lineage_goes_on", schedule=result_files):

    @task(inlets=[result_files, called_people])
    def look(inlet_events: Any = None) -> None:
        seen = {
            "files": [event.extra for event in inlet_events[result_files]],
            "uris": [event.asset.uri for event in inlet_events[result_files]],
            "called": [event.extra for event in inlet_events[called_people]],
        }
        with open(f"{FOLDER}/seen.json", "w") as file:
            json.dump(seen, file)

    look()
