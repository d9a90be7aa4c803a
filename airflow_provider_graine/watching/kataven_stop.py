"""Pausing or stopping Kataven's campaigns because their task ends; see :mod:`.stop`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider_graine.waiting.vocabulary import KATAVEN
from airflow_provider_graine.watching.stop import Stopped, Targets, astop, stop

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.kataven import KatavenHook
    from airflow_provider_graine.services.request import Request
    from airflow_provider_graine.services.settings import ServiceSettings

__all__ = ["Action", "Stopped", "astop_calls", "stop_calls"]

#: What may be done to calls whose task ends.
Action = Literal["none", "pause", "stop"]

#: Nobody is called until somebody starts it. It is the list of a task that may be tried again, so it stays.
_NOT_STARTED: Final = "draft"


class _Campaigns(Targets):
    noun, nouns = "campaign", "campaigns"
    goals = {"pause": "paused", "stop": "stopped"}  # noqa: RUF012
    states = {"stop": "completed"}  # noqa: RUF012
    vocabulary = KATAVEN
    believes_silence = False  # any answer will do for these requests, that of a gateway, too

    def change(self, each: str, action: str) -> Request[Any]:
        from airflow_provider_graine.services.kataven import requests

        return requests.pause_campaign(each) if action == "pause" else requests.stop_campaign(each)

    def read(self, each: str) -> Request[Any]:
        from airflow_provider_graine.services.kataven import requests

        return requests.get_campaign(each)

    def live_calls(self, action: str) -> str:
        if action == "stop":
            return "whoever was not called yet is skipped, and live calls end on their own"
        return "nobody new is called, and what becomes of live calls is not documented"

    def is_left_alone(self, state: str | None) -> bool:
        return state == _NOT_STARTED

    def calls_nobody(self, state: str | None) -> bool:
        # That a paused one can be stopped is not documented. To resume it for that would call people.
        return state in (_NOT_STARTED, self.goals["pause"])


async def astop_calls(
    hook: KatavenHook,
    *,
    campaign_ids: Sequence[str],
    action: Action,
    within: float,
    known: Mapping[str, str] | None = None,
) -> Stopped:
    """
    Pause or stop campaigns on an event loop; see :func:`.astop`.

    :param campaign_ids: the campaigns. A draft calls nobody and is left as it is; so is a paused one that the service
        does not stop
    :param action: ``"pause"``, ``"stop"``, or ``"none"``: then nothing is sent
    """
    return await astop(hook, _Campaigns(campaign_ids), action, within=within, known=known)


def stop_calls(
    settings: ServiceSettings,
    *,
    campaign_ids: Sequence[str],
    action: Action,
    within: float,
    known: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Stopped:
    """Pause or stop campaigns, also in a signal handler; see :func:`astop_calls` and :func:`.stop`."""
    return stop(settings, _Campaigns(campaign_ids), action, within=within, known=known, tell=tell)
