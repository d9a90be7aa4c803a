"""Arguments with people or secrets in them, where none belong: the error says which argument, and not what is in it."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from tests.compat import AirflowTaskTimeout, TaskDeferred
from tests.privacy.airflow import context_of
from tests.privacy.canaries import EMAIL, PEOPLE
from tests.privacy.cases import CASES, CLASSES
from tests.privacy.world import World, people

#: Those that read lists have the same arguments beside where they read them from.
OPERATORS = [
    name
    for name in CASES
    if issubclass(CLASSES[name], BaseOperator) and not ("Sql" in name or "Decorated" in name or "StorageTo" in name)
]
#: Names and addresses: they are told wherever something is said of what they name. No place for people, see the docs.
NAMES = {
    *("name", "title", "agent_id", "batch_id", "batch_ids", "campaign_id", "campaign_ids", "organization_id"),
    *("path", "rejects_path", "ledger_path", "phone_number_id", "phone_column", "name_column", "timezone_column"),
    *("phone_numbers", "summary"),
}
#: The lists themselves have tests of their own.
LISTS = {"contacts"}
WRONG: tuple[Any, ...] = (
    PEOPLE[0].number,
    people(),
    {PEOPLE[0].number: PEOPLE[1].name, PEOPLE[1].name: EMAIL},
)


def own_arguments(of: Any) -> list[str]:
    """Return the arguments that a class has of its own."""
    names = {
        name
        for each in of.__mro__
        if each.__module__.startswith("airflow_provider_graine") and "__init__" in vars(each)
        for name, parameter in inspect.signature(each.__init__).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    return sorted(names - {"self"} - NAMES - LISTS - {each for each in names if each.endswith("conn_id")})


def test_what_is_a_name_is_an_argument() -> None:
    known = {name for each in OPERATORS for name in inspect.signature(CLASSES[each].__init__).parameters}
    known |= {
        name
        for each in OPERATORS
        for base in CLASSES[each].__mro__
        for name in inspect.signature(base.__init__).parameters
    }
    assert known >= NAMES | LISTS


@pytest.mark.parametrize("name", OPERATORS)
def test_arguments_that_are_people(world: World, name: str) -> None:
    airflow, use, failed = world.airflow, CASES[name](world), 0
    if use.is_upload:
        use.arguments.update(suppress=None, rejects_path=None, ledger_path=None, wait_for_completion=False)
        use.arguments.update({"contacts": people()} if "contacts" in use.arguments else {})
    names = own_arguments(CLASSES[name])
    for number, argument in enumerate(names):
        wrong = WRONG[(number + len(name)) % len(WRONG)]
        try:
            operator = use.make(**{argument: wrong})()
        except Exception as error:
            airflow.search.look(f"exception of the DAG file, {argument}", error)
            failed += 1
            continue
        found = airflow.attempt(f"task with a wrong {argument}", partial(_executed, operator))
        failed += isinstance(found, Exception)
    assert failed or len(names) < 2
    airflow.search.raise_for_leaks()


def _executed(operator: Any) -> Any:
    # What is templated is stored as it is given; but what comes of it must not be told again.
    operator.render_template_fields({})
    try:
        return operator.execute(context_of(operator))
    except (TaskDeferred, AirflowTaskTimeout):  # nothing was wrong with it
        return None
