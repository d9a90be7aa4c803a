"""The hours that an author gives a campaign of a service that has none itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.waiting.hours import CallingHours


def read_calling_hours(calling_hours: Mapping[str, Any] | None) -> CallingHours | None:
    """
    Read and check what an author has written.

    :param calling_hours: ``{"timezone": …, "working_hours": {…}}``, each as Graine's campaigns have it; weekdays left
        out are days without calls
    :return: the hours; ``None`` where people may be called at any time
    :raises ConfigurationError: when a part is missing or wrong, or nobody could ever be called
    """
    from pydantic import ValidationError

    from airflow_provider_graine.services.documents import Document
    from airflow_provider_graine.services.validation import explain
    from airflow_provider_graine.services.working_hours import Timezone, WorkingHours

    class Hours(Document):
        timezone: Timezone
        working_hours: WorkingHours

    if calling_hours is None:
        return None
    try:
        read = Hours.model_validate(calling_hours)
    except ValidationError as error:
        problems = explain(error)
    else:
        week = read.working_hours.model_dump()
        if not any(day["enabled"] for day in week.values()):
            problems = "working_hours: all days are disabled, so that nobody could ever be called."
        else:
            return CallingHours.of(timezone=read.timezone, working_hours=week, enforced=True)
    raise ConfigurationError(f"calling_hours are not as they have to be. {problems} Nothing was sent.")
