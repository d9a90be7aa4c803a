"""What the demo does with Kataven."""

from __future__ import annotations

from collections import Counter
from typing import Final

from airflow_provider_graine.sandbox import Sandbox

DAG_ID: Final = "example_kataven_sql"
RESULTS: Final = "*-*-*-*-*.csv"
FINAL: Final = ("completed", "failed", "skipped")
UNIT: Final = "campaigns"


def connection(sandbox: Sandbox) -> tuple[str, str]:
    """Return name and value of the environment variable with the connection."""
    return "AIRFLOW_CONN_KATAVEN_DEFAULT", sandbox.kataven.connection_json()


def dialled(sandbox: Sandbox) -> Counter[str]:
    """Return how often each number was handed to the dialler."""
    return sandbox.kataven.dialled


def contact_states(sandbox: Sandbox) -> Counter[str]:
    """Count the people by what has come of them so far; those on drafts are called by nobody yet."""
    account = sandbox.kataven
    return Counter(
        "draft" if campaign["status"] == "draft" else contact["status"]
        for campaign_id, campaign in list(account.campaigns.items())
        for contact in account.contacts(campaign_id)
    )
