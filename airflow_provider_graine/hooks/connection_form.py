"""
The connection form as Airflow 3.1 wants it: from methods of the hook, in terms of WTForms.

Later versions read ``conn-fields`` and ``ui-field-behaviour`` of the provider's metadata and ask no hook, so both come
from that one description.
"""

from __future__ import annotations

from typing import Any, cast

from airflow_provider_graine.get_provider_info import get_provider_info


def connection_form_widgets(connection_type: str) -> dict[str, Any]:
    """
    Make the form's fields beside the standard ones.

    :param connection_type: as in the provider's metadata
    :return: WTForms fields by their name in the connection's extra
    """
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import BooleanField, IntegerField, StringField

    # Airflow 3.1 knows no field for decimal fractions.
    kinds = {"string": StringField, "integer": IntegerField, "number": IntegerField, "boolean": BooleanField}
    widgets = {}
    for name, field in _described(connection_type)["conn-fields"].items():
        kind = kinds[next(each for each in field["schema"]["type"] if each != "null")]
        look = {} if kind is BooleanField else {"widget": BS3TextFieldWidget()}
        widgets[name] = kind(
            field["label"], description=field["description"], default=field["schema"].get("default"), **look
        )
    return widgets


def ui_field_behaviour(connection_type: str) -> dict[str, Any]:
    """
    Tell which standard fields are hidden and how the others are called.

    :param connection_type: as in the provider's metadata
    :return: ``hidden_fields``, ``relabeling`` and ``placeholders``
    """
    return {key.replace("-", "_"): value for key, value in _described(connection_type)["ui-field-behaviour"].items()}


def _described(connection_type: str) -> dict[str, Any]:
    types = cast("list[dict[str, Any]]", get_provider_info()["connection-types"])
    return next(each for each in types if each["connection-type"] == connection_type)
