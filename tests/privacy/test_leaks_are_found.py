"""Leaks put in on purpose are found, and where they are is said; else what finds nothing proves nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_graine.contacts import contact_list
from airflow_provider_graine.exceptions import CapacityError
from airflow_provider_graine.operators import links, list_upload
from airflow_provider_graine.triggers import calls_end
from tests.privacy.canaries import GRAINE_TOKEN, PEOPLE, canaries
from tests.privacy.cases import CASES
from tests.privacy.search import Search
from tests.privacy.world import World

NUMBER, NAME = PEOPLE[0].number, PEOPLE[1].name


def _wrapped(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, leak: Callable[..., Any]) -> None:
    """Let something be done as before, and its result go through ``leak``."""
    real = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *given, **more: leak(real(*given, **more), *given))


def _log(patch: pytest.MonkeyPatch) -> None:
    def leak(screening: Any, contacts: Any) -> Any:
        list_upload.logging.getLogger("airflow_provider_graine.contacts").debug("Screened %s", NAME.upper())
        return screening

    _wrapped(patch, contact_list.ContactList, "screen", leak)


def _xcom(patch: pytest.MonkeyPatch) -> None:
    def leak(_: Any, operator: Any, context: Any, *rest: Any) -> None:
        context["ti"].xcom_push(key="summary", value={"first": quote(NUMBER)})

    _wrapped(patch, list_upload.ListUpload, "_tell", leak)


def _exception(patch: pytest.MonkeyPatch) -> None:
    def leak(*_: Any) -> None:
        try:
            raise ValueError(f"Authorization: Basic {base64.b64encode(f'x:{GRAINE_TOKEN}'.encode()).decode()}")
        except ValueError:
            raise CapacityError("It does not fit.") from None

    _wrapped(patch, contact_list.ContactList, "screen", leak)


def _trigger(patch: pytest.MonkeyPatch) -> None:
    def leak(row: Any, trigger: Any) -> Any:
        return row[0], {**row[1], "on_kill": "none", "campaign_id": f"c-{NUMBER[1:]}"}

    _wrapped(patch, calls_end.CallsEndTrigger, "serialize", leak)


def _link(patch: pytest.MonkeyPatch) -> None:
    _wrapped(patch, links.GraineCallsLink, "get_link", lambda link, *_: f"{link}&who={quote(NAME)}")


LEAKS = {
    "log": (_log, "a part of the name of person 1 in log of the task (airflow_provider_graine.contacts)"),
    "XCom": (_xcom, "the number of person 0 in XCom summary: .value.first"),
    "exception": (
        _exception,
        "Graine's token, base64 in exception of the task: CapacityError, context ValueError, str",
    ),
    "trigger": (_trigger, "the number of person 0 in trigger row: .kwargs.campaign_id"),
    "link": (_link, "the name of person 1 in XCom graine_calls_link: .value"),
}


@pytest.mark.parametrize("place", LEAKS)
def test_a_leak_is_found_and_named(world: World, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    put_in, found = LEAKS[place]
    put_in(monkeypatch)
    use = CASES["GraineCreateBatchOperator"](world)
    world.airflow.run(use.make(deferrable=True))
    search = world.airflow.search
    listed = {str(leak) for leak in search.leaks}
    assert any(each.startswith(found) for each in listed), listed
    with pytest.raises(AssertionError, match="leaks") as failure:
        search.raise_for_leaks()
    assert not list(search.found_in(str(failure.value))), "what says where a leak is must not be one"


def test_each_spelling_is_found() -> None:
    search = Search()
    for person in PEOPLE:
        for text in (
            person.number,
            person.number[1:],
            person.national,
            person.number[-8:],
            f"({person.number[3:6]}) {person.number[6:9]}-{person.number[9:]}",
            quote(person.number),
            quote(quote(f"tel:{person.number}")),
            json.dumps({"number": person.number}),
            f"&#43;{person.number[1:]}",
            person.name.upper(),
            person.name.split()[1],
            json.dumps(person.name),
            quote(person.name),
            repr(person.name.encode()),
            base64.b64encode(f"a,{person.name}".encode()).decode(),
            person.number.encode().hex(),
        ):
            assert list(search.found_in(f"before {text} behind")), text
    for secret in (GRAINE_TOKEN, f"Bearer {GRAINE_TOKEN}", GRAINE_TOKEN[-12:], GRAINE_TOKEN.upper()):
        assert list(search.found_in(secret))
    assert not list(search.found_in("Read 7 contacts: 3 accepted, 4 rejected. 2026-05-10T09:00:00.123456+00:00"))


def test_no_canary_says_what_it_is() -> None:
    search = Search()
    assert not [each.what for each in canaries() if list(search.found_in(each.what))]


def test_what_is_said_of_an_exception_is_all_there_is() -> None:
    error = ExceptionGroup("several", [RuntimeError("a"), ValueError(NUMBER)])
    error.add_note(NAME)
    inner = KeyError("b")
    inner.answer = GRAINE_TOKEN  # type: ignore[attr-defined]
    error.__cause__ = inner
    search = Search()
    search.look("exception of the task", error)
    places = {leak.where for leak in search.leaks}
    assert {
        "exception of the task: ExceptionGroup, a note",
        "exception of the task: ExceptionGroup, cause KeyError, .answer",
        "exception of the task: ExceptionGroup, part ValueError, str",
        "exception of the task: the traceback",
    } <= places
