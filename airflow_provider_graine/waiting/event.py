"""What a trigger tells the worker when a wait is over, read back into a result or an error."""

from __future__ import annotations

from typing import Any

from airflow_provider_graine import exceptions
from airflow_provider_graine.exceptions import CallingError, WaitError
from airflow_provider_graine.waiting.decision import Step


def read_event(event: Any) -> str:
    """
    Read a trigger's event.

    :param event: as the trigger fired it
    :return: the message of a wait that ended well
    :raises TimeoutError: when the time to wait was over
    :raises WaitError: when the calls ended in another way than completed, or the event is none of ours
    :raises CallingError: the error that ended the wait, in its own class
    """
    if not isinstance(event, dict) or "status" not in event:
        raise WaitError("The trigger ended without saying how. The calls go on; a retry waits for them again.")
    status, message = event["status"], str(event.get("message", ""))
    if status == Step.DONE:
        return message
    if status == Step.TIMED_OUT:
        raise TimeoutError(message)
    if status == "error":
        kind = getattr(exceptions, str(event.get("error")), CallingError)
        raise (kind if isinstance(kind, type) and issubclass(kind, CallingError) else CallingError)(message)
    raise WaitError(message)
