"""All batches of a campaign, looked at again and again without being listed each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.services.paging import apages

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.graine.received import Batch, CampaignStats

#: Every so many looks the batches are listed whatever the figures say: nothing documents that these are never late.
LOOKS_PER_LISTING: Final = 10


class CampaignListing:
    """
    The batches of a campaign.

    A look asks for the campaign's figures (one request), and lists the batches (one request for each page of 50, and a
    last one that is empty) only when the last listing does not agree with them: another number of batches in a state,
    or another number of contacts, which grows with each new batch. No end of a batch escapes that: numbers of completed
    and cancelled batches never fall, and one that expires, which the figures do not count, is missing in the others.

    :param campaign_id: the campaign
    """

    def __init__(self, campaign_id: str) -> None:
        self._campaign_id = campaign_id
        self._batches: Sequence[Batch] = ()
        self._statuses: Counter[str] = Counter()
        self._contacts: int | None = None
        self._looks = 0

    async def alook(self, hook: GraineHook) -> Sequence[Batch]:
        """
        Give all batches of the campaign; those that have not changed may be as they were listed before.

        :param hook: the connection
        :raises ServiceError: when the look failed; the next one begins where this one began
        """
        stats = await hook.aget_campaign_stats(self._campaign_id)
        self._looks += 1
        if self._looks >= LOOKS_PER_LISTING or not self._is_all_there(stats):
            rows = apages(
                lambda skip: hook.alist_campaign_batches(self._campaign_id, skip=skip),
                key=lambda batch: batch.batch_id,
            )
            self._batches = [row async for row in rows]
            self._statuses = Counter(batch.status for batch in self._batches)
            self._contacts = sum(stats.contact_counts.values())
            self._looks = 0
        return self._batches

    def _is_all_there(self, stats: CampaignStats) -> bool:
        return (
            sum(stats.contact_counts.values()) == self._contacts
            and bool(stats.batch_counts)
            and all(self._statuses[status] == number for status, number in stats.batch_counts.items())
        )
