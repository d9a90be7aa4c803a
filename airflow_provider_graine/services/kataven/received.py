"""
The documents that Kataven answers with.

Only the campaign's fields are documented; what lists, contacts and events look like is not, so they are taken in every
shape that can be told apart.
"""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, Field, model_validator

from airflow_provider_graine.services.answers import Answer, Id, Status


class Campaign(Answer):
    """A campaign. It says neither how many people are on it nor what came of them."""

    campaign_id: Id = Field(validation_alias=AliasChoices("id", "campaign_id"))
    name: str | None = None
    agent_id: str | None = None
    phone_number_id: str | None = None
    status: Status | None = None
    max_concurrent_calls: int | None = None
    retries_per_contact: int | None = None
    retry_delay_seconds: int | None = None
    scheduled_at: str | None = None
    created_at: str | None = None
    created_by: str | None = None
    started_at: str | None = None
    completed_at: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, value: Any) -> Any:
        if isinstance(value, dict) and not {"id", "campaign_id"} & set(value):
            return next((value[name] for name in ("campaign", "data") if isinstance(value.get(name), dict)), value)
        return value


class StateChange(Answer):
    """The answer to start, pause, resume and stop; the campaign's state is to be read where it matters."""

    campaign_id: str | None = Field(default=None, validation_alias=AliasChoices("id", "campaign_id"))
    status: Status | None = None


class CampaignContact(Answer):
    """A person on a campaign."""

    contact_id: str | None = Field(default=None, validation_alias=AliasChoices("id", "contact_id"))
    phone_number: str | None = None
    status: Status | None = None
    custom_fields: dict[str, Any] | None = None

    @property
    def identity(self) -> str:
        """What the person is told apart by in the list: the id, or what there is."""
        return self.contact_id or self.phone_number or self.model_dump_json()


class CampaignSnapshot(Answer):
    """The figures of a campaign at one moment, out of its stream of events."""

    status: Status | None = None


class CallLimits(Answer):
    """The account's limits on calls; 0 means none at all."""

    calls_per_minute: int | None = None
    concurrent_max: int | None = None
    daily_calls_max: int | None = None
    daily_minutes_max: int | None = None


def rows(answer: Any, name: str) -> list[Any]:
    """
    Find the rows in the answer of a list.

    :param answer: a list, or an object with one inside
    :param name: what the rows are most likely called there
    :raises ValueError: when there is no list, or it cannot be told which one it is
    """
    if isinstance(answer, list):
        return answer
    if not isinstance(answer, dict):
        raise ValueError("no list")
    lists = {
        key: value
        for key, value in answer.items()
        if isinstance(value, list) and all(isinstance(row, dict) for row in value)
    }
    if name in lists:
        return lists[name]
    if len(lists) == 1:
        return next(iter(lists.values()))
    if not lists and name in answer and answer[name] is None:
        return []
    raise ValueError("no list, or several")
