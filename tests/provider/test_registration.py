"""Airflow finds the installed provider and shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import airflow_provider_graine

AIRFLOW = ("-m", "airflow")

LOOK = """
import json, sys, warnings
from airflow.exceptions import AirflowProviderDeprecationWarning
from airflow.providers_manager import ProvidersManager

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    manager = ProvidersManager()
    hook = manager.hooks[sys.argv[1]]
    behaviour = manager.field_behaviours[sys.argv[1]]
    fields = {
        widget.field_name: widget.field
        for widget in manager.connection_form_widgets.values()
        if widget.hook_class_name == hook.hook_class_name
    }
print(json.dumps({
    "hook": hook._asdict(), "behaviour": behaviour, "fields": fields,
    "warnings": [str(each.message) for each in caught if "graine" in str(each.message).lower()],
}))
"""


def test_the_entry_point_gives_the_metadata(info: dict[str, Any]) -> None:
    [entry] = [
        each
        for each in entry_points(group="apache_airflow_provider")
        if each.dist is not None and each.dist.name == "airflow-provider-graine"
    ]
    assert entry.load()() == info


def test_airflow_providers_get_shows_it(run: Callable[..., str]) -> None:
    [shown] = json.loads(run(*AIRFLOW, "providers", "get", "airflow-provider-graine", "--output", "json"))
    assert shown == {"Provider": "airflow-provider-graine", "Version": airflow_provider_graine.__version__}


def test_airflow_providers_hooks_shows_the_connection_types(run: Callable[..., str]) -> None:
    hooks = json.loads(run(*AIRFLOW, "providers", "hooks", "--output", "json"))
    ours = {each["connection_type"]: each for each in hooks if each["connection_type"] in {"graine", "kataven"}}
    assert ours == {
        kind: {
            "connection_type": kind,
            "class": f"airflow_provider_graine.hooks.{kind}.{name}Hook",
            "conn_id_attribute_name": f"{kind}_conn_id",
            "package_name": "airflow-provider-graine",
            "hook_name": name,
        }
        for kind, name in (("graine", "Graine"), ("kataven", "Kataven"))
    }


def test_airflow_shows_the_connection_form_and_warns_of_nothing(
    run: Callable[..., str], connection_type: dict[str, Any]
) -> None:
    seen = json.loads(run("-c", LOOK, connection_type["connection-type"]).splitlines()[-1])
    assert seen["warnings"] == []
    assert seen["hook"]["connection_testable"] is True
    assert seen["behaviour"]["relabeling"] == connection_type["ui-field-behaviour"]["relabeling"]
    assert sorted(seen["behaviour"]["hidden_fields"]) == ["login", "port", "schema"]
    assert {name: field["schema"]["title"] for name, field in seen["fields"].items()} == {
        name: field["label"] for name, field in connection_type["conn-fields"].items()
    }
    defaults = {name: field["schema"].get("default") for name, field in connection_type["conn-fields"].items()}
    assert {name: field.get("value") for name, field in seen["fields"].items()} == defaults
