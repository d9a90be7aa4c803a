"""The figures in the events of a campaign's stream, whose shape is not documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.waiting.progress import FINAL_CONTACT_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_graine.services.kataven.received import CampaignSnapshot

#: Words for the states of contacts: those documented, and what services of this kind call the others.
_STATES: Final = frozenset(
    {
        *FINAL_CONTACT_STATES,
        *("pending", "queued", "scheduled", "dialing", "calling", "ringing", "in_call", "in_progress", "retrying"),
    }
)
_TOTALS: Final = ("total", "total_contacts", "contacts_total", "contact_count")


def figures(snapshot: CampaignSnapshot) -> tuple[int | None, dict[str, int]]:
    """
    Find what an event says of the people on a campaign.

    :param snapshot: the event
    :return: how many there are, and how many in each state; ``None`` and nothing where it cannot be told
    """
    document: Mapping[str, Any] = snapshot.model_extra or {}
    nested = [each for each in document.values() if isinstance(each, dict) and _STATES & each.keys()]
    # Where contacts are counted in an object of their own, every word in it is a state, known or not.
    counts = _numbers(nested[0]) if nested else {name: n for name, n in _numbers(document).items() if name in _STATES}
    places = [document, *nested]
    total = next((place[name] for place in places for name in _TOTALS if _is_number(place.get(name))), None)
    for name in _TOTALS:
        counts.pop(name, None)
    if total is not None and sum(counts.values()) > total:
        return None, counts  # they overlap
    return total, counts


def are_final(total: int | None, counts: Mapping[str, int]) -> bool:
    """Tell whether everybody is in a state that may be a contact's last."""
    return total is not None and sum(counts.get(state, 0) for state in FINAL_CONTACT_STATES) == total


def _numbers(document: Mapping[str, Any]) -> dict[str, int]:
    return {name: each for name, each in document.items() if _is_number(each)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
