"""Parallel calls of an upload that becomes several batches."""

from __future__ import annotations

from airflow_provider_graine.exceptions import ConfigurationError


def shared_out(limit: int, *, taken: int, batches: int) -> list[int]:
    """
    Share a limit of parallel calls out among batches: the limit of each counts on its own, so they must add up to it.

    :param limit: what the author set for the whole upload
    :param taken: what batches created before already hold of it
    :param batches: how many are to be created
    :return: the limit of each; at least 1, together at most what is left
    :raises ConfigurationError: when there are more batches than parallel calls
    """
    left = limit - taken
    if left < batches:
        raise ConfigurationError(
            f"The list needs {batches} more batches and only {max(left, 0)} of concurrency_limit={limit} parallel "
            "calls are left to share among them; each batch needs at least one. Raise batch_size or "
            "concurrency_limit, or set metadata.concurrency_limit on the campaign, which caps all its batches "
            "together. Nothing more was sent."
        )
    share, more = divmod(left, batches)
    return [share + 1] * more + [share] * (batches - more)
