"""Hooks as people use them in tasks of their own: every method, sync and async, and the button that tests them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import pytest

from tests.kataven_service import AGENT, NUMBER
from tests.privacy.canaries import EMAIL, PEOPLE, PLAN
from tests.privacy.cases import CLASSES
from tests.privacy.hostile import WAYS
from tests.privacy.world import CALLER_ID, World

HOOKS = [name for name in CLASSES if name.endswith("Hook")]
#: Public, and ask the service nothing by themselves.
OTHERS = {
    "aclose",
    "asession",
    "close",
    "completed",
    "get_connection_form_widgets",
    "get_ui_field_behaviour",
    "probe",
    "read_settings",
}
#: With these, every method; with the other ways, one that reads and one that writes, both sync and async.
ALL_METHODS = (None, "HTTP 422", "wrong types")
SOME_METHODS = {
    "GraineHook": ("list_batch_contacts", "alist_batch_contacts", "create_batch", "acreate_batch", "export_batch"),
    "KatavenHook": ("get_campaign", "alist_campaign_contacts", "create_campaign", "acreate_campaign"),
}


def methods(hook: type) -> list[str]:
    """Return the names of what a hook has of its own."""
    own = {
        name: value
        for each in hook.__mro__
        if each.__module__.startswith("airflow_provider_graine")
        for name, value in vars(each).items()
        if not name.startswith("_") and not isinstance(value, (str, property, cached_property))
    }
    return sorted(own.keys() - OTHERS)


def arguments(name: str, method: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Give a method what it asks for."""
    parameters = inspect.signature(method).parameters.values()
    asked = {each.name for each in parameters if each.default is each.empty and each.kind is not each.VAR_KEYWORD}
    if "create_batch" in name or ("create_campaign" in name and "contacts" in known["of_campaign"]):
        asked.add("contacts")
    if "create_campaign" in name:
        return known["of_campaign"]
    if "update_campaign" in name:
        return {"campaign_id": known["campaign_id"], "timezone": "Asia/Kolkata"}
    return {each: known[each] for each in asked - {"self"}}


def used(hook: Any, name: str, known: dict[str, Any]) -> Any:
    """Call a method, and take all that it gives."""
    method = getattr(hook, name)
    made = method(**arguments(name, method, known))
    if hasattr(made, "__enter__"):
        with made as opened:
            return list(getattr(opened, "blocks", opened))
    return list(made) if isinstance(made, Iterator) else made


async def aused(hook: Any, name: str, known: dict[str, Any]) -> Any:
    """Do the same on an event loop."""
    method = getattr(hook, name)
    made = method(**arguments(name, method, known))
    try:
        if hasattr(made, "__aenter__"):
            async with made as opened:
                return [each async for each in getattr(opened, "blocks", opened)]
        return await made
    finally:
        await hook.aclose()


@pytest.mark.parametrize("name", HOOKS)
def test_what_a_hook_logs_and_raises(world: World, name: str) -> None:
    airflow, hook_class = world.airflow, CLASSES[name]
    names, failed = methods(hook_class), 0
    asyncs = {each for each in names if each.startswith("a") and each[1:] in names}
    assert len(names) > 20
    for way in (None, *WAYS):
        known = known_ids(world, name)
        for method in names if way in ALL_METHODS else SOME_METHODS[name]:
            if way is None:
                world.sandbox.reset()
                known = known_ids(world, name)
                if "stream" in method:  # or it lasts
                    world.sandbox.run_until_idle()
            hook = hook_class()
            world.hostile.be(way)
            use = partial(asyncio.run, aused(hook, method, known)) if method in asyncs else None
            what = airflow.attempt("hook", use or partial(used, hook, method, known))
            airflow.attempt("hook", hook.close)
            if method == "test_connection":
                airflow.search.look("connection test", what)
            failed += isinstance(what, BaseException)
            airflow.search.look("hook repr", [repr(hook), str(hook), repr(hook.settings)])
            world.hostile.be(None)
        assert way or failed <= len(names) // 3  # not each is possible now
    assert failed > len(names)
    airflow.search.raise_for_leaks()


def known_ids(world: World, name: str) -> dict[str, Any]:
    """Return what methods ask for by their arguments' names."""
    variables = [{"callee_name": each.name, "plan": PLAN, "email": EMAIL} for each in PEOPLE]
    if name == "KatavenHook":
        rows = [
            {"phone_number": each.number, "custom_fields": fields}
            for each, fields in zip(PEOPLE, variables, strict=True)
        ]
        create = {"name": "Renewals", "agent_id": AGENT, "phone_number_id": NUMBER, "contacts": rows}
        return {"campaign_id": world.running(), "of_campaign": create}
    rows = [
        {"phone_number": each.number, "call_variables": fields} for each, fields in zip(PEOPLE, variables, strict=True)
    ]
    campaign_id = world.campaign()
    create = {"name": "Renewals", "agent_id": "agent_1", "phone_numbers": [CALLER_ID]}
    return {
        **{"campaign_id": campaign_id, "batch_id": world.batch(campaign_id), "contacts": rows, "of_campaign": create},
    }
