"""Ids of batches and campaigns as authors give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from airflow_provider_graine.exceptions import ConfigurationError


def flat(ids: Any, name: str = "batch_ids") -> list[str]:
    """
    Bring ids into one list.

    :param ids: an id, a list of ids, or the output of a mapped upload, which is a list of lists
    :param name: what they are called in a message
    :return: each id once, in the order given
    :raises ConfigurationError: there is something else among them
    """
    return list(dict.fromkeys(_each(ids, name)))


def _each(given: Any, name: str) -> Iterator[str]:
    if given is None:
        return
    if isinstance(given, str) and given:
        yield given
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes, dict)):
        for each in given:
            yield from _each(each, name)
    else:
        raise ConfigurationError(f"{name} must be an id, a list of ids, or lists of ids. Nothing was sent.")
