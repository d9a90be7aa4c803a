"""What a piece of work takes, measured in a process of its own, and the table that says whether it is enough."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measured:
    """
    What a call took.

    :param wall: seconds
    :param cpu: seconds of the process, all its threads together
    :param peak_rss: the most memory the process held, from its start to its end, in MB
    :param result: what the call returned
    """

    wall: float
    cpu: float
    peak_rss: float
    result: Any = None


def measured(function: str, /, **arguments: Any) -> Measured:
    """
    Call a function in a new process that has already imported Airflow's task SDK, as a worker has.

    :param function: ``"module:name"``
    :param arguments: its arguments; must have a JSON form, as its result must
    """
    with tempfile.TemporaryDirectory(prefix="measured-") as directory:
        answer, log = Path(directory) / "answer.json", Path(directory) / "log"
        with log.open("wb") as output:
            code = subprocess.call(
                [sys.executable, "-W", "ignore", "-m", __spec__.name, function, json.dumps(arguments), str(answer)],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if code:
            raise RuntimeError(f"{function} failed:\n{log.read_text(errors='replace')[-8000:]}")
        return Measured(**json.loads(answer.read_text()))


def median(function: str, /, *, repeat: int, **arguments: Any) -> Measured:
    """Call a function several times, each in a new process: the run whose wall time is the median one."""
    runs = sorted((measured(function, **arguments) for _ in range(repeat)), key=lambda run: run.wall)
    return runs[(len(runs) - 1) // 2]


def medians(repeat: int, **functions: tuple[str, dict[str, Any]]) -> dict[str, Measured]:
    """
    Call several functions in turns, so that what else the machine does meets all of them alike.

    :param repeat: number of turns
    :param functions: name to function and arguments, as :func:`measured` takes them
    :return: name to the median of each figure, over the turns
    """
    runs: dict[str, list[Measured]] = {name: [] for name in functions}
    for _ in range(repeat):
        for name, (function, arguments) in functions.items():
            runs[name].append(measured(function, **arguments))
    return {
        name: Measured(
            wall=statistics.median(run.wall for run in several),
            cpu=statistics.median(run.cpu for run in several),
            peak_rss=statistics.median(run.peak_rss for run in several),
            result=several[-1].result,
        )
        for name, several in runs.items()
    }


@contextmanager
def airflow_home(**connections: str) -> Iterator[None]:
    """
    An Airflow of the benchmark's own for the processes that are measured.

    :param connections: connection id to its JSON
    """
    with tempfile.TemporaryDirectory(prefix="airflow-home-") as home:
        before = dict(os.environ)
        for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
            del os.environ[name]
        os.environ["AIRFLOW_HOME"] = home
        os.environ.update({f"AIRFLOW_CONN_{conn_id.upper()}": text for conn_id, text in connections.items()})
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


@dataclass(frozen=True)
class Line:
    """
    One figure of a benchmark.

    :param what: what was measured
    :param figure: how it is shown
    :param target: the target in words, empty where there is none
    :param met: whether it is met
    """

    what: str
    figure: str
    target: str = ""
    met: bool = True


def report(title: str, lines: Sequence[Line]) -> int:
    """Print the table; gives the process's exit code, 1 when a target is missed."""
    print(f"\n{title}\n")
    widths = [max(len(getattr(line, name)) for line in lines) for name in ("what", "figure", "target")]
    for line in lines:
        verdict = "" if not line.target else "met" if line.met else "MISSED"
        print(f"  {line.what:<{widths[0]}}  {line.figure:>{widths[1]}}  {line.target:<{widths[2]}}  {verdict}".rstrip())
    print(flush=True)
    return 0 if all(line.met for line in lines) else 1


def took(name: str, run: Measured) -> Line:
    """:return: a line with everything that was measured"""
    return Line(name, f"{run.wall:.2f} s wall, {run.cpu:.2f} s CPU, {run.peak_rss:.0f} MB")


def _peak_rss() -> float:
    # Not ru_maxrss: it begins with what the parent held when it started this process.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1000


def _main(function: str, arguments: str, answer: str) -> None:
    import airflow.sdk  # noqa: F401 -- what every task has imported before it begins

    module, _, name = function.partition(":")
    call = getattr(importlib.import_module(module), name)
    wall, cpu = time.perf_counter(), time.process_time()
    result = call(**json.loads(arguments))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    Path(answer).write_text(
        json.dumps({"wall": wall, "cpu": cpu, "peak_rss": _peak_rss(), "result": result}), encoding="utf-8"
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])
