"""The connection form's fields are those that the connection is read with."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import jsonschema
import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.services.graine.connection import DEFAULT_BASE_URL, ConnectionFields, read_connection
from airflow_provider_graine.services.settings import ServiceSettings
from tests.provider.test_metadata import airflow_schema

TOKEN = "gat_of-the-tests"


def saved(extra: dict[str, Any]) -> ConnectionFields:
    """Read a connection that the form saved with these fields of its own."""
    return read_connection(host=None, schema=None, port=None, password=TOKEN, extra=extra)


def test_the_form_saved_untouched_gives_the_defaults(connection_type: dict[str, Any]) -> None:
    untouched = {name: field["schema"].get("default") for name, field in connection_type["conn-fields"].items()}
    fields = saved(untouched)
    plain = ServiceSettings(base_url=DEFAULT_BASE_URL, token=TOKEN)
    for name in ("base_url", "timeout", "retries", "allow_http", "ca_bundle", "compress_requests"):
        assert getattr(fields.settings, name) == getattr(plain, name)
    assert fields.organization_id is None


@pytest.mark.parametrize("empty", [None, ""])
def test_a_field_that_was_emptied_has_its_default(connection_type: dict[str, Any], empty: str | None) -> None:
    assert saved(dict.fromkeys(connection_type["conn-fields"], empty)) == saved({})


def test_every_field_of_the_form_has_its_effect(connection_type: dict[str, Any]) -> None:
    filled = {
        "timeout": 5,
        "retries": 1,
        "allow_http": True,
        "ca_bundle": "/etc/ssl/own.pem",
        "compress_requests": True,
    }
    fields = saved({**filled, "organization_id": "org_1"})
    assert {name: getattr(fields.settings, name) for name in filled} == filled
    assert fields.organization_id == "org_1"
    assert set(connection_type["conn-fields"]) == {*filled, "organization_id"}


def test_the_placeholder_is_the_default_base_url(connection_type: dict[str, Any]) -> None:
    assert connection_type["ui-field-behaviour"]["placeholders"]["host"] == DEFAULT_BASE_URL


@pytest.mark.parametrize(("field", "bound"), [("timeout", "maximum"), ("retries", "minimum"), ("retries", "maximum")])
def test_the_form_and_the_reader_have_the_same_bounds(connection_type: dict[str, Any], field: str, bound: str) -> None:
    last = connection_type["conn-fields"][field]["schema"][bound]
    assert getattr(saved({field: last}).settings, field) == last
    with pytest.raises(ConfigurationError):
        saved({field: last + (1 if bound == "maximum" else -1)})


class Field(SimpleNamespace):
    """A form field as Airflow 3.1 puts it in place of the one of WTForms."""

    def __init__(self, label: str, **how: Any) -> None:
        super().__init__(label=label, **how)


@pytest.fixture
def form_libraries(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Field]]:
    """What Airflow 3.1 puts in place of WTForms and Flask-AppBuilder while it asks hooks for their fields."""
    kinds = {name: type(name, (Field,), {}) for name in ("StringField", "IntegerField", "BooleanField")}
    wtforms, builder, widgets = map(ModuleType, ("wtforms", "flask_appbuilder", "flask_appbuilder.fieldwidgets"))
    vars(wtforms).update(kinds)
    vars(widgets)["BS3TextFieldWidget"] = type("BS3TextFieldWidget", (), {})
    for module in (wtforms, builder, widgets):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return kinds


def test_airflow_3_1_is_given_the_same_fields(
    connection_type: dict[str, Any], form_libraries: dict[str, type[Field]]
) -> None:
    fields = GraineHook.get_connection_form_widgets()
    assert {name: type(field).__name__ for name, field in fields.items()} == {
        "organization_id": "StringField",
        "timeout": "IntegerField",
        "retries": "IntegerField",
        "allow_http": "BooleanField",
        "ca_bundle": "StringField",
        "compress_requests": "BooleanField",
    }
    for name, described in connection_type["conn-fields"].items():
        assert fields[name].label == described["label"]
        assert fields[name].description == described["description"]
        assert fields[name].default == described["schema"].get("default")


def test_airflow_3_1_is_given_the_same_behaviour_of_the_standard_fields(connection_type: dict[str, Any]) -> None:
    behaviour = GraineHook.get_ui_field_behaviour()
    jsonschema.validate(behaviour, airflow_schema("customized_form_field_behaviours.schema.json"))
    described = connection_type["ui-field-behaviour"]
    assert behaviour == {
        "hidden_fields": described["hidden-fields"],
        "relabeling": described["relabeling"],
        "placeholders": described["placeholders"],
    }
