"""
People from files are called; a sensor waits in the triggerer; contacts with all their calls land as JSON lines.

Needs a connection ``graine_default``. The paths may lie in any store that ``ObjectStoragePath`` reaches.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_graine.operators.graine import GraineCreateCampaignOperator
from airflow_provider_graine.sensors.graine import GraineBatchSensor
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator

with DAG(
    dag_id="example_graine_files",
    description="Call the people in a folder of files",
    doc_md=__doc__,
    schedule=None,
    params={
        "people": Param("file:///tmp/graine/people/*.csv", description="Files of people, CSV, JSON lines or Parquet"),
        "do_not_call": Param("file:///tmp/graine/do_not_call.csv", description="File of numbers not to be called"),
        "results": Param("file:///tmp/graine/results", description="Folder for results and rejected contacts"),
    },
    tags=["graine", "example"],
):
    create_campaign = GraineCreateCampaignOperator(
        task_id="create_campaign",
        name="Reminders {{ dag_run.run_after | ds }}",
        agent_id="agent_abc123",
        phone_numbers=["+918045678900"],
        timezone="Asia/Kolkata",
        working_hours={
            "monday": {"start": "09:00", "end": "18:00"},
            "tuesday": {"start": "09:00", "end": "18:00"},
            "wednesday": {"start": "09:00", "end": "18:00"},
            "thursday": {"start": "09:00", "end": "18:00"},
            "friday": {"start": "09:00", "end": "18:00"},
        },
        call_retry_policy={"max_retries": 2, "strategy": "fixed", "cooldown_minutes": 60},
    )

    call_people = ObjectStorageToGraineOperator(
        task_id="call_people",
        path="{{ params.people }}",
        suppress=["{{ params.do_not_call }}"],
        campaign_id=create_campaign.output,
        on_invalid="fail",  # nobody is called while somebody who opted out is on the list; "skip" calls the others
        rejects_path="{{ params.results }}/rejected.csv",
    )

    wait_for_calls = GraineBatchSensor(
        task_id="wait_for_calls",
        batch_ids=call_people.output,
        deferrable=True,
        poke_interval=60,
        timeout=3 * 24 * 60 * 60,
    )

    land_contacts = GraineToObjectStorageOperator(
        task_id="land_contacts",
        batch_ids=call_people.output,
        kind="contacts",
        compress="gzip",
        path="{{ params.results }}",
        if_exists="replace",
    )

    wait_for_calls >> land_contacts
