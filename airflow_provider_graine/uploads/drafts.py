"""
Batches that are drafts: they call nobody until they are started, so those of earlier tries can be used or deleted.

That makes the service the arbiter between tries that know nothing of each other. Whoever wants to start drafts first
creates them, then looks, and gets rid of all others of the upload; of two tries at least one sees the other's. A draft
can be deleted only as long as it is one, so what could not be deleted has been started and is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import UploadError
from airflow_provider_graine.uploads.record import short
from airflow_provider_graine.uploads.service import DraftService, PlacedBatch


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """
    A draft that is as one would be made now.

    :param draft: the draft
    :param span: see :class:`.Chunk`
    """

    draft: PlacedBatch
    span: tuple[int, int]


class Drafts:
    """
    The drafts of one upload.

    :param service: the calling service
    :param contacts: the screened list
    :param log: where to tell what is done and why
    """

    def __init__(self, *, service: DraftService, contacts: ContactList, log: logging.Logger) -> None:
        self._service = service
        self._contacts = contacts
        self._log = log
        self._words = service.words
        self._sizes: dict[str, int] = {}
        self._is_counted: set[str] = set()
        self._gone: set[str] = set()

    def sift(
        self,
        drafts: Iterable[PlacedBatch],
        *,
        batch_size: int,
        shares: Callable[[int], Sequence[tuple[int, int] | None]],
    ) -> tuple[list[Wanted], list[PlacedBatch]]:
        """
        Tell the drafts that hold what is to be sent from those that are of no use: twins, other people, half a list.

        Whoever looks keeps the same one of twins, the oldest.

        :param drafts: the drafts there are
        :param batch_size: most contacts on one
        :param shares: gives the parallel calls of each of so many chunks, at least and at most; ``None``: any number
        :return: those that are wanted, and the others
        """
        known = sorted(drafts, key=lambda draft: (draft.created_at, draft.batch_id))
        if not known:
            return [], []
        parts = zip(self._contacts.chunks(batch_size), shares(self._contacts.number_of_chunks(batch_size)), strict=True)
        open_parts = {short(chunk.fingerprint): (chunk.span, chunk.size, share) for chunk, share in parts}
        wanted: list[Wanted] = []
        others: list[PlacedBatch] = []
        for draft in known:
            span, size, share = open_parts.get(short(draft.chunk or ""), ((0, -1), 0, None))
            is_right = size and draft.is_as_asked and _is_within(draft.concurrency_limit, share)
            if is_right and self._holds(draft.batch_id, size):
                wanted.append(Wanted(draft=draft, span=span))
                del open_parts[short(draft.chunk or "")]
            else:
                others.append(draft)
        return wanted, others

    def delete(self, batch_id: str) -> bool:
        """
        Delete a draft.

        :param batch_id: the draft
        :return: whether it is gone; ``False``: it has been started
        """
        if not self._service.discard(batch_id):
            return False
        self._gone.add(batch_id)
        self._log.info("Deleted draft %s: it is not what is to be sent now. It has called nobody", batch_id)
        return True

    def existing(self, batches: Iterable[PlacedBatch]) -> list[PlacedBatch]:
        """Leave out what has been deleted and is listed all the same."""
        return [batch for batch in batches if batch.batch_id not in self._gone]

    def created(self, batch_id: str, *, size: int) -> None:
        """
        Take note of a draft.

        :param batch_id: the draft
        :param size: how many people were sent
        """
        self._sizes[batch_id] = size

    def incomplete(self, batch_ids: Iterable[str]) -> UploadError | None:
        """
        Count who is on drafts; each that was found right once is not counted again.

        :param batch_ids: the drafts
        :return: what is wrong with the first that is not right
        """
        for batch_id in batch_ids:
            size = self._sizes.get(batch_id)
            if size is None or batch_id in self._is_counted:
                continue
            people = self._service.headcount(batch_id, expected=size)
            if people != size:
                return UploadError(
                    f"{self._words.batch.capitalize()} {batch_id} holds {people} contacts where {size} were sent. It "
                    "is a draft and calls nobody; nothing was started. A retry deletes it and sends them once more; "
                    "should that end the same way, the service does not take all of them: compare its contacts with "
                    "the source."
                )
            self._is_counted.add(batch_id)
        return None

    def _holds(self, batch_id: str, size: int) -> bool:
        self._sizes[batch_id] = size
        return self.incomplete([batch_id]) is None


def _is_within(calls: int | None, share: tuple[int, int] | None) -> bool:
    return share is None or calls is None or share[0] <= calls <= share[1]
