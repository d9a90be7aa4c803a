"""What the upload protocol needs of a service, of a memory and of a clock. Implemented elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_graine.contacts.chunks import Chunk


@dataclass(frozen=True, kw_only=True)
class PlacedBatch:
    """
    A batch of this upload, as the service knows it.

    :param batch_id: the service's id
    :param total: how many contacts it holds, or ``None`` where the service does not say
    :param status: the service's word for its state
    :param chunk: fingerprint of the contacts it was made from, or ``None`` where the service did not return it
    :param concurrency_limit: most parallel calls, where it has a limit of its own
    """

    batch_id: str
    total: int | None
    status: str
    chunk: str | None = None
    concurrency_limit: int | None = None


class BatchService(Protocol):
    """A calling service, on behalf of one upload."""

    @property
    def limit_to_share(self) -> int | None:
        """Most parallel calls of the whole upload, where the batches have to share them out among themselves."""

    def find(self) -> list[PlacedBatch]:
        """
        Search the service, page by page to the end, for the batches of this upload.

        :return: in the order in which they were created
        """

    def people(self, batch_id: str) -> Iterable[str]:
        """
        Read who is on a batch.

        :param batch_id: the batch
        :return: E.164 numbers
        """

    def create(self, chunk: Chunk, *, concurrency_limit: int | None) -> PlacedBatch:
        """
        Create a batch; the people on it may be called at once.

        :param chunk: the contacts
        :param concurrency_limit: the batch's share of the parallel calls, or ``None`` for the author's own setting
        :raises UnclearOutcomeError: where it may or may not have been created
        :raises ServiceError: where it provably was not
        """


@dataclass(frozen=True)
class Sends:
    """
    What is remembered of the sends of an upload.

    :param count: how many creates were begun and not proven undone
    :param last_at: when the last one was begun, in seconds since the epoch
    """

    count: int = 0
    last_at: float = 0.0


class Journal(Protocol):
    """Remembers sends from one try to the next, as far as the platform can."""

    def read(self) -> Sends | None:
        """Return what is remembered, or ``None`` where nothing can be known of earlier tries."""

    def write(self, sends: Sends) -> None:
        """Remember; must have taken effect when it returns."""


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> float:
        """Return the time in seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
