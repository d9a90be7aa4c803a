"""Graine as the upload protocol sees it: the batches of one upload in one campaign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.exceptions import NotFoundError, UploadError
from airflow_provider_graine.services.paging import pages
from airflow_provider_graine.uploads.concurrency import share_of
from airflow_provider_graine.uploads.identity import CHUNK_KEY, RunIdentity
from airflow_provider_graine.uploads.in_flight import InFlight
from airflow_provider_graine.uploads.service import PlacedBatch
from airflow_provider_graine.uploads.words import GRAINE

if TYPE_CHECKING:
    from airflow_provider_graine.contacts.chunks import Chunk
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.graine.received import Batch, Campaign

_READS_AT_ONCE: Final = 4
_LOOK: Final = 1.0  # seconds


class GraineBatches:
    """
    The batches of one upload; implements :class:`~airflow_provider_graine.uploads.service.BatchService`.

    :param hook: the connection to Graine
    :param identity: whose upload it is
    :param campaign_id: the campaign
    :param options: the other fields of ``POST /batches/``, as the author gave them
    """

    words = GRAINE

    def __init__(
        self,
        hook: GraineHook,
        *,
        identity: RunIdentity,
        campaign_id: str,
        options: Mapping[str, Any],
    ) -> None:
        self._hook = hook
        self._identity = identity
        self._campaign_id = campaign_id
        self._options = options
        self._foreign: set[str] = set()

    @cached_property
    def _campaign(self) -> Campaign | None:
        try:
            return self._hook.get_campaign(self._campaign_id)
        except NotFoundError:
            return None  # the create says so too, and its refusal is documented

    def check(self) -> None:
        """
        Make sure that calls are wanted: what Graine does with a batch on a stopped campaign is not documented.

        :raises UploadError: when the campaign is paused or cancelled
        """
        status = self._campaign.status if self._campaign else None
        if status in {"paused", "cancelled"}:
            advice = "resume it" if status == "paused" else "it cannot be resumed; create a new one"
            raise UploadError(
                f"Campaign {self._campaign_id} is {status}: whether a batch added now would be dialled is not "
                f"documented. Nothing was sent; if the calls are wanted, {advice}."
            )

    @cached_property
    def limit_to_share(self) -> int | None:
        """The upload's part of the author's limit, unless the campaign caps all its batches that low itself."""
        limit = self._options.get("concurrency_limit")
        if limit is None:
            return None
        cap = (self._campaign.metadata or {}).get("concurrency_limit") if self._campaign else None
        index, of = self._identity.shard
        return None if isinstance(cap, int) and cap <= limit else share_of(limit, index=index, of=of)

    def find(self) -> list[PlacedBatch]:
        """Read every batch of the campaign that is not known as another's: only the single read shows the metadata."""
        rows = pages(
            lambda skip: self._hook.list_batches(campaign_id=self._campaign_id, skip=skip),
            key=lambda batch: batch.batch_id,
        )
        candidates = self._read_all(
            row.batch_id
            for row in list(rows)
            if row.batch_id not in self._foreign and row.campaign_id in (None, self._campaign_id)
        )
        self._foreign |= {batch.batch_id for batch in candidates if batch.metadata and not self._is_own(batch)}
        return [
            self._placed(batch)
            for batch in sorted(candidates, key=lambda batch: (batch.created_at or "", batch.batch_id))
            if batch.batch_id not in self._foreign
        ]

    def get(self, batch_id: str) -> PlacedBatch | None:
        """Read one batch, whether listings show it or not."""
        try:
            return self._placed(self._read(batch_id))
        except NotFoundError:
            return None

    def _read_all(self, batch_ids: Iterator[str]) -> list[Batch]:
        """Several at a time: a campaign can have thousands of batches of others."""
        found: list[Batch] = []
        with closing(InFlight(self._read, most=_READS_AT_ONCE)) as reads:
            while True:
                for batch_id in islice(batch_ids, reads.free):
                    reads.begin(batch_id)
                if not reads:
                    return found
                for _, outcome in reads.ended(_LOOK):
                    if isinstance(outcome, BaseException):
                        raise outcome
                    found.append(outcome)

    def _read(self, batch_id: str) -> Batch:
        batch = self._hook.get_batch(batch_id)
        self._identity.ensure_same_shards(batch.metadata, batch_id=batch_id)
        return batch

    def _is_own(self, batch: Batch) -> bool:
        return self._identity.made(batch.metadata)

    def _placed(self, batch: Batch, *, chunk: str | None = None) -> PlacedBatch:
        return PlacedBatch(
            batch_id=batch.batch_id,
            total=batch.total_contacts,
            status=batch.status,
            is_marked=chunk is not None or self._is_own(batch),
            chunk=chunk or (batch.metadata or {}).get(CHUNK_KEY),
            concurrency_limit=batch.concurrency_limit,
        )

    def people(self, batch_id: str) -> Iterator[str]:
        """Read the numbers on a batch, brought to bare E.164: whether Graine keeps the spelling is not documented."""
        for contact in self._hook.iter_batch_contacts(batch_id):
            digits = "".join(character for character in contact.phone_number or "" if character.isdigit())
            if digits:
                yield f"+{digits}"

    def create(self, chunk: Chunk, *, concurrency_limit: int | None) -> PlacedBatch:
        """
        Create a batch; everybody on it is called at once unless a start time was given, or the chunk has one.

        In several threads at the same time, once the hook has opened its session, which :meth:`check` does.
        """
        options = dict(self._options)
        if concurrency_limit is not None:
            options["concurrency_limit"] = concurrency_limit
        if chunk.start is not None:
            options["scheduled_start"] = chunk.start
        options["metadata"] = self._identity.marked(options.get("metadata"), chunk=chunk.fingerprint)
        batch = self._hook.create_batch(campaign_id=self._campaign_id, contacts=chunk.contacts, **options)
        return self._placed(batch, chunk=chunk.fingerprint)
