"""What this package tells Airflow about itself; the entry point ``apache_airflow_provider`` names it."""

from __future__ import annotations

from typing import Any

from airflow_provider_graine import __version__

_PACKAGE = "airflow_provider_graine"
_GRAINE = "Graine"
_KATAVEN = "Kataven"


def get_provider_info() -> dict[str, Any]:
    """
    Describe the provider for Airflow's providers manager, which reads it in every process: no imports here.

    :return: a dictionary after Airflow's ``provider_info.schema.json``
    """
    return {
        "package-name": "airflow-provider-graine",
        "name": _GRAINE,
        "description": "AI phone-calling campaigns as steps of a pipeline: contacts in, calls made, results landed.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _GRAINE,
                "external-doc-url": "https://graine.mintlify.app/",
                "tags": ["ai", "service"],
            },
            {
                "integration-name": _KATAVEN,
                "external-doc-url": "https://docs.kataven.ai/",
                "tags": ["ai", "service"],
            },
        ],
        "hooks": [
            {"integration-name": _GRAINE, "python-modules": [f"{_PACKAGE}.hooks.graine"]},
            {"integration-name": _KATAVEN, "python-modules": [f"{_PACKAGE}.hooks.kataven"]},
        ],
        "operators": [
            {"integration-name": _GRAINE, "python-modules": [f"{_PACKAGE}.operators.graine"]},
            {"integration-name": _KATAVEN, "python-modules": [f"{_PACKAGE}.operators.kataven"]},
        ],
        "sensors": [
            {"integration-name": _GRAINE, "python-modules": [f"{_PACKAGE}.sensors.graine"]},
            {"integration-name": _KATAVEN, "python-modules": [f"{_PACKAGE}.sensors.kataven"]},
        ],
        "triggers": [
            {
                "integration-name": _GRAINE,
                "python-modules": [f"{_PACKAGE}.triggers.graine", f"{_PACKAGE}.triggers.pause"],
            },
            {
                "integration-name": _KATAVEN,
                "python-modules": [f"{_PACKAGE}.triggers.kataven", f"{_PACKAGE}.triggers.kataven_start"],
            },
        ],
        "transfers": [
            {
                "source-integration-name": "Common SQL",
                "target-integration-name": _GRAINE,
                "python-module": f"{_PACKAGE}.transfers.sql_to_graine",
            },
            {
                "source-integration-name": "Common IO",
                "target-integration-name": _GRAINE,
                "python-module": f"{_PACKAGE}.transfers.object_storage_to_graine",
            },
            {
                "source-integration-name": _GRAINE,
                "target-integration-name": "Common IO",
                "python-module": f"{_PACKAGE}.transfers.graine_to_object_storage",
            },
            {
                "source-integration-name": "Common SQL",
                "target-integration-name": _KATAVEN,
                "python-module": f"{_PACKAGE}.transfers.sql_to_kataven",
            },
            {
                "source-integration-name": "Common IO",
                "target-integration-name": _KATAVEN,
                "python-module": f"{_PACKAGE}.transfers.object_storage_to_kataven",
            },
            {
                "source-integration-name": _KATAVEN,
                "target-integration-name": "Common IO",
                "python-module": f"{_PACKAGE}.transfers.kataven_to_object_storage",
            },
        ],
        "notifications": [f"{_PACKAGE}.notifications.graine.GraineCallNotifier"],
        "task-decorators": [
            {"name": "graine_batch", "class-name": f"{_PACKAGE}.decorators.graine.graine_batch_task"},
        ],
        "asset-uris": [_asset_uris("graine"), _asset_uris("kataven")],
        "extra-links": [
            f"{_PACKAGE}.operators.links.{link}" for link in ("GraineCallsLink", "KatavenCallsLink", "GraineReportLink")
        ],
        "config": {
            "graine": {
                "description": "The page of calls in Airflow's interface.",
                "options": {
                    "ui_conn_ids": {
                        "description": (
                            "Connections of type graine or kataven that the page offers beside those in Airflow's "
                            "database and the two defaults: names of those in a secrets backend or in environment "
                            "variables, with commas between them."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "graine_emea,kataven_trial",
                        "default": "",
                    },
                    "ui_resource": {
                        "description": (
                            "What the auth manager calls the right to see the page. One that knows only resources of "
                            "its own, as FAB's does, needs the name of one of these."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "DAG Runs",
                        "default": "Graine",
                    },
                },
            },
        },
        "connection-types": [
            {
                "connection-type": "graine",
                "hook-class-name": f"{_PACKAGE}.hooks.graine.GraineHook",
                "hook-name": _GRAINE,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port", "login"],
                    "relabeling": {"host": "Base URL", "password": "API token"},
                    "placeholders": {"host": "https://api.graine.ai/api/v1", "password": "gat_…"},
                },
                "conn-fields": {
                    "organization_id": {
                        "label": "Organization ID",
                        "description": "Sent with requests that take one. Empty: the one that the token belongs to.",
                        "schema": {"type": ["string", "null"]},
                    },
                    **_how_it_is_reached(retries=4),
                    "compress_requests": {
                        "label": "Compress requests",
                        "description": (
                            "Send lists of people compressed (gzip). Whether the service takes that is not documented: "
                            "where it does not, uploads fail and nothing is created."
                        ),
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                },
            },
            {
                "connection-type": "kataven",
                "hook-class-name": f"{_PACKAGE}.hooks.kataven.KatavenHook",
                "hook-name": _KATAVEN,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port", "login"],
                    "relabeling": {"host": "Base URL", "password": "API key or token"},
                    "placeholders": {"host": "https://api.kataven.ai/v1", "password": "sk_live_…"},
                },
                "conn-fields": {
                    "account_id": {
                        "label": "Account ID",
                        "description": (
                            "Needed with a JSON web token; an API key names its account itself. Connections with the "
                            "same ID share the limits on requests."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    "path_prefix": {
                        "label": "Path prefix",
                        "description": (
                            "What comes between the base URL and /campaigns. Empty: /v1 where the base URL has no path "
                            "of its own, else nothing; a single / means nothing."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    **_how_it_is_reached(retries=3),
                    "requests_per_minute": {
                        "label": "Requests per minute",
                        "description": "How many requests the account may make in a minute.",
                        "schema": {"type": ["integer", "null"], "default": 60, "minimum": 1},
                    },
                    "requests_per_hour": {
                        "label": "Requests per hour",
                        "description": "How many requests the account may make in an hour.",
                        "schema": {"type": ["integer", "null"], "default": 1000, "minimum": 1},
                    },
                    "requests_per_day": {
                        "label": "Requests per day",
                        "description": "How many requests the account may make in a day.",
                        "schema": {"type": ["integer", "null"], "default": 10000, "minimum": 1},
                    },
                    "requests_in_flight": {
                        "label": "Requests at a time",
                        "description": "How many requests of the account may be under way at the same time.",
                        "schema": {"type": ["integer", "null"], "default": 20, "minimum": 1},
                    },
                },
            },
        ],
    }


def _asset_uris(scheme: str) -> dict[str, Any]:
    """
    Describe the assets of a service.

    :param scheme: what their URIs begin with
    """
    assets = f"{_PACKAGE}.lineage.assets"
    return {
        "schemes": [scheme],
        "handler": f"{assets}.sanitize_uri",
        "factory": f"{assets}.create_{scheme}_asset",
        "to_openlineage_converter": f"{assets}.convert_asset_to_openlineage",
    }


def _how_it_is_reached(*, retries: int) -> dict[str, Any]:
    """
    Describe the fields that the connections of all services have.

    :param retries: the default
    """
    return {
        "timeout": {
            "label": "Timeout (seconds)",
            "description": "How long the service may stay silent until a request is given up.",
            "schema": {"type": ["number", "null"], "default": 30, "minimum": 1, "maximum": 3600},
        },
        "retries": {
            "label": "Retries",
            "description": (
                "How often a request that changes nothing is repeated when the service is silent or "
                "overloaded. One that starts calls is repeated only if it provably was not sent."
            ),
            "schema": {"type": ["integer", "null"], "default": retries, "minimum": 0, "maximum": 20},
        },
        "allow_http": {
            "label": "Allow plain HTTP",
            "description": (
                "Send the token unencrypted where the base URL begins with http://. "
                "Not needed for this machine's own addresses, such as a local sandbox."
            ),
            "schema": {"type": ["boolean", "null"], "default": False},
        },
        "ca_bundle": {
            "label": "CA bundle",
            "description": "Path of a PEM file with the certificates to trust instead of the usual ones.",
            "schema": {"type": ["string", "null"]},
        },
    }
