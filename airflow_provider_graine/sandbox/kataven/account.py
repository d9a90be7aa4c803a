"""The Kataven half of a sandbox, for Python."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..faults import Fault
from ..view import View
from . import views
from .routes import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..faults import What
    from ..recording import ReceivedRequest
    from ..world import World
    from .settings import KatavenSettings


class KatavenAccount:
    """
    The account that a sandbox serves.

    :param world: of the sandbox
    :param root_url: where the sandbox is
    :param requests: what it has received
    """

    def __init__(
        self, world: World, *, root_url: Callable[[], str], requests: Callable[[str], list[ReceivedRequest]]
    ) -> None:
        self._world = world
        self._root_url = root_url
        self._requests = requests

    # Where it is

    @property
    def settings(self) -> KatavenSettings:
        """Its limits, and what the documentation leaves open. Changes count from the next request."""
        return self._world.kataven_settings

    @property
    def url(self) -> str:
        """The base URL of the API, with the prefix."""
        return self._root_url() + self.settings.prefix

    @property
    def token(self) -> str:
        """The ``sk_live_`` key it accepts now."""
        return self.settings.token

    def connection_json(self, *, jwt: bool = False) -> str:
        """
        :param jwt: sign in with the JWT and the account's id in place of the key
        :return: an Airflow connection, as a value for ``AIRFLOW_CONN_KATAVEN_DEFAULT``
        """
        connection: dict[str, Any] = {"conn_type": "kataven", "host": self.url, "password": self.token}
        if jwt:
            connection |= {"password": self.settings.jwt, "extra": {"account_id": self.settings.account_id}}
        return json.dumps(connection)

    # What it has seen

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Those of the sandbox's latest requests that were under the prefix, oldest first."""
        return self._requests(self.settings.prefix)

    @property
    def dialled(self) -> Counter[str]:
        """Phone number to the number of contacts that have it, on campaigns that were ever started."""
        with self._world.caught_up():
            return self._world.kataven.simulation.dialled.copy()

    @property
    def attempts(self) -> Counter[str]:
        """Phone number to the number of calls placed to it, retries included."""
        placed: Counter[str] = Counter()
        with self._world.caught_up():
            for campaign in self._world.kataven.simulation.campaigns.values():
                for contact in campaign.contacts:
                    if contact.calls:
                        placed[contact.phone_number] += len(contact.calls)
        return placed

    @property
    def campaigns(self) -> Mapping[str, dict[str, Any]]:
        """Campaign id to what its GET shows, now; in the order in which they were created."""
        return View(self._world, lambda: self._world.kataven.simulation.campaigns, views.campaign)

    def contacts(self, campaign_id: str) -> list[dict[str, Any]]:
        """:return: the contacts of a campaign in upload order"""
        with self._world.caught_up():
            campaign = self._world.kataven.simulation.campaigns[campaign_id]
            return [views.contact(contact, self.settings) for contact in in_order(campaign, "upload")]

    # What one can do to it

    def rotate_token(self, new: str) -> None:
        """Accept ``new`` from now on, and the old key no more."""
        with self._world.lock:
            self.settings.token = new

    def fail_campaign(self, campaign_id: str) -> None:
        """Let a running campaign meet its terminal error: it becomes ``failed`` and dials nobody else."""
        with self._world.caught_up():
            simulation = self._world.kataven.simulation
            simulation.fail(simulation.campaigns[campaign_id])

    def fault(self, on: str, what: What, **how: Any) -> Fault:
        """
        Make something go wrong.

        :param on: endpoint, such as ``"POST /campaigns"`` or ``"GET /campaigns/{campaign_id}/events"``
        :param what: kind of fault
        :param how: ``times=1``, ``after=0``, ``when="after"`` and what else :class:`~..faults.Fault` has
        :return: the fault; its ``hits`` says how often it struck
        :raises ValueError: it could never happen
        """
        with self._world.lock:
            return self._world.faults.add(Fault(on=on, what=what, service="kataven", **how))
