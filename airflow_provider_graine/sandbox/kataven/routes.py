"""Kataven's endpoints: from a request to the simulation and back to JSON, errors as plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError
from starlette.responses import JSONResponse, PlainTextResponse, Response

from .. import multipart
from ..errors import ApiError
from ..listing import hide, is_listed
from ..service import Call, bearer, same
from . import contact_csv, events, views
from .limits import RequestLimits

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from ..service import Surroundings
    from .model import Campaign, Contact
    from .settings import KatavenSettings
    from .simulation import Simulation

ACCOUNT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED_ACCOUNT = "kataven-admin"
CONTACTS_PAGE = 100
PAGE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0)])

Handler = Callable[["KatavenApi", Call], Any]


class CampaignCreate(BaseModel):
    """The fields of a create but for the file."""

    name: str = Field(min_length=1)
    agent_id: UUID
    phone_number_id: UUID
    max_concurrent_calls: int = Field(5, ge=1, le=100)
    retries_per_contact: int = Field(0, ge=0, le=5)
    retry_delay_seconds: int = Field(300, ge=60)
    scheduled_at: AwareDatetime | None = None


class KatavenApi:
    """
    The endpoints.

    :param simulation: caught up with the clock before each call
    :param settings: the account, and what the documentation leaves open
    :param around: what it stands in
    """

    name = "kataven"
    wrong_state = 409

    def __init__(self, simulation: Simulation, *, settings: KatavenSettings, around: Surroundings) -> None:
        self.simulation = simulation
        self.settings = settings
        self.prefix = self.settings.prefix
        self._around = around
        self._limits = RequestLimits(around.clock, self.settings)

    # What the application asks

    @contextmanager
    def admission(self, headers: Headers) -> Iterator[Response | None]:
        """:return: 429 over a limit of the account; requests of strangers do not count"""
        try:
            self.authorize(headers)
        except ApiError:
            yield None
            return
        exceeded = self._limits.enter()
        try:
            if exceeded is None:
                yield None
            else:
                what, seconds = exceeded
                yield self.refuse(429, f"rate_limited: {what} exceeded", {"retry-after": str(seconds)})
        finally:
            self._limits.leave()

    def authorize(self, headers: Headers) -> None:
        """
        Check key or JWT, and the account.

        :raises ApiError: 400, 401, 403
        """
        sent, account = bearer(headers), headers.get("x-account-id")
        is_key = same(sent, self.settings.token)
        if not is_key and not same(sent, self.settings.jwt):
            raise ApiError(401, "missing or invalid bearer token")
        if account is None and is_key:
            return
        if account is None or not ACCOUNT.fullmatch(account):
            raise ApiError(400, "missing or invalid X-Account-ID")
        if account == RESERVED_ACCOUNT:
            raise ApiError(403, "reserved account")
        if account != self.settings.account_id:
            raise ApiError(403, "not a member of this account")

    def refuse(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> Response:
        """:return: plain text"""
        return PlainTextResponse(str(detail), status, headers)

    # Campaigns

    def list_campaigns(self, call: Call) -> Any:
        """``GET /campaigns``"""
        now, settings = self.simulation.timeline.now, self.settings
        found = [campaign for campaign in self.simulation.campaigns.values() if is_listed(campaign, now)]
        if settings.campaigns_order == "id":
            found.sort(key=lambda campaign: campaign.campaign_id)
        elif settings.campaigns_order == "newest":
            found.reverse()
        if settings.campaigns_page is not None:
            found = _page(found, call, settings.campaigns_page)
        return _wrapped(settings.campaigns_key, [views.campaign(campaign) for campaign in found])

    def create_campaign(self, call: Call) -> Any:
        """``POST /campaigns``"""
        now = self.simulation.timeline.now
        try:
            form = multipart.parse(call.headers.get("content-type", ""), call.body)
            if len(form["contacts"]) > self.settings.max_csv_bytes:
                raise ApiError(413, "CSV too large")
            asked = CampaignCreate.model_validate(
                {name: form[name].decode() for name in CampaignCreate.model_fields if name in form}
            )
            scheduled_at = None if asked.scheduled_at is None else asked.scheduled_at.timestamp()
            if scheduled_at is not None and scheduled_at < now:
                raise ValueError("scheduled_at is in the past")
            contacts = contact_csv.read(form["contacts"], bad_rows=self.settings.bad_rows)
        except (KeyError, ValueError):  # a ValidationError is one
            raise ApiError(400, "Invalid form / CSV") from None
        limit, partial = call.faults.get("limit"), call.faults.get("partial")
        if limit is not None and limit.max_contacts is not None and len(contacts) > limit.max_contacts:
            limit.hits += 1
            raise ApiError(413, "Too many contacts")
        campaign = self.simulation.create(
            islice(contacts, partial.keep if partial else None),
            scheduled_at=scheduled_at,
            **asked.model_dump(mode="json", exclude={"scheduled_at"}),
        )
        hide(campaign, call.faults, now)
        return JSONResponse(views.campaign(campaign), 201)

    def get_campaign(self, call: Call) -> Any:
        """``GET /campaigns/{campaign_id}``"""
        return views.campaign(self._campaign(call))

    def delete_campaign(self, call: Call) -> Any:
        """``DELETE /campaigns/{campaign_id}``"""
        self.simulation.delete(self._campaign(call))
        return Response(status_code=204)

    def start_campaign(self, call: Call) -> Any:
        """``POST /campaigns/{campaign_id}/start``"""
        campaign = self._campaign(call)
        self.simulation.start(campaign, **_lost(call))
        return self._moved(campaign)

    def pause_campaign(self, call: Call) -> Any:
        """``POST /campaigns/{campaign_id}/pause``"""
        campaign = self._campaign(call)
        self.simulation.pause(campaign)
        return self._moved(campaign)

    def resume_campaign(self, call: Call) -> Any:
        """``POST /campaigns/{campaign_id}/resume``"""
        campaign = self._campaign(call)
        self.simulation.resume(campaign, **_lost(call))
        return self._moved(campaign)

    def stop_campaign(self, call: Call) -> Any:
        """``POST /campaigns/{campaign_id}/stop``"""
        campaign = self._campaign(call)
        self.simulation.stop(campaign)
        return self._moved(campaign)

    def campaign_contacts(self, call: Call) -> Any:
        """``GET /campaigns/{campaign_id}/contacts``"""
        campaign, settings = self._campaign(call), self.settings
        contacts = in_order(campaign, settings.contacts_order)
        if status := call.query.get("status"):
            contacts = [each for each in contacts if views.shown(each.status, settings) == status]
        shown = [views.contact(each, settings) for each in _page(contacts, call, CONTACTS_PAGE)]
        return _wrapped(settings.contacts_key, shown)

    def campaign_events(self, call: Call) -> Any:
        """``GET /campaigns/{campaign_id}/events``"""
        campaign = self._campaign(call)

        def is_there() -> bool:
            return self._around.speaks_for(self) and (self.simulation.campaigns.get(campaign.campaign_id) is campaign)

        return events.stream(self._around, campaign, self.settings, is_there=is_there)

    # Account

    def call_limits(self, call: Call) -> Any:
        """``GET /call-limits``"""
        names = ("calls_per_minute", "concurrent_max", "daily_calls_max", "daily_minutes_max")
        return {name: getattr(self.settings, name) for name in names}

    # Helpers

    def _campaign(self, call: Call) -> Campaign:
        campaign = self.simulation.campaigns.get(call.path["campaign_id"])
        if campaign is None:
            raise ApiError(404, "Campaign not found")
        return campaign

    def _moved(self, campaign: Campaign) -> Any:
        return views.campaign(campaign) if self.settings.moves_answer == "campaign" else Response(status_code=204)


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/campaigns", KatavenApi.list_campaigns),
    ("POST", "/campaigns", KatavenApi.create_campaign),
    ("GET", "/campaigns/{campaign_id}", KatavenApi.get_campaign),
    ("DELETE", "/campaigns/{campaign_id}", KatavenApi.delete_campaign),
    ("GET", "/campaigns/{campaign_id}/contacts", KatavenApi.campaign_contacts),
    ("GET", "/campaigns/{campaign_id}/events", KatavenApi.campaign_events),
    ("POST", "/campaigns/{campaign_id}/start", KatavenApi.start_campaign),
    ("POST", "/campaigns/{campaign_id}/pause", KatavenApi.pause_campaign),
    ("POST", "/campaigns/{campaign_id}/resume", KatavenApi.resume_campaign),
    ("POST", "/campaigns/{campaign_id}/stop", KatavenApi.stop_campaign),
    ("GET", "/call-limits", KatavenApi.call_limits),
)


def in_order(campaign: Campaign, order: str) -> list[Contact]:
    """:return: the contacts as the setting ``contacts_order`` says"""
    if order == "id":
        if campaign.by_id is None:
            campaign.by_id = sorted(campaign.contacts, key=views.contact_id)
        return campaign.by_id
    if order == "latest":
        return sorted(campaign.contacts, key=lambda each: each.updated_at, reverse=True)
    return campaign.contacts


def _page(found: list[Any], call: Call, length: int) -> list[Any]:
    try:
        page = PAGE.validate_python(call.query.get("page", 0))
    except ValidationError:
        raise ApiError(400, "invalid page") from None
    return found[page * length : (page + 1) * length]


def _wrapped(key: str | None, found: list[Any]) -> Any:
    return found if key is None else {key: found}


def _lost(call: Call) -> dict[str, bool]:
    return {"published": "lost_dispatch" not in call.faults, "webhooks": "lost_webhooks" not in call.faults}
