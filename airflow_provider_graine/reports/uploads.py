"""What uploads say about their lists: how many rows were read, taken and refused, and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.reports.words import plain


@dataclass(slots=True)
class Uploads:
    """
    The lists of all uploads together.

    :param read: rows
    :param accepted: people who were to be called
    :param rejected: rows by the reason for which they were not
    """

    read: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def read_summaries(given: Any) -> Uploads | None:
    """
    Add the summaries of uploads up.

    :param given: the XCom ``summary`` of an upload, or several, in lists of any depth; as JSON text, too
    :return: ``None`` where there is none
    :raises ConfigurationError: when there is something else among them
    """
    uploads = None
    for summary in _each(given):
        try:
            shares = {name: int(summary[name]) for name in ("read", "accepted")}
            rejected = {plain(reason): int(number) for reason, number in summary.get("rejected", {}).items()}
            elsewhere = int(summary.get("elsewhere", 0))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _wrong() from None
        uploads = uploads or Uploads()
        uploads.read += shares["read"] - elsewhere  # a shard reads the whole list, and leaves the rest to the others
        uploads.accepted += shares["accepted"]
        uploads.rejected.update(rejected)
    return uploads


def _each(given: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise _wrong() from None
    if isinstance(given, Mapping):
        yield given
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        for each in given:
            yield from _each(each)
    elif given is not None:
        raise _wrong()


def _wrong() -> ConfigurationError:
    return ConfigurationError(
        'summary must be what an upload has pushed as its XCom "summary", or a list of those: give '
        'upload.output["summary"]. No report was written.'
    )
