"""
How a list of contacts gets onto batches without anybody being on two.

Creating a batch dials at once and cannot be repeated safely, so the service itself is asked before anything is sent:
every batch carries the identity of its upload and the fingerprint of its contacts. A try first searches for what
earlier tries placed, takes those people off the list, and sends the rest. Where an answer is unclear, it searches
again, for listings can lag, and does not send the same contacts a second time before ``resend_after`` has passed since
the send and a complete search has not found them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import ServiceError, UnclearOutcomeError, UploadError
from airflow_provider_graine.uploads.concurrency import shared_out
from airflow_provider_graine.uploads.service import BatchService, Clock, Journal, PlacedBatch, Sends

_FIRST_LOOK: Final = 2.0
_LONGEST_PAUSE: Final = 30.0
_MOST_SENDS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """
    Where the people of a list are now.

    :param batches: every batch of this upload, those of earlier tries first
    :param created: how many of them this try created
    :param vanished: people on batches of earlier tries who are no longer in the source
    """

    batches: list[PlacedBatch]
    created: int
    vanished: int


class Upload:
    """
    One try of an upload.

    :param service: the calling service
    :param contacts: the screened list
    :param batch_size: most contacts on one batch
    :param resend_after: seconds for which contacts of an unclear send are not sent again
    :param journal: what is remembered of earlier tries
    :param clock: wall-clock time
    :param log: where to tell what is done and why
    """

    def __init__(
        self,
        *,
        service: BatchService,
        contacts: ContactList,
        batch_size: int,
        resend_after: float,
        journal: Journal,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._service = service
        self._contacts = contacts
        self._batch_size = batch_size
        self._resend_after = resend_after
        self._journal = journal
        self._clock = clock
        self._log = log
        self._sends = Sends()

    def run(self) -> Uploaded:
        """
        Bring every accepted contact onto exactly one batch.

        :return: the batches
        :raises UploadError: when that is not certain; says what is known
        :raises ServiceError: when the service refuses or cannot be reached; says nothing was sent by that request
        """
        placed = self._settled()
        order, vanished = self._take_off_the_list(placed)
        left = self._contacts.remaining()
        if placed:
            self._log.info(
                "Found %d batches of this run on the service; %d contacts are on none yet", len(placed), left
            )
        limits = self._limits(placed, math.ceil(left / self._batch_size))
        batches = list(placed)
        sent = 0
        try:
            for chunk in self._contacts.chunks(self._batch_size):
                batches.append(self._send(chunk, next(limits)))
                sent += chunk.size
        except BaseException:
            self._log.error(
                "The upload stopped: %d contacts were not sent by this try (%d batches of this run exist). "
                "A retry finds those batches and goes on with the rest",
                left - sent,
                len(batches),
            )
            raise
        batches.sort(key=lambda batch: order.get(batch.chunk or "", len(order)))
        return Uploaded(batches=batches, created=len(batches) - len(placed), vanished=vanished)

    def _settled(self) -> list[PlacedBatch]:
        """Search for the batches of earlier tries until none of them can still be on its way into the listing."""
        remembered = self._journal.read()
        doubt_ends = (self._clock.now() if remembered is None else remembered.last_at) + self._resend_after
        placed = self._search(
            until=doubt_ends,
            enough=lambda found: self._accounts_for_all_sends(found, remembered),
            looking_for="Batches of an earlier try may exist that the service does not list yet",
        )
        self._remember(remembered or Sends(count=len(placed)))
        return placed

    def _search(
        self, *, until: float, enough: Callable[[list[PlacedBatch]], bool], looking_for: str
    ) -> list[PlacedBatch]:
        """Look at once, then at growing distances, the last time when the doubt is over."""
        pause = _FIRST_LOOK
        while True:
            found = self._service.find()
            left = until - self._clock.now()
            if left <= 0 or enough(found):
                return found
            pause = min(pause, left)
            self._log.info(
                "%s; looking again in %.0f s, sending nothing for %.0f s unless it is found", looking_for, pause, left
            )
            self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _accounts_for_all_sends(self, placed: list[PlacedBatch], remembered: Sends | None) -> bool:
        if remembered is not None:
            return len(placed) >= remembered.count
        known = {batch.chunk for batch in placed}
        return all(chunk.fingerprint in known for chunk in self._contacts.chunks(self._batch_size))

    def _take_off_the_list(self, placed: list[PlacedBatch]) -> tuple[dict[str, int], int]:
        """
        Exclude who is on a batch already: by the chunk where the list is the same, else by the people themselves.

        :return: the place of each chunk in the whole list, and how many people are no longer in the source
        """
        unread = {batch.chunk or batch.batch_id: batch for batch in placed}
        order: dict[str, int] = {}
        for chunk in self._contacts.chunks(self._batch_size) if placed else ():
            order[chunk.fingerprint] = chunk.index
            if (batch := unread.pop(chunk.fingerprint, None)) is not None:
                self._check_total(batch, chunk)
                self._contacts.exclude(chunk.phone_numbers())
        vanished = 0
        for batch in unread.values():
            people = list(self._service.people(batch.batch_id))
            vanished += self._contacts.vanished(people)
            self._contacts.exclude(people)
        if unread:
            self._log.warning(
                "The source is not what it was: %d batches of earlier tries were compared person by person, and %d "
                "people on them are no longer in the source (they are called all the same)",
                len(unread),
                vanished,
            )
        return order, vanished

    def _limits(self, placed: list[PlacedBatch], batches: int) -> Iterator[int | None]:
        limit = self._service.limit_to_share
        if limit is None or not batches:
            return iter([None] * batches)
        taken = sum(batch.concurrency_limit or 0 for batch in placed)
        return iter(shared_out(limit, taken=taken, batches=batches))

    def _send(self, chunk: Chunk, limit: int | None) -> PlacedBatch:
        for _ in range(_MOST_SENDS):
            before = self._sends
            self._remember(Sends(count=before.count + 1, last_at=self._clock.now()))
            try:
                batch = self._service.create(chunk, concurrency_limit=limit)
            except UnclearOutcomeError as unclear:
                found = self._find_again(chunk, unclear)
                if found is None:
                    self._remember(before)
                    continue
                batch = found
            except ServiceError:
                self._remember(before)
                raise
            self._check_total(batch, chunk)
            self._log.info("Batch %s holds %d contacts", batch.batch_id, chunk.size)
            return batch
        raise UploadError(
            f"A batch of {chunk.size} contacts got no clear answer {_MOST_SENDS} times and was not found on the "
            "service after any of them: as far as the service tells, its contacts are not called. Find out what is "
            "wrong with the service, then retry: the retry searches again before it sends."
        )

    def _find_again(self, chunk: Chunk, unclear: UnclearOutcomeError) -> PlacedBatch | None:
        self._log.warning("%s Searching the service for the batch", unclear)
        found = self._search(
            until=self._sends.last_at + self._resend_after,
            enough=lambda batches: any(batch.chunk == chunk.fingerprint for batch in batches),
            looking_for="The batch is not listed",
        )
        for batch in found:
            if batch.chunk == chunk.fingerprint:
                self._log.info("Found it: batch %s was created; nothing is sent again", batch.batch_id)
                return batch
        self._log.warning(
            "A complete search did not find it %.0f s after the send: it was not created", self._resend_after
        )
        return None

    def _remember(self, sends: Sends) -> None:
        self._journal.write(sends)
        self._sends = sends

    def _check_total(self, batch: PlacedBatch, chunk: Chunk) -> None:
        if batch.total is not None and batch.total != chunk.size:
            raise UploadError(
                f"Batch {batch.batch_id} holds {batch.total} contacts where {chunk.size} were sent. It is running "
                "with those it holds; nothing was sent again. Compare its contacts with the source, then decide."
            )
