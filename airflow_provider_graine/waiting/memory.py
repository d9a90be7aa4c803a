"""Reading back what an earlier process, perhaps of another version, has kept of a wait; what is odd is as missing."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any


def number(kept: Mapping[str, Any], name: str) -> float | None:
    """Return a finite number."""
    value = kept.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if isfinite(value) else None
    except OverflowError:  # an integer beyond all floats
        return None


def count(kept: Mapping[str, Any], name: str) -> int:
    """Return a count; 0 where there is none."""
    return max(0, int(number(kept, name) or 0))


def text(kept: Mapping[str, Any], name: str) -> str:
    """Return a text; empty where there is none."""
    value = kept.get(name)
    return value if isinstance(value, str) else ""


def section(kept: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """Return a part of what was kept; empty where there is none."""
    value = kept.get(name) if isinstance(kept, Mapping) else None
    return value if isinstance(value, Mapping) else {}
