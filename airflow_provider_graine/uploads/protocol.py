"""
How a list of contacts gets onto batches without anybody being on two.

Creating a batch dials at once and cannot be repeated safely. So every batch carries the identity of its upload and the
fingerprint of its contacts; the intent to send is remembered before the send and the answer after it; and the service
itself is asked whenever anything is in doubt. ``docs/protocol.md`` has the states and the reason of each step.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import ServiceError, TaskKilledError, UnclearOutcomeError, UploadError
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

    :param batches: every batch of this upload, in the order of the list; where the list has changed or had to be cut
        in another way, in that of their creation
    :param created: how many of them this try created
    :param vanished: people on batches of earlier tries who are no longer in the source
    """

    batches: list[PlacedBatch]
    created: int = 0
    vanished: int = 0


class _StoodStillError(Exception):
    """Too long has passed since the last send for what was found before it to be all there is."""


class _TooLargeError(Exception):
    """The service takes no batch of this size; nothing of it was created."""


class Upload:
    """
    One try of an upload.

    :param service: the calling service
    :param contacts: the screened list
    :param batch_size: most contacts on one batch
    :param resend_after: seconds for which contacts of an unclear send are not sent again
    :param memory: what is remembered of this and earlier tries
    :param is_first: whether no try can have sent anything before this one
    :param clock: wall-clock time
    :param log: where to tell what is done and why
    :param doubt_ends: when a doubt that an earlier part of this try had is over, in seconds since the epoch; ``None``
        where this try begins
    :param is_stopped: asked before each send whether the task has been stopped from outside
    """

    def __init__(
        self,
        *,
        service: BatchService,
        contacts: ContactList,
        batch_size: int,
        resend_after: float,
        memory: Memory,
        is_first: bool,
        clock: Clock,
        log: logging.Logger,
        doubt_ends: float | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._service = service
        self._contacts = contacts
        self._batch_size = batch_size
        self._resend_after = resend_after
        self._memory = memory
        self._is_first = is_first and doubt_ends is None
        self._clock = clock
        self._log = log
        self._doubt_ends = doubt_ends
        self._is_stopped = is_stopped
        self._search = Search(service=service, contacts=contacts, batch_size=batch_size, log=log)
        self._record = Record()
        self._left = contacts.remaining()
        self._created = 0
        self._order: dict[str, int] = {}
        self._placed: dict[str, PlacedBatch] = {}
        self._vanished = 0
        self._last_send = 0.0

    @property
    def known(self) -> dict[str, str]:
        """The batches of this upload that are known by now, with the last known state of each (empty: not known)."""
        return {**dict.fromkeys(self._record.batches, ""), **{b.batch_id: b.status for b in self._placed.values()}}

    def run(self) -> Uploaded:
        """
        Bring every accepted contact onto exactly one batch.

        :return: the batches
        :raises UploadError: when that is not certain; says what is known
        :raises ServiceError: when the service refuses or cannot be reached; says nothing was sent by that request
        """
        try:
            self._memory.take_over()
            self._place_everybody()
        except SuspendedError:
            raise
        except BaseException:
            self._log.error(
                "The upload stopped: %d accepted contacts are on no batch that is known of; %d batches of this run are "
                "known. A retry searches the service first, then goes on with the rest",
                self._left,
                len(self._placed),
            )
            raise
        batches = list(self._placed.values())
        if all(_name(batch) in self._order for batch in batches):
            batches.sort(key=lambda batch: self._order[_name(batch)])
        return Uploaded(batches=batches, created=self._created, vanished=self._vanished)

    def _place_everybody(self) -> None:
        while True:
            self._settle()
            self._last_send = self._clock.now()
            try:
                self._send_the_rest(min(self._batch_size, self._record.batch_size or self._batch_size))
            except _TooLargeError:
                self._log.warning("Going on with smaller batches: %d contacts at most", self._record.batch_size)
            except _StoodStillError:
                self._log.warning("This try stood still for so long that a later one may have sent: looking again")
            else:
                return

    # -- before anything is sent --------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Find what earlier tries placed, wait out what may still be on its way, and take all of it off the list."""
        record = self._memory.read()
        if record is None and self._is_first:
            record = Record()
        self._record = record or self._record
        if record is not None and record.is_blank:
            placed, unmarked = self._search.first_look()
            record = replace(record, before=unmarked)
        else:
            if record is not None and record.intents:
                self._log.warning(
                    "Earlier tries of this run created %d batches and sent %d without seeing the answer. Searching the "
                    "service",
                    len(record.batches),
                    len(record.intents),
                )
            placed = self._wait_for_doubts(record)
        self._take_off_the_list(placed)
        if record is None and not self._left:
            return  # there may be more than was waited for; the next try is not to take this for all there is
        known = record or Record()
        self._remember(replace(known, intents={}, batches={**known.batches, **{b.batch_id: _name(b) for b in placed}}))

    def _wait_for_doubts(self, record: Record | None) -> list[PlacedBatch]:
        """
        Look until every intent is found or too old, and without a memory until nothing can be missing.

        The last look begins when the doubt is over: what a look reads is as old as its beginning.
        """
        pause = _FIRST_PAUSE
        while True:
            began = self._clock.now()
            placed = self._search.look(record)
            doubt_ends = self._end_of_doubt(record, placed)
            if began >= doubt_ends:
                return placed
            if (left := doubt_ends - self._clock.now()) <= 0:
                continue
            pause = min(pause, left)
            self._log.info(
                "%s may have been created and not be listed yet (%d of this run are found). Looking again in %.0f s; "
                "unless found, its contacts are not sent for another %.0f s",
                "Batches of earlier tries, of which nothing is remembered," if record is None else "A batch in doubt",
                len(placed),
                pause,
                left,
            )
            self._clock.sleep(pause, until=doubt_ends)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _end_of_doubt(self, record: Record | None, placed: list[PlacedBatch]) -> float:
        found = {_name(batch) for batch in placed}
        if record is not None:
            missing = [at for chunk, at in record.intents.items() if chunk not in found]
            return max(missing, default=-math.inf) + self._resend_after
        if all(short(chunk.fingerprint) in found for chunk in self._contacts.chunks(self._batch_size, everybody=True)):
            return -math.inf
        if self._doubt_ends is None:
            self._doubt_ends = self._clock.now() + self._resend_after
        return self._doubt_ends

    def _take_off_the_list(self, placed: list[PlacedBatch]) -> None:
        """Exclude who is on a batch already: by the chunk where the list is the same, else by the people themselves."""
        unread: dict[str, PlacedBatch] = {}
        for batch in (batch for batch in placed if batch.batch_id not in self._placed):
            twin = unread.get(_name(batch))
            if twin is not None and twin.total == batch.total and "cancelled" not in (twin.status, batch.status):
                raise _twins(twin, batch)
            unread[batch.batch_id if twin is not None else _name(batch) or batch.batch_id] = batch
        self._placed.update({batch.batch_id: batch for batch in placed})
        if unread:
            self._exclude(unread)
        self._left = self._contacts.remaining()
        if self._placed:
            rest = (
                f"{self._left} contacts are on none yet"
                if self._left
                else "everybody is on one of them, nothing is sent"
            )
            self._log.info("Found %d batches of this run on the service; %s", len(self._placed), rest)
        else:
            self._log.info("No batch of this run is on the service yet; %d contacts are to be sent", self._left)

    def _exclude(self, unread: dict[str, PlacedBatch]) -> None:
        spans = []
        for chunk in self._contacts.chunks(self._batch_size, everybody=True):
            name = short(chunk.fingerprint)
            self._order[name] = chunk.index
            if (batch := unread.pop(name, None)) is not None:
                self._check_total(batch, chunk)
                spans.append(chunk.span)
        self._contacts.exclude_chunks(spans)
        for batch in unread.values():
            people = list(self._service.people(batch.batch_id))
            if batch.total is not None and len(people) < batch.total:
                raise UploadError(
                    f"The service lists {len(people)} of the {batch.total} people on batch {batch.batch_id}, so nobody "
                    "can tell whom to leave out. Nothing more was sent; a retry reads them again."
                )
            self._vanished += self._contacts.vanished(people)
            self._contacts.exclude(people)
        if unread:
            self._log.warning(
                "%d batches of this run hold other groups of people than this list is cut into; they were compared "
                "person by person. %d people on them are no longer in the source (they are called all the same)",
                len(unread),
                self._vanished,
            )

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send_the_rest(self, size: int) -> None:
        if not self._left:
            return
        self._service.check()
        limits = self._limits(math.ceil(self._left / size))
        sent: list[tuple[int, int]] = []
        try:
            for chunk in self._contacts.chunks(size):
                self._make_sure_of_not_having_stood_still()
                batch = self._send(chunk, next(limits))
                self._placed[batch.batch_id] = batch
                self._check_total(batch, chunk)
                sent.append(chunk.span)
                self._left -= chunk.size
        finally:
            self._contacts.exclude_chunks(sent)

    def _limits(self, batches: int) -> Iterator[int | None]:
        limit = self._service.limit_to_share
        if limit is None:
            return iter([None] * batches)
        taken = sum(batch.concurrency_limit or 0 for batch in self._placed.values())
        return iter(shared_out(limit, taken=taken, batches=batches))

    def _send(self, chunk: Chunk, limit: int | None) -> PlacedBatch:
        for _ in range(_MOST_SENDS):
            self._intend(chunk)
            try:
                batch = self._service.create(chunk, concurrency_limit=limit)
                self._log.info("Created batch %s with %d contacts", batch.batch_id, chunk.size)
            except UnclearOutcomeError as unclear:
                found = self._find_again(chunk, unclear)
                if found is None:
                    self._remember(self._record.settled(chunk.fingerprint, batch_id=None))
                    if _is_too_large(chunk, unclear):
                        raise _TooLargeError from unclear
                    continue
                batch = found
            except ServiceError:
                self._remember(self._record.settled(chunk.fingerprint, batch_id=None))
                raise
            self._created += 1
            self._remember(self._record.settled(chunk.fingerprint, batch_id=batch.batch_id))
            return batch
        raise UploadError(
            f"A batch of {chunk.size} contacts got no clear answer {_MOST_SENDS} times and was not found on the "
            "service after any of them: as far as the service tells, its contacts are not called. Find out what is "
            "wrong with the service, then retry: the retry searches again before it sends."
        )

    def _make_sure_of_not_having_stood_still(self) -> None:
        """Where no later try can say that it has taken over: one that did so has waited for resend_after first."""
        now = self._clock.now()
        if not self._memory.is_shared and now - self._last_send > self._resend_after:
            raise _StoodStillError
        self._last_send = now

    def _intend(self, chunk: Chunk) -> None:
        """
        Remember the intent, then make sure that the batch is wanted still.

        No later try has taken over (it would have to know of the intent), and nobody has stopped this one.
        """
        self._remember(self._record.intending(chunk.fingerprint, at=self._clock.now()))
        if self._memory.is_taken_over():
            self._remember(self._record.settled(chunk.fingerprint, batch_id=None))
            raise UploadError(
                "A later try of this task has taken over; this one sends nothing more. Nothing is wrong with the "
                "upload: look at the later try. If there is none, because the run was deleted and made anew, move "
                "the ledger of the old run away."
            )
        if self._is_stopped():
            self._remember(self._record.settled(chunk.fingerprint, batch_id=None))
            raise TaskKilledError("The task was stopped from outside; nothing more is sent.")

    def _find_again(self, chunk: Chunk, unclear: UnclearOutcomeError) -> PlacedBatch | None:
        """Look for a batch whose creation got no clear answer, until it is found or the time for doubt is over."""
        given_up = self._clock.now()
        record = self._record.intending(chunk.fingerprint, at=given_up)
        self._remember(replace(record, batch_size=chunk.size // 2) if _is_too_large(chunk, unclear) else record)
        self._log.warning("%s Searching the service for the batch", unclear)
        self._search.expect(chunk)
        for batch in self._wait_for_doubts(self._record):
            if _name(batch) == short(chunk.fingerprint):
                self._log.info("Found it: batch %s was created; nothing is sent again", batch.batch_id)
                return batch
        self._log.warning(
            "A complete search did not find it %.0f s after the send: it was not created", self._clock.now() - given_up
        )
        return None

    def _remember(self, record: Record) -> None:
        self._memory.write(record)
        self._record = record

    def _check_total(self, batch: PlacedBatch, chunk: Chunk) -> None:
        if batch.total is not None and batch.total != chunk.size:
            raise UploadError(
                f"Batch {batch.batch_id} holds {batch.total} contacts where {chunk.size} were sent. It is running "
                "with those it holds; nothing was sent again. Compare its contacts with the source, then decide."
            )


def _name(batch: PlacedBatch) -> str:
    """Short fingerprint of a batch's chunk, empty where it is not known."""
    return short(batch.chunk or "")


def _is_too_large(chunk: Chunk, unclear: UnclearOutcomeError) -> bool:
    return unclear.status_code == _TOO_LARGE and chunk.size > 1


def _twins(one: PlacedBatch, other: PlacedBatch) -> UploadError:
    return UploadError(
        f"Batches {one.batch_id} and {other.batch_id} hold the same people: the service listed one of them later than "
        "resend_after allows for, or created it twice. Nothing more was sent; cancel one of them, raise resend_after."
    )
