"""The results of a batch as a stream of bytes, which ends in an error unless it came whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from airflow_provider_graine.exceptions import IncompleteResultsError, ServiceUnavailableError
from airflow_provider_graine.results.completeness import IfIncomplete, complain, what_is_missing
from airflow_provider_graine.results.counting import CsvRowCounter, LineCounter
from airflow_provider_graine.results.files import Results
from airflow_provider_graine.results.spool import in_blocks

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.graine.received import Batch, BatchContact

T = TypeVar("T")

Kind = Literal["csv", "contacts"]

#: How often a download that broke off is begun anew; a read changes nothing.
_DOWNLOADS: Final = 3

log = logging.getLogger(__name__)


class GraineResults:
    """
    Reads the results of batches.

    :param hook: the connection
    :param kind: ``"csv"``: the service's ``export.csv``; ``"contacts"``: JSON lines, one for each contact
    :param include_calls: with ``"contacts"``, whether the call records come along
    :param if_incomplete: what to do about results that look incomplete
    """

    def __init__(self, hook: GraineHook, *, kind: Kind, include_calls: bool, if_incomplete: IfIncomplete) -> None:
        self._hook = hook
        self._kind = kind
        self._include_calls = include_calls
        self._if_incomplete = if_incomplete
        #: The campaigns of the batches, as far as they were read.
        self.campaign_ids: dict[str, None] = {}

    def take(self, id: str, use: Callable[[Results], T]) -> T:
        """
        Hand the results to somebody; see :class:`.ResultSource`.

        :param id: the batch
        :param use: what takes them
        :return: what ``use`` returned
        :raises IncompleteResultsError: when they came incomplete three times
        :raises ServiceError: when they cannot be had
        """
        for _ in range(1, _DOWNLOADS):
            try:
                return self._once(id, use)
            except (ServiceUnavailableError, IncompleteResultsError) as error:
                log.warning("%s Reading the results of batch %s from their start again", error, id)
        return self._once(id, use)

    def _once(self, batch_id: str, use: Callable[[Results], T]) -> T:
        # Looked at before: what is completed now is completed in the results too.
        batch = self._hook.get_batch(batch_id)
        if batch.campaign_id:
            self.campaign_ids[batch.campaign_id] = None
        rows = CsvRowCounter() if self._kind == "csv" else LineCounter()
        source = self._export(batch) if self._kind == "csv" else self._contacts(batch)
        with closing(source):
            return use(
                Results(lambda: batch.total_contacts, lambda: rows.rows, self._checked(in_blocks(source), rows, batch))
            )

    def _checked(self, blocks: Iterator[bytes], rows: LineCounter, batch: Batch) -> Iterator[bytes]:
        for block in blocks:
            rows.feed(block)
            yield block
        if self._kind == "contacts":
            return  # their listing has counted them
        if missing := what_is_missing(rows, contacts=batch.total_contacts, all_done=batch.status == "completed"):
            self._complain(f"The results of batch {batch.batch_id} {missing}.")

    def _export(self, batch: Batch) -> Generator[bytes, None, None]:
        with self._hook.export_batch(batch.batch_id) as download:
            yield from download.blocks

    def _contacts(self, batch: Batch) -> Generator[bytes, None, None]:
        contacts = self._hook.iter_batch_contacts(
            batch.batch_id, include_calls=self._include_calls, total=batch.total_contacts
        )
        try:
            for contact in contacts:
                try:
                    line = contact.model_dump_json(exclude_unset=True).encode()
                except ValueError:  # half of a surrogate pair, which JSON can carry and UTF-8 cannot
                    line = _with_question_marks(contact)
                yield line + b"\n"
        except IncompleteResultsError as error:
            self._complain(str(error))

    def _complain(self, what: str) -> None:
        complain(what, if_incomplete=self._if_incomplete)


def _with_question_marks(contact: BatchContact) -> bytes:
    row = contact.model_dump(mode="json", exclude_unset=True)
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
