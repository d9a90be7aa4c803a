"""What the page is told: chosen field by field, so that nothing else a service says gets there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.ui.makers import hash_of
from airflow_provider_graine.ui.seen import CampaignSeen, Maker, Part, grouped, summed
from airflow_provider_graine.waiting.progress import word
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from airflow_provider_graine.ui.watched import Watched

#: Rows of the tables at most: in the order of :func:`_urgency`.
MOST_ROWS: Final = 500
MOST_CAMPAIGNS: Final = 50
#: Widths of the columns over time, in seconds, and how many of them there may be.
_STEPS: Final = (60, 300, 900, 3600, 3 * 3600, 12 * 3600, 86400, 7 * 86400, 28 * 86400)
_MOST_COLUMNS: Final = 24


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What somebody wants to see of a connection's calls; nothing given: all."""

    campaign_id: str | None = None
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    batch_ids: tuple[str, ...] = ()

    def has(self, part: Part, maker: Maker | None) -> bool:
        """
        Tell whether a part is wanted.

        :param part: the part
        :param maker: the task that created it, where that may be told
        """
        if self.batch_ids and part.id not in self.batch_ids:
            return False
        if self.campaign_id and self.campaign_id not in (part.campaign_id, part.id):
            return False
        return not (self.dag_id or self.run_id or self.task_id) or self._is_made_by(part, maker)

    def _is_made_by(self, part: Part, maker: Maker | None) -> bool:
        if maker is None:
            # Whoever knows the task's name knows what its hash says.
            if not (part.task_hash and self.dag_id and self.run_id and self.task_id):
                return False
            is_same = part.task_hash == hash_of(self.dag_id, self.run_id, self.task_id)
            return is_same and self.map_index in (None, part.map_index)
        wanted = (self.dag_id, self.run_id, self.task_id, self.map_index)
        made = (maker.dag_id, maker.run_id, maker.task_id, maker.map_index)
        return all(want is None or want == has for want, has in zip(wanted, made, strict=True))


def answer(
    watched: Watched, chosen: Chosen, makers: Mapping[str, Maker], states: Mapping[Maker, str], *, service: str
) -> dict[str, Any]:
    """
    Tell how the calls of a connection are.

    :param watched: the connection
    :param chosen: what is wanted of it
    :param makers: part id to the task instance that created it, of those that the reader may know
    :param states: those of the task instances that this Airflow has
    :param service: the connection's type
    :return: a JSON document
    """
    calls = watched.calls
    parts = [part for part in calls.parts.values() if chosen.has(part, makers.get(part.id))]
    parts.sort(key=lambda part: (_urgency(part), -(part.created_at or 0.0)))
    course = watched.samples.course({part.id for part in parts})
    campaigns = _campaigns(calls.campaigns, parts)
    return {
        "connection": {"id": watched.conn_id, "service": service},
        "noun": calls.noun,
        "age": None if watched.read_at is None else round(max(0.0, clock.wall() - watched.read_at), 1),
        "is_refreshing": watched.is_refreshing,
        "error": watched.error,
        "is_cut": calls.is_cut,
        "summary": _summary(parts, campaigns),
        "campaigns": campaigns[:MOST_CAMPAIGNS],
        "parts": [_part(part, calls.campaigns, makers.get(part.id), states) for part in parts[:MOST_ROWS]],
        "created": created(parts),
        "course": {**course, "times": [_iso(time) for time in course["times"]]},
    }


def _summary(parts: list[Part], campaigns: list[dict[str, Any]]) -> dict[str, Any]:
    alone = (part.groups for part in parts if part.campaign_id is None)
    return {
        "parts": len(parts),
        "open": sum(not part.has_ended for part in parts),
        "held": sum(part.status in part.vocabulary.held for part in parts),
        "stalled": sum(part.is_stalled for part in parts),
        "uncounted": sum(part.total is None and not part.counts for part in parts),
        "contacts": sum(_people(part) for part in parts),
        "groups": summed([*(campaign["groups"] for campaign in campaigns), *alone]),
    }


