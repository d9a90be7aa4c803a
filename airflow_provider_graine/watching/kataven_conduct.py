"""What a conduct asks for, done at Kataven: written once, for an event loop; see :mod:`.blocking`."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_graine.exceptions import CallingError, UnexpectedAnswerError
from airflow_provider_graine.starting.steps import Look, Move, Weigh
from airflow_provider_graine.watching.blocking import blocking
from airflow_provider_graine.watching.kataven_watch import Reads, list_campaigns

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.kataven import KatavenHook
    from airflow_provider_graine.services.kataven.received import CallLimits, StateChange


class Requests(Reads, Protocol):
    """What is sent; a :class:`.KatavenHook` sends it."""

    def astart_campaign(self, campaign_id: str) -> Awaitable[StateChange]:
        """Start a draft."""

    def aresume_campaign(self, campaign_id: str) -> Awaitable[StateChange]:
        """Let a paused campaign go on."""

    def apause_campaign(self, campaign_id: str) -> Awaitable[StateChange]:
        """Hold a campaign."""

    def aget_call_limits(self) -> Awaitable[CallLimits]:
        """Read the account's limits on calls."""


async def aanswer(step: Look | Move | Weigh, hook: Requests) -> Any:
    """
    Do what a conduct asks for, on an event loop.

    :param step: what it asks for
    :param hook: the connection
    :return: what it wants to know; an error of the service is an answer too
    """
    match step:
        case Look(campaign_ids):
            return await _look(campaign_ids, hook)
        case Weigh(campaign_id):
            return await _weigh(campaign_id, hook)
        case Move(campaign_id, verb):
            send = {
                "start": hook.astart_campaign,
                "resume": hook.aresume_campaign,
                "pause": hook.apause_campaign,
            }[verb]
            try:
                return (await send(campaign_id)).status
            except CallingError as error:
                return error


def answer(step: Look | Move | Weigh, hook: KatavenHook) -> Any:
    """Do what a conduct asks for; see :func:`aanswer`."""
    return blocking(lambda requests: aanswer(step, requests), hook)


async def _look(campaign_ids: tuple[str, ...], hook: Requests) -> dict[str, str | Exception]:
    found: dict[str, str | Exception] = {}
    try:
        listed = await list_campaigns(hook, campaign_ids)
    except CallingError as error:
        return dict.fromkeys(campaign_ids, error)
    for each in campaign_ids:
        try:
            campaign = listed.get(each) or await hook.aget_campaign(each)
        except CallingError as error:
            found[each] = error
        else:
            found[each] = campaign.status or UnexpectedAnswerError(f"The service gives campaign {each} no status.")
    return found


async def _weigh(campaign_id: str, hook: Requests) -> tuple[int | None, int | None]:
    try:
        campaign = await hook.aget_campaign(campaign_id)
        limits = await hook.aget_call_limits()
    except CallingError:  # only a better message depends on it
        return None, None
    return campaign.max_concurrent_calls, limits.concurrent_max
