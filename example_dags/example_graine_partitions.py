"""
People in many files are called by several tasks, on as many workers as there are; their results land in one file.

Who is in two of the files, or twice in one, is called once. Needs a connection ``graine_default``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_graine.operators.graine import GraineCreateCampaignOperator
from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator
from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator

with DAG(
    dag_id="example_graine_partitions",
    description="Call the people in a partitioned list, by several tasks",
    doc_md=__doc__,
    schedule=None,
    params={
        "people": Param("file:///tmp/graine/people/*.csv", description="Files of people, CSV, JSON lines or Parquet"),
        "shards": Param(4, type="integer", minimum=1, description="How many tasks share the people out"),
        "results": Param("file:///tmp/graine/results", description="Folder for results and rejected contacts"),
    },
    tags=["graine", "example"],
):
    create_campaign = GraineCreateCampaignOperator(
        task_id="create_campaign",
        name="Survey {{ dag_run.run_after | ds }}",
        agent_id="agent_abc123",
        phone_numbers=["+918045678900"],
    )

    @task
    def share_out(params: dict[str, Any]) -> list[list[int]]:
        """Return the shards. The run keeps them, also where this file is changed before a task of it is cleared."""
        of = params["shards"]
        return [[index, of] for index in range(of)]

    call_people = ObjectStorageToGraineOperator.partial(
        task_id="call_people",
        path="{{ params.people }}",  # each task reads all files and keeps the people of its shard
        campaign_id=create_campaign.output,
        default_region="IN",
        concurrency_limit=40,  # of all shards together
        on_invalid="skip",
        rejects_path="{{ params.results }}/rejected.csv",  # rejected-0-of-4.csv and so on
        wait_for_completion=True,
        deferrable=True,
        poll_interval=10,
    ).expand(shard=share_out())

    # A query is shared out in the same way:
    #
    #     SqlToGraineOperator.partial(sql="SELECT …", sql_conn_id="warehouse", …).expand(shard=share_out())
    #
    # Where nobody can be in two parts, map over the parts and leave shard out: each task then reads its own part only.
    # The last digits of numbers that are all written as E.164 make such parts; files, days and ids mostly do not:
    #
    #     SqlToGraineOperator.partial(sql="SELECT … WHERE right(phone_number, 1) BETWEEN %s AND %s", …).expand(
    #         parameters=[["0", "4"], ["5", "9"]]
    #     )

    GraineToObjectStorageOperator(
        task_id="land_results",
        batch_ids=call_people.output,  # those of all shards
        merge=True,
        path="{{ params.results }}/results.csv",
        if_exists="replace",
    )
