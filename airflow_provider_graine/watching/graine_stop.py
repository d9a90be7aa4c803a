"""Pausing or cancelling Graine's calls because their task ends; see :mod:`.stop`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_graine.waiting.vocabulary import GRAINE
from airflow_provider_graine.watching.stop import Stopped, Targets, astop, stop

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.services.request import Request
    from airflow_provider_graine.services.settings import ServiceSettings

__all__ = ["Action", "Stopped", "astop_calls", "stop_calls"]

#: What may be done to calls whose task ends.
Action = Literal["none", "pause", "cancel"]


class _Batches(Targets):
    noun, nouns = "batch", "batches"
    goals = {"pause": "paused", "cancel": "cancelled"}  # noqa: RUF012
    vocabulary = GRAINE

    def change(self, each: str, action: str) -> Request[Any]:
        from airflow_provider_graine.services.graine import requests

        return requests.pause_batch(each) if action == "pause" else requests.cancel_batch(each)

    def read(self, each: str) -> Request[Any]:
        from airflow_provider_graine.services.graine import requests

        return requests.get_batch(each)

    def live_calls(self, action: str) -> str:
        if action == "cancel":
            return "calls that were being placed already may still come through"
        return "live calls end on their own"


class _Campaign(_Batches):
    noun, nouns = "campaign", "campaigns"

    def change(self, each: str, action: str) -> Request[Any]:
        from airflow_provider_graine.services.graine import requests

        return requests.pause_campaign(each) if action == "pause" else requests.cancel_campaign(each)

    def read(self, each: str) -> Request[Any]:
        from airflow_provider_graine.services.graine import requests

        return requests.get_campaign(each)

    def live_calls(self, action: str) -> str:
        live = super().live_calls(action)
        return live if action == "cancel" else f"{live}, and batches that are scheduled may start all the same"


def _targets(batch_ids: Sequence[str] | None, campaign_id: str | None) -> Targets:
    if batch_ids is not None:
        return _Batches(batch_ids)
    return _Campaign([campaign_id] if campaign_id else [])


async def astop_calls(
    hook: GraineHook,
    *,
    batch_ids: Sequence[str] | None = None,
    campaign_id: str | None = None,
    action: Action,
    within: float,
    known: Mapping[str, str] | None = None,
) -> Stopped:
    """
    Pause or cancel batches, or a campaign, on an event loop; see :func:`.astop`.

    :param batch_ids: the batches; where there are none
    :param campaign_id: the campaign
    :param action: ``"pause"``, ``"cancel"``, or ``"none"``: then nothing is sent
    """
    return await astop(hook, _targets(batch_ids, campaign_id), action, within=within, known=known)


def stop_calls(
    settings: ServiceSettings,
    *,
    batch_ids: Sequence[str] | None = None,
    campaign_id: str | None = None,
    action: Action,
    within: float,
    known: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Stopped:
    """Pause or cancel batches, or a campaign, also in a signal handler; see :func:`astop_calls` and :func:`.stop`."""
    return stop(settings, _targets(batch_ids, campaign_id), action, within=within, known=known, tell=tell)
