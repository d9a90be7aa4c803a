"""A report as one HTML file: no address in it is ever asked for anything, and without scripts its tables say it all."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine import __version__
from airflow_provider_graine.reports.tally import Rate, Tally
from airflow_provider_graine.reports.words import ANSWERED, ORDER, outcome, spelt
from airflow_provider_graine.waiting.progress import with_outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template

    from airflow_provider_graine.reports.uploads import Uploads

#: Fewer people than these are no group of their own: a rate of them says nothing, and they could be known.
SMALLEST_GROUP: Final = 5
_MOST_ATTEMPTS: Final = 8
_MOST_PARTS: Final = 500
_UNKNOWN: Final = "not known"


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    A batch or campaign.

    :param id: which one
    :param status: its state
    :param tally: the people on it
    :param expected: number of people on it by the service's own account, where that is known
    """

    id: str
    status: str
    tally: Tally
    expected: int | None = None

    @property
    def is_missing_people(self) -> bool:
        """Whether not everybody came, as far as that is known; somebody should have where it is not known how many."""
        return not self.tally.people if self.expected is None else self.tally.people < self.expected

    @property
    def is_small(self) -> bool:
        """Whether numbers of what came of the calls would be about people who could be known."""
        return self.tally.people < SMALLEST_GROUP


@dataclass(frozen=True, kw_only=True)
class Report:
    """
    What a report tells.

    :param title: its heading
    :param noun: what its parts are
    :param nouns: several of them
    :param parts: the batches or campaigns
    :param zone: IANA name of the time zone of the hours
    :param uploads: what the uploads said, where it is known
    :param made_at: when the service was asked, with its time zone
    :param made_by: name to id: DAG, run and task
    """

    title: str
    noun: str
    nouns: str
    parts: Sequence[Part]
    zone: str
    uploads: Uploads | None
    made_at: datetime
    made_by: Mapping[str, str]

    @cached_property
    def total(self) -> Tally:
        """All people together."""
        total = Tally()
        for part in self.parts:
            total.add(part.tally)
        return total


