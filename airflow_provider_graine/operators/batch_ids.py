"""Batch ids as authors give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from airflow_provider_graine.exceptions import ConfigurationError


def flat(batch_ids: Any) -> list[str]:
    """
    Bring batch ids into one list.

    :param batch_ids: an id, a list of ids, or the output of a mapped upload, which is a list of lists
    :return: each id once, in the order given
    :raises ConfigurationError: there is something else among them
    """
    return list(dict.fromkeys(_each(batch_ids)))


def _each(given: Any) -> Iterator[str]:
    if given is None:
        return
    if isinstance(given, str) and given:
        yield given
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes, dict)):
        for each in given:
            yield from _each(each)
    else:
        raise ConfigurationError("batch_ids must be an id, a list of ids, or lists of ids. Nothing was sent.")
