"""Airflow finds the installed provider and shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import airflow_provider_graine
from tests.compat import AIRFLOW_VERSION

AIRFLOW = ("-m", "airflow")

#: Asks for the connection form as the API server does for ``/ui/connections/hook_meta``.
FORM = """
import json, sys, warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
    from airflow.providers_manager import ProvidersManager

    [form] = [each for each in HookMetaService.hook_meta_data() if each.connection_type == sys.argv[1]]
    hook = ProvidersManager().hooks[sys.argv[1]]
print(json.dumps({
    "form": form.model_dump(mode="json"), "testable": hook.connection_testable,
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
    seen = json.loads(run("-c", FORM, connection_type["connection-type"]).splitlines()[-1])
    assert seen["warnings"] == []
    assert seen["testable"] is True
    form = seen["form"]
    assert form["hook_name"] == connection_type["hook-name"]

    standard = {"url_schema" if name == "schema" else name: each for name, each in behaviour(connection_type).items()}
    assert {name: each for name, each in form["standard_fields"].items() if each} == standard

    own = {
        name: (field["schema"]["title"], field["description"], field["value"], field["schema"]["type"])
        for name, field in form["extra_fields"].items()
    }
    assert own == {
        name: (field["label"], field["description"], field["schema"].get("default"), kind(field["schema"]["type"]))
        for name, field in connection_type["conn-fields"].items()
    }


def behaviour(connection_type: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the form does with each of the standard fields that are not left as they are."""
    described = connection_type["ui-field-behaviour"]
    return {
        name: {
            "hidden": name in described["hidden-fields"],
            "title": described["relabeling"].get(name),
            "placeholder": described["placeholders"].get(name),
        }
        for name in {*described["hidden-fields"], *described["relabeling"], *described["placeholders"]}
    }


def kind(declared: list[str]) -> list[str]:
    """The type that the form gives a field: Airflow 3.1 has none for decimal fractions."""
    return ["integer", "null"] if declared[0] == "number" and AIRFLOW_VERSION < (3, 2) else declared
