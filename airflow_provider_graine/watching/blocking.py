"""
What is written for an event loop, done by blocking calls.

Coroutines that read with a hook are given one whose answers are there at once, and so end without having waited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.calling_service import CallingServiceHook

T = TypeVar("T")


def blocking(work: Callable[[Any], Coroutine[Any, Any, T]], hook: CallingServiceHook) -> T:
    """
    Run a coroutine with the blocking methods of a hook.

    :param work: given what it reads with; awaits nothing but its methods, whose names begin with ``a``
    :param hook: the connection
    :return: what the coroutine returns
    """
    try:
        work(_Blocking(hook)).send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise RuntimeError("A blocking look waited for an event loop.")


class _Blocking:
    """The blocking methods of a hook in the form of the others."""

    def __init__(self, hook: CallingServiceHook) -> None:
        self._hook = hook

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        call = getattr(self._hook, name.removeprefix("a"))

        async def acall(*args: Any, **kwargs: Any) -> Any:
            return call(*args, **kwargs)

        return acall
