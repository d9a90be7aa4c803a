from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.contacts import chunks as chunks_module
from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.database import count
from airflow_provider_graine.exceptions import CallingError, ConfigurationError, SourceError

from .conftest import ASHA, HEADER, PRIYA, RAJESH, csv_text, person, write_parquet


def chunks_of(tmp_path: Path, rows: Any, size: int = 10, columns: Any = HEADER) -> list[Chunk]:
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_tuples(columns, rows, origin="x")
        contacts.screen()
        return list(contacts.chunks(size))


def test_the_body_is_json_in_the_order_of_the_source_a_line_for_each_person(tmp_path: Path) -> None:
    [first, second] = chunks_of(tmp_path, [PRIYA, RAJESH, ASHA], size=2)
    assert first.contacts == (
        b'[{"phone_number":"+919876543211","call_variables":{"callee_name":"Priya Mehta","plan":"Family Floater"}},\n'
        b'{"phone_number":"+919876543210","call_variables":{"callee_name":"Rajesh Sharma","plan":"Basic Health"}}]'
    )
    assert json.loads(second.contacts) == [person(ASHA)]
    assert (first.index, first.size, second.index, second.size) == (0, 2, 1, 1)
    assert first.phone_numbers() == [PRIYA[0], RAJESH[0]]


def test_the_fingerprint_is_of_the_people_and_what_is_said_to_them(tmp_path: Path) -> None:
    [chunk] = chunks_of(tmp_path, [RAJESH, PRIYA])
    assert len(chunk.fingerprint) == 64
    same = [
        [[RAJESH, PRIYA], HEADER],
        [[["+91 98765 43210", *RAJESH[1:]], PRIYA], HEADER],
        [[RAJESH[::-1], PRIYA[::-1]], HEADER[::-1]],
    ]
    for rows, columns in same:
        assert chunks_of(tmp_path, rows, columns=columns)[0].fingerprint == chunk.fingerprint
    others = [
        [PRIYA, RAJESH],
        [RAJESH],
        [RAJESH, ASHA],
        [RAJESH, [*PRIYA[:2], "x"]],
        [RAJESH, [PRIYA[0], "x", PRIYA[2]]],
    ]
    fingerprints = {chunks_of(tmp_path, rows)[0].fingerprint for rows in others}
    assert len(fingerprints) == 5
    assert chunk.fingerprint not in fingerprints


def test_who_is_in_the_chunks_is_settled_by_the_call(tmp_path: Path) -> None:
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_tuples(HEADER, [RAJESH, PRIYA, ASHA], origin="x")
        contacts.screen()
        running = contacts.chunks(1)
        assert next(running).phone_numbers() == [RAJESH[0]]
        contacts.exclude([RAJESH[0], PRIYA[0]])
        assert [chunk.phone_numbers() for chunk in contacts.chunks(5)] == [[ASHA[0]]]
        assert [chunk.phone_numbers() for chunk in running] == [[PRIYA[0]], [ASHA[0]]]


def test_nobody_makes_no_chunk(tmp_path: Path) -> None:
    assert chunks_of(tmp_path, []) == []


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_that_is_none(tmp_path: Path, size: int) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        chunks_of(tmp_path, [RAJESH], size=size)


