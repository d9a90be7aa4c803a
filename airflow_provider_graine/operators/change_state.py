"""What the small operators share that pause, resume or end something, whatever the service."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import RequestRejectedError, UnclearOutcomeError

if TYPE_CHECKING:
    from airflow.sdk import Context


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


class ChangesCampaignState(ChangesState):
    """The same for a campaign, which both services have; ``hook`` and ``campaign_id`` are the operator's."""

    campaign_id: str
    hook: Any

    @property
    def _what(self) -> str:
        return f"Campaign {self.campaign_id}"

    def _status(self) -> str | None:
        status: str | None = self.hook.get_campaign(self.campaign_id).status
        return status

    def _change(self) -> None:
        getattr(self.hook, f"{self.verb}_campaign")(self.campaign_id)

    def execute(self, context: Context) -> str:
        """Bring it about and return the campaign id."""
        self._bring_about()
        return self.campaign_id
