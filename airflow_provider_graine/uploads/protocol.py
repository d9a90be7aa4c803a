"""
How a list of contacts gets onto batches without anybody being on two.

Creating a batch dials at once and cannot be repeated safely. So every batch carries the identity of its upload and the
fingerprint of its contacts; the intent to send is remembered before the send and the answer after it; and the service
itself is asked whenever anything is in doubt. ``docs/protocol.md`` has the states and the reason of each step.

On some services a batch is a draft first, which calls nobody until it is started: then :mod:`.drafts` has a say, too.

Several requests may be in flight; what is decided and what is remembered is so in one thread.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final

from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import (
    CallingError,
    ConfigurationError,
    ServiceError,
    TaskKilledError,
    UnclearOutcomeError,
    UploadError,
)
from airflow_provider_graine.uploads.concurrency import shared_out
from airflow_provider_graine.uploads.drafts import Drafts
from airflow_provider_graine.uploads.in_flight import Ahead, InFlight
from airflow_provider_graine.uploads.progress import Progress
from airflow_provider_graine.uploads.record import Memory, Record, short
from airflow_provider_graine.uploads.search import Search
from airflow_provider_graine.uploads.service import BatchService, Clock, PlacedBatch, SuspendedError, is_draft_service
from airflow_provider_graine.uploads.words import Words

_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 30.0
_MOST_SENDS: Final = 3
_TOO_LARGE: Final = 413
#: Seconds between two looks at whether the task has been stopped, while requests are in flight.
_LOOK: Final = 0.2
#: Seconds for which answers are awaited when this try is broken off.
_GRACE: Final = 1.5
#: Seconds that lie between a start by local time and now when it is chosen, and when its batch is sent: what the
#: service makes of a start that has passed is not known.
_AHEAD: Final = 300.0
_LEAST_AHEAD: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """
    Where the people of a list are now.

    :param batches: every batch of this upload, in the order of the list as it is now: by the first of its people who
        is on it; last, in the order of their creation, those of which nobody is any more
    :param created: how many of them this try created
    :param vanished: people on batches of earlier tries who are no longer in the source
    """

    batches: list[PlacedBatch]
    created: int = 0
    vanished: int = 0


@dataclass(eq=False)
class _Sending:
    """
    A chunk that is to be sent.

    :param chunk: the contacts
    :param limit: the batch's share of the parallel calls
    :param sends: how often it was sent so far
    """

    chunk: Chunk
    limit: int | None
    sends: int = 0


class _StoodStillError(Exception):
    """What was found before the last send may not, or does not any more, be all there is."""


class _StartPassedError(Exception):
    """A start by local time is too near, or has passed, before its batch was sent."""


class _TooLargeError(Exception):
    """The service takes no batch of this size; nothing of it was created."""


class Upload:
    """
    One try of an upload.

    :param service: the calling service. Where its batches are drafts first (:class:`.DraftService`) nothing is started
        here, but everything is ready to be, and whoever starts it need not fear that somebody is on two
    :param contacts: the screened list
    :param batch_size: most contacts on one batch
    :param resend_after: seconds for which contacts of an unclear send are not sent again
    :param memory: what is remembered of this and earlier tries
    :param is_first: whether no try can have sent anything before this one
    :param clock: wall-clock time
    :param log: where to tell what is done and why
    :param doubt_ends: when a doubt that an earlier part of this try had is over, in seconds since the epoch; ``None``
        where this try begins
    :param is_stopped: asked before each send, and every now and then while requests are in flight, whether the task
        has been stopped from outside
    :param max_parallel: how many create requests are in flight at once
    :param in_flight: what keeps them there
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
        max_parallel: int = 1,
        in_flight: Callable[..., InFlight[_Sending, PlacedBatch]] = InFlight,
    ) -> None:
        self._service = service
        self._words = service.words
        self._drafts = Drafts(service=service, contacts=contacts, log=log) if is_draft_service(service) else None
        self._contacts = contacts
        self._batch_size = batch_size
        self._resend_after = resend_after
        self._memory = memory
        self._is_first = is_first and doubt_ends is None
        self._clock = clock
        self._log = log
        self._doubt_ends = self._carried_doubt = doubt_ends
        self._is_stopped = is_stopped
        self._max_parallel = max_parallel
        self._in_flight = in_flight
        self._search = Search(service=service, contacts=contacts, batch_size=batch_size, log=log)
        self._record = Record()
        self._remembered: Record | None = None
        self._left = contacts.remaining()
        self._created = 0
        self._answered: dict[str, PlacedBatch] = {}
        self._placed: dict[str, PlacedBatch] = {}
        self._first_rows: dict[str, int] = {}
        self._sent: list[tuple[int, int]] = []
        self._vanished = 0
        self._last_send = 0.0

    @property
    def known(self) -> dict[str, str]:
        """
        The batches of this upload that are known by now, with the last known state of each (empty: not known).

        Also in a signal handler: what has been answered counts, whether this try has come to look at it or not.
        """
        seen = {**self._answered, **self._placed}
        return {**dict.fromkeys(self._record.batches, ""), **{b.batch_id: b.status for b in seen.values()}}

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
                "The upload stopped: %d accepted contacts are on no %s that is known of; %d %s of this run are known. "
                "A retry searches the service first, then goes on with the rest",
                self._left,
                self._words.batch,
                len(self._placed),
                self._words.batches,
            )
            raise
        batches = sorted(self._placed.values(), key=lambda batch: self._first_rows.get(batch.batch_id, math.inf))
        return Uploaded(batches=batches, created=self._created, vanished=self._vanished)

    def _place_everybody(self) -> None:
        while True:
            try:
                self._settle()
                self._last_send = self._clock.now()
                self._send_the_rest(self._size)
                self._make_sure_of_drafts()
            except _TooLargeError:
                self._log.warning(
                    "Going on with smaller %s: %d contacts at most", self._words.batches, self._record.batch_size
                )
            except _StartPassedError:
                self._log.warning("Some starts by local time have come before their batches were sent: choosing anew")
            except _StoodStillError:
                self._log.warning(
                    "%s of this run may have come about without this try: looking again",
                    self._words.batches.capitalize(),
                )
            else:
                return

    @property
    def _size(self) -> int:
        """Most contacts on one batch, as far as is known by now."""
        return min(self._batch_size, self._record.batch_size or self._batch_size)

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
                    "Earlier tries of this run created %d %s and sent %d without seeing the answer. Searching the "
                    "service",
                    len(record.batches),
                    self._words.batches,
                    len(record.intents),
                )
            placed = self._wait_for_doubts(record)
        if self._drafts is not None:
            placed = self._drafts.existing(placed)
            self._begin_anew()
        self._take_off_the_list([batch for batch in placed if not batch.is_draft])
        if record is None and not self._left and self._drafts is None:
            self._tell_what_was_found()
            return  # there may be more than was waited for; the next try is not to take this for all there is
        known = record or Record()
        batches = {**known.batches, **{batch.batch_id: _name(batch) for batch in placed}}
        self._record = replace(known, intents={}, batches=batches)
        self._remember()
        self._use_or_delete([batch for batch in placed if batch.is_draft])
        self._tell_what_was_found()

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
                f"{self._words.batches.capitalize()} of earlier tries, of which nothing is remembered,"
                if record is None
                else f"A {self._words.batch} in doubt",
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
        with closing(self._contacts.chunks(self._batch_size, everybody=True)) as chunks:
            if all(short(chunk.fingerprint) in found for chunk in chunks):
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
                raise _twins(twin, batch, self._words)
            unread[batch.batch_id if twin is not None else _name(batch) or batch.batch_id] = batch
        self._placed.update({batch.batch_id: batch for batch in placed})
        if unread:
            self._exclude(unread)
        self._left = self._contacts.remaining()

    def _tell_what_was_found(self) -> None:
        if self._placed:
            rest = (
                f"{self._left} contacts are on none yet"
                if self._left
                else "everybody is on one of them, nothing is sent"
            )
            found, batches = len(self._placed), self._words.batches
            self._log.info("Found %d %s of this run on the service; %s", found, batches, rest)
        else:
            self._log.info(
                "No %s of this run is on the service yet; %d contacts are to be sent", self._words.batch, self._left
            )

    def _exclude(self, unread: dict[str, PlacedBatch]) -> None:
        spans = []
        for chunk in self._contacts.chunks(self._batch_size, everybody=True):
            if (batch := unread.pop(short(chunk.fingerprint), None)) is not None:
                if (wrong := self._wrong_total(batch, chunk)) is not None:
                    raise wrong
                spans.append(chunk.span)
                self._first_rows[batch.batch_id] = chunk.span[0]
        self._contacts.exclude_chunks(spans)
        for batch in unread.values():
            people = list(self._service.people(batch.batch_id))
            if batch.total is not None and len(people) < batch.total:
                raise UploadError(
                    f"The service lists {len(people)} of the {batch.total} people on {self._words.batch} "
                    f"{batch.batch_id}, so nobody can tell whom to leave out. Nothing more was sent; a retry reads "
                    "them again."
                )
            if (first_row := self._contacts.first_row(people)) is not None:
                self._first_rows[batch.batch_id] = first_row
            self._vanished += self._contacts.vanished(people)
            self._contacts.exclude(people)
        if unread:
            self._log.warning(
                f"%d {self._words.batches} of this run hold other groups of people than this list is cut into; they "
                "were compared person by person. %d people on them are no longer in the source (they are called all "
                "the same)",
                len(unread),
                self._vanished,
            )

    # -- drafts -------------------------------------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """Take nothing for placed: who is on a draft is not, if that turns out to be of no use."""
        self._contacts.exclude_nobody()
        self._placed.clear()
        self._first_rows.clear()
        self._vanished = 0

    def _use_or_delete(self, drafts: list[PlacedBatch]) -> None:
        """Take off the list who is on the drafts that are as they are wanted now, and delete the others."""
        if self._drafts is None:
            return
        wanted, others = self._drafts.sift(drafts, batch_size=self._size, shares=self._shares)
        self._delete(others)
        self._placed.update({each.draft.batch_id: each.draft for each in wanted})
        self._first_rows.update({each.draft.batch_id: each.span[0] for each in wanted})
        self._contacts.exclude_chunks([each.span for each in wanted])
        self._left = self._contacts.remaining()

    def _delete(self, drafts: list[PlacedBatch]) -> None:
        """Delete drafts, once it is remembered that they are not missed."""
        if self._drafts is None or not drafts:
            return
        if self._memory.is_taken_over():
            raise _taken_over()
        self._record = self._record.without(draft.batch_id for draft in drafts)
        self._remember()
        started = [draft for draft in drafts if not self._drafts.delete(draft.batch_id)]
        if started:
            batches = {**self._record.batches, **{draft.batch_id: _name(draft) for draft in started}}
            self._record = replace(self._record, batches=batches, removed=self._record.removed - batches.keys())
            self._remember()
            raise _StoodStillError

    def _make_sure_of_drafts(self) -> None:
        """
        Look once more before anybody starts the drafts: every one is listed, whole, and there are no others.

        So what was ever started can be found again, whoever looks and whatever is remembered; and another try that is
        at the same sees these drafts, or its own are seen here.

        :raises _StoodStillError: there are others, or one is gone: all of it has to be settled again
        :raises UploadError: one is not listed, or not whole, although ``resend_after`` has passed
        """
        if self._drafts is None:
            return
        is_begun_here = self._created or self._carried_doubt is None
        ends = self._clock.now() + self._resend_after if is_begun_here else self._carried_doubt or 0.0
        pause = _FIRST_PAUSE
        while True:
            began = self._clock.now()
            listed = {batch.batch_id: batch for batch in self._drafts.existing(self._service.find())}
            if listed.keys() - self._placed.keys():
                raise _StoodStillError
            self._placed.update(listed)
            drafts = [batch for batch in self._placed.values() if batch.is_draft]
            objection = self._objection_to_starting(drafts, listed)
            if objection is None:
                return
            if began >= ends:
                raise objection
            if (left := ends - self._clock.now()) > 0:
                pause = min(pause, left)
                self._log.info("Not everything can be seen on the service yet. Looking again in %.0f s", pause)
                self._clock.sleep(pause, until=ends)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _objection_to_starting(self, drafts: list[PlacedBatch], listed: Collection[str]) -> UploadError | None:
        for draft in drafts:
            if draft.batch_id in listed:
                continue
            if self._service.get(draft.batch_id) is None:
                self._record = self._record.without([draft.batch_id])
                self._remember()
                raise _StoodStillError
            return UploadError(
                f"{self._words.batch.capitalize()} {draft.batch_id} exists, but the service does not list it: a later "
                "try might not find it, and call its people again. Nothing was started. A retry looks again."
            )
        return self._drafts.incomplete(draft.batch_id for draft in drafts) if self._drafts is not None else None

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send_the_rest(self, size: int) -> None:
        if not self._left:
            return
        self._service.check()
        self._choose_starts()
        batches = self._contacts.number_of_chunks(size)
        limits = self._limits(batches)
        self._progress = Progress(self._log, batches=batches, contacts=self._left)
        self._sent = []
        try:
            with closing(self._contacts.chunks(size)) as chunks:
                planned = Ahead(_Sending(chunk, limit) for chunk, limit in zip(chunks, limits, strict=True))
                while doubtful := self._send_until_in_doubt(planned):
                    planned = Ahead(chain(self._find_again(doubtful), planned))
        finally:
            self._contacts.exclude_chunks(self._sent)

    def _choose_starts(self) -> None:
        soonest = self._clock.now() + _AHEAD
        self._contacts.schedule(after=soonest)
        if late := self._contacts.too_late(after=soonest):
            raise ConfigurationError(
                f"For {late} contacts that are on no {self._words.batch} yet, local_start on local_date has passed, or "
                f"is less than {_AHEAD / 60:.0f} minutes away. Nothing more was sent. Set local_date to a later day, "
                f"or leave it out for the next one of each: who is on a {self._words.batch} already stays there."
            )

    def _limits(self, batches: int) -> list[int] | list[None]:
        limit = self._service.limit_to_share
        if limit is None or not batches:
            return [None] * batches
        taken = sum(batch.concurrency_limit or 0 for batch in self._placed.values() if not batch.has_ended)
        return shared_out(limit, taken=taken, batches=batches, words=self._words)

    def _shares(self, batches: int) -> list[tuple[int, int]] | list[None]:
        """
        Tell how many parallel calls each of so many drafts should have, at least and at most.

        At least what it got when those that have ended since were still running: a draft is not made anew for more.
        """
        limit = self._service.limit_to_share
        if limit is None or not batches:
            return [None] * batches
        most = self._limits(batches)
        taken = sum(batch.concurrency_limit or 0 for batch in self._placed.values())
        least = shared_out(max(limit - taken, batches), taken=0, batches=batches)
        return [(low, high or low) for low, high in zip(least, most, strict=True)]

    def _send_until_in_doubt(self, planned: Ahead[_Sending]) -> list[tuple[_Sending, UnclearOutcomeError]]:
        """
        Keep requests in flight until all is placed, or something went wrong and those in flight have ended.

        What was answered and what is to be sent next is remembered in one go.

        :return: what was sent without a clear answer
        """
        doubtful: list[tuple[_Sending, UnclearOutcomeError]] = []
        failures: list[BaseException] = []
        going: deque[_Sending] = deque()
        with closing(self._in_flight(self._create, most=self._max_parallel)) as in_flight:
            try:
                while True:
                    if not doubtful and not failures:
                        going.extend(islice(planned, in_flight.free))
                    for sending in going:
                        self._record = self._record.intending(sending.chunk.fingerprint, at=self._clock.now())
                    self._remember()
                    if (objection := self._objection_to(going)) is not None:
                        failures.append(objection)
                        self._take_back(going)
                    while going:
                        in_flight.begin(going.popleft())
                    if not in_flight:
                        break
                    planned.get_ready()
                    for sending, outcome in in_flight.ended(_LOOK):
                        self._note(sending, outcome, doubtful, failures)
                self._remember()
            except BaseException:
                self._take_back(going)
                self._bring_in(in_flight)
                raise
        self._raise_the_worst(failures)
        return doubtful

    def _create(self, sending: _Sending) -> PlacedBatch:
        """Send one request; in a thread of its own."""
        sending.sends += 1
        batch = self._service.create(sending.chunk, concurrency_limit=sending.limit)
        self._answered[batch.batch_id] = batch
        return batch

    def _take_back(self, going: deque[_Sending]) -> None:
        """Give up the intent to send what has not gone yet."""
        while going:
            self._record = self._record.settled(going.popleft().chunk.fingerprint, batch_id=None)

    def _objection_to(self, going: Collection[_Sending]) -> Exception | None:
        """
        Tell why nothing more may be sent, if so; asked when the intents are remembered.

        A later try that has taken over without being seen here would have to know of them. Where it cannot say so, it
        has waited for ``resend_after`` before.
        """
        if going:
            now = self._clock.now()
            is_late = now - self._last_send > self._resend_after
            if is_late and not self._memory.is_shared and self._drafts is None:
                return _StoodStillError()
            self._last_send = now
            if any(_is_late(sending.chunk, now) for sending in going):
                return _StartPassedError()
            if self._memory.is_taken_over():
                return _taken_over()
        if self._is_stopped():
            return TaskKilledError("The task was stopped from outside; nothing more is sent.")
        return None

    def _note(
        self,
        sending: _Sending,
        outcome: PlacedBatch | BaseException,
        doubtful: list[tuple[_Sending, UnclearOutcomeError]],
        failures: list[BaseException],
    ) -> None:
        """Note what became of a request."""
        chunk = sending.chunk
        if isinstance(outcome, PlacedBatch):
            start = f", for {chunk.start:%Y-%m-%d %H:%M} UTC" if chunk.start is not None else ""
            self._log.info("Created %s %s with %d contacts%s", self._words.batch, outcome.batch_id, chunk.size, start)
            if (wrong := self._place(outcome, chunk)) is not None:
                failures.append(wrong)
        elif isinstance(outcome, UnclearOutcomeError):
            self._record = self._record.intending(chunk.fingerprint, at=self._clock.now())
            if _is_too_large(chunk, outcome):
                size = min(self._record.batch_size or chunk.size, chunk.size // 2)
                self._record = replace(self._record, batch_size=size)
            doubtful.append((sending, outcome))
        else:
            if isinstance(outcome, ServiceError):
                self._record = self._record.settled(chunk.fingerprint, batch_id=None)
            failures.append(outcome)

    def _place(self, batch: PlacedBatch, chunk: Chunk) -> UploadError | None:
        """Take note of a batch that was created; returns what is wrong with it."""
        self._record = self._record.settled(chunk.fingerprint, batch_id=batch.batch_id)
        self._placed[batch.batch_id] = batch
        self._answered.pop(batch.batch_id, None)
        self._first_rows[batch.batch_id] = chunk.span[0]
        self._created += 1
        if self._drafts is not None and batch.is_draft:
            self._drafts.created(batch.batch_id, size=chunk.size)
        if (wrong := self._wrong_total(batch, chunk)) is not None:
            return wrong
        self._sent.append(chunk.span)
        self._left -= chunk.size
        self._progress.add(contacts=chunk.size)
        return None

    def _bring_in(self, in_flight: InFlight[_Sending, PlacedBatch]) -> None:
        """
        Remember what is answered within a short time, because this try is being broken off.

        What is not answered by then stays an intent, for the next try to find.
        """
        until = self._clock.now() + _GRACE
        while in_flight and (left := until - self._clock.now()) > 0:
            for sending, outcome in in_flight.ended(left):
                self._note(sending, outcome, [], [])
        for batch in list(self._answered.values()):
            self._record = self._record.settled(batch.chunk or "", batch_id=batch.batch_id)
        with suppress(Exception):  # it is the other error that counts
            self._remember()

    def _find_again(self, doubtful: list[tuple[_Sending, UnclearOutcomeError]]) -> list[_Sending]:
        """
        Look for batches whose creation got no clear answer, until they are found or the time for doubt is over.

        :return: what was not created
        """
        given_up = self._clock.now()
        for sending, unclear in doubtful:
            self._log.warning("%s Searching the service for the %s", unclear, self._words.batch)
            self._search.expect(sending.chunk)
        placed = self._wait_for_doubts(self._record)
        found = {_name(batch): batch for batch in reversed(placed)}
        failures: list[BaseException] = []
        missing = []
        for sending, unclear in doubtful:
            chunk = sending.chunk
            if (batch := found.get(short(chunk.fingerprint))) is not None:
                self._log.info("Found it: %s %s was created; nothing is sent again", self._words.batch, batch.batch_id)
                if (wrong := self._place(batch, chunk)) is not None:
                    failures.append(wrong)
                continue
            self._log.warning(
                "A complete search did not find it %.0f s after the send: it was not created",
                self._clock.now() - given_up,
            )
            self._record = self._record.settled(chunk.fingerprint, batch_id=None)
            missing.append(sending)
            if _is_too_large(chunk, unclear):
                failures.append(_TooLargeError())
            elif sending.sends >= _MOST_SENDS:
                failures.append(_never_created(sending, self._words))
        self._remember()
        if any(batch.batch_id not in self._placed for batch in placed):
            failures.append(_StoodStillError())
        self._raise_the_worst(failures)
        self._last_send = self._clock.now()
        return missing

    def _raise_the_worst(self, failures: list[BaseException]) -> None:
        """Raise the first of those that end this try, else the first of those after which it looks again."""
        again = (_StoodStillError, _StartPassedError, _TooLargeError)
        failures = sorted(failures, key=lambda failure: isinstance(failure, again))
        told = {str(failure) for failure in failures[:1]}
        for failure in failures[1:]:
            if isinstance(failure, CallingError) and str(failure) not in told:
                told.add(str(failure))
                self._log.error("%s", failure)
        if failures:
            raise failures[0]

    def _wrong_total(self, batch: PlacedBatch, chunk: Chunk) -> UploadError | None:
        if batch.total is None or batch.total == chunk.size:
            return None
        return UploadError(
            f"{self._words.batch.capitalize()} {batch.batch_id} holds {batch.total} contacts where {chunk.size} were "
            "sent. It is running with those it holds; nothing was sent again. Compare its contacts with the source, "
            "then decide."
        )

    def _remember(self) -> None:
        if self._record is not self._remembered:
            self._memory.write(self._record)
            self._remembered = self._record


def _taken_over() -> UploadError:
    return UploadError(
        "A later try of this task has taken over; this one sends nothing more. Nothing is wrong with the upload: look "
        "at the later try. If there is none, because the run was deleted and made anew, move the ledger of the old run "
        "away."
    )


def _never_created(sending: _Sending, words: Words) -> UploadError:
    return UploadError(
        f"A {words.batch} of {sending.chunk.size} contacts got no clear answer {sending.sends} times and was not found "
        "on the service after any of them: as far as the service tells, its contacts are not called. Find out what is "
        "wrong with the service, then retry: the retry searches again before it sends."
    )


def _name(batch: PlacedBatch) -> str:
    """Short fingerprint of a batch's chunk, empty where it is not known."""
    return short(batch.chunk or "")


def _is_late(chunk: Chunk, now: float) -> bool:
    return chunk.start is not None and chunk.start.timestamp() <= now + _LEAST_AHEAD


def _is_too_large(chunk: Chunk, unclear: UnclearOutcomeError) -> bool:
    return unclear.status_code == _TOO_LARGE and chunk.size > 1


def _twins(one: PlacedBatch, other: PlacedBatch, words: Words) -> UploadError:
    return UploadError(
        f"{words.batches.capitalize()} {one.batch_id} and {other.batch_id} hold the same people: the service listed "
        "one of them later than resend_after allows for, or created it twice. Nothing more was sent; "
        f"{words.end} one of them, raise resend_after."
    )
