"""What a service, and its operators, call what an upload deals with; for messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Words:
    """
    The words of one service.

    :param batch: what people are put on
    :param batches: several of it
    :param limit: the argument that says how many calls may be parallel
    :param more_calls: what helps where there are more batches than parallel calls, beside raising that
    :param end: how one that should not be is got rid of
    """

    batch: str
    batches: str
    limit: str
    more_calls: str
    end: str


GRAINE: Final = Words(
    batch="batch",
    batches="batches",
    limit="concurrency_limit",
    more_calls="set metadata.concurrency_limit on the campaign, which caps all its batches together",
    end="cancel",
)

KATAVEN: Final = Words(
    batch="campaign",
    batches="campaigns",
    limit="max_concurrent_calls",
    more_calls="let the campaigns run one after the other (one_at_a_time=True)",
    end="stop",
)