def render(report: Report) -> bytes:
    """
    Write a report.

    :param report: what it tells
    :return: an HTML document in UTF-8
    """
    from airflow_provider_graine import charts

    scripts = [charts.chart_js(), charts.charts_js(), _text("report.js")]
    style = charts.theme_css() + _text("report.css")
    page = _template().render(
        report=report,
        total=report.total,
        tiles=_tiles(report),
        outcomes=(outcomes := _outcomes(report.total)),
        hours=(hours := _hours(report.total)),
        attempts=(attempts := _attempts(report.total)),
        rejected=(rejected := _rejected(report.uploads)),
        parts=report.parts[:_MOST_PARTS],
        parts_left_out=len(report.parts[_MOST_PARTS:]),
        missing=[part for part in report.parts if part.is_missing_people],
        charts={
            "outcomes": _bars(outcomes, "people"),
            "hours": _rate_bars(hours),
            "attempts": _answered_bars(attempts),
            "rejected": _bars(rejected, "rows"),
        },
        smallest_group=SMALLEST_GROUP,
        not_done=_not_done,
        version=__version__,
        style=style,
        scripts=scripts,
        policy=(
            f"default-src 'none'; style-src {_hash(style)}; script-src {' '.join(map(_hash, scripts))}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
    )
    return page.encode()


@dataclass(frozen=True)
class Bar:
    """
    A bar of a chart, and a row of the table beside it.

    :param label: its name
    :param number: people or rows
    :param of: all of them
    :param color: name of its colour
    """

    label: str
    number: int
    of: int
    color: str

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.number / self.of


@dataclass(frozen=True)
class Group:
    """
    People who have an hour or a number of attempts in common.

    :param label: which
    :param rate: how many of them have answered
    :param drawn: whether it has a bar of its own
    """

    label: str
    rate: Rate
    drawn: bool = True


def _tiles(report: Report) -> list[tuple[str, int, str]]:
    total, uploads = report.total, report.uploads
    parts = len(report.parts)
    waiting = total.people - total.total.called
    refused = sum(uploads.rejected.values()) if uploads else 0
    return [
        ("People", total.people, f"on {parts:,} {report.noun if parts == 1 else report.nouns}"),
        ("Called", total.total.called, f"{waiting:,} without an outcome" if waiting else "all of them"),
        ("Answered", total.total.answered, _told(total.total.share, "of those called") or "nobody was called"),
        ("Retries", total.retries, f"and {total.follow_ups:,} follow-ups" if total.follow_ups else ""),
        ("Rejected", refused, f"of {uploads.read:,} rows read") if uploads else ("Rejected", -1, _UNKNOWN),
    ]


def _outcomes(total: Tally) -> list[Bar]:
    known = [status for status in ORDER if total.outcomes[status]]
    others = sorted(set(total.outcomes) - set(ORDER))
    return [
        Bar(outcome(status).label, total.outcomes[status], total.people, outcome(status).color)
        for status in (*known, *others)
    ]


def _rejected(uploads: Uploads | None) -> list[Bar]:
    if uploads is None:
        return []
    return [
        Bar(spelt(reason), number, uploads.read or number, "failed")
        for reason, number in uploads.rejected.most_common()
        if number
    ]


def _hours(total: Tally) -> list[Group]:
    """Group by hour; small groups go together, so that none of them can be told from the totals."""
    enough = {hour: rate for hour, rate in total.by_hour.items() if hour is not None and rate.called >= SMALLEST_GROUP}
    small, unknown = Rate(), total.by_hour.get(None, Rate())
    for hour, rate in total.by_hour.items():
        if hour is not None and hour not in enough:
            small.add(rate)
    first, last = min(enough, default=0), max(enough, default=-1)
    groups = [Group(f"{hour:02}:00", enough.get(hour, Rate())) for hour in range(first, last + 1)]
    if small.called:
        groups.append(Group("Other hours", small, drawn=False))
    if unknown.called:
        groups.append(Group(f"Hour {_UNKNOWN}", unknown, drawn=False))
    return groups


def _attempts(total: Tally) -> list[Group]:
    """Group by number of attempts, the highest together; small groups go together, as those of hours do."""
    most = _MOST_ATTEMPTS + 1
    known: dict[int, Rate] = {}
    for number, rate in total.by_attempts.items():
        if number is not None:
            known.setdefault(min(number, most), Rate()).add(rate)
    groups, small = [], Rate()
    for number, rate in sorted(known.items()):
        if rate.called >= SMALLEST_GROUP:
            groups.append(Group(str(number) if number < most else f"{most} or more", rate))
        else:
            small.add(rate)
    if small.called:
        groups.append(Group("Other numbers", small, drawn=bool(groups)))
    if (unknown := total.by_attempts.get(None)) is not None:
        groups.append(Group(_UNKNOWN.capitalize(), unknown, drawn=False))
    return groups


def _bars(bars: list[Bar], unit: str) -> dict[str, Any]:
    return {
        "labels": [bar.label for bar in bars],
        "values": [bar.number for bar in bars],
        "color": [bar.color for bar in bars],
        "notes": [_told(bar.share, "of all") for bar in bars],
        "unit": unit,
        "horizontal": True,
    }


def _rate_bars(groups: list[Group]) -> dict[str, Any]:
    drawn = [group for group in groups if group.drawn]
    return {
        "labels": [group.label for group in drawn],
        "values": [group.rate.share for group in drawn],
        "color": ANSWERED,
        "notes": [f"{group.rate.answered:,} of {group.rate.called:,}" for group in drawn],
        "percent": True,
    }


def _answered_bars(groups: list[Group]) -> dict[str, Any]:
    drawn = [group for group in groups if group.drawn]
    answered = [group.rate.answered for group in drawn]
    others = [group.rate.called - group.rate.answered for group in drawn]
    return {
        "labels": [group.label for group in drawn],
        "series": [
            {"name": "Answered", "values": answered, "color": ANSWERED},
            {"name": "Not answered", "values": others, "color": "pending"},
        ],
        "unit": "people",
    }


def _not_done(tally: Tally) -> int:
    return tally.people - with_outcome(tally.outcomes)


def _percent(share: float | None) -> str:
    return "\u2013" if share is None else f"{100 * share:.1f} %"


def _told(share: float | None, of: str) -> str:
    return "" if share is None else f"{_percent(share)} {of}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": "{:,}".format, "percent": _percent, "word": spelt}
    return environment.from_string(_text("report.html.j2"))


@cache
def _text(name: str) -> str:
    from importlib.resources import files

    return files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