def _urgency(part: Part) -> int:
    """Rank what needs a look first, then what calls, what will, and what is over."""
    if part.is_stalled:
        return 0
    return 3 if part.has_ended else 1 if part.status in part.vocabulary.calling else 2


def _people(part: Part) -> int:
    return part.total if part.total is not None else sum(part.counts.values())


def _campaigns(known: Mapping[str, CampaignSeen], parts: list[Part]) -> list[dict[str, Any]]:
    by_campaign: dict[str, list[Part]] = {}
    for part in parts:
        if part.campaign_id is not None:
            by_campaign.setdefault(part.campaign_id, []).append(part)
    told = []
    for campaign_id, its_parts in by_campaign.items():
        campaign = known.get(campaign_id) or CampaignSeen(campaign_id)
        people = sum(map(_people, its_parts))
        is_whole = sum(campaign.counts.values()) == people
        status = campaign.status
        told.append(
            {
                "id": campaign_id,
                "name": campaign.name,
                "status": word(status) if status else None,
                "batches": len(its_parts),
                "open": sum(not part.has_ended for part in its_parts),
                "stalled": sum(part.is_stalled for part in its_parts),
                "contacts": people,
                # The campaign's own figures tell more states apart than the batches do.
                "groups": grouped(campaign.counts, people) if is_whole else summed(part.groups for part in its_parts),
                "attempts": campaign.attempts if is_whole else None,
                "retries": _retries(campaign.retries) if is_whole else [],
                "opens": campaign.hours if any(not part.has_ended for part in its_parts) else None,
            }
        )
    return told


def _retries(breakdown: Mapping[str, int]) -> list[list[int]]:
    """Read ``{"retry_1": 7}`` as ``[[1, 7]]``; what has another form is left out."""
    numbers = {name.removeprefix("retry_"): people for name, people in breakdown.items()}
    return sorted([int(name), people] for name, people in numbers.items() if name.isdecimal() and people)


def _part(
    part: Part, campaigns: Mapping[str, CampaignSeen], maker: Maker | None, states: Mapping[Maker, str]
) -> dict[str, Any]:
    campaign = campaigns.get(part.campaign_id or "")
    return {
        "id": part.id,
        "name": part.name or (campaign.name if campaign else None),
        "campaign_id": part.campaign_id,
        "status": word(part.status),
        "has_ended": part.has_ended,
        "contacts": part.total if part.total is not None else (sum(part.counts.values()) or None),
        "groups": part.groups,
        "created_at": _iso(part.created_at),
        "note": part.note,
        "is_stalled": part.is_stalled,
        "task": _task(maker, states),
    }


def _task(maker: Maker | None, states: Mapping[Maker, str]) -> dict[str, Any] | None:
    if maker is None:
        return None
    return {
        "dag_id": maker.dag_id,
        "run_id": maker.run_id,
        "task_id": maker.task_id,
        "map_index": maker.map_index,
        "state": states.get(maker),
    }


def created(parts: list[Part]) -> dict[str, Any]:
    """
    Put the outcomes into columns by when the batches were created.

    :param parts: what is shown
    :return: ``step`` (seconds), ``times`` (begin of each column) and ``values`` by group; no column where there is
        nothing with a time
    """
    dated = [(part.created_at, part.groups) for part in parts if part.created_at is not None and part.counts]
    if not dated:
        return {"step": None, "times": [], "values": {}}
    first, last = min(at for at, _ in dated), max(at for at, _ in dated)
    step = next((each for each in _STEPS if last // each - first // each < _MOST_COLUMNS), _STEPS[-1])
    begin = max(first // step, last // step - _MOST_COLUMNS + 1)
    columns = int(last // step - begin) + 1
    values: dict[str, list[int]] = {}
    for at, groups in dated:
        column = int(at // step - begin)
        if column >= 0:
            for group, number in groups.items():
                values.setdefault(group, [0] * columns)[column] += number
    return {"step": step, "times": [_iso((begin + number) * step) for number in range(columns)], "values": values}


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
