"""The hook for Kataven's campaign API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.exceptions import RequestRejectedError, UnexpectedAnswerError
from airflow_provider_graine.hooks.calling_service import CallingServiceHook, offered
from airflow_provider_graine.hooks.connection_form import connection_form_widgets, ui_field_behaviour
from airflow_provider_graine.services.kataven import requests
from airflow_provider_graine.services.kataven.connection import read_connection
from airflow_provider_graine.services.paging import pages, pages_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_graine.services.kataven.received import Campaign, CampaignContact, CampaignSnapshot
    from airflow_provider_graine.services.request import Request
    from airflow_provider_graine.services.settings import ServiceSettings

#: So many pages of campaigns in a row without a new one are the end of the list.
_OLD_PAGES: Final = 2


class KatavenHook(CallingServiceHook):
    """
    Every documented endpoint of Kataven's campaign API, each as a blocking method and, with an ``a`` in front, for an
    event loop: ``hook.get_campaign(id)`` and ``await hook.aget_campaign(id)``.

    Reads are repeated on connection errors, 429 and 5xx. Writes are repeated only where they provably were not carried
    out; where nobody can tell, they raise :class:`~airflow_provider_graine.exceptions.UnclearOutcomeError`. After a 401
    the token is read once more from the connection. Every request waits for its turn within the account's limits, which
    all hooks in a process share.

    :param kataven_conn_id: the connection of type ``kataven``; default ``kataven_default``
    """

    conn_name_attr = "kataven_conn_id"
    default_conn_name = "kataven_default"
    conn_type = "kataven"
    hook_name = "Kataven"

    def __init__(self, kataven_conn_id: str = default_conn_name) -> None:
        super().__init__(kataven_conn_id)
        self.kataven_conn_id = kataven_conn_id

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
    list_campaigns, alist_campaigns = offered(requests.list_campaigns)
    delete_campaign, adelete_campaign = offered(requests.delete_campaign)
    start_campaign, astart_campaign = offered(requests.start_campaign)
    pause_campaign, apause_campaign = offered(requests.pause_campaign)
    resume_campaign, aresume_campaign = offered(requests.resume_campaign)
    stop_campaign, astop_campaign = offered(requests.stop_campaign)
    list_campaign_contacts, alist_campaign_contacts = offered(requests.list_campaign_contacts)
    get_call_limits, aget_call_limits = offered(requests.get_call_limits)

    def iter_campaigns(self) -> Iterator[Campaign]:
        """
        Read all campaigns, each once. Whether the list has pages is not documented.

        So the next page is asked for as that of contacts is, until one is empty or two in a row bring nothing new: one
        may be the first again, where pages count from 1. Where there are no pages, all answers are the same. A service
        that refuses to be asked so has no pages either.
        """
        seen: set[str] = set()
        page, old = 0, 0
        while old < _OLD_PAGES:
            try:
                rows = self.list_campaigns(page=page or None)
            except (RequestRejectedError, UnexpectedAnswerError):
                if page == 0:
                    raise
                return
            if not rows:
                return
            new = [campaign for campaign in rows if campaign.campaign_id not in seen]
            yield from new
            seen.update(campaign.campaign_id for campaign in new)
            page, old = page + 1, 0 if new else old + 1

    def iter_campaign_contacts(self, campaign_id: str, *, total: int | None = None) -> Iterator[CampaignContact]:
        """
        Read all people on a campaign, page by page, each once. A page is a request: 100,000 people are 1,000 of them.

        :param campaign_id: the campaign
        :param total: how many there are, where that is known; pages are then read ahead, and again until all have come
        :raises IncompleteResultsError: at the end, when not as many as ``total`` have come
        :raises ServiceUnavailableError: also when the account's requests are used up for more than two minutes
        """

        def read(page: int) -> list[CampaignContact]:
            return self.list_campaign_contacts(campaign_id, page=page)

        def key(contact: CampaignContact) -> str:
            return contact.identity

        if total is None:
            return pages(read, key=key, counted="pages")
        return pages_of(total, read, key=key, what=f"contacts of campaign {campaign_id}", counted="pages")

    def stream_campaign_events(self, campaign_id: str) -> AbstractContextManager[Iterator[CampaignSnapshot | None]]:
        """
        Open the stream of a campaign's figures.

        Each is whole, so after a tear the next stream says all that the last one would have.

        :param campaign_id: the campaign
        :return: a context manager that gives an iterator; ``None`` in it is a sign of life, such as a heartbeat. It
            ends when the campaign has ended
        :raises ServiceUnavailableError: when the stream cannot be had, is silent for 45 seconds or breaks off: open it
            again, or read the campaign instead
        """
        return self.session.events(requests.stream_campaign_events(campaign_id))

    @asynccontextmanager
    async def astream_campaign_events(self, campaign_id: str) -> AsyncIterator[AsyncIterator[CampaignSnapshot | None]]:
        """Open the stream of a campaign's figures on an event loop; see :meth:`stream_campaign_events`."""
        session = await self.asession()
        async with session.events(requests.stream_campaign_events(campaign_id)) as events:
            yield events

    def probe(self) -> Request[Any]:
        """Read the list of campaigns."""
        return requests.list_campaigns()

    def read_settings(self, connection: Connection, extra: Mapping[str, Any]) -> ServiceSettings:
        """Read how the service is reached; see :func:`.read_connection`."""
        return read_connection(
            host=connection.host,
            schema=connection.schema,
            port=connection.port,
            password=connection.password,
            extra=extra,
        )
