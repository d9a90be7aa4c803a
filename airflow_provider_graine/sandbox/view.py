"""What the sandbox knows, shown to Python as its API would show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .world import World


class View(Mapping[str, dict[str, Any]]):
    """
    A read-only look at the world, made afresh at each access.

    :param world: to look at
    :param things: finds them, by id
    :param show: one of them
    """

    def __init__(self, world: World, things: Callable[[], Mapping[str, Any]], show: Callable[[Any], Any]) -> None:
        self._world = world
        self._things = things
        self._show = show

    def __getitem__(self, key: str) -> dict[str, Any]:
        with self._world.caught_up():
            shown: dict[str, Any] = self._show(self._things()[key])
            return shown

    def __iter__(self) -> Iterator[str]:
        with self._world.lock:
            return iter(list(self._things()))

    def __len__(self) -> int:
        return len(self._things())
