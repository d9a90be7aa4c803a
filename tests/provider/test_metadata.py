"""The provider's metadata: as Airflow's schemas want it, without typos, and true."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from airflow.sdk import BaseHook, BaseOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_graine

PACKAGE = "airflow_provider_graine"
FOLDERS = ("hooks", "operators", "sensors", "triggers", "transfers")

#: The names that DAG authors may rely on.
PUBLIC = {
    "hooks.graine": ["GraineHook"],
    "hooks.kataven": ["KatavenHook"],
    "operators.graine": [
        "GraineCancelBatchOperator",
        "GraineCancelCampaignOperator",
        "GraineCreateBatchOperator",
        "GraineCreateCampaignOperator",
        "GraineDeleteCampaignOperator",
        "GraineDispatchBatchOperator",
        "GrainePauseBatchOperator",
        "GrainePauseCampaignOperator",
        "GraineResumeBatchOperator",
        "GraineResumeCampaignOperator",
        "GraineUpdateCampaignOperator",
    ],
    "operators.kataven": [
        "KatavenCreateCampaignOperator",
        "KatavenDeleteCampaignOperator",
        "KatavenPauseCampaignOperator",
        "KatavenResumeCampaignOperator",
        "KatavenStartCampaignOperator",
        "KatavenStopCampaignOperator",
    ],
    "sensors.graine": ["GraineBatchSensor", "GraineCampaignSensor"],
    "sensors.kataven": ["KatavenCampaignSensor"],
    "triggers.graine": ["GraineBatchTrigger", "GraineCampaignTrigger"],
    "triggers.kataven": ["KatavenCampaignTrigger"],
    "transfers.sql_to_graine": ["SqlToGraineOperator"],
    "transfers.object_storage_to_graine": ["ObjectStorageToGraineOperator"],
    "transfers.graine_to_object_storage": ["GraineToObjectStorageOperator"],
    "transfers.sql_to_kataven": ["SqlToKatavenOperator"],
    "transfers.object_storage_to_kataven": ["ObjectStorageToKatavenOperator"],
    "transfers.kataven_to_object_storage": ["KatavenToObjectStorageOperator"],
}


def airflow_schema(name: str) -> dict[str, Any]:
    return json.loads((files("airflow") / name).read_text())


def strict_schema() -> dict[str, Any]:
    """Airflow's schema for ``provider.yaml``, less the keys that only its own release process needs."""
    schema = airflow_schema("provider.yaml.schema.json")
    del schema["required"]
    return schema


def closed_connection_type() -> dict[str, Any]:
    """The same for one connection type, with unknown keys refused: Airflow ignores them silently."""
    item: dict[str, Any] = copy.deepcopy(strict_schema()["properties"]["connection-types"]["items"])
    item["additionalProperties"] = False
    item["required"] = sorted(item["properties"])
    behaviour = item["properties"]["ui-field-behaviour"]["properties"]
    field_names = behaviour["hidden-fields"]["items"]["enum"]
    for renamed in ("relabeling", "placeholders"):
        behaviour[renamed]["propertyNames"] = {"enum": field_names}
    field = item["properties"]["conn-fields"]["additionalProperties"]
    field["properties"]["schema"]["additionalProperties"] = False
    return item


def listed_modules(info: dict[str, Any]) -> set[str]:
    of_kinds = [
        module for kind in FOLDERS if kind != "transfers" for entry in info[kind] for module in entry["python-modules"]
    ]
    return {*of_kinds, *(entry["python-module"] for entry in info["transfers"])}


def components() -> Iterator[type]:
    """Every hook, operator, sensor and trigger a DAG author could use."""
    for folder in FOLDERS:
        package = importlib.import_module(f"{PACKAGE}.{folder}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, each in inspect.getmembers(importlib.import_module(found.name), inspect.isclass):
                if (
                    each.__module__ == found.name
                    and not name.startswith("_")
                    and issubclass(each, BaseHook | BaseOperator | BaseTrigger)
                    and not any(getattr(member, "__isabstractmethod__", False) for member in vars(each).values())
                ):
                    yield each


def test_the_metadata_satisfies_the_schema_airflow_checks_it_with(info: dict[str, Any]) -> None:
    jsonschema.validate(info, airflow_schema("provider_info.schema.json"))


def test_the_metadata_satisfies_the_strict_schema(info: dict[str, Any]) -> None:
    jsonschema.validate(info, strict_schema())


def test_the_connection_type_has_no_key_that_airflow_would_ignore(connection_type: dict[str, Any]) -> None:
    jsonschema.validate(connection_type, closed_connection_type())


@pytest.mark.parametrize(
    ("path", "misspelt"),
    [
        (["ui-field-behaviour"], "ui_field_behaviour"),
        (["conn-fields"], "conn_fields"),
        (["hook-name"], "hook_name"),
        (["ui-field-behaviour", "hidden-fields"], "hidden_fields"),
        (["ui-field-behaviour", "relabeling", "host"], "hosts"),
        (["ui-field-behaviour", "placeholders", "password"], "token"),
        (["conn-fields", "timeout", "label"], "title"),
        (["conn-fields", "timeout", "schema", "minimum"], "min"),
    ],
)
def test_a_misspelt_key_is_noticed(connection_type: dict[str, Any], path: list[str], misspelt: str) -> None:
    *parents, name = path
    place = connection_type
    for parent in parents:
        place = place[parent]
    place[misspelt] = place.pop(name)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(connection_type, closed_connection_type())


def test_the_transfers_name_integrations_that_exist(info: dict[str, Any]) -> None:
    from airflow.providers.common.io.get_provider_info import get_provider_info as common_io
    from airflow.providers.common.sql.get_provider_info import get_provider_info as common_sql

    known = {each["integration-name"] for one in (info, common_io(), common_sql()) for each in one["integrations"]}
    ends = {each[end] for each in info["transfers"] for end in ("source-integration-name", "target-integration-name")}
    assert ends <= known


def test_name_and_version_are_those_of_the_package(info: dict[str, Any]) -> None:
    assert info["package-name"] == "airflow-provider-graine"
    assert info["versions"] == [airflow_provider_graine.__version__]


def test_the_connection_type_agrees_with_its_hook(connection_type: dict[str, Any]) -> None:
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook.conn_type == connection_type["connection-type"]
    assert hook.hook_name == connection_type["hook-name"]
    assert hook.conn_name_attr == f"{hook.conn_type}_conn_id"
    assert hook.default_conn_name == f"{hook.conn_type}_default"


def test_every_component_is_in_a_listed_module(info: dict[str, Any]) -> None:
    listed = listed_modules(info)
    offered = {
        name: {each for each in components() if vars(importlib.import_module(name)).get(each.__name__) is each}
        for name in listed
    }
    assert set().union(*offered.values()) == set(components())
    assert all(offered.values())


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_there(module: str) -> None:
    here = [each for each in components() if each.__module__ == f"{PACKAGE}.{module}"]
    assert sorted(each.__name__ for each in here) == PUBLIC[module]
    assert all(each.__doc__ for each in here)
