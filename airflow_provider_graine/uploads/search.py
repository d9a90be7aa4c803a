"""Which batches of a service belong to an upload: by their marks, and where there are none by who is on them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import UploadError
from airflow_provider_graine.uploads.record import Record
from airflow_provider_graine.uploads.service import BatchService, PlacedBatch

_MOST_REMEMBERED: Final = 500


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
        self._expected: dict[str, str] = {}
        self._crowds: dict[str, str] | None = None

    def expect(self, chunk: Chunk) -> None:
        """
        Know a batch with these people again even if the service returns no metadata.

        :param chunk: what was sent
        """
        self._expected[_crowd(chunk.phone_numbers())] = chunk.fingerprint

    def look(self, record: Record | None) -> list[PlacedBatch]:
        """
        Search once, to the end.

        :param record: what is remembered; batches it names are read one by one where the listing does not show them
        :return: the batches of this upload, those that are remembered first and in the order of their creation
        :raises UploadError: when a batch may or may not be of this upload and nothing tells, or is gone
        """
        found = {batch.batch_id: batch for batch in self._service.find()}
        own = []
        for batch_id, chunk in record.batches.items() if record is not None else ():
            batch = found.pop(batch_id, None) or self._service.get(batch_id)
            if batch is None:
                raise UploadError(
                    f"{self._service.words.batch.capitalize()} {batch_id} was created for this run and is gone from "
                    "the service: nobody can tell whether the people on it were called. Nothing more was sent. If they "
                    "are to be called, upload them in a new run."
                )
            own.append(replace(batch, chunk=batch.chunk or chunk or None))
        for batch in found.values():
            known = batch if batch.is_marked else self._recognize(batch, record)
            if known is not None:
                own.append(known)
        return own

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
            self._recognized[batch.batch_id] = self._compare(batch, is_newer=before is not None)
        return self._recognized[batch.batch_id]

    def _compare(self, batch: PlacedBatch, *, is_newer: bool) -> PlacedBatch | None:
        people = set(self._service.people(batch.batch_id))
        crowd = _crowd(people)
        chunk = self._expected.get(crowd) or self._planned().get(crowd)
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
        if is_newer:
            self._log.warning(
                "The service returns no metadata for batch %s, but it was not there when this upload began and %d "
                "people of this list are on it: it is taken as created by this task, and they are not sent again",
                batch.batch_id,
                ours,
            )
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
