"""Calls in threads: how each ended comes back as they end, and nothing waits for those that do not."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain

from airflow_provider_graine.uploads.in_flight import Ahead, InFlight


def test_ends_come_back_in_the_order_of_the_ends() -> None:
    may_end = [threading.Event() for _ in range(4)]

    def call(number: int) -> str:
        assert may_end[number].wait(10)
        return f"done {number}"

    with closing(InFlight(call, most=4)) as in_flight:
        for number in range(4):
            in_flight.begin(number)
        assert (len(in_flight), in_flight.free) == (4, 0)
        assert in_flight.ended(0.01) == []
        for number in (2, 0, 3, 1):
            may_end[number].set()
            assert in_flight.ended(10) == [(number, f"done {number}")]
        assert (len(in_flight), in_flight.free) == (0, 4)
        assert in_flight.ended(10) == []


def test_ends_that_have_come_together_come_back_together() -> None:
    with closing(InFlight(lambda number: number, most=8)) as in_flight:
        for number in range(8):
            in_flight.begin(number)
        until = time.monotonic() + 10
        while in_flight._ended.qsize() < 8 and time.monotonic() < until:
            time.sleep(0.01)
        assert sorted(in_flight.ended(0)) == [(number, number) for number in range(8)]


def test_what_is_raised_is_given_back() -> None:
    errors: list[BaseException] = [ValueError("no"), KeyboardInterrupt()]

    def call(number: int) -> None:
        raise errors[number]

    with closing(InFlight(call, most=1)) as in_flight:
        for number, error in enumerate(errors):
            in_flight.begin(number)
            assert in_flight.ended(10) == [(number, error)]


def test_no_more_threads_than_are_needed_and_all_end() -> None:
    def threads() -> int:
        return sum(thread.name.startswith("mine") for thread in threading.enumerate())

    def call(number: int) -> int:
        threading.current_thread().name = "mine"
        return number

    with closing(InFlight(call, most=8)) as in_flight:
        for number in range(20):
            in_flight.begin(number)
            assert in_flight.ended(10) == [(number, number)]
        assert threads() == 1
    until = time.monotonic() + 10
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    assert not threads()


def test_a_call_that_does_not_end_does_not_keep_the_process() -> None:
    code = (
        "import time\n"
        "from airflow_provider_graine.uploads.in_flight import InFlight\n"
        "in_flight = InFlight(time.sleep, most=2)\n"
        "in_flight.begin(60)\n"
        "in_flight.begin(0)\n"
        "assert in_flight.ended(10) == [(0, None)]\n"
        "in_flight.close()\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=30)


def test_one_thing_is_made_ahead_and_none_is_lost() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for thing in range(4):
            made.append(thing)
            yield thing

    things = Ahead(make())
    assert made == []
    things.get_ready()
    things.get_ready()
    assert made == [0]
    assert next(things) == 0
    assert next(things) == 1
    things.get_ready()
    assert made == [0, 1, 2]
    assert list(Ahead(chain([9], things))) == [9, 2, 3]  # what was ready is still to come
    things.get_ready()
    assert list(things) == []
