"""When the campaign whose turn it is may be tried (again), and for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from airflow_provider_graine.starting.order import Order
from airflow_provider_graine.waiting import memory

_FIRST_CAP: Final = 30.0
_LEAST_PAUSE: Final = 1.0
_SOON: Final = 5.0

#: Seconds after a start without a clear answer in which it may still take effect: it is not sent again before.
DOUBT: Final = 60.0


class Attempts:
    """
    The pace of the starts of one task.

    The pauses are drawn at random between nothing and a cap that doubles ("full jitter"): tasks that were refused at
    the same moment come back at different ones, and the longer they wait, the fewer requests they make.

    :param order: what is to be started
    :param draw: gives random numbers in [0, 1)
    :param kept: what :meth:`remembered` returned in an earlier process
    """

    __slots__ = ("_asked_at", "_doubts", "_draw", "_order", "_since", "campaign_id", "due", "refusals")

    def __init__(self, order: Order, *, draw: Callable[[], float], kept: Mapping[str, Any]) -> None:
        self._order = order
        self._draw = draw
        #: Whose turn it is.
        self.campaign_id: str | None = memory.text(kept, "campaign_id") or None
        self._since = memory.number(kept, "since") or 0.0
        #: How often the budget was used up for it.
        self.refusals = memory.count(kept, "refusals")
        #: When it may be tried next, as wall-clock time.
        self.due = memory.number(kept, "due") or 0.0
        self._asked_at = 0.0
        self._doubts: dict[str, float] = {}

    def turn_to(self, campaign_id: str, *, now: float) -> None:
        """Give a campaign its turn; that of one which has it goes on."""
        if campaign_id != self.campaign_id:
            self.campaign_id, self._since, self.refusals, self.due = campaign_id, now, 0, 0.0

    def over(self) -> None:
        """End the turn."""
        self.campaign_id, self.refusals, self.due = None, 0, 0.0

    def refused(self, *, now: float) -> None:
        """Note that the budget is used up."""
        self.refusals += 1
        cap = min(self._order.start_interval, _FIRST_CAP * 2.0 ** min(self.refusals - 1, 10))
        self.due = now + max(_LEAST_PAUSE, self._draw() * cap)

    def is_due(self, *, now: float) -> bool:
        """Tell whether it may be asked for: when the time is over just once more, in any case."""
        limit = self.limit()
        if limit is not None and now >= limit:
            return self._asked_at < limit
        return now >= self.due

    def asked(self, *, now: float) -> None:
        """Note that it is asked for; not again within the next moments."""
        self._asked_at = now
        self.due = max(self.due, now + _SOON)

    def doubt(self, campaign_id: str, *, now: float) -> None:
        """Note that a request got no clear answer."""
        self._doubts[campaign_id] = now + DOUBT

    def in_doubt(self, campaign_id: str | None, *, now: float) -> bool:
        """Tell whether such a request may still take effect."""
        return campaign_id is not None and now < self._doubts.get(campaign_id, 0.0)

    def limit(self) -> float | None:
        """Return the moment at which the turn has taken too long; ``None``: never, or not within a year."""
        timeout, hours = self._order.start_timeout, self._order.hours
        if self.campaign_id is None or timeout is None:
            return None
        return self._since + timeout if hours is None else hours.after(self._since, timeout)

    def remembered(self) -> dict[str, Any]:
        """Return a small JSON document for a later process."""
        if self.campaign_id is None:
            return {}
        return {"campaign_id": self.campaign_id, "since": self._since, "refusals": self.refusals, "due": self.due}
