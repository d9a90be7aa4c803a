"""
What the documents that services answer with have in common: they are read tolerantly.

New fields are kept, missing ones are ``None``, and a status is any word: what a status means is decided by whoever
waits for it.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Id = Annotated[str, Field(min_length=1)]
Status = Annotated[str, BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)]
Counts = Annotated[
    dict[str, int],
    BeforeValidator(
        lambda value: (
            {name: count for name, count in value.items() if count is not None} if isinstance(value, dict) else value
        )
    ),
]


@cache
def _never_null(document: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in document.model_fields.items() if field.default is not None)


class Answer(BaseModel):
    """A JSON document of an answer; fields we do not know are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_as_missing(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        no_nulls = _never_null(cls)
        return {name: each for name, each in value.items() if each is not None or name not in no_nulls}
