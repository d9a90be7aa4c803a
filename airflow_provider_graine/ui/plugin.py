"""
The plugin that brings the page into Airflow; named by the entry point ``airflow.plugins``.

Every process of Airflow loads plugins, workers too: nothing is imported here before an API server asks for the page.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

try:
    from airflow.sdk.plugins_manager import AirflowPlugin
except ImportError:  # Airflow 3.1
    from airflow.plugins_manager import AirflowPlugin  # type: ignore[assignment]

from airflow_provider_graine.operators.links import PAGE, PREFIX

#: The page in Airflow's navigation. Addresses are relative to Airflow's own, which may have a path.
VIEW: Final = {
    "name": "Calls",
    "href": f"{PREFIX}/",
    "url_route": PAGE,
    "destination": "nav",
    "icon": f"{PREFIX}/static/icon.svg",
    "nav_top_level": True,
}


class GrainePlugin(AirflowPlugin):
    """The page "Calls", served below ``/graine``."""

    name = "graine"
    external_views = [VIEW]  # noqa: RUF012 - as Airflow declares it

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application behind the page, made on first use."""
        from airflow_provider_graine.ui.app import make_app

        return [{"app": make_app(), "url_prefix": f"/{PREFIX}", "name": "Graine"}]
