"""
Drafts of another DAG, or of people who work with Kataven's own pages, are started and called in office hours only.

Kataven has no calling hours: the task waits for the opening, pauses the campaigns at closing time and resumes them the
next morning, until they have ended. Meanwhile it holds no worker slot. Needs a connection ``kataven_default``.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_graine.operators.kataven import KatavenStartCampaignOperator
from airflow_provider_graine.transfers.kataven_to_object_storage import KatavenToObjectStorageOperator

OFFICE_HOURS = {
    "timezone": "Asia/Kolkata",
    "working_hours": {
        day: {"start": "09:00", "end": "18:00"} for day in ("monday", "tuesday", "wednesday", "thursday", "friday")
    },
}

with DAG(
    dag_id="example_kataven_hours",
    description="Start campaigns within the budget, one after the other, and keep office hours",
    doc_md=__doc__,
    schedule=None,
    params={
        "campaign_ids": Param([], type="array", description="The drafts to start, in order"),
        "results": Param("file:///tmp/kataven/results", description="Folder for the results"),
    },
    render_template_as_native_obj=True,
    tags=["kataven", "example"],
):
    call = KatavenStartCampaignOperator(
        task_id="call_in_office_hours",
        campaign_ids="{{ params.campaign_ids }}",
        one_at_a_time=True,
        calling_hours=OFFICE_HOURS,
        start_timeout=12 * 3600,
        wait_for_completion=True,
        deferrable=True,
        on_kill="pause",
    )

    KatavenToObjectStorageOperator(
        task_id="land_results",
        campaign_ids=call.output,
        path="{{ params.results }}",
        if_exists="replace",
    )
