"""The people on a campaign, and what came of them, as a stream of bytes, which ends in an error unless all came."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeVar

from airflow_provider_graine.exceptions import IncompleteResultsError, ServiceUnavailableError
from airflow_provider_graine.results.completeness import IfIncomplete, complain
from airflow_provider_graine.results.counting import LineCounter
from airflow_provider_graine.results.files import Results
from airflow_provider_graine.results.spool import in_blocks
from airflow_provider_graine.services.paging import Reading

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.kataven import KatavenHook
    from airflow_provider_graine.services.kataven.received import CampaignContact

T = TypeVar("T")

#: Seconds that are waited for the account's limits at a time: those of an hour end within it, those of a day do not.
_LONGEST_WAIT: Final = 3900.0
#: How often a page is asked for, with these pauses in seconds, where the service does not say how long to wait.
_PAUSES: Final = (5.0, 30.0)
#: How often it is asked for at most, where the service does.
_MOST_ATTEMPTS: Final = 20

log = logging.getLogger(__name__)


class KatavenResults:
    """
    Reads the contacts of campaigns as JSON lines.

    A page is a request, and there are limits on those: 100,000 people take more than an hour. So a page that cannot be
    had is waited for, and nothing that came before is read again.

    :param hook: the connection
    :param if_incomplete: what to do about results that look incomplete
    """

    def __init__(self, hook: KatavenHook, *, if_incomplete: IfIncomplete) -> None:
        self._hook = hook
        self._if_incomplete = if_incomplete

    def take(self, id: str, use: Callable[[Results], T]) -> T:
        """
        Hand the contacts to somebody; see :class:`.ResultSource`.

        :param id: the campaign
        :param use: what takes them
        :return: what ``use`` returned
        :raises IncompleteResultsError: when some were missing after three readings
        :raises ServiceError: when they cannot be had
        """
        rows = LineCounter()
        reading = _CountedReading(key=lambda contact: contact.identity, what=f"contacts of campaign {id}")
        with closing(self._lines(id, reading)) as lines:
            # None is created without anybody: where nobody is listed, it is not known how many there are.
            return use(Results(lambda: reading.listed or None, lambda: rows.rows, _counted(in_blocks(lines), rows)))

    def _lines(self, campaign_id: str, reading: _CountedReading) -> Generator[bytes, None, None]:
        try:
            while reading.total is None:
                for contact in reading.take(self._page(campaign_id, reading.page)):
                    yield _line(campaign_id, contact)
        except IncompleteResultsError as error:
            complain(str(error), if_incomplete=self._if_incomplete)
        if reading.total == 0:
            complain(f"No contact of campaign {campaign_id} came.", if_incomplete=self._if_incomplete)

    def _page(self, campaign_id: str, page: int) -> list[CampaignContact]:
        pauses, attempts = iter(_PAUSES), 0
        while True:
            try:
                return self._hook.list_campaign_contacts(campaign_id, page=page)
            except ServiceUnavailableError as error:
                attempts += 1
                pause = error.retry_after if error.retry_after is not None else next(pauses, None)
                if pause is None or pause > _LONGEST_WAIT or attempts == _MOST_ATTEMPTS:
                    raise
                log.warning("%s Reading on with page %d in %.0f seconds", error, page, pause)
            time.sleep(pause)


class _CountedReading(Reading["CampaignContact"]):
    """A reading that knows how many people are listed, also where not all of them come."""

    #: those of the last reading
    listed = 0

    def take(self, rows: list[CampaignContact]) -> list[CampaignContact]:
        self.listed = len(rows) + (self.listed if self.page else 0)
        return super().take(rows)


def _line(campaign_id: str, contact: CampaignContact) -> bytes:
    row = {"campaign_id": campaign_id, **contact.model_dump(mode="json", exclude_unset=True)}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"


def _counted(blocks: Iterator[bytes], rows: LineCounter) -> Iterator[bytes]:
    for block in blocks:
        rows.feed(block)
        yield block
