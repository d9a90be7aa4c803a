"""Parallel calls of a list that becomes several uploads, and of an upload that becomes several batches."""

from __future__ import annotations

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.uploads.words import GRAINE, Words


def share_of(limit: int, *, index: int, of: int, words: Words = GRAINE) -> int:
    """
    Tell how much of a limit of parallel calls one shard of a list has.

    :param limit: what the author set for the whole list
    :param index: which shard, from 0
    :param of: number of shards
    :param words: the service's
    :return: at least 1; those of all shards add up to the limit
    :raises ConfigurationError: when there are more shards than parallel calls
    """
    if limit < of:
        more = f", or {words.more_calls}" if words is GRAINE else ""
        raise ConfigurationError(
            f"{words.limit}={limit} parallel calls are for the whole list, and cannot be shared out among {of} "
            f"shards; each needs at least one. Raise {words.limit}, take fewer shards{more}. Nothing was sent."
        )
    return limit // of + (index < limit % of)


def shared_out(limit: int, *, taken: int, batches: int, words: Words = GRAINE) -> list[int]:
    """
    Share a limit of parallel calls out among batches: the limit of each counts on its own, so they must add up to it.

    :param limit: what the author set for the whole upload
    :param taken: what batches created before already hold of it
    :param batches: how many are to be created
    :param words: the service's
    :return: the limit of each; at least 1, together at most what is left
    :raises ConfigurationError: when there are more batches than parallel calls
    """
    left = limit - taken
    if left < batches:
        raise ConfigurationError(
            f"The list needs {batches} more {words.batches} and only {max(left, 0)} of the {limit} parallel calls that "
            f"{words.limit} gives it are left to share among them; each {words.batch} needs at least one. Raise "
            f"batch_size or {words.limit}, or {words.more_calls}. Nothing more was sent."
        )
    share, more = divmod(left, batches)
    return [share + 1] * more + [share] * (batches - more)