def test_chunks_larger_and_smaller_than_what_is_built_at_once(tmp_path: Path) -> None:
    rows = [[f"+9198{number:08}", "Name", number] for number in range(50_000)]
    for size in (7_001, 30_000, 60_000):
        chunks = chunks_of(tmp_path, rows, size=size)
        assert [chunk.index for chunk in chunks] == list(range(-(-50_000 // size)))
        order = [c["call_variables"]["plan"] for chunk in chunks for c in json.loads(chunk.contacts)]
        assert order == list(range(50_000))


def test_people_of_whom_much_is_said(tmp_path: Path) -> None:
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_tuples(HEADER, ([f"+9198{n:08}", "Name", "x" * 10_000] for n in range(10_000)), origin="x")
        assert contacts.screen().accepted == 10_000
        assert [(chunk.size, len(chunk.contacts) // 10_000) for chunk in contacts.chunks(1000)] == [(1000, 1008)] * 10


SECRETS = ("98765", "43210", "Rajesh", "Sharma", "hush")


def test_nothing_personal_in_any_repr_or_message(tmp_path: Path) -> None:
    secret = ["+919876543210", "Rajesh Sharma", "hush"]
    said: list[str] = []
    with ContactList(directory=tmp_path) as contacts:
        contacts.suppress_rows(["98765 4321"])
        contacts.add_tuples(HEADER, [secret, secret], origin="x")
        said += [repr(contacts), str(contacts.screen())]
        said += [repr(chunk) + str(chunk) for chunk in contacts.chunks(1)]
        said += [repr(contacts)]
    broken = {
        "header.csv": ",".join(secret) + "\n" + ",".join(secret),
        "quote.csv": 'phone_number,callee_name\n"' + '"x,'.join(secret),
        "header2.csv": '"' + ",".join(secret),
        "keys.jsonl": json.dumps({value: value for value in secret}),
        "broken.jsonl": '{"phone_number": "+919876543210", "callee_name": "Rajesh',
        "file.parquet": "PAR1" + ",".join(secret) + "PAR1",
    }
    for name, content in broken.items():
        path = tmp_path / name
        path.write_text(content)
        for take in ("add_file", "suppress_file"):
            with ContactList(directory=tmp_path, phone_column="phone_number") as contacts:
                try:
                    getattr(contacts, take)(path, format=name.split(".")[1], origin=name)
                    said.append(str(contacts.screen()))
                except CallingError as failure:
                    said.append("".join(traceback.format_exception(failure)).replace(str(tmp_path), ""))
    blob = [("+919876543210", "Rajesh Sharma", {"hush": b"hush"})]
    with ContactList(directory=tmp_path) as contacts, pytest.raises(SourceError) as refused:
        contacts.add_tuples(HEADER, blob, origin="x")
    said.append(repr(refused.value))
    assert not [text for text in said for secret in SECRETS if secret in text]
    assert len(said) == 4 + 1 + 12


def test_200_000_rows_take_seconds_and_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write(csv_text(HEADER))
        file.writelines(f"+9198{number % 190_000:08},Person {number},{'x' * 200}\n" for number in range(200_000))
    program = (
        "import resource, sys\n"
        "from airflow_provider_graine.contacts.contact_list import ContactList\n"
        "with ContactList(directory=sys.argv[1], memory_limit='64MB') as contacts:\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    contacts.add_file(sys.argv[2], format='csv', origin='big')\n"
        "    screening = contacts.screen()\n"
        "    sent = sum(chunk.size for chunk in contacts.chunks(1000))\n"
        "    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(screening.read, screening.accepted, sent, (after - before) // 1024)\n"
    )
    started = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(path)],
        stdout=subprocess.PIPE, text=True, check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )  # fmt: skip
    read, accepted, sent, grown = map(int, ran.stdout.split())
    assert (read, accepted, sent) == (200_000, 190_000, 190_000)
    assert grown < 200
    assert time.monotonic() - started < 30


def test_a_long_suppression_list(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_parquet(path, "SELECT '+91' || (9000000000 + range) AS phone FROM range(500_000)")
    with ContactList(directory=tmp_path) as contacts:
        contacts.suppress_file(path, format="parquet", origin="s")
        contacts.add_tuples(HEADER, ([f"+91{9_000_499_990 + n}", "Asha", n] for n in range(20)), origin="x")
        assert contacts.screen().rejected == {"suppressed": 10}


def test_importing_the_list_loads_neither_duckdb_nor_phonenumbers() -> None:
    program = (
        "import sys\n"
        "import airflow_provider_graine.contacts.contact_list\n"
        "assert not {'duckdb', 'phonenumbers', 'numpy', 'pandas', 'pyarrow', 'airflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))})


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_piece_with_more_or_fewer_ends_gives_no_chunk_at_all(tmp_path: Path, left_out: int) -> None:
    """An end that is too many would cut somebody in two; none is trusted then."""
    path = tmp_path / "piece"
    people = [b'{"a":1},\n{"a":2}\x02\n', b'{"a":3}\x02\n', b'{"b":\x02\n}\x02\n']
    path.write_bytes(b"".join(people[: 3 - left_out]))
    bounds = [(0, 2, 0, 1), (1, 1, 2, 2)]
    if left_out == 1:
        assert [chunk.contacts for chunk in chunks_module._read(path, bounds)] == [b'[{"a":1},\n{"a":2}]', b'[{"a":3}]']
    else:
        with pytest.raises(RuntimeError, match="ends"):
            next(chunks_module._read(path, bounds))


def test_no_control_character_gets_into_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    good = b'{"phone_number": "+919876543210", "callee_name": "Asha \\u0002"}\n'
    path.write_bytes(good + b'{"phone_number": "+919876543211", "callee_name": "Ra\x02o"}\n')
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_file(path, format="jsonl", origin="p")
        contacts.add_tuples(HEADER, [["+919876543212", "Priya \x02", "\x02"]], origin="query")
        contacts.screen()
        [chunk] = contacts.chunks(10)
    assert b"\x02" not in chunk.contacts
    names = [person["call_variables"]["callee_name"] for person in json.loads(chunk.contacts)]
    assert names[0] == "Asha \x02"
    assert names[-1] == "Priya \x02"


def test_a_list_closes_while_the_next_chunks_are_got_ready(tmp_path: Path) -> None:
    """Whoever was taking them holds them until the error is told, which is after the list is closed."""

    def broken_off() -> None:
        with ContactList(directory=tmp_path) as contacts:
            contacts.add_tuples(HEADER, ([f"+9198765{n:05}", "Priya", "Pune"] for n in range(30_000)), origin="query")
            contacts.screen()
            chunks = contacts.chunks(1_000)
            for _ in range(3):
                next(chunks)
            raise ValueError("what went wrong")

    for _ in range(5):
        with pytest.raises(ValueError, match="what went wrong"):
            broken_off()
    assert not list(tmp_path.iterdir())
    assert [each.name for each in threading.enumerate() if each.name.startswith("one-ahead")] == []


def test_a_cut_ended_by_another_thread_is_in_nobodys_way(tmp_path: Path) -> None:
    """As when garbage is collected: the connection of the list cannot be used by two threads at once."""
    failed: list[BaseException] = []

    def end(cuts: list[Generator[Chunk]]) -> None:
        try:
            for cut in cuts:
                cut.close()
        except BaseException as failure:
            failed.append(failure)

    with ContactList(directory=tmp_path) as contacts:
        contacts.add_tuples(HEADER, ([f"+9198765{n:05}", "Priya", "Pune"] for n in range(2_000)), origin="query")
        contacts.screen()
        cuts = [contacts.chunks(1_000) for _ in range(30)]
        for cut in cuts:
            next(cut)
        other = threading.Thread(target=end, args=[cuts])
        other.start()
        while other.is_alive():
            contacts.exclude_chunks([(0, 999)])
            assert contacts.remaining() == 1_000
        other.join()
    assert failed == []


def test_what_comes_after_the_chunks_has_all_threads_again(tmp_path: Path) -> None:
    with ContactList(directory=tmp_path) as contacts:
        contacts.add_tuples(HEADER, [["+919876543212", "Priya", "Pune"]], origin="query")
        contacts.screen()

        def threads() -> int:
            return count(contacts._db, "SELECT current_setting('threads')")

        before = threads()
        chunks = contacts.chunks(5)
        next(chunks)
        assert threads() == 1
        assert list(chunks) == []
        assert threads() == before
