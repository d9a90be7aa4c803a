"""Too little memory or disk: an error of our own, and nothing of the data in it."""

from __future__ import annotations

import errno
import itertools
import random
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.database import is_exhausted, room_for_the_list
from airflow_provider_graine.exceptions import CallingError, CapacityError

from .conftest import HEADER, csv_text

LIST_AND_SCREEN = """
import random, resource, sys, traceback
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import CapacityError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    with ContactList(directory=sys.argv[1], memory_limit="80MB") as contacts:
        {take_in}
        contacts.screen()
except CapacityError as error:
    traceback.print_exc()
    print(error)
"""


@pytest.mark.parametrize(
    "take_in",
    [
        "contacts.add_file(sys.argv[2], format='csv', origin='big')",
        "contacts.add_tuples(['phone_number', 'callee_name', 'plan'], "
        "([f'+9198{n:08}', 'Secret name', random.randbytes(300).hex()] for n in range(200_000)), origin='query')",
    ],
)
def test_a_disk_that_is_full(tmp_path: Path, take_in: str) -> None:
    path = tmp_path / "big.csv"
    plans = (random.randbytes(300).hex() for _ in itertools.count())  # nothing that could be packed
    path.write_text(csv_text(HEADER, *([f"+9198{n:08}", "Secret name", next(plans)] for n in range(200_000))))
    ran = subprocess.run(
        [sys.executable, "-c", LIST_AND_SCREEN.format(take_in=take_in), str(tmp_path), str(path), str(20 * 2**20)],
        capture_output=True, text=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )  # fmt: skip
    assert "does not fit on this worker" in ran.stdout, ran.stderr
    assert "Nothing was sent." in ran.stdout
    assert "Secret name" not in ran.stdout + ran.stderr
    assert "duckdb" not in ran.stderr  # raised from None


def test_too_little_memory(tmp_path: Path) -> None:
    rows = ([f"+9198{n:08}", "Name", "x" * 100] for n in range(200_000))
    with ContactList(directory=tmp_path, memory_limit="4MB") as contacts, pytest.raises(CallingError) as refused:
        contacts.add_tuples(HEADER, rows, origin="query")
    assert type(refused.value) is CapacityError
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("failure", "exhausted"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (MemoryError(), True),
        (duckdb.OutOfMemoryException("Out of Memory Error"), True),
        (duckdb.IOException('IO Error: Could not write file "x": No space left on device'), True),
        (duckdb.IOException("IO Error: No files found"), False),
        (ValueError(), False),
    ],
)
def test_what_counts_as_too_little(failure: Exception, exhausted: bool) -> None:
    assert is_exhausted(failure) is exhausted
    expected = CapacityError if exhausted else type(failure)
    with pytest.raises(expected), room_for_the_list("Nothing was sent"):
        raise failure
