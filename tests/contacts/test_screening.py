from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.screening import RejectReason
from airflow_provider_graine.exceptions import ConfigurationError

from .conftest import people, rejects


def row(number: Any, name: Any = "Asha", **variables: Any) -> dict[str, Any]:
    return {"phone_number": number, "callee_name": name, **variables}


def test_each_reason_and_the_order_in_which_they_apply(contacts: ContactList) -> None:
    contacts.suppress_rows(["+919876543219"])
    contacts.add_rows(
        [
            row("+919876543210", "Rajesh"),
            row("+91 98765 43210", "Rajesh again"),
            row(None, "No number"),
            row(" \u200b ", None),
            row("12345", None),
            row("+919876543211", None),
            row("+919876543211", ""),
            row("+919876543211", " \u00a0\t\n"),
            row("+919876543219", None),
            row("+919876543219", "Suppressed"),
            row("+919876543211", "First with a name"),
            row("+919876543211", "Second with a name"),
            row("+919876543212", "\ud800"),
        ],
        origin="contacts",
    )
    screening = contacts.screen()
    assert screening.read == 13
    assert screening.accepted == 2
    assert screening.rejected == {
        RejectReason.MALFORMED_ROW: 1,
        RejectReason.MISSING_NUMBER: 2,
        RejectReason.INVALID_NUMBER: 1,
        RejectReason.MISSING_NAME: 4,
        RejectReason.SUPPRESSED: 1,
        RejectReason.DUPLICATE: 2,
    }
    assert [person["call_variables"]["callee_name"] for person in people(contacts)] == ["Rajesh", "First with a name"]
    assert [(line[1], line[2]) for line in rejects(contacts)] == [
        ("2", "duplicate"),
        ("3", "missing_number"),
        ("4", "missing_number"),
        ("5", "invalid_number"),
        ("6", "missing_name"),
        ("7", "missing_name"),
        ("8", "missing_name"),
        ("9", "missing_name"),
        ("10", "suppressed"),
        ("12", "duplicate"),
        ("13", "malformed_row"),
    ]


def test_a_contact_that_is_only_a_number_has_no_name(contacts: ContactList) -> None:
    contacts.add_rows([{"phone_number": "+919876543210"}, {}], origin="x")
    assert contacts.screen().rejected == {"missing_name": 1, "missing_number": 1}


def test_every_reason_has_a_meaning_of_one_line() -> None:
    for reason in RejectReason:
        assert reason.meaning.endswith(".")
        assert "\n" not in reason.meaning
    assert str(RejectReason.DUPLICATE) == "duplicate"
    assert RejectReason("suppressed") is RejectReason.SUPPRESSED


def test_rejects_name_their_source_and_row(contacts: ContactList) -> None:
    contacts.add_rows([row("+919876543210"), row("x", 'A, "B"\nC')], origin="first, file")
    contacts.add_rows([], origin="empty")
    contacts.add_tuples(["callee_name", "phone_number"], [("Z", "+919876543210"), (None, "+919876543211")], origin="q")
    assert rejects(contacts) == [
        ["first, file", "2", "invalid_number", "x", 'A, "B"\nC'],
        ["q", "1", "duplicate", "+919876543210", "Z"],
        ["q", "2", "missing_name", "+919876543211", ""],
    ]


def test_rejects_go_into_an_open_file_and_leave_it_open(contacts: ContactList) -> None:
    contacts.add_rows([row(f"bad {number}") for number in range(25_000)], origin="contacts")
    contacts.screen()
    file = io.BytesIO()
    contacts.write_rejects(file)
    assert not file.closed
    lines = file.getvalue().decode().splitlines()
    assert len(lines) == 25_001
    assert [int(line.split(",")[1]) for line in lines[1:]] == list(range(1, 25_001))


def test_the_order_of_work(contacts: ContactList) -> None:
    for early in (
        lambda: contacts.chunks(1),
        lambda: contacts.exclude([]),
        lambda: contacts.write_rejects(io.BytesIO()),
    ):
        with pytest.raises(RuntimeError, match="not been screened"):
            early()
    screening = contacts.screen()
    assert contacts.screen() is screening
    for late in (
        lambda: contacts.add_rows([], origin="x"),
        lambda: contacts.suppress_rows([]),
        lambda: contacts.add_file("x", format="csv", origin="x"),
    ):
        with pytest.raises(RuntimeError, match="has been screened"):
            late()


def test_the_database_goes_with_the_list(tmp_path: Path) -> None:
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_rows([row("+919876543210")], origin="x")
        [folder] = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        list(contacts.chunks(1)) if contacts.screen().accepted else None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_the_list_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="memory_limit"):
        ContactList(directory=tmp_path, memory_limit="plenty")
    with pytest.raises(ConfigurationError, match="default_region"):
        ContactList(directory=tmp_path, default_region="Narnia")
    assert list(tmp_path.iterdir()) == []


numbers = st.one_of(
    st.builds("+9198765432{:02}".format, st.integers(0, 15)),
    st.builds("098765 432{:02}".format, st.integers(0, 15)),
    st.builds("+44 (0)20 7946 09{:02}".format, st.integers(0, 15)),
    st.sampled_from([None, "", "x", "+91", 919876543201, 9876543202.0, True]),
    st.text(max_size=8),
)
names = st.sampled_from(["Asha", "Priya", "", " ", None, 7]) | st.text(max_size=3)
rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "phone_number": numbers,
            "callee_name": names,
            "x": st.text(max_size=3),
            "call_variables": st.none() | st.dictionaries(st.sampled_from(["callee_name", "y"]), names),
        },
    ),
    max_size=25,
)
listed = st.lists(
    numbers | st.builds("{:07}".format, st.integers(0, 9_999_999)) | st.sampled_from(["9876543203"]), max_size=6
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=rows, suppressed=listed, on_batch=listed, size=st.integers(1, 9))
def test_nobody_is_lost_called_twice_or_called_who_must_not_be(
    tmp_path: Path, rows: list[dict[str, Any]], suppressed: list[Any], on_batch: list[Any], size: int
) -> None:
    with ContactList(directory=tmp_path, default_region="IN") as contacts:
        contacts.add_rows(rows, origin="x")
        contacts.suppress_rows(suppressed)
        screening = contacts.screen()
        assert screening.read == len(rows)
        assert screening.accepted + sum(screening.rejected.values()) == screening.read
        assert len(rejects(contacts)) == sum(screening.rejected.values())

        everybody = [person["phone_number"] for person in people(contacts)]
        assert len(everybody) == screening.accepted
        assert len(set(everybody)) == len(everybody)
        for entry in suppressed:
            read = contacts._reader.read_listed(str(entry)) if entry is not None else None
            if read is not None:
                assert not [
                    n
                    for n in everybody
                    if (n[1:].endswith(str(read.digits)) if read.is_suffix else n[1:] == str(read.digits))
                ]

        taken = contacts.exclude(on_batch)
        chunks = list(contacts.chunks(size))
        left = [number for chunk in chunks for number in chunk.phone_numbers()]
        assert left == [number for number in everybody if number in set(left)]
        assert len(everybody) - len(left) == taken
        assert contacts.remaining() == len(left)
        assert all(chunk.size == size for chunk in chunks[:-1])
        assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
        assert sum(chunk.size for chunk in chunks) == len(left)
        assert contacts.exclude(on_batch) == 0
        assert contacts.vanished(everybody) == 0
