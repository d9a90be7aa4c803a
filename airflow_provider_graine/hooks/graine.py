"""The hook for Graine's campaign API."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.hooks.calling_service import CallingServiceHook, offered
from airflow_provider_graine.hooks.connection_form import connection_form_widgets, ui_field_behaviour
from airflow_provider_graine.services.graine import requests
from airflow_provider_graine.services.graine.connection import read_connection
from airflow_provider_graine.services.paging import pages, pages_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_graine.http import Download
    from airflow_provider_graine.services.graine.received import Batch, BatchContact, Campaign
    from airflow_provider_graine.services.request import Request
    from airflow_provider_graine.services.settings import ServiceSettings


class GraineHook(CallingServiceHook):
    """
    Every documented endpoint of Graine's campaign API, each as a blocking method and, with an ``a`` in front, for an
    event loop: ``hook.get_batch(id)`` and ``await hook.aget_batch(id)``.

    Reads are repeated on connection errors, 429 and 5xx. Writes are repeated only where they provably were not sent;
    where nobody can tell, they raise :class:`~airflow_provider_graine.exceptions.UnclearOutcomeError`. After a 401
    the token is read once more from the connection.

    :param graine_conn_id: the connection of type ``graine``; default ``graine_default``
    """

    conn_name_attr = "graine_conn_id"
    default_conn_name = "graine_default"
    conn_type = "graine"
    hook_name = "Graine"

    def __init__(self, graine_conn_id: str = default_conn_name) -> None:
        super().__init__(graine_conn_id)
        self.graine_conn_id = graine_conn_id
        self._organization_id: str | None = None

    # Airflow 3.1 looks for these two in the class itself, not in its parents.
    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Make the connection form's own fields for Airflow 3.1; see :mod:`.connection_form`."""
        return connection_form_widgets(cls.conn_type)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Describe the connection form's standard fields for Airflow 3.1; see :mod:`.connection_form`."""
        return ui_field_behaviour(cls.conn_type)

    create_campaign, acreate_campaign = offered(requests.create_campaign)
    get_campaign, aget_campaign = offered(requests.get_campaign)
    update_campaign, aupdate_campaign = offered(requests.update_campaign)
    list_campaigns, alist_campaigns = offered(requests.list_campaigns)
    delete_campaign, adelete_campaign = offered(requests.delete_campaign)
    pause_campaign, apause_campaign = offered(requests.pause_campaign)
    resume_campaign, aresume_campaign = offered(requests.resume_campaign)
    cancel_campaign, acancel_campaign = offered(requests.cancel_campaign)
    get_campaign_stats, aget_campaign_stats = offered(requests.get_campaign_stats)
    list_campaign_batches, alist_campaign_batches = offered(requests.list_campaign_batches)

    create_batch, acreate_batch = offered(requests.create_batch)
    get_batch, aget_batch = offered(requests.get_batch)
    list_batches, alist_batches = offered(requests.list_batches)
    list_batch_contacts, alist_batch_contacts = offered(requests.list_batch_contacts)
    pause_batch, apause_batch = offered(requests.pause_batch)
    resume_batch, aresume_batch = offered(requests.resume_batch)
    cancel_batch, acancel_batch = offered(requests.cancel_batch)
    dispatch_batch, adispatch_batch = offered(requests.dispatch_batch)
    debug_batch, adebug_batch = offered(requests.debug_batch)

    def iter_campaigns(self, *, status: str | None = None, page_size: int = 50) -> Iterator[Campaign]:
        """
        Read all campaigns, page by page.

        :param status: only campaigns in this state
        :param page_size: rows asked for at a time; default 50
        """
        return pages(
            lambda skip: self.list_campaigns(status=status, skip=skip, limit=page_size),
            key=lambda campaign: campaign.campaign_id,
        )

    def iter_campaign_batches(self, campaign_id: str, *, page_size: int = 50) -> Iterator[Batch]:
        """
        Read all batches of a campaign, page by page, without ``metadata``.

        :param campaign_id: the campaign
        :param page_size: rows asked for at a time; default 50
        """
        return pages(
            lambda skip: self.list_campaign_batches(campaign_id, skip=skip, limit=page_size),
            key=lambda batch: batch.batch_id,
        )

    def iter_batch_contacts(
        self, batch_id: str, *, include_calls: bool = False, page_size: int = 100, total: int | None = None
    ) -> Iterator[BatchContact]:
        """
        Read all people on a batch, page by page, each once.

        :param batch_id: the batch
        :param include_calls: whether each contact carries its call records
        :param page_size: rows asked for at a time; default 100
        :param total: how many there are, where that is known; pages are then read ahead, and again until all have come
        :raises IncompleteResultsError: at the end, when not as many as ``total`` have come
        """

        def read(skip: int) -> list[BatchContact]:
            return self.list_batch_contacts(batch_id, include_calls=include_calls, skip=skip, limit=page_size)

        def key(contact: BatchContact) -> str:
            return contact.contact_id

        if total is None:
            return pages(read, key=key)
        return pages_of(total, read, key=key, what=f"contacts of batch {batch_id}")

    def export_batch(self, batch_id: str) -> AbstractContextManager[Download[Iterator[bytes]]]:
        """
        Open ``export.csv`` of a batch for reading it block by block; the columns are not documented.

        :param batch_id: the batch
        :return: a context manager that gives the length, where known, and the blocks
        """
        return self.session.stream(requests.export_batch(batch_id))

    async def aexport_batch(self, batch_id: str) -> AbstractAsyncContextManager[Download[AsyncIterator[bytes]]]:
        """Open ``export.csv`` of a batch on an event loop; see :meth:`export_batch`."""
        return (await self.asession()).stream(requests.export_batch(batch_id))

    def probe(self) -> Request[Any]:
        """Read at most one row of the batch list."""
        return requests.list_batches(organization_id=self._organization_id, limit=1)

    def read_settings(self, connection: Connection, extra: Mapping[str, Any]) -> ServiceSettings:
        """Read how the service is reached; see :func:`.read_connection`."""
        fields = read_connection(
            host=connection.host,
            schema=connection.schema,
            port=connection.port,
            password=connection.password,
            extra=extra,
        )
        self._organization_id = fields.organization_id
        return fields.settings

    def completed(self, arguments: dict[str, Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
        """Add the connection's ``organization_id`` where the endpoint takes one and the caller gave none."""
        if "organization_id" in parameters and arguments.get("organization_id") is None and self._organization_id:
            return {**arguments, "organization_id": self._organization_id}
        return arguments
