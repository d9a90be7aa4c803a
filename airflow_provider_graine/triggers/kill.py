"""
What a trigger does when it is cancelled: stop the calls if a user ended the task, and nothing if it was only moved.

A trigger is cancelled alike when a user fails, clears or succeeds its task, when its triggerer stops, and when it is
given to another triggerer. From Airflow 3.3 on ``on_kill()`` is meant for the first (3.3.0 to 3.3.2 call it for the
last as well); before, there is only the cancellation of ``run()``. The state of the task tells them apart: it is
deferred as long as no user has touched it, and again as soon as the next try of a task that was cleared has deferred.
That one's trigger is in the same triggerer, if there is but one; of several, another may have it, and then the clear is
taken for a move.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakSet

from airflow.triggers.base import BaseTrigger

from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.stop import NOTHING

if TYPE_CHECKING:
    from airflow_provider_graine.watching.stop import Stopped

#: Whether this Airflow calls ``on_kill()`` of a trigger (3.3 and later).
CALLS_ON_KILL: Final = hasattr(BaseTrigger, "on_kill")

_PATIENCE: Final = 10.0  # seconds
#: Seconds for the question to Airflow: the first one of a triggerer makes it start an API of its own, which takes more
#: than a minute on a machine that has ten times as much to do as it can.
_PATIENCE_WITH_AIRFLOW: Final = 180.0
#: Seconds to stay after the last word: Airflow reads a trigger's log and its end from two pipes, and what it reads
#: after the end is not in the task's log.
_LINGER: Final = 2.0
#: Seconds that the trigger of the next try may take to come, once the task is seen deferred.
_OVERTAKEN: Final = 5.0
_DEFERRED: Final = "deferred"

#: An event loop keeps no task alive by itself.
_at_work: Final[set[asyncio.Task[None]]] = set()
#: The triggers of this process that wait.
_waiting: Final[WeakSet[StopsCallsOnKill]] = WeakSet()


async def is_ended_by_user(trigger: BaseTrigger) -> bool:
    """
    Tell whether the task that waits for a trigger is deferred no more, which is a user's doing.

    :param trigger: the trigger, cancelled before it has fired
    :return: ``False`` also where nobody can tell: better calls that go on than calls that nobody wanted to stop
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    ti: Any = getattr(trigger, "task_instance", None)
    try:
        asking = sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        # Shielded: an answer that nobody reads confuses the triggerer of Airflow 3.1 so much that it ends.
        states = await asyncio.wait_for(asyncio.shield(asking), _PATIENCE_WITH_AIRFLOW)
        key = ti.task_id if ti.map_index is None or ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
        state = states[ti.run_id][key]
    except Exception as error:
        trigger.log.warning(
            "This wait was cancelled, and Airflow does not tell whether by a user (%s): the calls are left alone",
            type(error).__name__,
        )
        return False
    return str(getattr(state, "value", state)) != _DEFERRED or await _is_overtaken(ti)


async def _is_overtaken(ti: Any) -> bool:
    """Tell whether a later try of the task waits: then a user has cleared it, and the state is that try's."""
    until = time.monotonic() + _OVERTAKEN
    while not any(_is_later(getattr(other, "task_instance", None), ti) for other in list(_waiting)):
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(0.25)
    return True


def _is_later(other: Any, ti: Any) -> bool:
    return (
        other is not None
        and (other.dag_id, other.run_id, other.task_id, other.map_index)
        == (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        and other.try_number > ti.try_number
    )


class StopsCallsOnKill(BaseTrigger):
    """
    A trigger that stops the calls it waits for when a user ends its task, as the author asked with ``on_kill``.

    In its :meth:`run`, what can be cancelled goes into ``async with self.noticing_a_kill():``.
    """

    deadline: float | None
    kill_action: str
    _stopping: asyncio.Task[None] | None = None

    @abstractmethod
    def _watched(self) -> dict[str, Any]:
        """Return what is waited for, as kwargs of the trigger."""

    @abstractmethod
    async def _stop_calls(self, *, within: float) -> Stopped:
        """
        Do to the calls what the author asked for; see :func:`.astop`.

        :param within: seconds all of it may take
        """

    async def on_kill(self) -> None:
        """Stop the calls, to the end: a triggerer cancels again every second until the trigger is gone."""
        if self.kill_action == NOTHING:
            return
        self._stopping = asyncio.create_task(self._stop_if_ended_by_user())
        _at_work.add(self._stopping)
        self._stopping.add_done_callback(_at_work.discard)
        await self._until_stopped()

    async def cleanup(self) -> None:
        """Stay until the calls are stopped: on Python 3.11 Airflow gives ``on_kill()`` up, and the log ends with us."""
        await self._until_stopped()

    async def _until_stopped(self) -> None:
        while self._stopping is not None and not self._stopping.done():
            with suppress(asyncio.CancelledError):
                # Ends in any case: when the event loop is closed, this task itself is cancelled.
                await asyncio.shield(self._stopping)

    @asynccontextmanager
    async def noticing_a_kill(self) -> AsyncIterator[None]:
        """Do what Airflow 3.3 and later do by themselves: call :meth:`on_kill` when ``run()`` is cancelled."""
        _waiting.add(self)
        try:
            yield
        except asyncio.CancelledError:
            # When the time is over it may be Airflow that ends the wait, which is the worker's business then.
            if not CALLS_ON_KILL and (self.deadline is None or clock.wall() < self.deadline):
                await self.on_kill()
            raise

    async def _stop_if_ended_by_user(self) -> None:
        if not await is_ended_by_user(self):
            return
        stopped = await self._stop_calls(within=_PATIENCE)
        self.log.warning("The task was ended by a user. %s", stopped.sentence)
        await asyncio.sleep(_LINGER)


class StopsGraineCalls(StopsCallsOnKill):
    """The same for Graine's batches, or a campaign: what :meth:`_watched` says."""

    graine_conn_id: str

    async def _stop_calls(self, *, within: float) -> Stopped:
        from airflow_provider_graine.hooks.graine import GraineHook
        from airflow_provider_graine.watching.graine_stop import astop_calls

        hook = GraineHook(self.graine_conn_id)
        try:
            return await astop_calls(hook, **self._watched(), action=cast("Any", self.kill_action), within=within)
        finally:
            await hook.aclose()


class StopsKatavenCalls(StopsCallsOnKill):
    """The same for Kataven's campaigns: the ``campaign_ids`` in what :meth:`_watched` says."""

    kataven_conn_id: str

    async def _stop_calls(self, *, within: float) -> Stopped:
        from airflow_provider_graine.hooks.kataven import KatavenHook
        from airflow_provider_graine.watching.kataven_stop import astop_calls

        hook = KatavenHook(self.kataven_conn_id)
        try:
            return await astop_calls(
                hook,
                campaign_ids=self._watched()["campaign_ids"],
                action=cast("Any", self.kill_action),
                within=within,
            )
        finally:
            await hook.aclose()
