"""Waits for Graine's calls on one event loop, those for batches of the same campaign by the same polls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.watching.graine_poll import CampaignPoll
from airflow_provider_graine.watching.graine_shared import GraineAnswers, GraineReads
from airflow_provider_graine.watching.graine_watch import look_closer
from airflow_provider_graine.watching.shared_watch import Connection, SharedWatch

if TYPE_CHECKING:
    from airflow_provider_graine.waiting.decision import Closer, Decision
    from airflow_provider_graine.watching.poll import Wanted


class _Connection(Connection[CampaignPoll]):
    """One connection: a poll for each campaign that somebody waits for."""

    def __init__(self, conn_id: str) -> None:
        self.reads = GraineReads(conn_id)
        self.answers = GraineAnswers(self.reads)
        super().__init__(self.reads, self.answers)

    def make_poll(self, about: str | None) -> CampaignPoll:
        return CampaignPoll(self.reads, about)


class GraineSharedWatch(SharedWatch[CampaignPoll]):
    """
    What one wait sees of the shared polls; made by :func:`shared_watch`.

    :param conn_id: the connection
    :param batch_ids: the batches
    :param campaign_id: their campaign, or what is waited for itself
    """

    __slots__ = ()

    connect = _Connection

    def __init__(self, conn_id: str, *, batch_ids: Sequence[str] | None, campaign_id: str | None) -> None:
        if batch_ids is None and campaign_id is None:
            raise ConfigurationError("A wait needs batch_ids or a campaign_id. Nothing was sent.")
        super().__init__(conn_id, about=campaign_id, wanted=[None] if batch_ids is None else batch_ids)

    def _told(self) -> None:
        """Take the batches whose campaign has become known to the poll of that campaign."""
        for seat in [seat for seat in self._seats if seat.poll.campaign_id is None]:
            homes: dict[str | None, list[Wanted]] = {}
            for wanted in seat.wanted:
                homes.setdefault(seat.poll.campaign_of.get(wanted or ""), []).append(wanted)
            if homes.keys() == {None}:
                continue
            self._seats.remove(seat)
            for campaign_id, those in homes.items():
                still_open = [each for each in those if not self._has_ended(each)]
                if still_open:
                    self._seats.append(self._connection.join(campaign_id, still_open))
            self._connection.leave(seat)

    async def _look_closer(self, decision: Decision) -> Closer:
        campaigns = [
            seat.poll.campaign_id
            for seat in self._seats
            if seat.poll.campaign_id is not None and not all(map(self._has_ended, seat.wanted))
        ]
        return await look_closer(self._connection.answers, decision, campaigns)


def shared_watch(
    conn_id: str, *, batch_ids: Sequence[str] | None = None, campaign_id: str | None = None
) -> GraineSharedWatch:
    """
    Take part in the polls of the running event loop.

    :param conn_id: the connection
    :param batch_ids: the batches to wait for; default: the campaign itself
    :param campaign_id: the campaign of the batches, where they are all of one: saves a look at each
    :return: an async context manager that gives the :class:`GraineSharedWatch`
    :raises ConfigurationError: when there is neither
    """
    return GraineSharedWatch(conn_id, batch_ids=batch_ids, campaign_id=campaign_id)
