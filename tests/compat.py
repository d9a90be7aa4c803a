"""What the tests use of Airflow and older versions have elsewhere or not at all."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

#: The minor release, such as ``(3, 3)``.
AIRFLOW_VERSION = tuple(int(part) for part in version("apache-airflow-core").split(".")[:2])

if TYPE_CHECKING or AIRFLOW_VERSION >= (3, 2):
    from airflow.sdk.exceptions import (
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferred,
    )
    from airflow.sdk.serde import deserialize, serialize
else:
    from airflow.exceptions import (
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferred,
    )
    from airflow.serialization.serde import deserialize, serialize

#: With what the triggerer cancels a trigger whose task a user has ended; before 3.3 it says nothing.
USER_ACTION: tuple[str, ...] = ()
if AIRFLOW_VERSION >= (3, 3):
    from airflow.jobs.triggerer_job_runner import _USER_ACTION_CANCEL_MSG

    USER_ACTION = (_USER_ACTION_CANCEL_MSG,)

__all__ = [
    "AIRFLOW_VERSION",
    "USER_ACTION",
    "AirflowRescheduleException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "TaskDeferred",
    "deserialize",
    "serialize",
]
