"""What the small operators share that pause, resume or end something, whatever the service."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import RequestRejectedError, UnclearOutcomeError


class ChangesState(BaseOperator):
    """
    Bring a campaign or a batch into a state, once.

    The state is read first, so that a retry after an unclear answer does nothing a second time: resuming what runs
    already would publish its pending contacts again.
    """

    verb: ClassVar[str]
    target: ClassVar[frozenset[str]]

    @property
    @abstractmethod
    def _what(self) -> str:
        """Name the object in messages."""

    @abstractmethod
    def _status(self) -> str | None:
        """Read its state."""

    @abstractmethod
    def _change(self) -> None:
        """Ask the service to change it."""

    def _bring_about(self) -> None:
        before = self._status()
        if before in self.target:
            self.log.info("%s is %s already; nothing was sent", self._what, before)
            return
        try:
            self._change()
        except (UnclearOutcomeError, RequestRejectedError) as error:
            after = self._status()
            if after not in self.target:
                raise
            self.log.warning("%s But %s is %s now, as asked for", error, self._what, after)
            return
        self.log.info("%s was %s; asked the service to %s it", self._what, before, self.verb)
