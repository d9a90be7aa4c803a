"""Graine's endpoints: from a request to the simulation and back to JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse

from ..errors import ApiError
from ..listing import hide, is_listed
from ..service import Call, bearer, same
from . import schemas, views

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

    from starlette.datastructures import Headers
    from starlette.responses import Response

    from .model import Batch, Campaign
    from .simulation import Simulation

PREFIX = "/api/v1"
EXPORT_CHUNK = 500
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class CsvFile:
    """An answer that is a file, made piece by piece."""

    name: str
    pieces: Iterator[str]


Handler = Callable[["GraineApi", Call], Any]


class GraineApi:
    """
    The endpoints.

    :param simulation: caught up with the clock before each call
    :param token: the valid token
    :param organization_id: the organization the token belongs to
    :param max_page: longest page; a larger ``limit`` is cut to it without a word
    """

    name = "graine"
    prefix = PREFIX
    wrong_state = 400

    def __init__(
        self, simulation: Simulation, *, token: Callable[[], str], organization_id: str, max_page: int
    ) -> None:
        self.simulation = simulation
        self.organization_id = organization_id
        self.max_page = max_page
        self._token = token

    # What the application asks

    def admission(self, headers: Headers) -> AbstractContextManager[None]:
        """:return: nothing in the way: the service documents no limits"""
        return nullcontext()

    def authorize(self, headers: Headers) -> None:
        """
        Check the token.

        :raises ApiError: 401
        """
        if not same(bearer(headers), self._token()):
            raise ApiError(401, "Invalid or expired token")

    def refuse(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> Response:
        """:return: JSON with a ``detail``"""
        return JSONResponse({"detail": detail}, status, headers)

    # Token

    def validate_token(self, call: Call) -> Any:
        """``GET /api-tokens/validate-token``"""
        return {"valid": True, "organization_id": self.organization_id}

    # Campaigns

    def create_campaign(self, call: Call) -> Any:
        """``POST /campaigns/``"""
        body = _body(call)
        _require(body, schemas.CAMPAIGN_REQUIRED)
        asked = _parse(schemas.CampaignCreate, body)
        if asked.organization_id not in (None, self.organization_id):
            raise ApiError(403, "Token does not belong to this organization")
        settings = asked.model_dump(mode="json", exclude={"organization_id"})
        campaign = self.simulation.create_campaign(settings, self.organization_id)
        hide(campaign, call.faults, self.simulation.timeline.now)
        return views.campaign_created(campaign)

    def list_campaigns(self, call: Call) -> Any:
        """``GET /campaigns/``"""
        page = _parse(schemas.Page, dict(call.query), "query")
        now = self.simulation.timeline.now
        campaigns = [
            campaign
            for campaign in reversed(self.simulation.campaigns.values())
            if is_listed(campaign, now) and page.status in (None, campaign.status)
        ]
        return self._page(campaigns if self._ours(page) else [], page, views.campaign_listed)

    def get_campaign(self, call: Call) -> Any:
        """``GET /campaigns/{campaign_id}``"""
        return _without_metadata(call, views.campaign_whole(self._campaign(call)))

    def update_campaign(self, call: Call) -> Any:
        """``PATCH /campaigns/{campaign_id}``"""
        campaign = self._campaign(call)
        asked = _parse(schemas.CampaignPatch, _body(call))
        self.simulation.update_campaign(campaign, asked.model_dump(mode="json", include=asked.model_fields_set))
        return views.campaign_listed(campaign)

    def delete_campaign(self, call: Call) -> Any:
        """``DELETE /campaigns/{campaign_id}``"""
        campaign = self._campaign(call)
        self.simulation.delete_campaign(campaign)
        return {"campaign_id": campaign.campaign_id, "message": "Campaign deleted successfully"}

    def pause_campaign(self, call: Call) -> Any:
        """``POST /campaigns/{campaign_id}/pause``"""
        campaign = self._campaign(call)
        self.simulation.pause_campaign(campaign)
        return _campaign_moved(campaign, "paused")

    def resume_campaign(self, call: Call) -> Any:
        """``POST /campaigns/{campaign_id}/resume``"""
        campaign = self._campaign(call)
        self.simulation.resume_campaign(campaign)
        return {**_campaign_moved(campaign, "resumed"), "status": "active"}

    def cancel_campaign(self, call: Call) -> Any:
        """``POST /campaigns/{campaign_id}/cancel``"""
        campaign = self._campaign(call)
        self.simulation.cancel_campaign(campaign)
        return _campaign_moved(campaign, "cancelled")

    def campaign_stats(self, call: Call) -> Any:
        """``GET /campaigns/{campaign_id}/stats``"""
        return views.campaign_stats(self._campaign(call))

    def campaign_batches(self, call: Call) -> Any:
        """``GET /campaigns/{campaign_id}/batches``"""
        campaign = self._campaign(call)
        page = _parse(schemas.Page, dict(call.query), "query")
        now = self.simulation.timeline.now
        batches = [
            batch
            for batch in reversed(campaign.batches)
            if is_listed(batch, now) and page.status in (None, batch.status)
        ]
        return self._page(batches if self._ours(page) else [], page, views.batch_of_campaign)

    # Batches

    def create_batch(self, call: Call) -> Any:
        """``POST /batches/``"""
        body = _body(call)
        _require(body, schemas.BATCH_REQUIRED)
        asked = _parse(schemas.BatchCreate, body)
        for index, each in enumerate(asked.contacts):
            if not each.get("phone_number"):
                raise ApiError(400, f"contacts[{index}].phone_number is required")
        campaign = self.simulation.campaigns.get(asked.campaign_id)
        if campaign is None or asked.organization_id not in (None, campaign.organization_id):
            raise ApiError(404, "Campaign not found or does not belong to this org")
        limit = call.faults.get("limit")
        if limit is not None and limit.max_contacts is not None and len(asked.contacts) > limit.max_contacts:
            limit.hits += 1
            raise ApiError(413, "Too many contacts")
        partial = call.faults.get("partial")
        batch = self.simulation.create_batch(
            campaign,
            (
                (each["phone_number"], each.get("call_variables") or {})
                for each in islice(asked.contacts, partial.keep if partial else None)
            ),
            scheduled_start=_moment(asked.scheduled_start, campaign),
            concurrency_limit=asked.concurrency_limit,
            max_retries_override=asked.max_retries_override,
            call_context=asked.call_context,
            metadata=asked.metadata,
            published="lost_dispatch" not in call.faults,
            webhooks="lost_webhooks" not in call.faults,
        )
        hide(batch, call.faults, self.simulation.timeline.now)
        return views.batch_created(batch)

    def list_batches(self, call: Call) -> Any:
        """``GET /batches/``"""
        page = _parse(schemas.Page, dict(call.query), "query")
        now = self.simulation.timeline.now
        batches = [
            batch
            for batch in reversed(self.simulation.batches.values())
            if page.campaign_id in (None, batch.campaign.campaign_id)
            and is_listed(batch, now)
            and page.status in (None, batch.status)
        ]
        return self._page(batches if self._ours(page) else [], page, views.batch_listed)

    def get_batch(self, call: Call) -> Any:
        """``GET /batches/{batch_id}``"""
        return _without_metadata(call, views.batch_whole(self._batch(call)))

    def batch_contacts(self, call: Call) -> Any:
        """``GET /batches/{batch_id}/contacts``"""
        batch = self._batch(call)
        page = _parse(schemas.ContactPage, dict(call.query), "query")
        contacts = (
            batch.contacts
            if page.status is None
            else [contact for contact in batch.contacts if contact.status == page.status]
        )
        now = self.simulation.timeline.now
        return [
            views.contact(contact, now, include_calls=page.include_calls)
            for contact in contacts[page.skip : page.skip + min(page.limit, self.max_page)]
        ]

    def pause_batch(self, call: Call) -> Any:
        """``POST /batches/{batch_id}/pause``"""
        batch = self._batch(call)
        self.simulation.pause_batch(batch)
        return _batch_moved(batch, "paused")

    def resume_batch(self, call: Call) -> Any:
        """``POST /batches/{batch_id}/resume``"""
        batch = self._batch(call)
        self.simulation.resume_batch(batch)
        return {**_batch_moved(batch, "resumed"), "status": "in_progress"}

    def cancel_batch(self, call: Call) -> Any:
        """``POST /batches/{batch_id}/cancel``"""
        batch = self._batch(call)
        self.simulation.cancel_batch(batch)
        return _batch_moved(batch, "cancelled")

    def dispatch_batch(self, call: Call) -> Any:
        """``POST /batches/{batch_id}/dispatch``"""
        batch = self._batch(call)
        count = self.simulation.dispatch_batch(batch)
        return {
            "batch_id": batch.batch_id,
            "status": "in_progress",
            "dispatched_count": count,
            "message": f"Dispatched {count} pending contacts",
        }

    def debug_batch(self, call: Call) -> Any:
        """``GET /batches/{batch_id}/debug``"""
        return views.batch_debug(self._batch(call), self.simulation)

    def export_batch(self, call: Call) -> Any:
        """``GET /batches/{batch_id}/export.csv``"""
        batch = self._batch(call)
        return CsvFile(f"{batch.batch_id}.csv", self._export(batch))

    # Helpers

    def _export(self, batch: Batch) -> Iterator[str]:
        for start in range(0, max(len(batch.contacts), 1), EXPORT_CHUNK):
            chunk = batch.contacts[start : start + EXPORT_CHUNK]
            yield views.export_rows(chunk, self.simulation.timeline.now, header=start == 0)

    def _campaign(self, call: Call) -> Campaign:
        campaign = self.simulation.campaigns.get(call.path["campaign_id"])
        if campaign is None:
            raise ApiError(404, "Campaign not found")
        return campaign

    def _batch(self, call: Call) -> Batch:
        batch = self.simulation.batches.get(call.path["batch_id"])
        if batch is None:
            raise ApiError(404, "Batch not found")
        return batch

    def _ours(self, page: schemas.Page) -> bool:
        return page.organization_id in (None, self.organization_id)

    def _page(self, found: list[Any], page: schemas.Page, view: Callable[[Any], Any]) -> list[Any]:
        return [view(each) for each in found[page.skip : page.skip + min(page.limit, self.max_page)]]


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api-tokens/validate-token", GraineApi.validate_token),
    ("POST", "/campaigns/", GraineApi.create_campaign),
    ("POST", "/campaigns/create", GraineApi.create_campaign),
    ("GET", "/campaigns/", GraineApi.list_campaigns),
    ("GET", "/campaigns/{campaign_id}", GraineApi.get_campaign),
    ("PATCH", "/campaigns/{campaign_id}", GraineApi.update_campaign),
    ("DELETE", "/campaigns/{campaign_id}", GraineApi.delete_campaign),
    ("POST", "/campaigns/{campaign_id}/pause", GraineApi.pause_campaign),
    ("POST", "/campaigns/{campaign_id}/resume", GraineApi.resume_campaign),
    ("POST", "/campaigns/{campaign_id}/cancel", GraineApi.cancel_campaign),
    ("GET", "/campaigns/{campaign_id}/stats", GraineApi.campaign_stats),
    ("GET", "/campaigns/{campaign_id}/batches", GraineApi.campaign_batches),
    ("POST", "/batches/", GraineApi.create_batch),
    ("POST", "/batches/upload", GraineApi.create_batch),
    ("GET", "/batches/", GraineApi.list_batches),
    ("GET", "/batches/{batch_id}", GraineApi.get_batch),
    ("GET", "/batches/{batch_id}/contacts", GraineApi.batch_contacts),
    ("POST", "/batches/{batch_id}/pause", GraineApi.pause_batch),
    ("POST", "/batches/{batch_id}/resume", GraineApi.resume_batch),
    ("POST", "/batches/{batch_id}/cancel", GraineApi.cancel_batch),
    ("POST", "/batches/{batch_id}/dispatch", GraineApi.dispatch_batch),
    ("GET", "/batches/{batch_id}/debug", GraineApi.debug_batch),
    ("GET", "/batches/{batch_id}/export.csv", GraineApi.export_batch),
)


def _body(call: Call) -> dict[str, Any]:
    try:
        body = json.loads(call.body)
    except ValueError:
        detail = {"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error", "input": {}}
        raise ApiError(422, [detail]) from None
    if not isinstance(body, dict):
        detail = {
            "type": "model_attributes_type",
            "loc": ["body"],
            "msg": "Input should be a valid dictionary or object to extract fields from",
            "input": body,
        }
        raise ApiError(422, [detail])
    return body


def _require(body: dict[str, Any], fields: tuple[str, ...]) -> None:
    for name in fields:
        if body.get(name) in (None, "", []):
            raise ApiError(400, f"{name} is required")


def _parse(model: type[Model], values: Mapping[str, Any], place: str = "body") -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        found = invalid.errors(include_url=False, include_context=False)
        raise ApiError(422, [{**error, "loc": [place, *error["loc"]]} for error in found]) from None


def _moment(start: datetime | None, campaign: Campaign) -> float | None:
    if start is None:
        return None
    if start.tzinfo is None:
        zone = campaign.settings.get("timezone")
        start = start.replace(tzinfo=ZoneInfo(zone) if zone else UTC)
    return start.timestamp()


def _without_metadata(call: Call, seen: views.Json) -> views.Json:
    if "no_metadata" in call.faults:
        del seen["metadata"]
    return seen


def _campaign_moved(campaign: Campaign, how: str) -> views.Json:
    return {
        "campaign_id": campaign.campaign_id,
        "status": campaign.status,
        "message": f"Campaign {how} successfully",
    }


def _batch_moved(batch: Batch, how: str) -> views.Json:
    return {"batch_id": batch.batch_id, "status": batch.status, "message": f"Batch {how} successfully"}
