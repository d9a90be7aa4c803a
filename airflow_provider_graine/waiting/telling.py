"""When a line of progress is worth a reader's time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_graine.waiting import memory
from airflow_provider_graine.waiting.look import Look

_STEPS: Final = 10
_BETWEEN_STEPS: Final = 60.0
_BETWEEN_LINES: Final = 600.0
_SIGN_OF_LIFE: Final = 3600.0


class Telling:
    """
    Decides whether a line is told: at first, when the state changes, every tenth of the way, and now and then.

    :param kept: what :meth:`remembered` returned in an earlier process
    """

    __slots__ = ("_at", "_changed", "_reason", "_statuses", "_step")

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._at = memory.number(kept, "at")
        self._step = memory.count(kept, "step")
        self._statuses = memory.text(kept, "statuses")
        self._reason = memory.text(kept, "reason")
        self._changed = kept.get("changed") is True

    def worth(self, look: Look, *, changed: bool, reason: str, now: float) -> bool:
        """
        Tell whether a line about this look is worth telling; then it counts as told.

        :param look: what was seen
        :param changed: whether it differs from the look before
        :param reason: why nothing new is to be expected for some time: told once; empty where there is none
        :param now: wall-clock time in seconds since the epoch
        """
        self._changed |= changed
        statuses = look.statuses if changed else self._statuses
        step = int(_STEPS * (look.share_done or 0.0)) if changed else self._step
        if not (
            self._at is None
            or statuses != self._statuses
            or reason != self._reason
            or (step > self._step and now - self._at >= _BETWEEN_STEPS)
            or (not reason and now - self._at >= (_BETWEEN_LINES if self._changed else _SIGN_OF_LIFE))
        ):
            return False
        self._at, self._step, self._statuses, self._reason, self._changed = now, step, statuses, reason, False
        return True

    def remembered(self) -> dict[str, Any]:
        """Return what a later process has to know."""
        if self._at is None:
            return {}
        return {
            "at": self._at,
            "step": self._step,
            "statuses": self._statuses,
            "reason": self._reason,
            "changed": self._changed,
        }
