"""
One look at the calls, and what the waiting core makes of it, whatever the service.

Looks are written once, for an event loop; :mod:`.blocking` does them without one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_provider_graine.exceptions import CallingError
from airflow_provider_graine.waiting.decision import Step
from airflow_provider_graine.watching.blocking import blocking
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.calling_service import CallingServiceHook
    from airflow_provider_graine.waiting.decision import Closer, Decision, Wait
    from airflow_provider_graine.waiting.progress import Progress

R = TypeVar("R")


class Watch(ABC, Generic[R]):
    """Looks at something until it has ended; ``R`` is what it reads with: a hook, or part of one."""

    @abstractmethod
    async def alook(self, hook: R) -> list[Progress]:
        """Read everything that may still change, on an event loop."""

    @abstractmethod
    async def alook_closer(self, hook: R, decision: Decision) -> Closer:
        """Answer the question of a decision, on an event loop; a failure is an answer too."""

    def look(self, hook: CallingServiceHook) -> list[Progress]:
        """Read everything that may still change."""
        return blocking(self.alook, hook)

    def look_closer(self, hook: CallingServiceHook, decision: Decision) -> Closer:
        """Answer the question of a decision; a failure is an answer too."""
        return blocking(lambda reads: self.alook_closer(reads, decision), hook)


async def answered(decision: Decision, wait: Wait, closer: Callable[[Decision], Awaitable[Closer]]) -> Decision:
    """
    Answer the questions of a wait until it has decided.

    :param decision: what a look led to
    :param wait: the wait
    :param closer: answers one question
    :return: any step but ``LOOK_CLOSER``
    """
    while decision.step is Step.LOOK_CLOSER:
        found = await closer(decision)
        decision = wait.saw_closer(found, now=clock.wall())
    return decision


async def adecide(watch: Watch[R], hook: R, wait: Wait) -> Decision:
    """Look once on an event loop, and let the waiting core say what it means; see :func:`decide`."""
    try:
        parts = await watch.alook(hook)
    except CallingError as error:
        return wait.could_not_see(error, now=clock.wall())
    decision = wait.saw(parts, now=clock.wall())
    return await answered(decision, wait, lambda asked: watch.alook_closer(hook, asked))


def decide(watch: Watch[R], hook: CallingServiceHook, wait: Wait) -> Decision:
    """
    Look once, and closer where the waiting core asks for it, and let it say what that means.

    :param watch: what looks
    :param hook: the connection
    :param wait: the wait this look belongs to
    :return: any step but ``LOOK_CLOSER``
    """
    return blocking(lambda reads: adecide(watch, reads, wait), hook)


def moment(text: Any) -> float | None:
    """
    Read a time that says its offset from UTC; of any other nobody knows what moment it means.

    :param text: ISO 8601
    :return: seconds since the epoch
    """
    try:
        when = datetime.fromisoformat(text)
        return None if when.utcoffset() is None else when.timestamp()
    except (TypeError, ValueError):
        return None
