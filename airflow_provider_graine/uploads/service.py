"""What the upload protocol needs of a service and of a clock. Implemented elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.uploads.words import Words

if TYPE_CHECKING:
    from typing_extensions import TypeIs


@dataclass(frozen=True, kw_only=True)
class PlacedBatch:
    """
    A batch, as the service knows it.

    :param batch_id: the service's id
    :param total: how many contacts it holds, or ``None`` where the service does not say
    :param status: the service's word for its state
    :param is_marked: whether it carries the mark of this upload; ``False`` where the service returned no metadata at
        all, so that nobody knows
    :param chunk: fingerprint of the contacts it was made from, or ``None`` where the service did not return it
    :param concurrency_limit: most parallel calls, where it has a limit of its own
    :param has_ended: whether its parallel calls are free again
    :param is_draft: whether it calls nobody until it is started
    :param is_as_asked: whether it was made as this upload would make it now; ``False`` for a draft that an earlier try
        made with other arguments
    :param created_at: the service's word for when it came about
    """

    batch_id: str
    total: int | None
    status: str
    is_marked: bool = True
    chunk: str | None = None
    concurrency_limit: int | None = None
    has_ended: bool = False
    is_draft: bool = False
    is_as_asked: bool = True
    created_at: str = ""


class BatchService(Protocol):
    """A calling service, on behalf of one upload."""

    words: Words

    @property
    def limit_to_share(self) -> int | None:
        """Most parallel calls of the whole upload, where the batches have to share them out among themselves."""

    def find(self) -> list[PlacedBatch]:
        """
        Search the service, page by page to the end, for the batches of this upload and for those without any mark.

        :return: in the order in which they were created
        """

    def get(self, batch_id: str) -> PlacedBatch | None:
        """
        Read one batch, whether listings show it or not.

        :param batch_id: the batch
        :return: ``None`` where there is no such batch
        """

    def people(self, batch_id: str) -> Iterable[str]:
        """
        Read who is on a batch.

        :param batch_id: the batch
        :return: E.164 numbers
        """

    def check(self) -> None:
        """
        Make sure, before the first create, that calls are wanted.

        :raises UploadError: when they are not
        """

    def create(self, chunk: Chunk, *, concurrency_limit: int | None) -> PlacedBatch:
        """
        Create a batch; the people on it may be called at once. Is called in several threads at the same time.

        :param chunk: the contacts
        :param concurrency_limit: the batch's share of the parallel calls, or ``None`` for the author's own setting
        :raises UnclearOutcomeError: where it may or may not have been created
        :raises ServiceError: where it provably was not
        """


class DraftService(BatchService, Protocol):
    """
    A service on which a batch is a draft first, which calls nobody until somebody starts it.

    It answers a create before it says how many people are on the draft, and nothing but who is on it tells.
    """

    def discard(self, batch_id: str) -> bool:
        """
        Delete a draft.

        :param batch_id: the draft
        :return: whether it is gone for certain; ``False``: it is not a draft any more, so it has been started
        :raises ServiceError: where neither is certain
        """

    def headcount(self, batch_id: str, *, expected: int) -> int:
        """
        Count the people on a draft.

        :param batch_id: the draft
        :param expected: how many there should be; that this is so is told soonest
        :return: how many there are
        """


def is_draft_service(service: BatchService) -> TypeIs[DraftService]:
    """Tell whether the batches of a service are drafts first."""
    return hasattr(service, "discard")


class SuspendedError(Exception):
    """
    The upload gives its place up until a doubt is over; no failure.

    :param until: when it is to go on, in seconds since the epoch
    """

    def __init__(self, until: float) -> None:
        super().__init__(f"waits until {until:.0f}")
        self.until = until


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> float:
        """Return the time in seconds since the epoch."""

    def sleep(self, seconds: float, *, until: float) -> None:
        """
        Let time pass between two looks.

        :param seconds: until the next look
        :param until: when the doubt ends, in seconds since the epoch
        :raises SuspendedError: to come back when the doubt is over, in place of holding the place meanwhile
        """
