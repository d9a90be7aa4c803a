"""What triggers share that wait for calls to end."""

from __future__ import annotations

import asyncio
import importlib
from abc import abstractmethod
from collections.abc import AsyncIterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_graine.exceptions import CallingError
from airflow_provider_graine.triggers.kill import StopsCallsOnKill
from airflow_provider_graine.waiting.decision import Step, Wait
from airflow_provider_graine.waiting.event import broke, ended
from airflow_provider_graine.waiting.rules import WaitRules

if TYPE_CHECKING:
    from airflow_provider_graine.watching.shared_watch import SharedWatch


_imported: dict[str, ModuleType] = {}


async def imported(module: str) -> ModuleType:
    """Import what shares the polls, off the event loop: it takes a while, and the loop belongs to all triggers."""
    if module not in _imported:
        _imported[module] = await asyncio.to_thread(importlib.import_module, module)
    return _imported[module]


class CallsEndTrigger(StopsCallsOnKill):
    """
    Fires once, when the waiting core says that the wait is over.

    All waits of one triggerer on one connection share its session and its polls.
    """

    def __init__(
        self,
        *,
        poll_interval: float,
        deadline: float | None,
        on_kill: str,
        min_completed_share: float | None,
        max_failed_share: float | None,
        stalled_after: float | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.kill_action = on_kill
        self.rules = WaitRules(
            min_completed_share=min_completed_share, max_failed_share=max_failed_share, stalled_after=stalled_after
        )

    @abstractmethod
    def _connection(self) -> dict[str, str]:
        """Return the connection, as kwargs of the trigger."""

    @abstractmethod
    async def _share(self) -> SharedWatch[Any]:
        """Take part in the shared polls."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{type(self).__module__}.{type(self).__name__}", {
            **self._watched(),
            **self._connection(),
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "on_kill": self.kill_action,
            **self.rules.as_kwargs(),
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire one event: ``status`` is ``done``, ``failed``, ``timed_out`` or ``error``, with message and counts."""
        async with self.noticing_a_kill():
            end = await self._end()
        yield TriggerEvent({**end, **self._watched()})  # type: ignore[no-untyped-call]

    async def _end(self) -> dict[str, Any]:
        wait = Wait(rules=self.rules, poll_interval=self.poll_interval, deadline=self.deadline)
        pause = self.poll_interval
        try:
            async with await self._share() as watch:
                while True:
                    decision = await watch.decide(wait, pause=pause)
                    if decision.warning:
                        self.log.warning(decision.warning)
                    if decision.step is not Step.WAIT:
                        return ended(decision)
                    if decision.worth_telling:
                        self.log.info(decision.message)
                    pause = decision.pause
        except CallingError as error:
            return broke(error)
