"""
The documents that are sent to Kataven, checked before anything leaves.

Fields and defaults are those of https://docs.kataven.ai/api-reference/campaigns/create-a-campaign.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.services.documents import E164, Document, Name, in_utc, moment
from airflow_provider_graine.services.validation import checked

#: Most bytes of a contact file: "10 MB". Whether that is 10 · 1024² is not documented, so it is the lesser.
MOST_CONTACT_BYTES: Final = 10_000_000

#: The column that a contact file must have; all others become the contact's ``custom_fields``.
PHONE_COLUMN: Final = "phone_number"


def _scheduled_at(value: Any) -> str:
    start = moment(value)
    if start.utcoffset() is None:
        raise ValueError('needs a time zone, as in "2026-05-12T09:00:00Z"')
    return in_utc(start)


class CreateCampaign(Document):
    """Everything of ``POST /campaigns`` but the contacts."""

    name: Name
    agent_id: Name
    phone_number_id: Name
    max_concurrent_calls: int | None = Field(default=None, ge=1, le=100)
    retries_per_contact: int | None = Field(default=None, ge=0, le=5)
    retry_delay_seconds: int | None = Field(default=None, ge=60)
    scheduled_at: Annotated[str, BeforeValidator(_scheduled_at)] | None = None

    def fields(self) -> dict[str, str]:
        """Return the fields of the form to send."""
        return {name: str(value) for name, value in self.model_dump(exclude_none=True).items()}


class Contact(Document):
    """A person to call."""

    phone_number: E164
    custom_fields: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


def contact_file(contacts: Iterable[Mapping[str, Any]] | bytes) -> bytes:
    """
    Make the file of contacts, or check one that is there.

    :param contacts: ``{"phone_number": E.164, "custom_fields": {…}}`` each, or the CSV itself
    :return: CSV in UTF-8, with headers
    :raises ConfigurationError: when nobody is on it, it is too large, or it is not as the service takes it
    """
    content = contacts if isinstance(contacts, bytes) else _as_csv(contacts)
    if len(content) > MOST_CONTACT_BYTES:
        raise ConfigurationError(
            f"The contacts are {len(content):,} bytes of CSV, and a campaign takes at most {MOST_CONTACT_BYTES:,}. "
            "Nothing was sent; make several campaigns of them."
        )
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        header = next(csv.reader(text), [])
    except (UnicodeDecodeError, csv.Error):
        header = []
    if PHONE_COLUMN not in header:
        raise ConfigurationError(
            f"The contacts are no CSV in UTF-8 whose first row has the column {PHONE_COLUMN}. Nothing was sent."
        )
    if not text.read().strip():
        raise ConfigurationError("A campaign needs at least one contact. Nothing was sent.")
    return content


def _as_csv(contacts: Iterable[Mapping[str, Any]]) -> bytes:
    people = [
        checked(Contact, contact, what=f"contact at position {position} of the list")
        for position, contact in enumerate(contacts, 1)
    ]
    columns = dict.fromkeys(name for person in people for name in person.custom_fields)
    if PHONE_COLUMN in columns:
        raise ConfigurationError(f"{PHONE_COLUMN} is no name for one of the custom_fields. Nothing was sent.")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([PHONE_COLUMN, *columns])
    for person in people:
        writer.writerow([person.phone_number, *(_cell(person.custom_fields.get(name)) for name in columns)])
    return text.getvalue().encode()


def _cell(value: str | float | bool | None) -> str | float | None:
    return str(value).lower() if isinstance(value, bool) else value
