"""
What one look at the service means for a wait: go on, look closer, done, failed, or timed out.

Pure: takes what was seen (or the error in its place) and the time, and says what to do. It neither sleeps nor polls nor
knows the service, so operators, sensors and triggers, sync and async, cannot come to different conclusions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow_provider_graine.waiting import memory as kept
from airflow_provider_graine.waiting.cautions import Cautions
from airflow_provider_graine.waiting.known_hours import KnownHours
from airflow_provider_graine.waiting.look import Look
from airflow_provider_graine.waiting.outage import FAILURE_BUDGET, LONGEST_OUTAGE, Outage
from airflow_provider_graine.waiting.outcome import certain_failure, failure_at_the_end
from airflow_provider_graine.waiting.pace import Pace
from airflow_provider_graine.waiting.pauses import LEAST_POLL_INTERVAL, jittered, until_deadline, while_standing
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.rules import WaitRules
from airflow_provider_graine.waiting.steps import Closer, Decision, Question, Step
from airflow_provider_graine.waiting.stillness import Reason, Stillness, reason_to_stand, stall_warning
from airflow_provider_graine.waiting.telling import Telling
from airflow_provider_graine.waiting.words import duration

__all__ = [
    "Closer",
    "Decision",
    "Question",
    "Step",
    "Wait",
    "jittered",
]

DEFAULT_RULES: Final = WaitRules()


class Wait:
    """
    A wait for batches or campaigns to end.

    :param rules: what the campaign owner asks; default: that the calls end as completed, and half an hour of patience
    :param poll_interval: seconds between looks while all is well; default 30
    :param deadline: wall-clock time, in seconds since the epoch, at which the wait has timed out; default: never
    :param memory: what an earlier process has :meth:`remembered` of this wait
    :param failure_budget: looks in a row that may fail without an end of the wait; default 10
    :param longest_outage: seconds for which looks may fail even when there were more of them; default 7200
    """

    __slots__ = (
        "_asked",
        "_at",
        "_cautions",
        "_deadline",
        "_doomed",
        "_hours",
        "_line",
        "_look",
        "_news",
        "_outage",
        "_pace",
        "_poll_interval",
        "_rules",
        "_seen",
        "_still",
        "_telling",
    )

    def __init__(
        self,
        *,
        rules: WaitRules = DEFAULT_RULES,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        memory: Mapping[str, Any] | None = None,
        failure_budget: int = FAILURE_BUDGET,
        longest_outage: float = LONGEST_OUTAGE,
    ) -> None:
        self._rules = rules
        self._poll_interval = max(poll_interval, LEAST_POLL_INTERVAL)
        self._deadline = deadline
        self._outage = Outage(
            failure_budget=failure_budget, longest_outage=longest_outage, kept=kept.section(memory, "outage")
        )
        self._pace = Pace(kept.section(memory, "pace"))
        self._still = Stillness(kept.section(memory, "still"))
        self._telling = Telling(kept.section(memory, "told"))
        self._cautions = Cautions(kept.section(memory, "warned"))
        self._hours = KnownHours(kept.section(memory, "hours"))
        self._look: Look | None = None
        last = kept.section(memory, "last")
        self._seen = kept.text(last, "seen")
        self._at = kept.number(last, "at")  # time of the look before, None when it failed
        self._line = kept.text(last, "line")
        self._doomed: str | None = None
        self._asked: tuple[Question, bool] | None = None  # and whether the look that led to it showed a change
        self._news = kept.text(last, "news")  # to be told with the next line

    @property
    def deadline(self) -> float | None:
        """Wall-clock time at which the wait has timed out, in seconds since the epoch; ``None``: never."""
        return self._deadline

    def saw(self, parts: Sequence[Progress], *, now: float) -> Decision:
        """
        Decide after a look that succeeded.

        :param parts: the state of everything that is waited for
        :param now: wall-clock time in seconds since the epoch
        """
        self._asked = None
        self._tell_later(self._outage.over(now=now))
        look, changed = self._note(parts)
        if look.ended:
            if self._wants_counts(look):
                return self._ask(Question.COUNTS, look, changed=changed, now=now)
            return self._over(look)
        if self._doomed is not None:
            return self._end(Step.FAILED, f"{self._doomed} {look.line_and_statuses()}.", look)
        if self._is_late(now):
            message = f"The time to wait is over and the calls are not done. {look.line_and_statuses()}."
            return self._end(Step.TIMED_OUT, message, look)
        if self._wants_hours(look, changed=changed, now=now):
            return self._ask(Question.HOURS, look, changed=changed, now=now)
        return self._go_on(look, changed=changed, now=now)

    def could_not_see(self, error: Exception, *, now: float) -> Decision:
        """
        Decide after a look that failed.

        :param error: why
        :param now: wall-clock time in seconds since the epoch
        :raises Exception: the error itself, where waiting cannot help
        """
        self._asked = None
        self._outage.failed(error, now=now)
        if self._is_late(now):
            last = f" When last seen: {self._line}." if self._line else ""
            message = f"The time to wait is over and how far the calls are is not known: the last look failed.{last}"
            return Decision(step=Step.TIMED_OUT, message=f"{message} {error}", counts={})
        self._outage.give_up(error, now=now)
        self._at = None
        return Decision(
            step=Step.WAIT,
            message="The state of the calls could not be read",
            counts={},
            pause=self._until_next(self._outage.pause(error, poll_interval=self._poll_interval), now=now),
            worth_telling=False,
            warning=self._outage.told(error, now=now),
        )

    def saw_closer(self, closer: Closer, *, now: float) -> Decision:
        """
        Decide after the closer look that a decision of ``LOOK_CLOSER`` asked for.

        :param closer: what it found
        :param now: wall-clock time in seconds since the epoch
        :raises RuntimeError: when nothing was asked
        """
        asked, self._asked = self._asked, None
        look = self._look
        if asked is None or look is None:
            raise RuntimeError("A closer look answers a question, and this wait has asked none.")
        question, changed = asked
        if question is Question.COUNTS:
            if closer.error is not None:
                return self.could_not_see(closer.error, now=now)
            return self._over(Look(closer.parts) if closer.parts else look)
        if question is Question.DEBUG:
            return self._warn_of_stall(look, closer, now=now)
        self._hours.learn(closer, now=now)
        return self._go_on(look, changed=changed, now=now)

    def remembered(self) -> dict[str, Any]:
        """Return a small JSON document with which a later process goes on with this wait (``memory=``)."""
        seen = self._look.digest if self._look else self._seen
        return {
            "last": {"seen": seen, "at": self._at, "line": self._line, "news": self._news},
            "hours": self._hours.remembered(),
            "outage": self._outage.remembered(),
            "pace": self._pace.remembered(),
            "still": self._still.remembered(),
            "told": self._telling.remembered(),
            "warned": self._cautions.remembered(),
        }

    def _note(self, parts: Sequence[Progress]) -> tuple[Look, bool]:
        """Return what was seen, and whether a status or a count differs from the look before."""
        before = self._look
        if before is not None and before.parts == tuple(parts):
            return before, False
        self._look = look = Look(parts)
        self._doomed = certain_failure(look, self._rules)
        return look, look.digest != (before.digest if before is not None else self._seen)

    def _go_on(self, look: Look, *, changed: bool, now: float) -> Decision:
        seconds = self._seconds_of_calling(look, now)
        self._at = now
        self._pace.note(look.done, seconds=seconds)
        if changed:
            if self._still.moved():
                self._tell_later("The calls get on again.")
        elif look.due:
            self._still.seconds += seconds or 0.0
        reason = reason_to_stand(look, hours=self._hours.hours, now=now)
        if (
            not changed
            and reason is None
            and look.due
            and self._still.is_stalled(self._rules.stalled_after, look.patience)
        ):
            # A campaign has no debug document.
            if look.due[0].id is not None:
                return self._ask(Question.DEBUG, look, changed=changed, now=now)
            return self._warn_of_stall(look, Closer(), now=now)
        return self._wait(look, changed=changed, reason=reason, now=now)

    def _seconds_of_calling(self, look: Look, now: float) -> float | None:
        """Return how long calls could be placed since the look before; ``None`` when there was none."""
        if self._at is None:
            return None
        return self._hours.open_seconds(self._at, now) if look.calling else 0.0

    def _warn_of_stall(self, look: Look, closer: Closer, *, now: float) -> Decision:
        self._still.warned = True
        warning = stall_warning(look, closer, still=self._still.seconds, hours_error=self._hours.unreadable, now=now)
        return self._wait(look, changed=False, reason=None, warning=warning, now=now)

    def _wait(
        self, look: Look, *, changed: bool, reason: Reason | None, now: float, warning: str | None = None
    ) -> Decision:
        standing = reason if reason is not None and reason.nobody_is_called else None
        pause = self._poll_interval if changed else while_standing(self._poll_interval, standing, now=now)
        news, self._news = self._news, ""
        new = self._telling.worth(look, changed=changed, reason=standing.sentence if standing else "", now=now)
        told = new or bool(news)
        if told or changed:
            self._line = look.line_and_statuses(self._remark(look, reason, now=now) if told else "")
        warnings = [self._cautions.about(look, reason) if changed or told else None, warning]
        return Decision(
            step=Step.WAIT,
            message=f"{news} {self._line}" if news else self._line,
            counts=look.counts,
            pause=self._until_next(pause, now=now),
            worth_telling=told,
            warning=" ".join(filter(None, warnings)) or None,
        )

    def _remark(self, look: Look, reason: Reason | None, *, now: float) -> str:
        why = f"; {reason.sentence}" if reason else self._pace.told(look, hours=self._hours.hours, now=now)
        return f"{why}; no change for {duration(self._still.seconds)}" if self._still.warned else why

    def _until_next(self, pause: float, *, now: float) -> float:
        return until_deadline(pause, deadline=self._deadline, poll_interval=self._poll_interval, now=now)

    def _wants_hours(self, look: Look, *, changed: bool, now: float) -> bool:
        """Tell whether calling hours matter: to calls that stand still, and once to say when calls will end."""
        if not look.calling:
            return False
        if changed:
            return self._hours.never_asked and look.predictable and self._pace.per_hour is not None
        return self._hours.are_old(now)

    def _wants_counts(self, look: Look) -> bool:
        """Tell whether the outcome hangs on counts that did not come with the end."""
        return (
            self._rules.ask_for_shares
            and look.total is None
            and all(part.vocabulary.counts_apart and not part.has_failed for part in look.parts)
        )

    def _ask(self, question: Question, look: Look, *, changed: bool, now: float) -> Decision:
        self._asked = question, changed
        return Decision(
            step=Step.LOOK_CLOSER,
            message="The calls need a closer look",
            counts=look.counts,
            pause=self._until_next(self._poll_interval, now=now),
            worth_telling=False,
            question=question,
            about=look.due[0].id if question is Question.DEBUG else None,
        )

    def _over(self, look: Look) -> Decision:
        failure = failure_at_the_end(look, self._rules)
        counts = f" {look.line(ended=True)}" if look.counts or look.total is not None else ""
        if failure is None:
            return self._end(Step.DONE, f"All calls are done.{counts}", look)
        return self._end(Step.FAILED, f"{failure}{counts and f' {look.line()}.'}", look)

    @staticmethod
    def _end(step: Step, message: str, look: Look) -> Decision:
        return Decision(step=step, message=message, counts=look.counts)

    def _tell_later(self, news: str | None) -> None:
        if news:
            self._news = f"{self._news} {news}".strip()

    def _is_late(self, now: float) -> bool:
        return self._deadline is not None and now >= self._deadline
