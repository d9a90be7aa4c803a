"""Which batches of a service belong to an upload: by their marks, and where there are none by who is on them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import UploadError
from airflow_provider_graine.uploads.record import Record
from airflow_provider_graine.uploads.service import BatchService, PlacedBatch

_MOST_REMEMBERED: Final = 1_000


class Search:
    """
    Looks for the batches of one upload.

    :param service: the calling service
    :param contacts: the screened list, whole
    :param batch_size: most contacts on one batch
    :param log: where to tell what is unusual
    """

    def __init__(self, *, service: BatchService, contacts: ContactList, batch_size: int, log: logging.Logger) -> None:
        self._service = service
        self._contacts = contacts
        self._batch_size = batch_size
        self._log = log
        self._recognized: dict[str, PlacedBatch | None] = {}
        self._crowds: dict[str, str] | None = None

    def look(self, record: Record | None) -> list[PlacedBatch]:
        """
        Search once, to the end.

        :param record: what is remembered; batches it names are read one by one where the listing does not show them
        :return: the batches of this upload
        :raises UploadError: when a batch may or may not be of this upload and nothing tells
        """
        found = self._service.find()
        marked = [batch for batch in found if batch.is_marked]
        own = {batch.batch_id: batch for batch in marked}
        for batch in found:
            if not batch.is_marked and (known := self._recognize(batch, record)) is not None:
                own[batch.batch_id] = known
        for batch_id in record.batches if record is not None else ():
            if batch_id not in own and (unlisted := self._service.get(batch_id)) is not None:
                own[batch_id] = unlisted
        return list(own.values())

    def first_look(self) -> tuple[list[PlacedBatch], tuple[str, ...] | None]:
        """
        Search once, knowing that nothing was sent so far.

        :return: batches that carry the upload's mark all the same, and the ids of those without any mark, which are
            others'; ``None`` where they are too many to be remembered
        """
        found = self._service.find()
        unmarked = tuple(batch.batch_id for batch in found if not batch.is_marked)
        return [batch for batch in found if batch.is_marked], unmarked if len(unmarked) <= _MOST_REMEMBERED else None

    def _recognize(self, batch: PlacedBatch, record: Record | None) -> PlacedBatch | None:
        """Tell whether a batch without metadata is one of ours, by the people on it."""
        before = record.before if record is not None else None
        if before is not None and batch.batch_id in before:
            return None
        if batch.batch_id not in self._recognized:
            self._recognized[batch.batch_id] = self._compare(batch, certain=before is not None)
        return self._recognized[batch.batch_id]

    def _compare(self, batch: PlacedBatch, *, certain: bool) -> PlacedBatch | None:
        people = set(self._service.people(batch.batch_id))
        chunk = self._planned().get(_crowd(people))
        if chunk is not None:
            self._log.warning(
                "The service returns no metadata for batch %s, but exactly the people of one batch of this list are on "
                "it: it is taken as created by this task, and they are not sent again",
                batch.batch_id,
            )
            return replace(batch, chunk=chunk)
        ours = len(people) - self._contacts.vanished(people)
        if not ours:
            return None
        if certain:
            return batch
        raise UploadError(
            f"The service returns no metadata for batch {batch.batch_id}, and {ours} of the people on it are on this "
            "list too: nobody can tell whether an earlier try created it. Nothing was sent. If it is of another run, "
            "clear the doubt by uploading to a new campaign."
        )

    def _planned(self) -> dict[str, str]:
        if self._crowds is None:
            self._crowds = {
                _crowd(chunk.phone_numbers()): chunk.fingerprint
                for chunk in self._contacts.chunks(self._batch_size, everybody=True)
            }
        return self._crowds


def _crowd(people: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(people)).encode()).hexdigest()
