"""Which failures of a calling task a retry may mend (Airflow 3.3 and later)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    CallingError,
    ConfigurationError,
    ContactsRejectedError,
    NotFoundError,
    RequestRejectedError,
)

if TYPE_CHECKING:
    from airflow.sdk import ExceptionRetryPolicy

#: What only a person mends, to what the log says about it. All else may pass by itself, and a retry dials nobody twice.
HOPELESS: Final[dict[type[CallingError], str]] = {
    ConfigurationError: "an argument or the connection is wrong: correct it, then clear the task",
    ContactsRejectedError: "contacts were rejected: correct the list, then clear the task",
    AuthenticationError: "the service does not accept the token: put a valid one into the connection, then clear",
    NotFoundError: "the service does not know the id: correct it, then clear the task",
    RequestRejectedError: "the service refuses the request as it is: correct it, then clear the task",
}


def calls_retry_policy(*, retry_delay: timedelta | None = None) -> ExceptionRetryPolicy:
    """
    Fail at once where a retry would fail the same way: on bad input, and on a token that is not accepted.

    All else is retried as the task says, for both services: ``GraineCreateBatchOperator(retries=5,
    retry_policy=calls_retry_policy())``.

    :param retry_delay: before a retry after an error of this provider; default: the task's own
    :return: the policy
    :raises ConfigurationError: before Airflow 3.3, which has no retry policies
    """
    try:
        from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
    except ImportError:
        raise ConfigurationError(
            "calls_retry_policy() needs Airflow 3.3 or later: leave retry_policy out, then all failures are retried."
        ) from None
    rules = [
        RetryRule(exception=error, action=RetryAction.FAIL, reason=f"No retry: {reason}")
        for error, reason in HOPELESS.items()
    ]
    if retry_delay is not None:
        rules.append(
            RetryRule(
                exception=CallingError,
                action=RetryAction.RETRY,
                retry_delay=retry_delay,
                reason="A retry finds what this try has sent, and sends only the rest",
            )
        )
    return ExceptionRetryPolicy(rules=rules)
