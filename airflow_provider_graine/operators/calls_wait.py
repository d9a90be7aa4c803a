"""
What operators and sensors share that wait for calls: the arguments, the deadline, and how a wait ends before the calls.

A wait may be ended from outside at any moment: by SIGTERM, by a timeout of Airflow, by a deadline of its own, by a
triggerer that gives up. Whatever it is, the author's wish is carried out once, and the task never succeeds by accident.
"""

from __future__ import annotations

import math
import random
import signal
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred, conf
from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import ConfigurationError, TaskKilledError, WaitError
from airflow_provider_graine.waiting.decision import Decision, Step, Wait, jittered
from airflow_provider_graine.waiting.event import read_event
from airflow_provider_graine.waiting.rules import WaitRules
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.stop import NOTHING

try:
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferralError, TaskDeferralTimeout  # type: ignore[no-redef]

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.hooks.calling_service import CallingServiceHook
    from airflow_provider_graine.services.settings import ServiceSettings
    from airflow_provider_graine.watching.stop import Stopped
    from airflow_provider_graine.watching.watch import Watch

#: Seconds for what is done after SIGTERM; 5 s after it, Airflow sends SIGKILL.
UNTIL_SIGKILL: Final = 4.0
_PATIENCE: Final = 20.0
_NOTHING_DONE: Final = "Nothing was done to the calls: they go on."


class _Interrupted(BaseException):
    """The task was killed. No ``except Exception`` on the way may take it for a failed look."""


