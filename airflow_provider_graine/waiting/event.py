"""What a trigger tells the worker when a wait is over: written by the one, read back by the other."""

from __future__ import annotations

from typing import Any, Final

from airflow_provider_graine import exceptions
from airflow_provider_graine.exceptions import CallingError, WaitError
from airflow_provider_graine.waiting.decision import Decision, Step

_ERROR: Final = "error"


def ended(decision: Decision) -> dict[str, Any]:
    """
    Write the decision that ended a wait.

    :param decision: the last one
    :return: JSON with ``status`` (``done``, ``failed`` or ``timed_out``), ``message``, ``counts`` and ``error``
    """
    return {"status": decision.step.value, "message": decision.message, "counts": decision.counts, "error": None}


def broke(error: CallingError) -> dict[str, Any]:
    """
    Write the error that ended a wait.

    :param error: what nobody can wait out
    """
    return {"status": _ERROR, "message": str(error), "counts": {}, "error": type(error).__name__}


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
    if status == _ERROR:
        kind = getattr(exceptions, str(event.get("error")), CallingError)
        raise (kind if isinstance(kind, type) and issubclass(kind, CallingError) else CallingError)(message)
    raise WaitError(message)
