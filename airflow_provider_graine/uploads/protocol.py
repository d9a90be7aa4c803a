"""
How a list of contacts gets onto batches without anybody being on two.

Creating a batch dials at once and cannot be repeated safely. So every batch carries the identity of its upload and the
fingerprint of its contacts; the intent to send is remembered before the send and the answer after it; and the service
itself is asked whenever anything is in doubt. ``docs/protocol.md`` has the states and the reason of each step.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import ServiceError, UnclearOutcomeError, UploadError
from airflow_provider_graine.uploads.concurrency import shared_out
from airflow_provider_graine.uploads.record import Memory, Record, short
from airflow_provider_graine.uploads.search import Search
from airflow_provider_graine.uploads.service import BatchService, Clock, PlacedBatch, SuspendedError

_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 30.0
_MOST_SENDS: Final = 3
_TOO_LARGE: Final = 413


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """
    Where the people of a list are now.

    :param batches: every batch of this upload, in the order of the list
    :param created: how many of them this try created
    :param vanished: people on batches of earlier tries who are no longer in the source
    """

    batches: list[PlacedBatch]
    created: int = 0
    vanished: int = 0


class _TooLargeError(Exception):
    """The service takes no batch of this size; nothing of it was created."""


class _ChangedByAnotherTryError(Exception):
    """Another try has written to the memory since this one did."""


class Upload:
    """
    One try of an upload.

    :param service: the calling service
    :param contacts: the screened list
    :param batch_size: most contacts on one batch
    :param resend_after: seconds for which contacts of an unclear send are not sent again
    :param memory: what is remembered of this and earlier tries
    :param owner: number of this try; a higher one takes over from a lower one
    :param is_first: whether no try can have sent anything before this one
    :param clock: wall-clock time
    :param log: where to tell what is done and why
    :param doubt_ends: when a doubt that an earlier part of this try had is over, in seconds since the epoch
    """

    def __init__(
        self,
        *,
        service: BatchService,
        contacts: ContactList,
        batch_size: int,
        resend_after: float,
        memory: Memory,
        owner: int,
        is_first: bool,
        clock: Clock,
        log: logging.Logger,
        doubt_ends: float | None = None,
    ) -> None:
        self._service = service
        self._contacts = contacts
        self._batch_size = batch_size
        self._resend_after = resend_after
        self._memory = memory
        self._owner = owner
        self._is_first = is_first
        self._clock = clock
        self._log = log
        self._doubt_ends = doubt_ends
        self._search = Search(service=service, contacts=contacts, batch_size=batch_size, log=log)
        self._record = Record()
        self._created = 0
        self._order: dict[str, int] = {}
        self._placed: dict[str, PlacedBatch] = {}
        self._vanished = 0

    def run(self) -> Uploaded:
        """
        Bring every accepted contact onto exactly one batch.

        :return: the batches
        :raises UploadError: when that is not certain; says what is known
        :raises ServiceError: when the service refuses or cannot be reached; says nothing was sent by that request
        """
        size = self._batch_size
        while True:
            self._settle()
            try:
                self._send_the_rest(size)
            except _ChangedByAnotherTryError:
                self._log.warning(
                    "Another try of this task is alive and has sent something: looking at everything again"
                )
            except _TooLargeError:
                size = max(1, size // 2)
                self._log.warning("The service takes no batch that large: going on with at most %d contacts", size)
            else:
                break
        batches = sorted(self._placed.values(), key=lambda batch: self._order.get(batch.chunk or "", len(self._order)))
        return Uploaded(batches=batches, created=self._created, vanished=self._vanished)

    # -- before anything is sent --------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Find what earlier tries placed, wait out what may still be on its way, and take all of it off the list."""
        record = self._memory.read()
        if record is not None and record.owner > self._owner:
            raise self._taken_over()
        if record is None and self._is_first:
            record = Record()
        if record is not None and record.is_blank:
            placed, unmarked = self._search.first_look()
            record = replace(record, before=unmarked)
        else:
            placed = self._wait_for_doubts(record)
        self._take_off_the_list(placed)
        known = record or Record()
        batches = {**known.batches, **{batch.batch_id: short(batch.chunk or "") for batch in placed}}
        self._remember(replace(known, owner=self._owner, intents={}, batches=batches))

    def _wait_for_doubts(self, record: Record | None) -> list[PlacedBatch]:
        """Look until every intent is found or too old, and without a memory until nothing can be missing."""
        pause = _FIRST_PAUSE
        while True:
            placed = self._search.look(record)
            doubt_ends = self._end_of_doubt(record, placed)
            if (left := doubt_ends - self._clock.now()) <= 0:
                return placed
            pause = min(pause, left)
            self._log.info(
                "An earlier try may have created batches that the service does not list yet (%d are found); looking "
                "again in %.0f s. Nothing is sent for %.0f s unless they are found",
                len(placed),
                pause,
                left,
            )
            self._clock.sleep(pause, until=doubt_ends)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _end_of_doubt(self, record: Record | None, placed: list[PlacedBatch]) -> float:
        found = {short(batch.chunk) for batch in placed if batch.chunk}
        if record is not None:
            missing = [at for chunk, at in record.intents.items() if chunk not in found]
            return max(missing, default=-math.inf) + self._resend_after
        if all(short(chunk.fingerprint) in found for chunk in self._contacts.chunks(self._batch_size)):
            return -math.inf
        if self._doubt_ends is None:
            self._doubt_ends = self._clock.now() + self._resend_after
        return self._doubt_ends

    def _take_off_the_list(self, placed: list[PlacedBatch]) -> None:
        """Exclude who is on a batch already: by the chunk where the list is the same, else by the people themselves."""
        new = [batch for batch in placed if batch.batch_id not in self._placed]
        self._placed.update({batch.batch_id: batch for batch in placed})
        if not new:
            return
        unread = {batch.chunk or batch.batch_id: batch for batch in new}
        spans = []
        for chunk in self._contacts.chunks(self._batch_size, everybody=True):
            self._order.setdefault(chunk.fingerprint, chunk.index)
            if (batch := unread.pop(chunk.fingerprint, None)) is not None:
                self._check_total(batch, chunk)
                spans.append(chunk.span)
        self._contacts.exclude_chunks(spans)
        for batch in unread.values():
            people = list(self._service.people(batch.batch_id))
            self._vanished += self._contacts.vanished(people)
            self._contacts.exclude(people)
        if unread:
            self._log.warning(
                "The list is not what it was: %d batches of earlier tries were compared person by person. %d people on "
                "them are no longer in the source (they are called all the same)",
                len(unread),
                self._vanished,
            )
        self._log.info(
            "Found %d batches of this run on the service; %d contacts are on none yet",
            len(self._placed),
            self._contacts.remaining(),
        )

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send_the_rest(self, size: int) -> None:
        left = self._contacts.remaining()
        if left:
            self._service.check()
        limits = self._limits(math.ceil(left / size))
        sent: list[tuple[int, int]] = []
        try:
            for chunk in self._contacts.chunks(size):
                batch = self._send(chunk, next(limits))
                self._check_total(batch, chunk)
                self._order.setdefault(chunk.fingerprint, len(self._order))
                self._placed[batch.batch_id] = batch
                sent.append(chunk.span)
                left -= chunk.size
        except (_ChangedByAnotherTryError, _TooLargeError):
            self._contacts.exclude_chunks(sent)
            raise
        except SuspendedError:
            raise
        except BaseException:
            self._log.error(
                "The upload stopped: %d accepted contacts are on no batch that is known of; %d batches of this run "
                "exist. A retry looks for them and goes on with the rest",
                left,
                len(self._placed),
            )
            raise

    def _limits(self, batches: int) -> Iterator[int | None]:
        limit = self._service.limit_to_share
        if limit is None or not batches:
            return iter([None] * batches)
        taken = sum(batch.concurrency_limit or 0 for batch in self._placed.values())
        return iter(shared_out(limit, taken=taken, batches=batches))

    def _send(self, chunk: Chunk, limit: int | None) -> PlacedBatch:
        for _ in range(_MOST_SENDS):
            self._make_sure_of_being_alone()
            self._remember(self._record.intending(chunk.fingerprint, at=self._clock.now()))
            try:
                batch = self._service.create(chunk, concurrency_limit=limit)
            except UnclearOutcomeError as unclear:
                found = self._find_again(chunk, unclear)
                if found is None:
                    self._remember(self._record.settled(chunk.fingerprint, batch_id=None))
                    if unclear.status_code == _TOO_LARGE and chunk.size > 1:
                        raise _TooLargeError from unclear
                    continue
                batch = found
            except ServiceError:
                self._remember(self._record.settled(chunk.fingerprint, batch_id=None))
                raise
            self._created += 1
            self._remember(self._record.settled(chunk.fingerprint, batch_id=batch.batch_id))
            self._log.info("Batch %s holds %d contacts", batch.batch_id, chunk.size)
            return batch
        raise UploadError(
            f"A batch of {chunk.size} contacts got no clear answer {_MOST_SENDS} times and was not found on the "
            "service after any of them: as far as the service tells, its contacts are not called. Find out what is "
            "wrong with the service, then retry: the retry searches again before it sends."
        )

    def _find_again(self, chunk: Chunk, unclear: UnclearOutcomeError) -> PlacedBatch | None:
        """Look for a batch whose creation got no clear answer, until it is found or the time for doubt is over."""
        doubt_ends = self._record.intents[short(chunk.fingerprint)] + self._resend_after
        self._log.warning("%s Searching the service for the batch", unclear)
        pause = _FIRST_PAUSE
        while True:
            for batch in self._search.look(self._record):
                if batch.chunk == chunk.fingerprint:
                    self._log.info("Found it: batch %s was created; nothing is sent again", batch.batch_id)
                    return batch
            if (left := doubt_ends - self._clock.now()) <= 0:
                break
            pause = min(pause, left)
            self._log.info(
                "The batch is not listed; looking again in %.0f s. Its contacts are not sent again for %.0f s",
                pause,
                left,
            )
            self._clock.sleep(pause, until=doubt_ends)
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._log.warning(
            "A complete search did not find it %.0f s after the send: it was not created", self._resend_after
        )
        return None

    # -- memory -------------------------------------------------------------------------------------------------------

    def _remember(self, record: Record) -> None:
        self._memory.write(record)
        self._record = record

    def _make_sure_of_being_alone(self) -> None:
        """Stop where a later try has taken over; look again where an earlier one, not quite dead, has written."""
        if not self._memory.is_shared:
            return
        current = self._memory.read()
        if current is None or current == self._record:
            return
        if current.owner > self._owner:
            raise self._taken_over()
        raise _ChangedByAnotherTryError

    @staticmethod
    def _taken_over() -> UploadError:
        return UploadError(
            "A later try of this task has taken over; this one sends nothing more. Nothing is wrong with the upload: "
            "look at the later try."
        )

    def _check_total(self, batch: PlacedBatch, chunk: Chunk) -> None:
        if batch.total is not None and batch.total != chunk.size:
            raise UploadError(
                f"Batch {batch.batch_id} holds {batch.total} contacts where {chunk.size} were sent. It is running "
                "with those it holds; nothing was sent again. Compare its contacts with the source, then decide."
            )
