"""Which errors are retried: each of the tree has its place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_graine import exceptions
from airflow_provider_graine.exceptions import CallingError, ConfigurationError
from airflow_provider_graine.retry_policies.calls import calls_retry_policy

HAS_POLICIES = tuple(int(part) for part in airflow_version.split(".")[:2]) >= (3, 3)

#: A retry may mend these; the reason is beside each.
RETRIED = {
    "CallingError",  # nobody knows which
    "SourceError",  # a file that comes late, a database that was away
    "CapacityError",  # another worker, or this one when others have ended
    "ServiceError",  # nobody knows which
    "ServiceUnavailableError",  # it comes back
    "UnexpectedAnswerError",  # the page of a gateway while the service is away
    "UnclearOutcomeError",  # the retry searches for what was sent
    "IncompleteResultsError",  # the service may give all of it later
    "UploadError",  # the retry searches, and never sends what may be there
    "WaitError",  # the trigger may have been lost
    "WaitTimeoutError",  # the retry goes on waiting
    "StartTimeoutError",  # the budget may be free by then
    "TaskKilledError",  # the worker was shut down
    "LandingError",  # the store may take it later
}
#: What only a person mends.
FAILED = {
    "ConfigurationError",
    "ContactsRejectedError",
    "AuthenticationError",
    "NotFoundError",
    "RequestRejectedError",
}


def tree(root: type[CallingError] = CallingError) -> Iterator[type[CallingError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == exceptions.__name__:
            yield from tree(child)


def test_each_error_has_its_place() -> None:
    names = [error.__name__ for error in tree()]
    assert sorted(set(names)) == sorted(RETRIED | FAILED), "say in this test whether a retry may mend the new one"


if HAS_POLICIES:
    from airflow.sdk import RetryAction

    @pytest.mark.parametrize("error", list(tree()), ids=lambda error: error.__name__)
    def test_it_is_retried_or_not(error: type[CallingError]) -> None:
        policy = type(calls_retry_policy()).deserialize(calls_retry_policy().serialize())
        decision = policy.evaluate(error("message"), 1, 3)
        hopeless = error.__name__ in FAILED
        assert decision.action == (RetryAction.FAIL if hopeless else RetryAction.DEFAULT)
        assert bool(decision.reason) == hopeless

    def test_others_errors_are_the_tasks_own_matter() -> None:
        assert calls_retry_policy().evaluate(ValueError(), 1, 3).action == RetryAction.DEFAULT

    def test_the_delay_is_for_what_is_retried() -> None:
        policy = calls_retry_policy(retry_delay=timedelta(minutes=2))
        outage = policy.evaluate(exceptions.ServiceUnavailableError("message"), 1, 3)
        assert (outage.action, outage.retry_delay) == (RetryAction.RETRY, timedelta(minutes=2))
        assert policy.evaluate(exceptions.AuthenticationError("message"), 1, 3).action == RetryAction.FAIL
        assert policy.evaluate(ValueError(), 1, 3).action == RetryAction.DEFAULT

else:

    def test_it_says_what_it_needs() -> None:
        with pytest.raises(ConfigurationError, match=r"needs Airflow 3\.3"):
            calls_retry_policy()
