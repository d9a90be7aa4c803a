"""What the demo does with Graine."""

from __future__ import annotations

from collections import Counter
from typing import Final

from airflow_provider_graine.sandbox import Sandbox

DAG_ID: Final = "example_graine_sql"
RESULTS: Final = "btc_*.csv"
FINAL: Final = ("completed", "failed", "busy", "no_answer", "max_retries_reached", "skipped")
UNIT: Final = "batches"


def connection(sandbox: Sandbox) -> tuple[str, str]:
    """Return name and value of the environment variable with the connection."""
    return "AIRFLOW_CONN_GRAINE_DEFAULT", sandbox.connection_json()


def dialled(sandbox: Sandbox) -> Counter[str]:
    """Return how often each number was handed to the dialler."""
    return sandbox.dialled


def contact_states(sandbox: Sandbox) -> Counter[str]:
    """Count the people by what has come of them so far."""
    return Counter(contact["status"] for batch_id in list(sandbox.batches) for contact in sandbox.contacts(batch_id))