class CallsWait(BaseOperator):
    """
    Base of the tasks that wait for calls, whatever the service.

    :param deferrable: whether the triggerer waits
    :param on_kill: what happens to the calls when the task is killed or a user ends it
    :param on_timeout: what happens to the calls when the time to wait is over
    :param min_completed_share: see :class:`.WaitRules`
    :param max_failed_share: see :class:`.WaitRules`
    :param stalled_after: see :class:`.WaitRules`
    """

    _is_killed = False
    _is_timed_out = False
    #: Whether the task is about to succeed: then a kill comes too late.
    _is_over = False
    #: Whether the task only sleeps, so that a kill may break it off.
    _is_resting = False
    #: How the service is reached, once that is known: a signal handler can't ask Airflow.
    _settings: ServiceSettings | None = None
    #: What was done to the calls when the wait was ended.
    _done_to_calls = ""
    #: What may be done to the calls when the wait is ended.
    _actions: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_kill: Any = NOTHING,
        on_timeout: Any = NOTHING,
        min_completed_share: float | None = None,
        max_failed_share: float | None = None,
        stalled_after: float | None = 1800.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.kill_action = on_kill
        self.timeout_action = on_timeout
        self.min_completed_share = min_completed_share
        self.max_failed_share = max_failed_share
        self.stalled_after = stalled_after
        self._treated: set[str] = set()

    @property
    @abstractmethod
    def _longest_wait(self) -> float | None:
        """Seconds that a wait may take; ``None``: any time."""

    @abstractmethod
    def _calls(self) -> Mapping[str, str]:
        """Return the batches or campaigns with the state last seen of each (empty: not known)."""

    @abstractmethod
    def _too_late(self, message: str) -> Exception:
        """Return the error of a wait that took longer than :attr:`_longest_wait`."""

    @abstractmethod
    def _stop_calls(
        self, settings: ServiceSettings, calls: Mapping[str, str], action: str, *, within: float
    ) -> Stopped:
        """Carry an action out; see :func:`.stop`."""

    @cached_property
    @abstractmethod
    def hook(self) -> CallingServiceHook:
        """The hook of the connection."""

    @property
    def _rules(self) -> WaitRules:
        return WaitRules(
            min_completed_share=self.min_completed_share,
            max_failed_share=self.max_failed_share,
            stalled_after=self.stalled_after,
        )

    def _check_wait_arguments(self) -> None:
        for name, action in {"on_kill": self.kill_action, "on_timeout": self.timeout_action}.items():
            if action not in self._actions:
                *some, last = (f'"{each}"' for each in self._actions)
                raise ConfigurationError(f"{name} must be {', '.join(some)} or {last}. Nothing was sent.")
        _ = self._rules

    # -- the end of a look ---------------------------------------------------------------------------------------------

    def _is_done(self, decision: Decision, context: Context) -> bool:
        """
        Tell what a look means and draw the consequence.

        :raises WaitError: when the calls ended in another way than completed
        :raises BaseException: the error of a wait that took too long
        """
        if decision.warning:
            self.log.warning(decision.warning)
        if decision.step is Step.FAILED:
            raise WaitError(decision.message)
        if decision.step is Step.TIMED_OUT:
            raise self._timed_out(decision.message, context)
        if decision.worth_telling:
            self.log.info(decision.message)
        return decision.step is Step.DONE

    def _read_event(self, event: Any, context: Context) -> None:
        """Draw the consequence of how the triggerer's wait has ended; see :meth:`_is_done`."""
        try:
            self.log.info(read_event(event))
        except TimeoutError as late:
            raise self._timed_out(str(late), context, is_resumed=True) from None

    # -- the deadline --------------------------------------------------------------------------------------------------

    def _deadline(self, context: Context, *, start: float) -> float | None:
        """
        Return the moment at which the wait is too late, as wall-clock time: another process may go on with it.

        :param context: the task's context
        :param start: when the wait began
        """
        ends = [] if self._longest_wait is None else [start + self._longest_wait]
        if self.execution_timeout:
            ends.append(self._start_of_try(context) + self.execution_timeout.total_seconds())
        return min(ends, default=None)

    def _start_of_try(self, context: Context) -> float:
        """Return the moment at which this try began, whatever processes have worked on it since."""
        start = getattr(context["ti"], "start_date", None)
        return start.timestamp() if start is not None else clock.wall()

    def _is_execution_timeout(self, context: Context, *, is_resumed: bool) -> bool:
        if not self.execution_timeout:
            return False
        seconds = self.execution_timeout.total_seconds()
        if clock.wall() >= self._start_of_try(context) + seconds:
            return True
        # Older versions of Airflow take the resumption for the start of the try.
        return is_resumed and (self._longest_wait is None or seconds <= self._longest_wait)

    def _timed_out(self, message: str, context: Context, *, is_resumed: bool = False) -> BaseException:
        """Treat the calls as the author asked for, and return the error."""
        if is_resumed and self.timeout_action != NOTHING:
            try:
                self._settings = self.hook.settings
            except Exception as error:  # the time is over all the same
                self.log.warning("The connection cannot be read (%s): the calls go on", type(error).__name__)
        self._treat_late_calls()
        text = f"{message} {self._done_to_calls or _NOTHING_DONE}"
        if self._is_execution_timeout(context, is_resumed=is_resumed):
            return AirflowTaskTimeout(text)
        return self._too_late(text)

    # -- the calls, when the wait ends before them ---------------------------------------------------------------------

    def _treat_late_calls(self) -> None:
        """Carry ``on_timeout`` out, unless it was."""
        if not self._is_timed_out:
            _silence_alarm()
            self._is_timed_out = True
            self._treat_calls(self.timeout_action, within=_PATIENCE)

    def _treat_calls(self, action: str, *, within: float) -> None:
        """Carry an action out on the calls that it was not carried out on yet; also in a signal handler."""
        calls: dict[str, str] = {}
        if action != NOTHING and self._settings is not None:
            calls = {each: state for each, state in self._calls().items() if each not in self._treated}
        if self._settings is None or not calls:
            return
        self._treated.update(calls)
        stopped = self._stop_calls(self._settings, calls, action, within=within)
        self._done_to_calls = f"{self._done_to_calls} {stopped.sentence}".strip()

    # -- the kill ------------------------------------------------------------------------------------------------------

    def on_kill(self) -> None:
        """
        Carry ``on_kill`` out; Airflow calls this on SIGTERM, in a signal handler, and then lets the task go on.

        It is also called after ``execution_timeout``; then ``on_timeout`` has been carried out, and that is that.
        """
        if self._is_killed or self._is_timed_out or self._is_over:
            return
        self._is_killed = True
        _silence_alarm()
        self._treat_calls(self.kill_action, within=UNTIL_SIGKILL)
        if self._is_resting:
            raise _Interrupted

    def _make_sure_to_go_on(self) -> None:
        if self._is_killed:
            raise _Interrupted

    def _rest(self, seconds: float) -> None:
        """Sleep; a kill breaks it off."""
        self._is_resting = True
        try:
            self._make_sure_to_go_on()
            time.sleep(seconds)
        finally:
            self._is_resting = False

    @contextmanager
    def _ending_as_asked(self) -> Iterator[None]:
        """
        Make a kill fail the task and a timeout have its effect, wherever in the task they come in.

        :raises TaskKilledError: after a kill, whatever else the task was about to end with
        """
        self._is_over = self._is_timed_out = False
        self._treated.clear()
        self._done_to_calls = ""
        try:
            self._make_sure_to_go_on()
            yield
            self._is_over = True
            self._make_sure_to_go_on()
        except BaseException as error:
            self._is_over = not isinstance(error, TaskDeferred)
            if self._is_killed:
                self._treat_calls(self.kill_action, within=UNTIL_SIGKILL)  # those that came about meanwhile
                done = self._done_to_calls or _NOTHING_DONE
                raise TaskKilledError(
                    f"The task was stopped from outside before its calls were done. {done} A retry looks at the same "
                    "calls again."
                ) from (None if isinstance(error, _Interrupted) else error)
            if isinstance(error, AirflowTaskTimeout):
                self._treat_late_calls()
            raise
        finally:
            self._is_resting = False

    # -- the wait of an operator ---------------------------------------------------------------------------------------

    def _wait_until_done(
        self,
        watch: Watch[Any],
        context: Context,
        *,
        poll_interval: float,
        make_trigger: Callable[..., BaseTrigger],
        kept: tuple[str, Sequence[str]],
    ) -> None:
        """
        Wait until the calls are done; in deferrable mode look once and leave the rest to the triggerer.

        :param watch: looks at the calls
        :param context: the task's context
        :param poll_interval: seconds between looks
        :param make_trigger: makes the trigger that waits in this task's place, of the arguments that all triggers have
        :param kept: name and value of the XCom with the ids: where the trigger never answers, nothing else brings them
            back
        :raises WaitError: when the calls ended in another way than completed
        """
        from airflow_provider_graine.watching.watch import decide

        deadline = self._deadline(context, start=clock.wall())
        wait = Wait(rules=self._rules, poll_interval=poll_interval, deadline=deadline)
        while not self._is_done(decision := decide(watch, self.hook, wait), context):
            if self.deferrable:
                context["ti"].xcom_push(key=kept[0], value=list(kept[1]))
                trigger = make_trigger(
                    poll_interval=poll_interval,
                    deadline=deadline,
                    on_kill=self.kill_action,
                    **self._rules.as_kwargs(),
                )
                self._hand_over(trigger, poll_interval=poll_interval, deadline=deadline)
            left = math.inf if deadline is None else deadline - clock.wall()
            spread = jittered(decision.pause, random.random())  # noqa: S311
            self._rest(decision.pause if decision.pause >= left else min(spread, left))

    # -- deferral ------------------------------------------------------------------------------------------------------

    def _hand_over(self, trigger: BaseTrigger, *, poll_interval: float, deadline: float | None) -> NoReturn:
        """Let the triggerer wait; should it never answer, the task is woken some time after the deadline."""
        self.log.info("The triggerer waits, with a look every %g s", poll_interval)
        self.hook.close()
        backstop = None
        if deadline is not None:
            backstop = timedelta(seconds=max(0.0, deadline - clock.wall()) + 2 * poll_interval + 60.0)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=backstop)
        raise AssertionError("defer() raises")

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral, also after one that Airflow itself has ended."""
        with self._ending_as_asked():
            return self._resume(next_method, next_kwargs, context)

    def _resume(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        try:
            # That of a sensor would turn timeouts into skips before the calls are treated.
            return BaseOperator.resume_execution(self, next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            message = "The time to wait is over, and no triggerer has said how the calls are."
            raise self._timed_out(message, context, is_resumed=True) from None
        except TaskDeferralError as error:
            raise WaitError(
                "The trigger that waited for the calls broke; the log says why. The calls go on; a retry waits for "
                "them again."
            ) from error


def _silence_alarm() -> None:
    """Keep Airflow's ``execution_timeout`` from breaking off what is done because the task ends: that is bounded."""
    signal.setitimer(signal.ITIMER_REAL, 0)
