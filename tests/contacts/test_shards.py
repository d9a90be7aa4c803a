"""Several lists made from the same sources share the people out among themselves."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.screening import Screening
from airflow_provider_graine.exceptions import ConfigurationError

from .conftest import people, rejects

COLUMNS = ["phone_number", "callee_name", "plan"]


def shard(tmp_path: Path, rows: Any, index: int, of: int) -> tuple[Screening, list[str], list[list[str]]]:
    with ContactList(directory=tmp_path, shard=(index, of)) as contacts:
        contacts.suppress_rows(["+919876500007"])
        contacts.add_tuples(COLUMNS, rows, origin="query")
        screening = contacts.screen()
        return screening, [person["phone_number"] for person in people(contacts)], rejects(contacts)


def rows_of_all_kinds() -> list[list[Any]]:
    good = [[f"+9198765{n:05}", f"Person {n}", n] for n in range(300)]
    again = [[f"+91 98765 {n:05}", f"Person {n} again", n] for n in range(0, 300, 7)]
    nameless = [[f"+9198764{n:05}", "", n] for n in range(40)]
    broken = [["12345", "Invalid", n] for n in range(40)] + [[None, "Missing", n] for n in range(40)]
    malformed = [["+919876543210", "half \ud800", 1], ["+919876543210", "another \ud800", 2]]
    return [*good, *again, *nameless, *broken, *malformed]


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_everybody_is_in_one_shard_and_every_row_is_told_of_once(tmp_path: Path, of: int) -> None:
    rows = rows_of_all_kinds()
    with ContactList(directory=tmp_path) as contacts:
        contacts.suppress_rows(["+919876500007"])
        contacts.add_tuples(COLUMNS, rows, origin="query")
        whole = contacts.screen()
        everybody, refused = people(contacts), rejects(contacts)
    parts = []
    for index in range(of):
        random.Random(index).shuffle(rows)  # a query without an order gives another one each time
        parts.append(shard(tmp_path, rows, index, of))

    for screening, _, _ in parts:
        assert screening.read == screening.accepted + sum(screening.rejected.values()) + screening.elsewhere
        assert of == 1 or 0 < screening.elsewhere < len(rows)
        assert sum(screening.rejected.values()) + screening.rejected_elsewhere == sum(whole.rejected.values())
    dialled = [number for _, numbers, _ in parts for number in numbers]
    assert sorted(dialled) == sorted(person["phone_number"] for person in everybody)
    totals: Counter[Any] = sum((Counter(screening.rejected) for screening, _, _ in parts), Counter())
    assert totals == whole.rejected
    told = [line[2:3] for _, _, lines in parts for line in lines]
    assert sorted(told) == sorted(line[2:3] for line in refused)


def test_the_shards_are_of_like_size(tmp_path: Path) -> None:
    rows = [[f"+91987650{n:04}", "Name", n] for n in range(0, 10_000, 10)]
    for of in (2, 5, 10):
        sizes = [shard(tmp_path, rows, index, of)[0].accepted for index in range(of)]
        assert sum(sizes) == 1000
        assert min(sizes) > 0.6 * 1000 / of


def test_the_shard_of_a_person_never_changes(tmp_path: Path) -> None:
    def of_three(number: str) -> int:
        return (int(number) * 11400714819323198485 % 2**64 >> 32) % 3

    rows = [[f"+9198765{n:05}", "Name", n] for n in range(10, 60)] + [[f"+1415555{n:04}", "Name", n] for n in range(60)]
    for index in range(3):
        assert shard(tmp_path, rows, index, 3)[1] == [row[0] for row in rows if of_three(row[0]) == index]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["+919876543210", "+91 98765 43210", "+919876543211", "1", "", None, "+14155550123"]),
            st.sampled_from(["Asha", "", None, "\ud800"]),
            st.integers(0, 2),
        ),
        max_size=12,
    ),
    of=st.integers(1, 4),
)
def test_no_row_is_lost_or_told_of_twice(tmp_path: Path, rows: list[Any], of: int) -> None:
    whole = shard(tmp_path, rows, 0, 1)[0]
    parts = [shard(tmp_path, rows, index, of)[0] for index in range(of)]
    assert sum(part.accepted for part in parts) == whole.accepted
    assert sum((Counter(part.rejected) for part in parts), Counter()) == whole.rejected


@pytest.mark.parametrize("shard", [(1, 1), (-1, 2), (0, 0), (2, 2)])
def test_a_shard_that_is_none(tmp_path: Path, shard: tuple[int, int]) -> None:
    with pytest.raises(ConfigurationError, match="shard"):
        ContactList(directory=tmp_path, shard=shard)
