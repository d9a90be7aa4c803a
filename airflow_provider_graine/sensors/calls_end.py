"""What sensors share that wait for calls to end: the same decisions in every mode."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout
from airflow.sdk import BaseSensorOperator

from airflow_provider_graine.operators.calls_wait import CallsWait
from airflow_provider_graine.operators.links import push_links
from airflow_provider_graine.waiting.decision import Decision, Wait
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.watching.watch import Watch

#: Where a rescheduled sensor keeps what it remembers of its wait, in Airflow's task state store (3.3 and later).
_MEMORY_KEY: Final = "wait"


class CallsEndSensor(CallsWait, BaseSensorOperator):
    """
    Succeeds when the calls have ended as ``completed``.

    :param poke_interval: seconds between looks; default 30
    """

    ui_color = "#e3f1ea"

    def __init__(self, *, poke_interval: float | timedelta = 30.0, **kwargs: Any) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self._wait: Wait | None = None
        self._ends_at: float | None = None

    @abstractmethod
    def _make_watch(self) -> Watch[Any]:
        """Return what looks at the calls."""

    @abstractmethod
    def _make_trigger(self, **shared: Any) -> BaseTrigger:
        """
        Return the trigger that waits in this sensor's place.

        :param shared: the arguments that all triggers have
        """

    @property
    def _longest_wait(self) -> float:
        return float(self.timeout)

    def _too_late(self, message: str) -> AirflowSensorTimeout:
        return AirflowSensorTimeout(message)

    def execute(self, context: Context) -> Any:
        """Wait; in deferrable mode look once and leave the rest to the triggerer."""
        with self._ending_as_asked(), self._skipping():
            wait = self._begin(context)
            push_links(self, context)
            if not self.deferrable:
                return super().execute(context)
            if self._is_done(self._look(wait), context):
                return None
            self._hand_over(
                self._make_trigger(
                    poll_interval=self.poke_interval,
                    deadline=self._ends_at,
                    on_kill=self.kill_action,
                    **self._rules.as_kwargs(),
                ),
                poll_interval=self.poke_interval,
                deadline=self._ends_at,
            )

    def poke(self, context: Context) -> bool:
        """
        Look once.

        :return: whether the calls are done
        :raises WaitError: when they ended in another way
        :raises AirflowSensorTimeout: when the time to wait is over
        """
        self._is_resting = False
        try:
            wait = self._wait or self._begin(context)
            is_done = self._is_done(self._look(wait), context)
            if self.reschedule:
                self._remember(wait, context)
            return is_done
        finally:
            self._is_resting = True  # between two looks, the base class does nothing but sleep
            self._make_sure_to_go_on()

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """
        Take over from the trigger.

        :param event: how the wait ended
        :raises WaitError: when the calls ended in another way than completed
        :raises AirflowSensorTimeout: when the time to wait was over
        """
        self._read_event(event, context)

    def _begin(self, context: Context) -> Wait:
        self._check_wait_arguments()
        start = self._start_of_try(context) if self.reschedule else clock.wall()
        self._ends_at = self._deadline(context, start=start)
        self._watch = self._make_watch()
        self._wait = Wait(
            rules=self._rules,
            poll_interval=self.poke_interval,
            deadline=self._ends_at,
            memory=self._remembered(context) if self.reschedule else None,
        )
        return self._wait

    def _start_of_try(self, context: Context) -> float:
        # Airflow takes the start of a rescheduled task anew with each look.
        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        return first.timestamp() if first is not None else super()._start_of_try(context)

    def _look(self, wait: Wait) -> Decision:
        from airflow_provider_graine.watching.watch import decide

        self._settings = self.hook.settings
        try:
            return decide(self._watch, self.hook, wait)
        except AirflowTaskTimeout:  # the base class may make a skip of it
            self._treat_late_calls()
            raise

    def _remembered(self, context: Context) -> Mapping[str, Any] | None:
        """Return what the last look of this try remembered, where Airflow has kept it."""
        store = context.get("task_state_store")
        kept: Any = store.get(_MEMORY_KEY) if store is not None else None
        if isinstance(kept, dict) and kept.get("try_number") == context["ti"].try_number:
            memory: dict[str, Any] = kept["memory"]
            return memory
        return None

    def _remember(self, wait: Wait, context: Context) -> None:
        store = context.get("task_state_store")
        if store is None:
            return
        try:
            store.set(_MEMORY_KEY, {"try_number": context["ti"].try_number, "memory": wait.remembered()})
        except Exception as error:
            self.log.warning("What this look saw could not be kept for the next (%s)", type(error).__name__)

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """
        Skip with ``soft_fail`` and ``never_fail`` wherever the base class does in poke mode.

        It also ends waits by itself, by its own clock: then the calls are treated here.
        """
        try:
            yield
        except AirflowSkipException as skip:
            if self._is_resting and skip.__cause__ is None:
                self._treat_late_calls()
            raise
        except (AirflowSensorTimeout, AirflowTaskTimeout) as late:
            self._treat_late_calls()
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(late)) from late
            raise
        except Exception as error:
            if self.never_fail and self.deferrable:  # else the base class has seen it already
                raise AirflowSkipException(str(error)) from error
            raise

    def _resume(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        with self._skipping():
            return super()._resume(next_method, next_kwargs, context)
