"""The connection to Graine, for callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.hooks.graine import GraineHook

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_graine.services.settings import ServiceSettings

#: Airflow ends a worker's callbacks after 20 s (``[core] task_success_overtime``), the DAG processor's after 50 s.
_TIMEOUT: Final = 8.0
_RETRIES: Final = 1


class BriefHook(GraineHook):
    """A hook that has little time."""

    def read_settings(self, connection: Connection, extra: Mapping[str, Any]) -> ServiceSettings:
        """Read how the service is reached, and do not wait for long."""
        settings = super().read_settings(connection, extra)
        return replace(settings, timeout=min(settings.timeout, _TIMEOUT), retries=min(settings.retries, _RETRIES))
