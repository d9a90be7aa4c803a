"""The connection form's fields are those that the connection is read with."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import jsonschema
import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.hooks.calling_service import CallingServiceHook
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.services.graine import connection as graine
from airflow_provider_graine.services.kataven import connection as kataven
from tests.provider.test_metadata import airflow_schema

HOOKS: dict[str, type[CallingServiceHook]] = {"graine": GraineHook, "kataven": KatavenHook}
BASE_URLS = {"graine": graine.DEFAULT_BASE_URL, "kataven": kataven.DEFAULT_BASE_URL}
NO_ADDRESS: dict[str, Any] = {"host": None, "schema": None, "port": None, "password": "token_of-the-tests"}

COMMON = {"timeout": 5, "retries": 1, "allow_http": True, "ca_bundle": "/etc/ssl/own.pem"}
LIMITS = {"requests_per_minute": 1, "requests_per_hour": 2, "requests_per_day": 3, "requests_in_flight": 4}
FILLED: dict[str, dict[str, Any]] = {
    "graine": {**COMMON, "organization_id": "org_1", "compress_requests": True},
    "kataven": {**COMMON, **LIMITS, "account_id": "acme", "path_prefix": "/hub-api/"},
}


@pytest.fixture
def kind(connection_type: dict[str, Any]) -> str:
    found: str = connection_type["connection-type"]
    return found


def saved(kind: str, extra: dict[str, Any]) -> dict[str, Any]:
    """Read a connection that the form saved with these fields of its own; gives them as they were understood."""
    given = {name: value for name, value in extra.items() if value is not None}
    if kind == "graine":
        fields = graine.read_connection(**NO_ADDRESS, extra=given)
        settings = fields.settings
        own = {"organization_id": fields.organization_id, "compress_requests": settings.compress_requests}
    else:
        settings = kataven.read_connection(**NO_ADDRESS, extra=given)
        limits = settings.limits
        assert limits is not None
        own = {
            "requests_per_minute": limits.per_minute,
            "requests_per_hour": limits.per_hour,
            "requests_per_day": limits.per_day,
            "requests_in_flight": limits.in_flight,
            "account_id": limits.account,
            "path_prefix": settings.base_url.removeprefix("https://api.kataven.ai"),
        }
    return {**{name: getattr(settings, name) for name in COMMON}, **own}


def test_the_form_saved_untouched_gives_the_defaults(connection_type: dict[str, Any], kind: str) -> None:
    untouched = {name: field["schema"].get("default") for name, field in connection_type["conn-fields"].items()}
    understood = saved(kind, untouched)
    assert understood == saved(kind, {})
    assert {name: understood[name] for name, default in untouched.items() if default is not None} == {
        name: default for name, default in untouched.items() if default is not None
    }


@pytest.mark.parametrize("empty", [None, ""])
def test_a_field_that_was_emptied_has_its_default(
    connection_type: dict[str, Any], kind: str, empty: str | None
) -> None:
    assert saved(kind, dict.fromkeys(connection_type["conn-fields"], empty)) == saved(kind, {})


def test_every_field_of_the_form_has_its_effect(connection_type: dict[str, Any], kind: str) -> None:
    understood = saved(kind, FILLED[kind])
    assert {name: str(value).rstrip("/") for name, value in understood.items()} == {
        name: str(value).rstrip("/") for name, value in FILLED[kind].items()
    } | {"timeout": "5.0"}
    assert set(connection_type["conn-fields"]) == set(FILLED[kind])


def test_the_placeholder_is_the_default_base_url(connection_type: dict[str, Any], kind: str) -> None:
    assert connection_type["ui-field-behaviour"]["placeholders"]["host"] == BASE_URLS[kind]


def test_the_form_and_the_reader_have_the_same_bounds(connection_type: dict[str, Any], kind: str) -> None:
    bounds = 0
    for name, field in connection_type["conn-fields"].items():
        for bound, beyond in (("minimum", -1), ("maximum", 1)):
            # The reader takes timeouts below the form's least, for tests.
            if bound in field["schema"] and (name, bound) != ("timeout", "minimum"):
                bounds += 1
                last = field["schema"][bound]
                assert saved(kind, {name: last})[name] == last
                with pytest.raises(ConfigurationError):
                    saved(kind, {name: last + beyond})
    assert bounds >= 3


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
    connection_type: dict[str, Any], kind: str, form_libraries: dict[str, type[Field]]
) -> None:
    fields = HOOKS[kind].get_connection_form_widgets()
    known = {"string": "StringField", "number": "IntegerField", "integer": "IntegerField", "boolean": "BooleanField"}
    assert set(fields) == set(connection_type["conn-fields"])
    for name, described in connection_type["conn-fields"].items():
        assert type(fields[name]).__name__ == known[described["schema"]["type"][0]]
        assert fields[name].label == described["label"]
        assert fields[name].description == described["description"]
        assert fields[name].default == described["schema"].get("default")


def test_airflow_3_1_is_given_the_same_behaviour_of_the_standard_fields(
    connection_type: dict[str, Any], kind: str
) -> None:
    behaviour = HOOKS[kind].get_ui_field_behaviour()
    jsonschema.validate(behaviour, airflow_schema("customized_form_field_behaviours.schema.json"))
    described = connection_type["ui-field-behaviour"]
    assert behaviour == {
        "hidden_fields": described["hidden-fields"],
        "relabeling": described["relabeling"],
        "placeholders": described["placeholders"],
    }
