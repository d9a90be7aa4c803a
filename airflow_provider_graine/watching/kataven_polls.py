"""Waits for Kataven's campaigns on one event loop, all of an account by the same poll."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_graine.watching.kataven_poll import AccountPoll
from airflow_provider_graine.watching.kataven_shared import KatavenAnswers, KatavenReads
from airflow_provider_graine.watching.kataven_watch import CountedContacts, look_closer
from airflow_provider_graine.watching.shared_watch import Connection, SharedWatch

if TYPE_CHECKING:
    from airflow_provider_graine.waiting.decision import Closer, Decision


class _Connection(Connection[AccountPoll]):
    """One connection: one poll for everybody."""

    def __init__(self, conn_id: str) -> None:
        self.reads = KatavenReads(conn_id)
        self.answers = KatavenAnswers(self.reads)
        super().__init__(self.reads, self.answers)

    def make_poll(self, about: str | None) -> AccountPoll:
        return AccountPoll(self.reads)


class KatavenSharedWatch(SharedWatch[AccountPoll]):
    """
    What one wait sees of the shared poll; made by :func:`shared_watch`.

    :param conn_id: the connection
    :param campaign_ids: the campaigns
    """

    __slots__ = ("_counted",)

    connect = _Connection

    def __init__(self, conn_id: str, *, campaign_ids: Sequence[str]) -> None:
        super().__init__(conn_id, about=None, wanted=campaign_ids)
        self._counted = {each: CountedContacts(each) for each in campaign_ids}

    async def _look_closer(self, decision: Decision) -> Closer:
        return await look_closer(self._connection.reads, self._connection.answers, decision, self._counted)


def shared_watch(conn_id: str, *, campaign_ids: Sequence[str]) -> KatavenSharedWatch:
    """
    Take part in the poll of the running event loop.

    :param conn_id: the connection
    :param campaign_ids: the campaigns to wait for
    :return: an async context manager that gives the :class:`KatavenSharedWatch`
    """
    return KatavenSharedWatch(conn_id, campaign_ids=campaign_ids)
