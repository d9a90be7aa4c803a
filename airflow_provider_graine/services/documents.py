"""
What the documents that are sent to services have in common: they are checked before anything leaves.

Unknown fields are refused: a misspelt ``working_hour`` must not be lost in silence.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from airflow_provider_graine.exceptions import ConfigurationError

_E164 = re.compile(r"\+[1-9]\d{6,14}")


def _e164(value: str) -> str:
    if not _E164.fullmatch(value):
        raise ValueError("must be a phone number in E.164 form: a plus sign, country code and number, digits only")
    return value


def moment(value: Any) -> datetime:
    """
    Read a moment, for a field's validator.

    :param value: a datetime, or a string in ISO 8601
    :raises ValueError: when it is neither, or a date without a time of day
    """
    if isinstance(value, str):
        value = _from_text(value.strip().upper())
    if not isinstance(value, datetime):
        kind = "a date without a time of day" if isinstance(value, date) else f"of type {type(value).__name__}"
        raise ValueError(f"must be a datetime or a string, not {kind}")
    return value


def _from_text(text: str) -> datetime | date:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise ValueError('must be a date and time such as "2026-05-12T09:00:00" or "2026-05-12T03:30:00Z"')


def in_utc(value: datetime) -> str:
    """
    Write an aware moment as UTC with ``Z``: how services take another offset, or fractions of a second, is not known.

    :raises ValueError: when it lies outside of the years that can be written
    """
    try:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    except OverflowError:
        raise ValueError("lies outside of the years 1 to 9999") from None


E164 = Annotated[str, AfterValidator(_e164)]
Name = Annotated[str, Field(min_length=1)]


class Document(BaseModel):
    """A JSON document of a request; only the fields that were given travel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def encoded(self) -> bytes:
        """
        Return the JSON text to send.

        :raises ConfigurationError: when a value cannot be written as JSON
        """
        try:
            return self.model_dump_json(exclude_unset=True, exclude_none=True).encode()
        except ValueError:  # its text may quote the value
            pass
        raise ConfigurationError(
            f"A value in {' or '.join(sorted(self.model_fields_set))} cannot be written as JSON: only text, numbers, "
            "booleans, dates, lists and mappings can. Nothing was sent."
        )
