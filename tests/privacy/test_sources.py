"""Lists that cannot be read, called or stored: what goes wrong is said, and of whom is not."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.privacy.canaries import EMAIL, PEOPLE
from tests.privacy.cases import CASES
from tests.privacy.world import World, contact, everybody

BROKEN = (
    "broken.csv",
    "broken.csv.gz",
    "broken.jsonl",
    "broken.parquet",
    "empty.csv",
    "latin.csv",
    "no_header.csv",
    "no_such_column.jsonl",
    "missing/*.csv",
)
#: What databases quote when they cannot go on.
QUERIES = (
    "SELECT phone_number, callee_name, CAST(callee_name AS INTEGER) AS age FROM people",
    "SELECT phone_number, callee_name, CAST(email AS DATE) AS day FROM people",
    "SELECT phone_number, callee_name, error('no room for ' || callee_name || phone_number) AS e FROM people",
    "SELECT * FROM people WHERE CAST(phone_number AS DECIMAL(3, 0)) > 0",
    "SELECT callee_name AS phone_number, phone_number AS callee_name FROM people",
    "SELECT phone_number AS callee_name FROM people",
    "CREATE TABLE copies AS SELECT * FROM people",
    "SELECT * FROM people WHERE callee_name = $1 AND CAST($2 AS INTEGER) = 1",
)


class Unwilling:
    """A value whose text nobody may ask for, and whose errors say too much."""

    def __str__(self) -> str:
        raise ValueError(f"{PEOPLE[0].name} has no text: {PEOPLE[0].number}")

    __repr__ = __str__


def lists() -> Iterator[tuple[str, Any]]:
    """Give what people pass for a list, by mistake."""
    person = PEOPLE[0]
    yield "numbers", [each.number for each in PEOPLE]
    yield "one row", contact(person)
    yield "a text", f"{person.number},{person.name}"
    yield "names to numbers", {each.name: each.number for each in PEOPLE}
    yield "numbers for keys", [{person.number: person.name, person.name: person.number}]
    yield "pairs", [(each.number, each.name) for each in PEOPLE]
    yield "numbers as numbers", [{"phone_number": int(person.number), "callee_name": person.name}]
    yield "lists for values", [{"phone_number": [person.number], "callee_name": {"first": person.name}}]
    yield "variables that are none", [{"phone_number": person.number, "call_variables": person.name}]
    yield "a variable twice", [{"phone_number": person.number, "callee_name": "A", "CALLEE_NAME": person.name}]
    yield "an object", [{"phone_number": person.number, "callee_name": person.name, "x": object()}]
    yield "an object without text", [{"phone_number": person.number, "callee_name": person.name, "x": Unwilling()}]
    yield "an exception", [ValueError(person.number, EMAIL)]
    yield "broken text", [{"phone_number": person.number, "callee_name": f"{person.name}\ud800\0"}]
    yield "not a number", [{"phone_number": person.number, "callee_name": person.name, "x": float("nan")}]
    yield "too long", [{"phone_number": person.number, "callee_name": person.name * 3000}]
    yield "many columns", [{"phone_number": person.number, **{f"{person.name} {n}": n for n in range(2000)}}]

    def breaks() -> Iterator[dict[str, Any]]:
        yield contact(person)
        raise RuntimeError(f"no more after {person.name}")

    yield "one that breaks", breaks()


#: Errors of the author's own code and of Airflow: their texts are theirs.
OF_THE_AUTHOR = {"one that breaks"}


@pytest.mark.parametrize(
    ("name", "on_invalid"), [("GraineCreateBatchOperator", "skip"), ("KatavenCreateCampaignOperator", "fail")]
)
def test_lists_that_are_none(world: World, name: str, on_invalid: str) -> None:
    use, failed = CASES[name](world), 0
    use.arguments.update(on_invalid=on_invalid, suppress=None, ledger_path=None)
    for what, given in lists():
        if what not in OF_THE_AUTHOR:
            failed += world.airflow.run(use.make(contacts=given)).state == "failed"
    assert failed >= (10 if on_invalid == "fail" else 2)
    world.airflow.search.raise_for_leaks()


@pytest.mark.parametrize("name", ["ObjectStorageToGraineOperator", "ObjectStorageToKatavenOperator"])
def test_files_that_cannot_be_read(world: World, name: str) -> None:
    use, failed = CASES[name](world), 0
    use.arguments.update(on_invalid="fail", suppress=None, ledger_path=None)
    for file in BROKEN:
        path = f"{world.sources}/{file}"
        given = {"path": f"{world.sources}/people.csv", "suppress": path} if "Kataven" in name else {"path": path}
        failed += world.airflow.run(use.make(**given)).state == "failed"
    assert failed >= len(BROKEN) - 2
    world.airflow.search.raise_for_leaks()


@pytest.mark.parametrize("name", ["SqlToGraineOperator", "SqlToKatavenOperator"])
def test_queries_that_fail(world: World, name: str) -> None:
    use, failed = CASES[name](world), 0
    use.arguments.update(on_invalid="fail", suppress=None, ledger_path=None)
    for sql in QUERIES:
        parameters = ["{{ var.value.who }}", "{{ var.value.who }}"] if "$1" in sql else None
        given = {"suppress": sql, "sql": "SELECT * FROM people"} if "Kataven" in name else {"sql": sql}
        failed += world.airflow.run(use.make(**given, parameters=parameters)).state == "failed"
    assert failed >= len(QUERIES) - 3
    world.airflow.search.raise_for_leaks()


def test_files_that_cannot_be_written(world: World) -> None:
    blocked = world.folder / "blocked"
    blocked.write_text("a file where a folder is wanted")
    failed = 0
    for name in ("GraineCreateBatchOperator", "KatavenCreateCampaignOperator"):
        use = CASES[name](world)
        for argument in ("rejects_path", "ledger_path"):
            failed += world.airflow.run(use.make(**{argument: f"file://{blocked}/in.csv"})).state == "failed"
    for name in ("GraineToObjectStorageOperator", "KatavenToObjectStorageOperator", "GraineReportOperator"):
        use = CASES[name](world)
        path = f"file://{blocked}/in.html" if "Report" in name else f"file://{blocked}"
        failed += world.airflow.run(use.make(path=path)).state == "failed"
    assert failed == 7

    world.airflow.search.raise_for_leaks()


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file have more bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full(world: World) -> None:
    failed = 0
    for name in ("GraineCreateBatchOperator", "ObjectStorageToKatavenOperator", "GraineToObjectStorageOperator"):
        for room in (100, 20_000):
            use = CASES[name](world)
            if "contacts" in use.arguments:
                use.arguments["contacts"] = everybody() * 2_000
            with full_disk(room):
                failed += world.airflow.run(use.make()).state == "failed"
    assert failed >= 4
    world.airflow.search.raise_for_leaks()
