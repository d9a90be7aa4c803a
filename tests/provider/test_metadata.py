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
from airflow.sdk import BaseHook, BaseNotifier, BaseOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_graine
from tests.compat import AIRFLOW_VERSION

PACKAGE = "airflow_provider_graine"
FOLDERS: dict[str, type] = {
    "hooks": BaseHook,
    "operators": BaseOperator,
    "sensors": BaseOperator,
    "triggers": BaseTrigger,
    "transfers": BaseOperator,
    "notifications": BaseNotifier,
    "decorators": BaseOperator,
}

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
    "operators.graine_report": ["GraineReportOperator"],
    "operators.kataven_report": ["KatavenReportOperator"],
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
    "notifications.graine": ["GraineCallNotifier"],
    "decorators.graine": ["GraineBatchDecoratedOperator"],
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


def closed_schema() -> dict[str, Any]:
    """The same with unknown keys refused at every level: Airflow ignores them silently."""
    schema = strict_schema()
    for key, kind in (("task-decorators", "class-name"), ("plugins", "plugin-class")):
        # Before 3.4 these describe nothing: their keys stand where no validator looks.
        if "type" not in schema["properties"][key]["items"]:
            names = ["name", kind]
            described = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
            schema["properties"][key]["items"] = {**described, "required": names}
    if AIRFLOW_VERSION >= (3, 2):
        connection_type = schema["properties"]["connection-types"]["items"]["properties"]
        behaviour = connection_type["ui-field-behaviour"]["properties"]
        for renamed in ("relabeling", "placeholders"):
            behaviour[renamed]["propertyNames"] = {"enum": behaviour["hidden-fields"]["items"]["enum"]}
    return closed(schema)


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    refused = {"additionalProperties": False} if "properties" in schema else {}
    return {key: closed(each) for key, each in schema.items()} | refused


#: What an older Airflow does not know: the first version that does, where it stands, and what to put there before.
LATER: list[tuple[tuple[int, int], str, Any]] = [
    ((3, 2), "integrations.*.tags", ["service"]),
    ((3, 2), "connection-types.*.ui-field-behaviour", None),
    ((3, 2), "connection-types.*.conn-fields", None),
    ((3, 3), "connection-types.*.hook-name", None),
]
TOO_NEW = [(path, before) for since, path, before in LATER if since > AIRFLOW_VERSION]


def known(info: dict[str, Any], *, but: str = "") -> dict[str, Any]:
    """
    The metadata as far as this Airflow knows them.

    :param but: what is left in although it does not
    """
    known = copy.deepcopy(info)
    for path, before in TOO_NEW:
        for parent, key in places(known, path) if path != but else ():
            parent[key] = before
            if before is None:
                del parent[key]
    return known


def places(tree: Any, path: str) -> list[tuple[Any, Any]]:
    """Where a path leads to, each as what holds it and the key there; ``*`` is any item of a list."""
    first, _, rest = path.partition(".")
    keys = list(range(len(tree))) if first == "*" else [first] if first in tree else []
    return [place for key in keys for place in places(tree[key], rest)] if rest else [(tree, key) for key in keys]


def listed_modules(info: dict[str, Any]) -> set[str]:
    of_kinds = [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info[kind]
        for module in entry["python-modules"]
    ]
    named = [*info["notifications"], *(entry["class-name"] for entry in info["task-decorators"])]
    return {
        *of_kinds,
        *(entry["python-module"] for entry in info["transfers"]),
        *(name.rpartition(".")[0] for name in named),
    }


def components() -> Iterator[type]:
    """Every hook, operator, sensor, trigger, notifier and decorator a DAG author could use."""
    for folder, kind in FOLDERS.items():
        package = importlib.import_module(f"{PACKAGE}.{folder}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, each in inspect.getmembers(importlib.import_module(found.name), inspect.isclass):
                if (
                    each.__module__ == found.name
                    and not name.startswith("_")
                    and issubclass(each, kind)
                    and not any(getattr(member, "__isabstractmethod__", False) for member in vars(each).values())
                ):
                    yield each


def test_the_metadata_satisfies_the_schema_airflow_checks_it_with(info: dict[str, Any]) -> None:
    jsonschema.validate(info, airflow_schema("provider_info.schema.json"))


def test_the_metadata_have_no_key_that_airflow_would_ignore(info: dict[str, Any]) -> None:
    jsonschema.validate(known(info), closed_schema())


def test_what_is_too_new_for_this_airflow_is_unknown_to_it(info: dict[str, Any]) -> None:
    for path, _ in TOO_NEW:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(known(info, but=path), closed_schema())


MISSPELT = [
    ("integrations", "integration"),
    ("integrations.*.external-doc-url", "external-doc-uri"),
    ("operators.*.python-modules", "python-module"),
    ("transfers.*.python-module", "python-modules"),
    ("task-decorators.*.class-name", "path"),
    ("asset-uris.*.schemes", "scheme"),
    ("connection-types.*.hook-class-name", "hook-class"),
    ("connection-types.*.hook-name", "hook_name"),
    ("connection-types.*.ui-field-behaviour", "ui_field_behaviour"),
    ("connection-types.*.ui-field-behaviour.hidden-fields", "hidden_fields"),
    ("connection-types.*.ui-field-behaviour.relabeling.host", "hosts"),
    ("connection-types.*.ui-field-behaviour.placeholders.password", "token"),
    ("connection-types.*.conn-fields", "conn_fields"),
    ("connection-types.*.conn-fields.timeout.label", "title"),
    ("connection-types.*.conn-fields.timeout.schema.minimum", "min"),
]


@pytest.mark.parametrize(
    ("path", "misspelt"), [each for each in MISSPELT if not each[0].startswith(tuple(path for path, _ in TOO_NEW))]
)
def test_a_misspelt_key_is_noticed(info: dict[str, Any], path: str, misspelt: str) -> None:
    assert places(info, path)
    for index, _ in enumerate(places(info, path)):
        metadata = known(info)
        parent, key = places(metadata, path)[index]
        parent[misspelt] = parent.pop(key)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(metadata, closed_schema())


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
