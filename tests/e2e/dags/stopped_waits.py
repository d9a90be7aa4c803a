"""The waits in ``STOPPED_WAITS``, each a task of its own; what it waits for is in the run's configuration."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_graine.operators.graine import GraineCreateBatchOperator
from airflow_provider_graine.operators.kataven import KatavenStartCampaignOperator
from airflow_provider_graine.sensors.graine import GraineBatchSensor, GraineCampaignSensor

CAMPAIGN_ID = "{{ dag_run.conf[ti.task_id]['campaign_id'] }}"
BATCH_IDS = "{{ dag_run.conf[ti.task_id]['batch_ids'] }}"
CAMPAIGN_IDS = "{{ dag_run.conf[ti.task_id]['campaign_ids'] }}"

KINDS: dict[str, tuple[type, dict[str, Any]]] = {
    "upload": (
        GraineCreateBatchOperator,
        {"campaign_id": CAMPAIGN_ID, "concurrency_limit": 1, "wait_for_completion": True, "poll_interval": 10},
    ),
    "batches": (GraineBatchSensor, {"batch_ids": BATCH_IDS, "poke_interval": 10}),
    "campaign": (GraineCampaignSensor, {"campaign_id": CAMPAIGN_ID, "poke_interval": 10}),
    "turn": (
        KatavenStartCampaignOperator,
        {"campaign_ids": CAMPAIGN_IDS, "one_at_a_time": True, "wait_for_completion": True, "poll_interval": 10},
    ),
}

for dag_id, waits in json.loads(os.environ["STOPPED_WAITS"]).items():
    with DAG(dag_id, schedule=None, render_template_as_native_obj=True):
        for task_id, (kind, arguments) in waits.items():
            operator, usual = KINDS[kind]
            for name in {"execution_timeout", "retry_delay"} & set(arguments):
                arguments[name] = timedelta(seconds=arguments[name])
            operator(task_id=task_id, **{**usual, **arguments})
