"""
Everything this provider raises, typed by what the reader of the error does about it.

All of it derives from plain :class:`Exception`, so that ``soft_fail`` and ``retries`` treat a failure the same way in
synchronous and in deferrable mode. No message carries a response body, a phone number, a person's name or a token.
"""

from __future__ import annotations


class CallingError(Exception):
    """The root of all errors raised by this provider."""


class ConfigurationError(CallingError, ValueError):
    """An argument of the DAG or a field of the connection is wrong. Nothing was sent; correct it."""


class ContactsRejectedError(CallingError):
    """Screening refused contacts and ``on_invalid`` is ``"fail"``. Nothing was sent; correct the list."""


class SourceError(CallingError):
    """The list of contacts could not be read as asked. Nothing was sent; correct the source or its description."""


class CapacityError(CallingError):
    """The worker has not the memory or disk space for the list. Give it more, or split the list among several tasks."""


class ServiceError(CallingError):
    """
    The calling service refused a request, could not be reached, or gave an answer that is no answer.

    :param message: what happened, the state of the remote side, and what to do
    :param status_code: HTTP status of the answer, or ``None`` where there was none
    :param retry_after: seconds the service asked to be left alone for, or ``None``
    """

    def __init__(self, message: str, *, status_code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.retry_after = retry_after


class AuthenticationError(ServiceError):
    """The service does not accept the token (401, 403). Nothing was done; put a valid token into the connection."""


class NotFoundError(ServiceError):
    """The service does not know the object, or it belongs to another organization (404). Check the id."""


class RequestRejectedError(ServiceError):
    """The service refused the request as it is (400, 422 and other 4xx). Repeating it does not help; correct it."""


class ServiceUnavailableError(ServiceError):
    """The service could not be reached or is overloaded (connection, 429, 5xx). Nothing was changed; try later."""


class UnexpectedAnswerError(ServiceError):
    """The answer is none that the service documents: a redirect, not JSON, a field missing. Look at the base URL."""


class UnclearOutcomeError(ServiceError):
    """A write was sent and no clear answer came: it may or may not have been carried out. Look before repeating."""


class IncompleteResultsError(ServiceError):
    """The service gave less than it says it has. Nothing was landed; the message says what is missing."""


class UploadError(CallingError):
    """An upload ended without every accepted contact being on exactly one batch; the message says who was not sent."""


class WaitError(CallingError):
    """What was waited for ended in another way than completed."""


class WaitTimeoutError(WaitError):
    """The time to wait was over before the calls were; the message says what was done to them."""


class StartTimeoutError(WaitTimeoutError):
    """A campaign could not be started in time. Nobody on it was dialled; the message says what became of the others."""


class TaskKilledError(CallingError):
    """The task was stopped from outside while it was at work; the message says what was done to the calls."""


class LandingError(CallingError):
    """A result file could not be written whole. No partial object was left behind."""
