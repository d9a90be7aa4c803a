"""What pydantic found wrong, said in the words of the person who wrote the DAG."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from airflow_provider_graine.exceptions import ConfigurationError

M = TypeVar("M", bound=BaseModel)

_RULES = {
    "extra_forbidden": "there is no such field",
    "missing": "is required",
    "model_type": "must be a mapping of fields to values",
}
_PERSONAL = re.compile(r"\d[\d\s().-]{5,}\d")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,40}|(?i:(?:mon|tues|wednes|thurs|fri|satur|sun)day)")


def checked(model: type[M], values: Any, *, what: str) -> M:
    """
    Build a document to send, or say which of its values are wrong.

    :param model: the document's model
    :param values: the author's values by field; those that are ``None`` count as not given
    :param what: the document's name, for the message
    :raises ConfigurationError: naming each wrong argument and the rule it breaks, never its value
    """
    given = values
    if isinstance(values, Mapping):
        given = {name: value for name, value in values.items() if value is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = explain(error)
    raise ConfigurationError(f"The {what} is not as the service takes it. {problems} Nothing was sent.")


def field_name(name: object) -> str:
    """
    Return the name of a field that there is not, unless it is none: somebody may have put people where names belong.

    :param name: as it was given
    """
    text = str(name)
    return text if _FIELD.fullmatch(text) and not _PERSONAL.search(text) else "…"


def explain(error: ValidationError) -> str:
    """List the wrong fields and the rules they break; values, and numbers for names, may be personal: left out."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = _PERSONAL.sub("…", ".".join(str(part) for part in problem["loc"]))
        if problem["type"] == "extra_forbidden":
            where = ".".join(field_name(part) if isinstance(part, str) else str(part) for part in problem["loc"])
        rule = _RULES.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
        rule = rule.replace("Input should be", "must be")
        lines.append(f"{where}: {rule}" if where else rule)
    return "; ".join(lines) + "."
