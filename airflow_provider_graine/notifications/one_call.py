"""
One call about one failure, however many callbacks tell of it, one after the other or at the same moment.

A batch cannot be created twice safely, and callbacks share no memory: they run in the worker, in the DAG processor and
in the triggerer. So each searches the service first; the batch it creates begins its call some time later; and in
between it searches again. Whoever finds two about one failure keeps the older and cancels the other before it dials.

Written once, for the blocking and the async notifier: what is to be asked of the service is yielded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airflow_provider_graine.exceptions import ServiceError, UnclearOutcomeError, UploadError
from airflow_provider_graine.notifications.failure import KEY, Failure

if TYPE_CHECKING:
    import logging

    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.graine.received import Batch

T = TypeVar("T")

#: Seconds before each look for twins, once the batch is there: listings may lag, and another create may be on its way.
_LOOKS: Final = (0.0, 2.0)
#: Seconds for which a batch is searched whose create got no clear answer: a callback has to end soon.
_PATIENCE: Final = 8.0
_LONGEST_PAUSE: Final = 5.0
#: What clocks may differ by, in seconds.
_SKEW: Final = 3600.0
_STOPPED: Final = frozenset({"cancelled", "expired"})


@dataclass(frozen=True)
class Ask:
    """A method of the hook to call."""

    method: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Rest:
    """Seconds to let pass."""

    seconds: float


Steps = Generator[Ask | Rest, Any, T]


@dataclass(kw_only=True)
class OneCall:
    """
    A person to be phoned about a failure.

    :param failure: what it is about
    :param campaign_id: the campaign
    :param contact: who, and what the agent is told
    :param max_retries_override: how often the service calls again by itself; ``None``: as the campaign says
    :param delay: seconds until the call
    :param resend_after: seconds after which a create without a clear answer is sent once more; ``None``: never
    :param log: where to tell what is known
    """

    failure: Failure
    campaign_id: str
    contact: dict[str, Any]
    max_retries_override: int | None
    delay: float
    resend_after: float | None
    log: logging.Logger
    _others: set[str] = field(default_factory=set)

    def conduct(self) -> Steps[str | None]:
        """
        Have the person phoned, unless they are already.

        :return: the batch that phones them; ``None`` where none is known
        :raises UploadError: when the campaign is stopped; nothing was sent
        :raises ServiceError: when the service refuses, or could not be searched; nothing was sent
        """
        campaign = yield Ask("get_campaign", {"campaign_id": self.campaign_id})
        if campaign.status in ("paused", "cancelled"):
            raise UploadError(
                f"Campaign {self.campaign_id} is {campaign.status}: whether a batch added now would be dialled is not "
                "documented. Nothing was sent."
            )
        if found := (yield from self._search()):
            batch_id: str = found[0].batch_id
            self.log.info("Batch %s is about %s already: nobody is phoned again", batch_id, self.failure)
            return batch_id
        own = yield from self._create()
        return None if own is None else (yield from self._keep_one(own))

    def _create(self) -> Steps[Batch | None]:
        """Create the batch; after an answer that is not clear, look for it."""
        patience = _PATIENCE if self.resend_after is None else self.resend_after
        sends_left = 1 if self.resend_after is None else 2
        while True:
            sends_left -= 1
            try:
                return (yield self._request())  # type: ignore[no-any-return]
            except UnclearOutcomeError as unclear:
                self.log.warning("%s Searching the service for the batch", unclear)
            found, is_certain = yield from self._look_for(patience)
            if found is not None:
                return found
            if not sends_left or not is_certain:
                self.log.error(
                    "Whether somebody is phoned about %s is not known: no batch about it is listed. Nothing is sent "
                    "again; look at campaign %s, or phone them yourself",
                    self.failure,
                    self.campaign_id,
                )
                return None
            self.log.warning("A complete search did not find it %.0f s after the send: sending it once more", patience)

    def _request(self) -> Ask:
        return Ask(
            "create_batch",
            {
                "campaign_id": self.campaign_id,
                "contacts": [self.contact],
                "scheduled_start": datetime.fromtimestamp(time.time() + self.delay, UTC),
                "max_retries_override": self.max_retries_override,
                "metadata": self.failure.marks(self.contact["phone_number"]),
            },
        )

    def _look_for(self, patience: float) -> Steps[tuple[Batch | None, bool]]:
        """Search until the batch is found or the time is over; also tell whether the last search was complete."""
        until = time.monotonic() + patience
        pause = 1.0
        while True:
            left = until - time.monotonic()
            is_complete = True
            try:
                if found := (yield from self._search()):
                    return found[0], True
            except ServiceError as error:
                self.log.warning("%s", error)
                is_complete = False
            if left <= 0:
                return None, is_complete
            yield Rest(min(pause, max(0.0, until - time.monotonic())))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _keep_one(self, own: Batch) -> Steps[str | None]:
        """Look for batches that other callbacks have created meanwhile; let only one of them make its call."""
        kept = own
        for pause in _LOOKS:
            yield Rest(pause)
            try:
                twins = {batch.batch_id: batch for batch in (yield from self._search())}
            except ServiceError as error:
                self.log.warning("%s Another callback about this failure would not be noticed", error)
                continue
            there = ({own.batch_id: own} | twins).values()
            live = sorted((batch for batch in there if batch.status not in _STOPPED), key=_first_come)
            for batch in live[1:]:
                yield from self._cancel(batch.batch_id)
            kept = live[0] if live else own
        if kept.batch_id == own.batch_id:
            self.log.info("Batch %s phones somebody about %s in %.0f s", own.batch_id, self.failure, self.delay)
        else:
            self.log.info("Batch %s of another callback is about %s already", kept.batch_id, self.failure)
        return kept.batch_id

    def _cancel(self, batch_id: str) -> Steps[None]:
        try:
            yield Ask("cancel_batch", {"batch_id": batch_id})
        except ServiceError:  # another callback may have been faster
            try:
                status = (yield Ask("get_batch", {"batch_id": batch_id})).status
            except ServiceError:
                status = "unknown"
            if status not in _STOPPED:
                self.log.warning(
                    "Batch %s is about %s too, and could not be cancelled (it is %s): it may phone them a second time",
                    batch_id,
                    self.failure,
                    status,
                )
                return
        self.log.info("Cancelled batch %s, one too many about %s, before its call", batch_id, self.failure)

    def _search(self) -> Steps[list[Batch]]:
        """Read all batches of the campaign that may be about this failure; only the single read shows whose one is."""
        found = []
        rows = yield from self._rows()
        for row in rows:
            if row.batch_id in self._others or row.total_contacts not in (None, 1) or self._is_older(row):
                continue
            batch = yield Ask("get_batch", {"batch_id": row.batch_id})
            if (yield from self._is_own(batch)):
                found.append(batch)
            else:
                self._others.add(batch.batch_id)
        return sorted(found, key=_first_come)

    def _rows(self) -> Steps[list[Batch]]:
        rows: dict[str, Batch] = {}
        skip = 0
        while page := (yield Ask("list_batches", {"campaign_id": self.campaign_id, "skip": skip})):
            skip += len(page)
            rows |= {row.batch_id: row for row in page}
        return list(rows.values())

    def _is_older(self, batch: Batch) -> bool:
        """Tell whether a batch was there long before the failure."""
        if self.failure.since is None or batch.created_at is None:
            return False
        try:
            created = datetime.fromisoformat(batch.created_at)
        except ValueError:
            return False
        return created.tzinfo is not None and created.timestamp() < self.failure.since - _SKEW

    def _is_own(self, batch: Batch) -> Steps[bool]:
        number = self.contact["phone_number"]
        if batch.metadata:
            return bool(batch.metadata.get(KEY) == self.failure.key(number))
        people = yield Ask("list_batch_contacts", {"batch_id": batch.batch_id})
        digits = {"".join(filter(str.isdigit, person.phone_number or "")) for person in people}
        return number.removeprefix("+") in digits or not digits - {""}


def _first_come(batch: Batch) -> tuple[str, str]:
    return batch.created_at or "", batch.batch_id


def run(steps: Steps[T], hook: GraineHook) -> T:
    """
    Do what is asked for.

    :param steps: what to ask the service, one after the other
    :param hook: the connection; the caller closes it
    :return: what comes of it
    """
    outcome: Any = None
    while True:
        try:
            step = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            if isinstance(step, Rest):
                outcome = time.sleep(step.seconds)  # type: ignore[func-returns-value]
            else:
                outcome = getattr(hook, step.method)(**step.arguments)
        except Exception as error:
            outcome = error


async def arun(steps: Steps[T], hook: GraineHook) -> T:
    """Do what is asked for on an event loop; see :func:`run`."""
    outcome: Any = None
    while True:
        try:
            step = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            if isinstance(step, Rest):
                outcome = await asyncio.sleep(step.seconds)  # type: ignore[func-returns-value]
            else:
                outcome = await getattr(hook, f"a{step.method}")(**step.arguments)
        except Exception as error:
            outcome = error
