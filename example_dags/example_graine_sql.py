"""
The main job: people from a warehouse query are called, and the results land as files.

Needs a connection ``graine_default`` and a database connection ``warehouse``; both are named in the README.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_graine.operators.graine import GraineCreateCampaignOperator
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.sql_to_graine import SqlToGraineOperator

with DAG(
    dag_id="example_graine_sql",
    description="Call the policy holders whose renewal is due",
    doc_md=__doc__,
    schedule=None,
    params={
        "results": Param("file:///tmp/graine/results", description="Folder for results and rejected contacts"),
        "renewal_before": Param("2026-08-01", format="date", description="Whose policy ends before this day"),
    },
    tags=["graine", "example"],
):
    create_campaign = GraineCreateCampaignOperator(
        task_id="create_campaign",
        name="Renewals before {{ params.renewal_before }}",
        agent_id="agent_abc123",
        phone_numbers=["+918045678900"],
        metadata={"concurrency_limit": 40},
    )

    call_policy_holders = SqlToGraineOperator(
        task_id="call_policy_holders",
        sql_conn_id="warehouse",
        sql="""
            SELECT phone_number, callee_name, current_plan, renewal_date, premium
            FROM policy_holders
            WHERE renewal_date < CAST(? AS DATE)
            ORDER BY policy_id
        """,
        parameters=["{{ params.renewal_before }}"],
        suppress="SELECT phone_number FROM do_not_call",
        campaign_id=create_campaign.output,
        default_region="IN",
        batch_size=100,
        on_invalid="skip",
        rejects_path="{{ params.results }}/rejected.csv",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=10,
    )

    GraineToObjectStorageOperator(
        task_id="land_results",
        batch_ids=call_policy_holders.output,
        path="{{ params.results }}",
        if_exists="replace",
    )
