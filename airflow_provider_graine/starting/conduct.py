"""
Starting campaigns as the budget allows, and keeping their calling hours until they have ended.

Pure: a :class:`Conduct` asks for one :mod:`step <.steps>` after the other and is told what came of it. It neither
sleeps nor sends, so that task and trigger, blocking and on an event loop, do the same.

The rules:

- Whatever starts calls is sent only to a campaign that was read a moment ago in the state that it is meant for, inside
  the hours, and to none that the service has said yes to before.
- A refusal with 409 is told apart by reading the campaign: if nothing has changed, the budget is used up.
- A request without a clear answer is settled by reading the campaign, for as long as it may still take effect.
- Only what was paused here because of the hours is ever resumed. That must be known for certain: so it is kept outside
  of the process (:class:`.Keep`) as soon as it is done, and where that came too late, the campaign stays paused.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from airflow_provider_graine.exceptions import (
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnclearOutcomeError,
)
from airflow_provider_graine.starting.attempts import DOUBT, Attempts
from airflow_provider_graine.starting.order import POLL_INTERVAL, Order
from airflow_provider_graine.starting.standing import DRAFT, ENDED, GONE, PAUSED, RUNNING, SCHEDULED, Standing
from airflow_provider_graine.starting.steps import End, How, Keep, Look, Move, Rest, Step, Tell, Verb, Weigh
from airflow_provider_graine.waiting import memory
from airflow_provider_graine.waiting.hours import CallingHours
from airflow_provider_graine.waiting.outage import FAILURE_BUDGET, LONGEST_OUTAGE, NOT_FOUND_BELIEVED_AT, Outage
from airflow_provider_graine.waiting.pauses import jittered
from airflow_provider_graine.waiting.words import duration

#: Seconds for which what was read counts as what is.
_MOMENT: Final = 5.0
#: Seconds until the next look where something is to be settled, or calls go on that should not.
_SOON: Final = 5.0
#: Seconds between two looks outside the hours, when nothing ran at the last one.
IDLE_INTERVAL: Final = 600.0
#: Seconds over which the tasks spread that all begin at opening time.
_SPREAD: Final = 30.0
_DAY: Final = 86_400.0
_LEAST_REST: Final = 0.05
_LEAST_PAUSE: Final = 1.0

Steps = Generator[Step, Any, Any]


class Conduct:
    """
    What is done about the campaigns of one order, from its beginning or from what an earlier process has remembered.

    :param order: what is asked for
    :param kept: what :meth:`remembered` returned in an earlier process
    :param now: tells wall-clock time in seconds since the epoch
    :param draw: gives random numbers in [0, 1)
    """

    def __init__(
        self,
        order: Order,
        *,
        kept: Mapping[str, Any] | None = None,
        now: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._order = order
        self._now = now
        self._draw = draw
        self._standing = Standing(order.campaign_ids, memory.section(kept, "standing"))
        self._attempts = Attempts(order, draw=draw, kept=memory.section(kept, "attempts"))
        self._due = memory.number(kept or {}, "due") or 0.0
        self._outage = Outage(failure_budget=FAILURE_BUDGET, longest_outage=LONGEST_OUTAGE, kept={})
        self._error: Exception | None = None
        self._missing: Counter[str] = Counter()
        self._seen_at: dict[str, float] = {}
        self._foreign_pauses: set[str] = set()
        #: Until when a campaign that is found paused counts as paused by a request of ours.
        self._pausing: dict[str, float] = {}
        self._is_urgent = False
        self._is_told_closed = False
        self._unsaid: list[Tell] = []

    @property
    def statuses(self) -> Mapping[str, str | None]:
        """The last known status of each campaign."""
        return self._standing.status

    @property
    def held(self) -> frozenset[str]:
        """The campaigns that were paused because of the hours, and are to be resumed."""
        return frozenset(self._standing.held)

    def remembered(self) -> dict[str, Any]:
        """Return a small JSON document for a later process."""
        return {
            "due": self._due,
            "standing": self._standing.remembered(),
            "attempts": self._attempts.remembered(),
        }

    def run(self) -> Generator[Step, Any, End]:
        """
        Ask for one step after the other.

        :return: how it ended
        :raises CallingError: what nobody can wait out
        """
        if (rest := self._due - self._now()) > 0:
            yield Rest(rest)
        while True:
            held = self.held
            self._is_urgent = False
            yield from self._look(self._watched())
            end = self._end()
            if end is None:
                yield from self._act()
                end = self._end() or self._too_late_to_start()
            yield from self._say()
            if end is not None:
                return end
            rest = self._rest()
            self._due = self._now() + rest
            if self.held != held:
                yield Keep()
            yield Rest(rest)

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def _home(self) -> str:
        """The state of campaigns that are still to be started."""
        return DRAFT if self._order.verb == "start" else PAUSED

    def _is_open(self) -> bool:
        return self._order.hours is None or self._order.hours.is_open(self._now())

    def _has_left(self, campaign_id: str) -> bool:
        """Tell whether a campaign has been started, by whomever."""
        standing = self._standing
        return campaign_id in standing.accepted or standing.status[campaign_id] not in (None, self._home)

    def _next(self) -> str | None:
        """Return the campaign whose turn it is to be started."""
        for each, status in self._standing.status.items():
            if status is None:
                return None
            if not self._has_left(each):
                return each
            if self._order.one_at_a_time and status not in ENDED:
                return None
        return None

    def _watched(self) -> list[str]:
        """Return the campaigns whose state matters now."""
        waits_for_predecessor = self._order.one_at_a_time and not all(map(self._has_left, self._standing.status))
        turn = self._next()
        return [
            each
            for each, status in self._standing.status.items()
            if status is None
            or each == turn
            or (
                status not in ENDED
                and self._has_left(each)
                and (waits_for_predecessor or self._is_kept(each) or each in self._standing.held)
            )
        ]

    def _is_kept(self, campaign_id: str) -> bool:
        """Tell whether the hours of a campaign that was started are kept: to the end, or while others wait."""
        return self._order.until_ended or (self._order.hours is not None and campaign_id in self._standing.accepted)

    def _look(self, campaign_ids: list[str]) -> Steps:
        if not campaign_ids:
            return
        seen: Mapping[str, str | Exception] = yield Look(tuple(campaign_ids))
        error: Exception | None = None
        now = self._now()
        for each, found in seen.items():
            if isinstance(found, NotFoundError):
                self._not_found(each)
            elif isinstance(found, Exception):
                error = error or found
            else:
                self._missing[each] = 0
                self._seen_at[each] = now
                self._note(each, found)
        if error is not None or len(campaign_ids) == len(self._watched()):
            self._note_outage(error)
        yield from self._say()

    def _not_found(self, campaign_id: str) -> None:
        # A campaign may be seen late, and a gateway be wrong for a moment.
        self._missing[campaign_id] += 1
        if self._missing[campaign_id] >= NOT_FOUND_BELIEVED_AT:
            self._standing.status[campaign_id] = GONE
            self._warn(f"The service does not know campaign {campaign_id}: it was deleted, or the id is wrong.")

    def _note_outage(self, error: Exception | None) -> None:
        self._error = error
        now = self._now()
        if error is None:
            if sentence := self._outage.over(now=now):
                self._tell(sentence)
            return
        self._outage.failed(error, now=now)
        if not (self._order.until_ended and self._order.hours is not None):
            # Who gives up keeps no hours.
            self._outage.give_up(error, now=now)
        if sentence := self._outage.told(error, now=now):
            self._warn(sentence)

    def _note(self, campaign_id: str, status: str) -> None:
        standing, now = self._standing, self._now()
        if not self._has_left(campaign_id):
            self._make_sure_it_can_be_started(campaign_id, status)
        before, standing.status[campaign_id] = standing.status[campaign_id], status
        if campaign_id in standing.held:
            if status in ENDED or (status == RUNNING and self._is_open()):
                standing.held.discard(campaign_id)
                self._tell(f"Campaign {campaign_id}, paused because of the calling hours, is {status} by other hands.")
            elif status == RUNNING:
                self._warn(f"Campaign {campaign_id} was resumed by other hands outside its calling hours.")
        elif status == PAUSED and now < self._pausing.pop(campaign_id, 0.0):
            standing.held.add(campaign_id)
            self._tell(f"Paused campaign {campaign_id}, {self._closed_until()}.")
        elif status == PAUSED and self._has_left(campaign_id) and self._order.hours is not None:
            if campaign_id not in self._foreign_pauses:
                self._foreign_pauses.add(campaign_id)
                self._warn(
                    f"Campaign {campaign_id} is paused, and not known to be so because of the calling hours: it stays "
                    "paused. Resume it when it should go on; the hours are kept then as before."
                )
        else:
            self._foreign_pauses.discard(campaign_id)
        if status != before and status in ENDED:
            self._tell(f"Campaign {campaign_id} is {status}.")

    def _make_sure_it_can_be_started(self, campaign_id: str, status: str) -> None:
        if self._order.verb == "start" and status == SCHEDULED:
            raise RequestRejectedError(
                f"Campaign {campaign_id} is scheduled: the service starts it by its own clock, whatever the calling "
                "hours say. Nothing was sent to it; start only campaigns that were created without scheduled_at."
            )
        if self._order.verb == "resume" and status not in (PAUSED, RUNNING):
            raise RequestRejectedError(
                f"Campaign {campaign_id} is {status}, and only a paused one can be resumed. Nothing was sent to it."
            )

    # -- acting --------------------------------------------------------------------------------------------------------

    def _act(self) -> Steps:
        if self._is_open():
            yield from self._resume_held()
            yield from self._start_what_can_be()
        if self._is_open():
            self._is_told_closed = False
        else:  # perhaps only since a moment ago
            self._tell_closed()
            for each in list(self._standing.in_state(RUNNING)):
                if self._is_kept(each):
                    yield from self._pause(each)

    def _tell_closed(self) -> None:
        if not self._is_told_closed and (waiting := self._next()) is not None:
            self._is_told_closed = True
            self._tell(f"Campaign {waiting} is not started yet, {self._closed_until()}.")

    def _resume_held(self) -> Steps:
        for each in list(self._standing.in_state(PAUSED)):
            if each in self._standing.held:
                self._attempts.turn_to(each, now=self._now())
                if self._now() < self._attempts.due or not (yield from self._call(each, "resume", PAUSED)):
                    return

    def _start_what_can_be(self) -> Steps:
        while not self._standing.held and (each := self._next()) is not None and self._is_open():
            self._attempts.turn_to(each, now=self._now())
            if not self._attempts.is_due(now=self._now()):
                return
            if not (yield from self._call(each, self._order.verb, self._home)):
                return

    def _call(self, campaign_id: str, verb: Verb, home: str) -> Steps:
        """Ask for what starts calls; return whether the campaign has left the state it was in."""
        standing, attempts = self._standing, self._attempts
        if self._now() - self._seen_at.get(campaign_id, 0.0) > _MOMENT:
            yield from self._look([campaign_id])
            if self._now() - self._seen_at.get(campaign_id, 0.0) > _MOMENT:
                return False  # could not be read
        if standing.status[campaign_id] != home:
            return True
        if attempts.in_doubt(campaign_id, now=self._now()) or not self._is_open():
            return False
        attempts.asked(now=self._now())
        answer = yield Move(campaign_id, verb)
        if isinstance(answer, str) and answer != home:
            self._note_accepted(campaign_id, verb, status=answer)
            return True
        if isinstance(answer, ServiceUnavailableError):  # it was not sent, or certainly not carried out
            self._note_outage(answer)
            return False
        is_refused = isinstance(answer, RequestRejectedError) and answer.status_code == HTTPStatus.CONFLICT
        is_unclear = isinstance(answer, UnclearOutcomeError | str | None)
        if is_unclear:
            attempts.doubt(campaign_id, now=self._now())
            if isinstance(answer, UnclearOutcomeError):
                self._warn(f"{answer} The campaign itself is read now to settle it.")
        elif not is_refused and not isinstance(answer, NotFoundError):
            raise answer
        if is_refused and attempts.refusals:  # again: the look before the next attempt will tell
            yield from self._note_refused(campaign_id, verb)
            return False
        self._seen_at.pop(campaign_id, None)
        yield from self._look([campaign_id])
        if campaign_id not in self._seen_at:
            return False
        if standing.status[campaign_id] != home:
            if is_unclear:
                self._note_accepted(campaign_id, verb, status=standing.status[campaign_id])
            return True
        if is_refused:
            yield from self._note_refused(campaign_id, verb)
        elif not isinstance(answer, Exception):
            self._warn(f"The answer was a yes, but campaign {campaign_id} is still {home}. It is looked at again.")
        return False

    def _note_accepted(self, campaign_id: str, verb: Verb, *, status: str | None) -> None:
        self._standing.status[campaign_id] = status
        self._standing.accepted.add(campaign_id)
        self._standing.held.discard(campaign_id)
        self._attempts.over()
        hours = self._order.hours
        done = "Started" if verb == "start" else "Resumed"
        until = hours.closes_at(self._now()) if hours is not None else None
        closing = f"; the calling hours end {hours.local(until)}" if hours is not None and until is not None else ""
        self._tell(f"{done} campaign {campaign_id}{closing}.")

    def _note_refused(self, campaign_id: str, verb: Verb) -> Steps:
        attempts, state = self._attempts, self._standing.status[campaign_id]
        if not attempts.refusals and campaign_id not in self._standing.held:
            answer = yield Weigh(campaign_id)
            needs, has = answer if isinstance(answer, tuple) else (None, None)
            if needs is not None and has is not None and needs > has > 0:
                raise ConfigurationError(
                    f"Campaign {campaign_id} is to make {needs} calls in parallel, and the account has a budget of "
                    f"{has} in all: the service refuses to {verb} it, and always will. It is {state} and calls nobody. "
                    "Create it with a lower max_concurrent_calls, or have the account's concurrent_max raised."
                )
        attempts.refused(now=self._now())
        if attempts.refusals & (attempts.refusals - 1) == 0:
            times = f" for the {attempts.refusals}. time" if attempts.refusals > 1 else ""
            self._tell(
                f"The account's budget of parallel calls is used up{times}: campaign {campaign_id} stays {state} and "
                "calls nobody until other campaigns have made room. It is asked for again in "
                f"{duration(max(1.0, attempts.due - self._now()))}."
            )

    def _pause(self, campaign_id: str) -> Steps:
        # A look that failed does not hold this up: the campaign ran when it was last seen.
        answer = yield Move(campaign_id, "pause")
        if isinstance(answer, UnclearOutcomeError | str | None):
            self._pausing[campaign_id] = self._now() + DOUBT
        if answer == PAUSED:
            self._note(campaign_id, PAUSED)
        elif isinstance(answer, ServiceUnavailableError):
            self._note_outage(answer)
        elif isinstance(answer, RequestRejectedError | UnclearOutcomeError | NotFoundError | str | None):
            yield from self._look([campaign_id])
        else:
            raise answer
        if self._standing.status[campaign_id] == RUNNING:
            self._is_urgent = True
            self._warn(f"Campaign {campaign_id} could not be paused outside its calling hours yet; it is tried again.")

    def _closed_until(self) -> str:
        hours = self._order.hours
        opening = hours.opens_at(self._now()) if hours is not None else None
        until = f" until {hours.local(opening)}" if hours is not None and opening is not None else ""
        return f"outside of the calling hours{until}"

    # -- the end -------------------------------------------------------------------------------------------------------

    def _end(self) -> End | None:
        standing, order = self._standing, self._order
        if order.until_ended:
            if all(map(standing.has_ended, standing.status)):
                return self._ending(How.ENDED, f"All have ended: {standing.told()}.")
        elif all(map(self._has_left, standing.status)) and not standing.held and not self._is_late():
            return self._ending(How.STARTED, f"All have been started: {standing.told()}.")
        if order.deadline is not None and self._now() >= order.deadline:
            return self._ending(How.TIMED_OUT, f"The time to wait is over: {standing.told()}.")
        return None

    def _is_late(self) -> bool:
        """Tell whether a start has taken effect only after closing time, so that it is to be paused."""
        return not self._is_open() and any(self._is_kept(each) for each in self._standing.in_state(RUNNING))

    def _too_late_to_start(self) -> End | None:
        turn, limit = self._attempts.campaign_id, self._attempts.limit()
        if turn is None or limit is None or self._now() < limit or turn != self._next():
            return None
        if self._attempts.in_doubt(turn, now=min(self._now(), self._seen_at.get(turn, 0.0))):
            return None  # it may have been started, until it is seen again
        waited = duration(self._order.start_timeout or 0.0)
        why = "the account's budget of parallel calls was used up"
        if not self._attempts.refusals:
            why = "the service could not be asked"
        return self._ending(
            How.NOT_STARTED,
            f"Campaign {turn} could not be {'started' if self._order.verb == 'start' else 'resumed'} within {waited}"
            f"{' of calling hours' if self._order.hours else ''}: {why}. Nobody on it was dialled by this task, and it "
            f"calls nobody as it is. State of things: {self._standing.told()}. Make room in the budget, or raise "
            "start_timeout; a retry starts only what is still to be started.",
        )

    def _ending(self, how: How, message: str) -> End:
        return End(how=how, message=message, statuses=dict(self._standing.status))

    # -- the next look -------------------------------------------------------------------------------------------------

    def _rest(self) -> float:
        return max(_LEAST_REST, min(self._moments()) - self._now())

    def _moments(self) -> Iterator[float]:
        """Yield the moments at which something is to be done, or looked at."""
        now, order, standing, attempts = self._now(), self._order, self._standing, self._attempts
        is_open = self._is_open()
        kept = [each for each in self._watched() if self._has_left(each)]
        runs = any(standing.status[each] == RUNNING for each in kept)
        is_missing = any(0 < times < NOT_FOUND_BELIEVED_AT for times in self._missing.values())
        if self._error is not None:
            pause = self._outage.pause(self._error, poll_interval=min(order.poll_interval, POLL_INTERVAL))
            yield now + jittered(pause, self._draw())
        elif kept:
            yield now + jittered(order.poll_interval if is_open or runs else self._idle, self._draw())
        if is_missing:
            yield now + _SOON
        if self._is_urgent:
            yield now + max(_SOON, min(getattr(self._error, "retry_after", None) or 0.0, order.poll_interval))
        if order.deadline is not None:
            yield order.deadline
        if order.hours is not None:
            yield self._change_of_hours(order.hours, now, is_open=is_open)
        if is_open and (standing.held or self._next() is not None):
            if attempts.in_doubt(attempts.campaign_id, now=now):
                yield now + _SOON
            elif self._error is None and not is_missing:
                yield max(attempts.due, now + _LEAST_PAUSE)
            if not standing.held and (limit := attempts.limit()) is not None and limit > now:
                yield limit
        yield now + _DAY

    @property
    def _idle(self) -> float:
        return max(self._order.poll_interval, IDLE_INTERVAL)

    def _change_of_hours(self, hours: CallingHours, now: float, *, is_open: bool) -> float:
        if is_open:
            return hours.closes_at(now) or now + _DAY
        opening = hours.opens_at(now)
        return now + _DAY if opening is None else opening + self._draw() * _SPREAD

    # -- the log -------------------------------------------------------------------------------------------------------

    def _tell(self, sentence: str) -> None:
        self._unsaid.append(Tell(sentence))

    def _warn(self, sentence: str) -> None:
        self._unsaid.append(Tell(sentence, is_warning=True))

    def _say(self) -> Steps:
        unsaid, self._unsaid = self._unsaid, []
        yield from unsaid
