from __future__ import annotations

import pytest

from airflow_provider_graine.results.completeness import what_is_missing
from airflow_provider_graine.results.counting import CsvRowCounter


def missing(content: bytes, contacts: int | None = 2, *, all_done: bool = True) -> str | None:
    rows = CsvRowCounter()
    rows.feed(content)
    return what_is_missing(rows, contacts=contacts, all_done=all_done)


@pytest.mark.parametrize(
    ("content", "contacts", "all_done"),
    [
        (b"a,b\n1,2\n3,4\n", 2, True),
        (b"a,b\n1,2\n3,4\n5,6\n", 2, True),  # a row for each call
        (b"a,b\n1,2\n3,4\n", None, True),
        (b"a,b\n1,2\n", 2, False),  # contacts that were never called may have no row
        (b"", 2, False),
        (b"a,b\n", 0, True),
    ],
)
def test_nothing_shows_that_it_is_not_whole(content: bytes, contacts: int | None, all_done: bool) -> None:
    assert missing(content, contacts, all_done=all_done) is None


@pytest.mark.parametrize("all_done", [True, False])
@pytest.mark.parametrize("content", [b"a,b\n1,2\n3,4", b'a,b\n1,2\n3,"4\n', b"a,b"])
def test_a_row_without_an_end(content: bytes, all_done: bool) -> None:
    assert missing(content, all_done=all_done) == "end in the middle of a row"


@pytest.mark.parametrize(("content", "rows"), [(b"", 0), (b"a,b\n", 0), (b"a,b\n1,2\n", 1)])
def test_fewer_rows_than_contacts(content: bytes, rows: int) -> None:
    assert missing(content) == f"have {rows} rows, though the batch is completed and has 2 contacts"
