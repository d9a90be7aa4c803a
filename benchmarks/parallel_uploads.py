"""
What several requests in flight gain where the service takes its time over each.

``python -m benchmarks.parallel_uploads [--batches 200] [--answer-after 0.2] [--at-once 2 4 8 16 32]``
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.answering import AnsweringServer, answering_server
from benchmarks.measuring import Line, Measured, airflow_home, measured, report, took
from benchmarks.people import COLUMNS, number

_TARGET = 6.0
_JUDGED = 16  # at once
_BATCH_SIZE = 1_000
_ROUND_TRIP = 0.005  # seconds


class SlowStore:
    """Airflow's task state store, at the distance of its API server."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        import time

        time.sleep(_ROUND_TRIP)
        return self.values.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        import time

        time.sleep(_ROUND_TRIP)
        self.values[key] = value


def send(path: str, at_once: int, ledger: str | None) -> list[str]:
    """Execute the operator as a task does, whole; gives the ids it returns."""
    from airflow_provider_graine.transfers.object_storage_to_graine import ObjectStorageToGraineOperator
    from tests.task import Task

    task = Task(store=None if ledger else SlowStore())  # type: ignore[arg-type]
    operator = ObjectStorageToGraineOperator(
        task_id="call",
        campaign_id="camp_1",
        path=path,
        batch_size=_BATCH_SIZE,
        max_parallel_uploads=at_once,
        ledger_path=ledger,
    )
    return list(task.run(operator))


def write_list(path: Path, rows: int) -> list[str]:
    """Write people of whom nobody is rejected; gives their numbers in order."""
    numbers = [number(n) for n in range(rows)]
    rest = ",".join(f"value of {column}" for column in COLUMNS[1:])
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        file.writelines(f"{each},{rest}\n" for each in numbers)
    return numbers


def judged(server: AnsweringServer, run: Measured, *, name: str, numbers: list[str], at_once: int) -> list[Line]:
    """What came, beside what should have."""
    batches = server.people()
    most = server.counts()["most_at_once"]
    in_order = [each for batch_id in run.result for each in batches[batch_id]] == numbers
    twice = sum(times > 1 for times in Counter(each for batch in batches.values() for each in batch).values())
    return [
        took(name, run),
        Line("  most in flight", str(most), f"at most {at_once}", most <= at_once),
        Line("  ids in the order of the list, nobody lost", "yes" if in_order else "no", "yes", in_order),
        Line("  people twice", str(twice), "0", not twice),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--answer-after", type=float, default=0.2)
    parser.add_argument("--at-once", type=int, nargs="*", default=[2, 4, 8, 16, 32])
    options = parser.parse_args()

    lines: list[Line] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        answering_server(answer_after=options.answer_after, remembers=True) as server,
        airflow_home(graine_default=server.airflow_connection),
    ):
        path = Path(directory) / "people.csv"
        numbers = write_list(path, options.batches * _BATCH_SIZE)

        def run(at_once: int, *, name: str, ledger: bool) -> Measured:
            folder = (Path(directory) / f"ledger-{at_once}").as_uri() if ledger else None
            done = measured("benchmarks.parallel_uploads:send", path=str(path), at_once=at_once, ledger=folder)
            lines.extend(judged(server, done, name=name, numbers=numbers, at_once=at_once))
            return done

        def compared(what: str, one: Measured, several: Measured, *, is_judged: bool) -> None:
            ratio = one.wall / several.wall
            target = f"at least {_TARGET:g}" if is_judged else ""
            lines.append(Line(f"  {what}", f"{ratio:.1f} times", target, not is_judged or ratio >= _TARGET))

        one = run(1, name="one after the other", ledger=True)
        for at_once in options.at_once:
            several = run(at_once, name=f"{at_once} at once", ledger=True)
            compared("faster than one after the other", one, several, is_judged=at_once == _JUDGED)
        if _JUDGED in options.at_once:
            remembered = f"task state {1000 * _ROUND_TRIP:g} ms away"
            one = run(1, name=f"one after the other, {remembered}", ledger=False)
            several = run(_JUDGED, name=f"{_JUDGED} at once, {remembered}", ledger=False)
            compared("faster than one after the other", one, several, is_judged=True)
    title = (
        f"{options.batches} batches of {_BATCH_SIZE:,} people from CSV, a service that takes "
        f"{1000 * options.answer_after:g} ms over each"
    )
    return report(title, lines)


if __name__ == "__main__":
    sys.exit(main())
