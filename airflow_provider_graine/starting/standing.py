"""What is known of the campaigns, and which of them were paused only because of the hours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

DRAFT: Final = "draft"
RUNNING: Final = "running"
PAUSED: Final = "paused"
SCHEDULED: Final = "scheduled"
#: Not the service's word: it does not know the campaign (any more).
GONE: Final = "gone"
ENDED: Final = frozenset({"completed", "failed", GONE})

_MOST_NAMED: Final = 20


class Standing:
    """
    The campaigns of an order.

    :param campaign_ids: the campaigns, in order
    :param kept: what :meth:`remembered` returned in an earlier process
    """

    __slots__ = ("accepted", "held", "status")

    def __init__(self, campaign_ids: Sequence[str], kept: Mapping[str, Any]) -> None:
        statuses = kept.get("statuses")
        known: Mapping[str, Any] = statuses if isinstance(statuses, Mapping) else {}
        #: The last known status of each; ``None``: not known yet.
        self.status: dict[str, str | None] = {
            each: known[each] if isinstance(known.get(each), str) else None for each in campaign_ids
        }
        #: What was paused because of the hours, and so is to be resumed: nothing else ever is.
        self.held = self._among(kept.get("held"))
        #: What the service has said yes to when it was asked to start it; never asked again, whatever is read later.
        self.accepted = self._among(kept.get("accepted"))

    def _among(self, ids: Any) -> set[str]:
        return {each for each in ids if each in self.status} if isinstance(ids, list) else set()

    def remembered(self) -> dict[str, Any]:
        """Return a small JSON document for a later process."""
        return {
            "statuses": {each: status for each, status in self.status.items() if status is not None},
            "held": self._listed(self.held),
            "accepted": self._listed(self.accepted),
        }

    def _listed(self, ids: set[str]) -> list[str]:
        return [each for each in self.status if each in ids]

    def in_state(self, *statuses: str) -> Iterator[str]:
        """Yield the campaigns in a state, in order."""
        return (each for each, status in list(self.status.items()) if status in statuses)

    def has_ended(self, campaign_id: str) -> bool:
        """Tell whether a campaign calls nobody any more, for good."""
        return self.status[campaign_id] in ENDED

    def told(self) -> str:
        """Return the campaigns by status, as a sentence without its full stop."""
        by_status: dict[str, list[str]] = {}
        for each, status in self.status.items():
            by_status.setdefault(status or "not seen yet", []).append(each)
        return "; ".join(f"{named(ids)} {'is' if len(ids) == 1 else 'are'} {word}" for word, ids in by_status.items())


def named(ids: Sequence[str]) -> str:
    """Return campaigns by name; of very many the first ones."""
    if len(ids) == 1:
        return f"campaign {ids[0]}"
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return f"campaigns {', '.join(ids[:_MOST_NAMED])}{more}"
