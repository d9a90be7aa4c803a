"""
Stopping calls because their task ends: bounded in time, each batch or campaign once, and said in words.

Written once, for an event loop. :func:`stop` runs it on a loop and a connection of its own in another thread, so
that it can be called wherever a task may be interrupted, in a signal handler too: whatever the interrupted thread is in
the middle of, a request or a call to Airflow, and whatever lock it holds, that of the log too.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeVar

from airflow_provider_graine.exceptions import ServiceError, UnclearOutcomeError

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.calling_service import CallingServiceHook
    from airflow_provider_graine.services.request import Request
    from airflow_provider_graine.services.settings import ServiceSettings
    from airflow_provider_graine.waiting.vocabulary import Vocabulary

T = TypeVar("T")

_AT_A_TIME: Final = 8
_MOST_NAMED: Final = 20
_TELLING: Final = 0.5  # seconds
#: What is done with the calls whose task ends, where nothing is.
NOTHING: Final = "none"


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """
    What was done to the calls.

    :param sentence: for the log: what was done to which batch, and of which it is not known
    :param done: how many batches or campaigns it was done to
    :param failed: how many were not, or nobody knows
    """

    sentence: str
    done: int = 0
    failed: int = 0


class _Send(Protocol):
    def __call__(self, request: Request[T], /) -> Awaitable[T]:
        """Send a request."""


class Outcome(Enum):
    """What became of one batch or campaign."""

    DONE = auto()
    NEEDED_NOTHING = auto()
    CALLS_NOBODY = auto()
    NOT_DONE = auto()
    UNKNOWN = auto()
    NO_TIME = auto()


class Targets(ABC):
    """
    What is to be stopped at a service, and the words for it.

    :param ids: the batches or campaigns
    """

    noun: ClassVar[str]
    nouns: ClassVar[str]
    #: Action to the word for what it is done to, which is also the state that it leads to unless ``states`` says so.
    goals: ClassVar[Mapping[str, str]]
    #: Action to the state that it leads to, where that is called otherwise.
    states: ClassVar[Mapping[str, str]] = {}
    vocabulary: ClassVar[Vocabulary]
    #: Whether an answer that does not say the state is as good as one that does; else the state is read.
    believes_silence: ClassVar[bool] = True

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(dict.fromkeys(ids))

    @abstractmethod
    def change(self, each: str, action: str) -> Request[Any]:
        """Return the request that does it."""

    @abstractmethod
    def read(self, each: str) -> Request[Any]:
        """Return the request that tells the state."""

    @abstractmethod
    def live_calls(self, action: str) -> str:
        """Say what becomes of live calls."""

    def is_left_alone(self, state: str | None) -> bool:
        """Tell whether nothing is sent in a state: it calls nobody."""
        return False

    def calls_nobody(self, state: str | None) -> bool:
        """Tell whether nobody new is called in a state in which the service may refuse."""
        return False

    def goal(self, action: str) -> str:
        """Return the state that an action leads to."""
        return self.states.get(action, self.goals[action])

    async def state(self, send: _Send, each: str, *, patience: float) -> str | None:
        """Ask the service once; ``None`` where it does not say."""
        with suppress(Exception):
            status: str | None = (await asyncio.wait_for(send(self.read(each)), patience)).status
            return status
        return None

    def untouched(self, action: str) -> Stopped:
        """Say that nothing was sent, and why."""
        if action == NOTHING:
            return Stopped(sentence="Nothing was done to the calls: the service goes on calling.")
        return Stopped(sentence=f"There was no {self.noun} to {action}.")

    def out_of_reach(self, action: str, error: Exception) -> Stopped:
        """Say that the service could not be asked at all."""
        return Stopped(
            sentence=f"The service could not be asked to {action} {self._named(self.ids)} "
            f"({type(error).__name__}): the calls go on. Stop them at the service.",
            failed=len(self.ids),
        )

    def summed_up(self, action: str, outcomes: Mapping[str, Outcome]) -> Stopped:
        """Say what became of each."""
        by_outcome: dict[Outcome, list[str]] = {}
        for each, outcome in outcomes.items():
            by_outcome.setdefault(outcome, []).append(each)
        goal = self.goals[action]
        sentences = {
            Outcome.DONE: f"{goal.capitalize()} {{}}; {self.live_calls(action)}.",
            Outcome.NEEDED_NOTHING: f"Nothing to {action} on {{}}: ended or {goal} before.",
            Outcome.CALLS_NOBODY: "Not running, and left so, nobody new is called unless somebody starts or resumes: "
            "{}.",
            Outcome.NOT_DONE: f"The service did not {action} {{}}: the calls go on.",
            Outcome.UNKNOWN: f"Whether the service has {goal} {{}} is not known: look at it.",
            Outcome.NO_TIME: f"There was no time left to {action} {{}}: the calls go on.",
        }
        return Stopped(
            sentence=" ".join(
                text.format(self._named(by_outcome[outcome]))
                for outcome, text in sentences.items()
                if outcome in by_outcome
            ),
            done=len(by_outcome.get(Outcome.DONE, ())),
            failed=sum(len(by_outcome.get(each, ())) for each in (Outcome.NOT_DONE, Outcome.UNKNOWN, Outcome.NO_TIME)),
        )

    def _named(self, ids: Sequence[str]) -> str:
        if len(ids) == 1:
            return f"{self.noun} {ids[0]}"
        more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
        return f"{len(ids)} {self.nouns} ({', '.join(ids[:_MOST_NAMED])}{more})"


async def astop(
    hook: CallingServiceHook, targets: Targets, action: str, *, within: float, known: Mapping[str, str] | None = None
) -> Stopped:
    """
    Stop calls on an event loop. Never resumes anything, never raises.

    :param hook: the connection; the caller closes it
    :param targets: the batches or campaigns
    :param action: what is done, ``"none"``: then nothing is sent
    :param within: seconds all of it may take
    :param known: the state last seen, by id: what has ended is not even looked at again. What the look shows to have
        ended, or to be as it should be already, is left as it is
    :return: what was done
    """
    until = time.monotonic() + within
    if action == NOTHING or not targets.ids:
        return targets.untouched(action)
    try:
        # Shielded: to break off a call to Airflow half-way ends a triggerer of Airflow 3.1.
        session = await asyncio.wait_for(asyncio.shield(hook.asession()), within)
    except Exception as error:
        return targets.out_of_reach(action, error)
    return await _stop(session.send, targets, action, until=until, known=known or {})


def stop(
    settings: ServiceSettings,
    targets: Targets,
    action: str,
    *,
    within: float,
    known: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Stopped:
    """
    Stop calls, also in a signal handler; see :func:`astop`.

    :param settings: how the service is reached, read before: nothing is asked of Airflow here
    :param targets: the batches or campaigns
    :param action: what is done, ``"none"``: then nothing is sent
    :param within: seconds all of it may take
    :param known: the state last seen, by id
    :param tell: is told the sentence, in the other thread; before this returns, unless the interrupted thread holds
        what that needs
    :return: what was done
    """
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
        return targets.summed_up(action, dict.fromkeys(targets.ids, Outcome.UNKNOWN))
    with suppress(queue.Empty):
        told.get(timeout=_TELLING)  # the process may end right after this
    return stopped


async def _stop_on_own_session(
    settings: ServiceSettings, targets: Targets, action: str, *, until: float, known: Mapping[str, str]
) -> Stopped:
    if action == NOTHING or not targets.ids:
        return targets.untouched(action)
    from airflow_provider_graine.http import AsyncSession

    async def same_token() -> str:
        return settings.token  # to read it anew would be a call to Airflow

    # The interrupted thread may hold the limiter, and there is no time to wait for a turn: the service still has its
    # own say.
    session = AsyncSession(replace(settings, limits=None), reload_token=same_token)
    try:
        return await _stop(session.send, targets, action, until=until, known=known)
    finally:
        await session.close()


async def _stop(send: _Send, targets: Targets, action: str, *, until: float, known: Mapping[str, str]) -> Stopped:
    outcomes = dict.fromkeys(targets.ids, Outcome.NO_TIME)
    free = asyncio.Semaphore(_AT_A_TIME)

    async def stop_one(each: str) -> None:
        async with free:
            left = until - time.monotonic()
            state = known.get(each)
            if state is None or not targets.vocabulary.has_ended(state):  # what was seen may be hours ago
                state = await targets.state(send, each, patience=left / 3)
            if state is not None and (targets.vocabulary.has_ended(state) or state == targets.goal(action)):
                outcomes[each] = Outcome.NEEDED_NOTHING
            elif targets.is_left_alone(state):
                outcomes[each] = Outcome.CALLS_NOBODY
            else:
                outcomes[each] = Outcome.UNKNOWN
                outcomes[each] = await _change_one(send, targets, each, action, patience=left / 3)

    at_work = [asyncio.create_task(stop_one(each)) for each in targets.ids]
    _, late = await asyncio.wait(at_work, timeout=max(0.0, until - time.monotonic()))
    for task in late:
        task.cancel()
    await asyncio.gather(*at_work, return_exceptions=True)
    return targets.summed_up(action, outcomes)


async def _change_one(send: _Send, targets: Targets, each: str, action: str, *, patience: float) -> Outcome:
    """Send the one request; where its answer does not settle the matter, the state does."""
    is_clear = True
    try:
        answered = (await asyncio.wait_for(send(targets.change(each, action)), patience)).status
        if answered == targets.goal(action) or (answered is None and targets.believes_silence):
            return Outcome.DONE
    except UnclearOutcomeError:
        is_clear = False
    except ServiceError:
        pass  # refused, or never sent
    except Exception:
        is_clear = False
    state = await targets.state(send, each, patience=patience)
    if state == targets.goal(action):
        return Outcome.DONE
    if state is not None and targets.vocabulary.has_ended(state):
        return Outcome.NEEDED_NOTHING
    if targets.calls_nobody(state):
        return Outcome.CALLS_NOBODY
    return Outcome.NOT_DONE if is_clear and state is not None else Outcome.UNKNOWN
