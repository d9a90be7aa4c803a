"""
A short list from another task is called; the calls are held for a change of the campaign, go on, and are waited for.

Needs a connection ``graine_default``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_graine.operators.graine import (
    GraineCreateBatchOperator,
    GraineCreateCampaignOperator,
    GrainePauseBatchOperator,
    GraineResumeBatchOperator,
    GraineUpdateCampaignOperator,
)
from airflow_provider_graine.sensors.graine import GraineCampaignSensor

with DAG(
    dag_id="example_graine_batch",
    description="Call a few people",
    doc_md=__doc__,
    schedule=None,
    tags=["graine", "example"],
):

    @task(show_return_value_in_logs=False)  # logs are no place for phone numbers
    def choose_people() -> list[dict[str, Any]]:
        """Return who is to be called; a list as short as this may travel as XCom."""
        return [
            {"phone_number": "+919876543210", "callee_name": "Rajesh Sharma", "current_plan": "Basic Health"},
            {"phone_number": "+919876543211", "callee_name": "Priya Mehta", "current_plan": "Family Floater"},
        ]

    create_campaign = GraineCreateCampaignOperator(
        task_id="create_campaign",
        name="Callbacks {{ dag_run.run_after | ds }}",
        agent_id="agent_abc123",
        phone_numbers=["+918045678900"],
        timezone="Asia/Kolkata",
    )

    call_people = GraineCreateBatchOperator(
        task_id="call_people",
        campaign_id=create_campaign.output,
        contacts=choose_people(),
        max_retries_override=1,
    )

    pause = GrainePauseBatchOperator(task_id="pause", batch_id="{{ ti.xcom_pull('call_people')[0] }}")

    greet_in_english = GraineUpdateCampaignOperator(
        task_id="greet_in_english",
        campaign_id=create_campaign.output,
        changes={"default_call_variables": {"language": "en"}},
    )

    resume = GraineResumeBatchOperator(task_id="resume", batch_id="{{ ti.xcom_pull('call_people')[0] }}")

    wait_for_campaign = GraineCampaignSensor(
        task_id="wait_for_campaign", campaign_id=create_campaign.output, mode="reschedule", poke_interval=30
    )

    call_people >> pause >> greet_in_english >> resume >> wait_for_campaign
