"""
Pausing or cancelling calls because their task ends: bounded in time, each batch once, and said in words.

Written once, for an event loop. :func:`stop_calls` runs it on a loop and a connection of its own in another thread, so
that it can be called wherever a task may be interrupted, in a signal handler too: whatever the interrupted thread is in
the middle of, a request or a call to Airflow, and whatever lock it holds, that of the log too.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar

from airflow_provider_graine.exceptions import ServiceError, UnclearOutcomeError
from airflow_provider_graine.waiting.progress import FAILED, SUCCEEDED

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.request import Request
    from airflow_provider_graine.services.settings import ServiceSettings

T = TypeVar("T")

#: What may be done to calls whose task ends.
Action = Literal["none", "pause", "cancel"]

_AT_A_TIME: Final = 8
_MOST_NAMED: Final = 20
_TELLING: Final = 0.5  # seconds
_GOALS: Final = {"pause": "paused", "cancel": "cancelled"}
_ENDED: Final = SUCCEEDED | FAILED


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """
    What was done to the calls.

    :param sentence: for the log: what was done to which batch, and of which it is not known
    :param done: how many batches or campaigns were paused or cancelled
    :param failed: how many were not, or nobody knows
    """

    sentence: str
    done: int = 0
    failed: int = 0


class _Send(Protocol):
    def __call__(self, request: Request[T], /) -> Awaitable[T]:
        """Send a request."""


class _Outcome(Enum):
    """What became of one batch or campaign."""

    DONE = auto()
    NEEDED_NOTHING = auto()
    NOT_DONE = auto()
    UNKNOWN = auto()
    NO_TIME = auto()


async def astop_calls(
    hook: GraineHook,
    *,
    batch_ids: Sequence[str] | None = None,
    campaign_id: str | None = None,
    action: Action,
    within: float,
    known: Mapping[str, str] | None = None,
) -> Stopped:
    """
    Pause or cancel batches, or a campaign, on an event loop. Never resumes anything, never raises.

    :param hook: the connection; the caller closes it
    :param batch_ids: the batches; where there are none
    :param campaign_id: the campaign
    :param action: ``"pause"``, ``"cancel"``, or ``"none"``: then nothing is sent
    :param within: seconds all of it may take
    :param known: the state last seen, by id: what has ended is not even looked at again. What the look shows to have
        ended, or to be paused or cancelled already, is left as it is
    :return: what was done
    """
    targets = _Targets(batch_ids=batch_ids, campaign_id=campaign_id)
    until = time.monotonic() + within
    if action == "none" or not targets.ids:
        return targets.untouched(action)
    try:
        # Shielded: to break off a call to Airflow half-way ends a triggerer of Airflow 3.1.
        session = await asyncio.wait_for(asyncio.shield(hook.asession()), within)
    except Exception as error:
        return targets.out_of_reach(action, error)
    return await _stop(session.send, targets, action, until=until, known=known or {})


def stop_calls(
    settings: ServiceSettings,
    *,
    batch_ids: Sequence[str] | None = None,
    campaign_id: str | None = None,
    action: Action,
    within: float,
    known: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Stopped:
    """
    Pause or cancel batches, or a campaign, also in a signal handler; see :func:`astop_calls`.

    :param settings: how the service is reached, read before: nothing is asked of Airflow here
    :param batch_ids: the batches; where there are none
    :param campaign_id: the campaign
    :param action: ``"pause"``, ``"cancel"``, or ``"none"``: then nothing is sent
    :param within: seconds all of it may take
    :param known: the state last seen, by id
    :param tell: is told the sentence, in the other thread; before this returns, unless the interrupted thread holds
        what that needs
    :return: what was done
    """
    targets = _Targets(batch_ids=batch_ids, campaign_id=campaign_id)
    until = time.monotonic() + within
    answer: queue.SimpleQueue[Stopped] = queue.SimpleQueue()  # the one queue that may be used in a signal handler
    told: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work() -> None:
        try:
            stopped = asyncio.run(_stop_on_own_session(settings, targets, action, until=until, known=known or {}))
        except Exception as error:
            stopped = targets.out_of_reach(action, error)
        answer.put(stopped)
        if tell is not None:
            tell(stopped.sentence)
        told.put(None)

    threading.Thread(target=work, name="stop-calls", daemon=True).start()
    try:
        stopped = answer.get(timeout=within + 0.25)
    except queue.Empty:
        return targets.summed_up(action, dict.fromkeys(targets.ids, _Outcome.UNKNOWN))
    with suppress(queue.Empty):
        told.get(timeout=_TELLING)  # the process may end right after this
    return stopped


async def _stop_on_own_session(
    settings: ServiceSettings, targets: _Targets, action: Action, *, until: float, known: Mapping[str, str]
) -> Stopped:
    if action == "none" or not targets.ids:
        return targets.untouched(action)
    from airflow_provider_graine.http import AsyncSession

    async def same_token() -> str:
        return settings.token  # to read it anew would be a call to Airflow

    session = AsyncSession(settings, reload_token=same_token)
    try:
        return await _stop(session.send, targets, action, until=until, known=known)
    finally:
        await session.close()


async def _stop(send: _Send, targets: _Targets, action: Action, *, until: float, known: Mapping[str, str]) -> Stopped:
    outcomes = dict.fromkeys(targets.ids, _Outcome.NO_TIME)
    free = asyncio.Semaphore(_AT_A_TIME)

    async def stop_one(each: str) -> None:
        async with free:
            left = until - time.monotonic()
            state = known.get(each)
            if state not in _ENDED:  # what was seen may be hours ago
                state = await targets.state(send, each, patience=left / 3)
            if state in _ENDED or state == _GOALS[action]:
                outcomes[each] = _Outcome.NEEDED_NOTHING
                return
            outcomes[each] = _Outcome.UNKNOWN
            outcomes[each] = await _change_one(send, targets, each, action, patience=left / 3)

    at_work = [asyncio.create_task(stop_one(each)) for each in targets.ids]
    _, late = await asyncio.wait(at_work, timeout=max(0.0, until - time.monotonic()))
    for task in late:
        task.cancel()
    await asyncio.gather(*at_work, return_exceptions=True)
    return targets.summed_up(action, outcomes)


async def _change_one(send: _Send, targets: _Targets, each: str, action: Action, *, patience: float) -> _Outcome:
    """Send the one request; where its answer does not settle the matter, the state does."""
    is_clear = True
    try:
        answered = (await asyncio.wait_for(send(targets.change(each, action)), patience)).status
        if answered in (None, _GOALS[action]):  # what a cancel answers is not documented
            return _Outcome.DONE
    except UnclearOutcomeError:
        is_clear = False
    except ServiceError:
        pass  # refused, or never sent
    except Exception:
        is_clear = False
    state = await targets.state(send, each, patience=patience)
    if state == _GOALS[action]:
        return _Outcome.DONE
    if state in _ENDED:
        return _Outcome.NEEDED_NOTHING
    return _Outcome.NOT_DONE if is_clear and state is not None else _Outcome.UNKNOWN


class _Targets:
    """
    What is to be stopped, and the words for it.

    :param batch_ids: the batches; or
    :param campaign_id: the campaign
    """

    def __init__(self, *, batch_ids: Sequence[str] | None, campaign_id: str | None) -> None:
        self._noun = "batch" if batch_ids is not None else "campaign"
        self.ids = list(dict.fromkeys(batch_ids if batch_ids is not None else [campaign_id] if campaign_id else []))

    def change(self, each: str, action: Action) -> Request[Any]:
        from airflow_provider_graine.services.graine import requests

        changes = {
            ("batch", "pause"): requests.pause_batch,
            ("batch", "cancel"): requests.cancel_batch,
            ("campaign", "pause"): requests.pause_campaign,
            ("campaign", "cancel"): requests.cancel_campaign,
        }
        return changes[self._noun, action](each)

    async def state(self, send: _Send, each: str, *, patience: float) -> str | None:
        """Ask the service once; ``None`` where it does not say."""
        from airflow_provider_graine.services.graine import requests

        read: Request[Any] = requests.get_batch(each) if self._noun == "batch" else requests.get_campaign(each)
        with suppress(Exception):
            status: str | None = (await asyncio.wait_for(send(read), patience)).status
            return status
        return None

    def untouched(self, action: Action) -> Stopped:
        if action == "none":
            return Stopped(sentence="Nothing was done to the calls: the service goes on calling.")
        return Stopped(sentence=f"There was no {self._noun} to {action}.")

    def out_of_reach(self, action: Action, error: Exception) -> Stopped:
        return Stopped(
            sentence=f"The service could not be asked to {action} {self._named(self.ids)} "
            f"({type(error).__name__}): the calls go on. Stop them at the service.",
            failed=len(self.ids),
        )

    def summed_up(self, action: Action, outcomes: Mapping[str, _Outcome]) -> Stopped:
        by_outcome: dict[_Outcome, list[str]] = {}
        for each, outcome in outcomes.items():
            by_outcome.setdefault(outcome, []).append(each)
        goal = _GOALS[action]
        sentences = {
            _Outcome.DONE: f"{goal.capitalize()} {{}}; {self._live_calls(action)}.",
            _Outcome.NEEDED_NOTHING: f"Nothing to {action} on {{}}: ended or {goal} before.",
            _Outcome.NOT_DONE: f"The service did not {action} {{}}: the calls go on.",
            _Outcome.UNKNOWN: f"Whether the service has {goal} {{}} is not known: look at it.",
            _Outcome.NO_TIME: f"There was no time left to {action} {{}}: the calls go on.",
        }
        return Stopped(
            sentence=" ".join(
                text.format(self._named(by_outcome[outcome]))
                for outcome, text in sentences.items()
                if outcome in by_outcome
            ),
            done=len(by_outcome.get(_Outcome.DONE, ())),
            failed=sum(
                len(by_outcome.get(each, ())) for each in (_Outcome.NOT_DONE, _Outcome.UNKNOWN, _Outcome.NO_TIME)
            ),
        )

    def _live_calls(self, action: Action) -> str:
        if action == "cancel":
            return "calls that were being placed already may still come through"
        if self._noun == "campaign":
            return "live calls end on their own, and batches that are scheduled may start all the same"
        return "live calls end on their own"

    def _named(self, ids: Sequence[str]) -> str:
        if len(ids) == 1:
            return f"{self._noun} {ids[0]}"
        more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
        return f"{len(ids)} batches ({', '.join(ids[:_MOST_NAMED])}{more})"
