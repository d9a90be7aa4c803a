"""
The main job with Kataven: people from a warehouse query are called, and the results land as files.

The list goes up as drafts, which call nobody, is checked, and is then started within the account's budget of parallel
calls. Needs a connection ``kataven_default`` and a database connection ``warehouse``; both are named in the README.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_graine.transfers.kataven_to_object_storage import KatavenToObjectStorageOperator
from airflow_provider_graine.transfers.sql_to_kataven import SqlToKatavenOperator

with DAG(
    dag_id="example_kataven_sql",
    description="Call the policy holders whose renewal is due, with Kataven",
    doc_md=__doc__,
    schedule=None,
    params={
        "results": Param("file:///tmp/kataven/results", description="Folder for results and rejected contacts"),
        "renewal_before": Param("2026-08-01", format="date", description="Whose policy ends before this day"),
    },
    tags=["kataven", "example"],
):
    call_policy_holders = SqlToKatavenOperator(
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
        name="Renewals before {{ params.renewal_before }}",
        agent_id="5f0c6f0e-4c0f-4f57-9a7e-0a4f7f6f2a11",
        phone_number_id="0b9d2c1e-6a3f-4b58-8d21-3f5a9c7e1b22",
        max_concurrent_calls=10,
        retries_per_contact=1,
        default_region="IN",
        batch_size=200,
        on_invalid="skip",
        rejects_path="{{ params.results }}/rejected.csv",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=10,
    )

    KatavenToObjectStorageOperator(
        task_id="land_results",
        campaign_ids=call_policy_holders.output,
        path="{{ params.results }}",
        if_exists="replace",
    )
