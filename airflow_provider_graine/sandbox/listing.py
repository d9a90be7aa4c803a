"""Lists that do not show at once what was created."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .faults import Fault


class Listable(Protocol):
    """Something lists can show."""

    hidden_until: float
    hidden_lists: int


def hide(created: Listable, faults: Mapping[str, Fault], now: float) -> None:
    """Keep something out of the lists for as long as the fault ``late`` says, if that is among them."""
    if late := faults.get("late"):
        created.hidden_until = now + late.virtual_seconds
        created.hidden_lists = late.list_calls


def is_listed(each: Listable, now: float) -> bool:
    """:return: a list made now shows it; to be asked once for each list"""
    if each.hidden_lists:
        each.hidden_lists -= 1
        return False
    return now >= each.hidden_until
