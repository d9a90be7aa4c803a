"""
A list is screened and counted, a person looks at the counts and approves, and only then the calls go out.

Needs a connection ``graine_default``. The approval waits under *Required Actions* in Airflow's menu; it shows how many
people, never who. Silence is no approval: after twelve hours the calls are off.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, task

from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator

with DAG(
    dag_id="example_graine_approval",
    description="Call the people in a file once somebody has approved it",
    doc_md=__doc__,
    schedule=None,
    params={
        "campaign_id": Param("cmp_abc123", description="The campaign"),
        "people": Param(
            "file:///tmp/graine/people.csv", description="The people. May not change until they are called"
        ),
        "do_not_call": Param("file:///tmp/graine/do_not_call.csv", description="Numbers not to be called"),
        "results": Param("file:///tmp/graine/results", description="Folder for the rejected contacts"),
    },
    tags=["graine", "example"],
):

    @task
    def screen(params: dict[str, Any]) -> dict[str, Any]:
        """Count who would be called and who would not, by the rules of the upload. Nothing is sent."""
        from airflow_provider_graine.contacts.contact_list import ContactList
        from airflow_provider_graine.sources.files import local_files

        with ContactList() as contacts:
            for files in local_files(params["people"]):
                contacts.add_files(files)
            for files in local_files(params["do_not_call"]):
                for uri, file in files:
                    contacts.suppress_file(file, format="csv", origin=uri)
            screening = contacts.screen()
        return {
            "accepted": screening.accepted,
            "rejected": sum(screening.rejected.values()),
            "reasons": ", ".join(f"{number} {reason}" for reason, number in screening.rejected.items()) or "none",
        }

    approve = ApprovalOperator(
        task_id="approve",
        subject="Call {{ ti.xcom_pull('screen')['accepted'] }} people?",
        body="""
Campaign {{ params.campaign_id }} would call **{{ ti.xcom_pull('screen')['accepted'] }}** people of
`{{ params.people }}` as soon as you approve.

Left out: {{ ti.xcom_pull('screen')['rejected'] }} ({{ ti.xcom_pull('screen')['reasons'] }}).
Nobody has been called yet, and nobody is if you reject.
""",
        defaults="Reject",
        response_timeout=timedelta(hours=12),
    )

    call_people = ObjectStorageToGraineOperator(
        task_id="call_people",
        campaign_id="{{ params.campaign_id }}",
        path="{{ params.people }}",
        suppress=["{{ params.do_not_call }}"],
        on_invalid="skip",  # they were shown to the person who approved
        rejects_path="{{ params.results }}/rejected.csv",
        retries=3,  # finds what an earlier try has sent: nobody is called twice, and nobody has to approve twice
    )

    screen() >> approve >> call_people
