"""The argument ``shard``: which part of a list a task is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from airflow_provider_graine.exceptions import ConfigurationError

WHOLE_LIST: Final = (0, 1)


def read_shard(shard: Any) -> tuple[int, int]:
    """
    Read the argument.

    :param shard: ``[index, of]``, as numbers or, where they were templates, as text; ``None`` is the whole list
    :return: the same as numbers; for ``None`` :data:`WHOLE_LIST`
    :raises ConfigurationError: when it is something else
    """
    if shard is None:
        return WHOLE_LIST
    parts = [] if isinstance(shard, str) else [_number(each) for each in shard] if isinstance(shard, Iterable) else []
    match parts:
        case [int(index), int(of)] if 0 <= index < of:
            return index, of
    raise ConfigurationError(
        "shard must be [index, of], which part of the list and of how many, counted from 0: [0, 4] to [3, 4] for "
        "four parts. Nothing was sent."
    )


def _number(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if value.strip().isdecimal() else None
    return value if isinstance(value, int) else None


def own_path(path: str, shard: tuple[int, int]) -> str:
    """
    Tell where one shard writes what all shards write, so that none overwrites another's file.

    :param path: the author's path
    :param shard: as :func:`read_shard` returns it
    :return: ``rejected-0-of-4.csv`` for ``rejected.csv``; for the whole list the path itself
    """
    if shard == WHOLE_LIST:
        return path
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".") if "." in name else (name, "", "")
    return f"{folder}{slash}{stem}-{shard[0]}-of-{shard[1]}{dot}{suffix}"
