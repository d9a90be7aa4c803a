"""
Run what depends on Airflow on every Airflow and Python that is supported: ``make matrix``.

    .ci/matrix.py                 all cells of the table
    .ci/matrix.py 3.4 lowest      those whose names contain one of these words

Each cell has an environment of its own under ``.work/matrix``, made anew when its pins have changed, and a log beside
it. Nothing is skipped: an interpreter that is not there, or a test that skips itself, fails the cell.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".work" / "matrix"

#: The pins (``requirements/<name>.txt``) and the Python of each cell.
CELLS = [
    ("lowest", "3.11"),
    ("airflow-3.1", "3.11"),
    ("airflow-3.2", "3.12"),
    ("airflow-3.3", "3.11"),
    ("airflow-3.3", "3.12"),
    ("airflow-3.3", "3.13"),
    ("airflow-3.4", "3.11"),
    ("airflow-3.4", "3.13"),
]

#: What is run in every cell, by the column it is counted in. The first that fits counts.
CHECKS = {
    "form": ["tests/provider/test_connection_form.py", "tests/provider/test_registration.py"],
    "metadata, imports": ["tests/provider"],
    "example DAGs": [
        "tests/dags/test_example_dags.py::test_all_of_them_are_parsed_without_error_or_warning",
        "tests/dags/test_example_dags.py::test_it_is_serialized_for_the_scheduler",
        "tests/dags/test_example_dags.py::test_people_from_the_warehouse_are_called_and_results_land",
    ],
    "tasks, page": [
        "tests/decorators",
        "tests/hooks",
        "tests/lineage/test_events.py",
        "tests/lineage/test_names.py",
        "tests/lineage/test_openlineage.py",
        "tests/notifications",
        "tests/operators",
        "tests/retry_policies",
        "tests/sensors",
        "tests/sources/test_database.py",
        "tests/triggers",
        "tests/ui",
    ],
}

#: They have nothing to do with the version: one judges the files here, the others the upload protocol.
LEFT_OUT = [
    "tests/provider/test_distribution.py",
    "tests/operators/test_parallel_uploads.py",
    "tests/operators/test_shards.py",
]

#: Tests of what an older Airflow does not have: the first version that does.
SINCE = {
    "tests/triggers/test_batch_events.py": (3, 3),  # watchers that share their looks; without: test_batch_events_alone
}


@dataclass
class Outcome:
    cell: str
    versions: str = ""
    passed: Counter[str] = field(default_factory=Counter)
    problem: str = ""
    seconds: float = 0.0


class Failed(Exception):
    """What went wrong in a cell, in a few words."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    arguments.add_argument("only", nargs="*", help="words in the names of the cells to run; default: all cells")
    arguments.add_argument("--uv", default="uv", help="the uv to make environments with (default: %(default)s)")
    arguments.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="cells at the same time")
    chosen = arguments.parse_args()
    cells = [
        (pins, python)
        for pins, python in CELLS
        if not chosen.only or any(word in name(pins, python) for word in chosen.only)
    ]
    if not cells:
        print("No cell is called so. There are:", *(name(*cell) for cell in CELLS), sep="\n  ", file=sys.stderr)
        return 2
    WORK.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        outcomes = list(pool.map(lambda cell: run(*cell, uv=chosen.uv), cells))
    show(outcomes)
    failed = sum(bool(each.problem) for each in outcomes)
    print(f"\n  {len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed else 0


def name(pins: str, python: str) -> str:
    return f"{pins}-py{python}"


def run(pins: str, python: str, *, uv: str) -> Outcome:
    outcome = Outcome(name(pins, python))
    started = time.monotonic()
    log = WORK / f"{outcome.cell}.log"
    try:
        with log.open("w") as out:
            home = environment(outcome.cell, pins, interpreter(python), uv, out)
            outcome.versions = call([home / "bin/python", "-c", VERSIONS], out, capture=True).strip()
            airflow = tuple(map(int, outcome.versions.split()[1].split(".")[:2]))
            outcome.passed = check(home / "bin/python", outcome.cell, airflow, out)
    except Failed as problem:
        outcome.problem = str(problem)
    outcome.seconds = time.monotonic() - started
    print(f"  {outcome.cell:22} {outcome.problem or 'passed'}  ({outcome.seconds:.0f} s, {log.relative_to(ROOT)})")
    sys.stdout.flush()
    return outcome


VERSIONS = """
import platform
from importlib.metadata import version
print("Airflow", version("apache-airflow-core"), "Python", platform.python_version())
"""


def interpreter(python: str) -> str:
    """Find an interpreter that runs, on the path or in pyenv (whose commands on the path may do nothing)."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{python}"), *pyenv.glob(f"{python}.*/bin/python{python}")]
    for each in map(str, filter(None, candidates)):
        if subprocess.run([each, "-c", ""], check=False, capture_output=True).returncode == 0:
            return each
    raise Failed(f"python{python} not found, neither on the path nor in pyenv; leave it out: make matrix ONLY='…'")


def environment(cell: str, pins: str, python: str, uv: str, out: TextIO) -> Path:
    """Have the cell's environment: the pinned packages, byte-compiled, and this package as it lies here."""
    requirements = ROOT / "requirements" / f"{pins}.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    home, ready = WORK / cell, WORK / cell / "ready"
    if ready.exists() and ready.read_text() == wanted:
        return home
    shutil.rmtree(home, ignore_errors=True)
    install = [uv, "pip", "install", "--python", home, "--compile-bytecode", "--quiet"]
    call([uv, "venv", "--quiet", "--no-project", "--python", python, home], out)
    call([*install, "--require-hashes", "--requirements", requirements], out)
    call([*install, "--no-deps", "--no-build-isolation", "--editable", ROOT], out)
    ready.write_text(wanted)
    return home


def check(python: Path, cell: str, airflow: tuple[int, ...], out: TextIO) -> Counter[str]:
    """Run the tests; gives how many have passed in each column."""
    report = WORK / f"{cell}.xml"
    report.unlink(missing_ok=True)
    left_out = [*LEFT_OUT, *(path for path, since in SINCE.items() if airflow < since)]
    tests = [path for paths in CHECKS.values() for path in paths]
    problem = ""
    try:
        call(
            [
                *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"),
                *(f"--ignore={path}" for path in left_out),
                *dict.fromkeys(tests),
            ],
            out,
        )
    except Failed as failure:
        problem = str(failure)
    passed: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        ended = next((each.tag for each in case if each.tag in {"failure", "error", "skipped"}), None)
        if ended:
            others[ended] += 1
        else:
            passed[column(case.get("classname", "").replace(".", "/"))] += 1
    if others or problem or not all(passed[each] for each in CHECKS):
        counted = ", ".join(f"{count} {what}" for what, count in others.items())
        raise Failed(f"FAILED: {counted or problem or 'a check without tests'}")
    return passed


def column(path: str) -> str:
    """Tell where a test file is counted."""
    of_file = {f"{path}.py", *(str(parent) for parent in Path(path).parents)}
    columns = (column for column, tests in CHECKS.items() if of_file & {each.partition("::")[0] for each in tests})
    return next(columns, path)  # what has no file


def call(command: Sequence[object], out: TextIO, *, capture: bool = False) -> str:
    # Airflow takes three times as long to start without .pyc files, and another PYTHONPATH brings other packages in.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTHON", "VIRTUAL_ENV"))}
    print("$", *command, file=out, flush=True)
    done = subprocess.run(
        [str(each) for each in command],
        check=False,
        cwd=ROOT,
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else out,
        stderr=out,
        text=True,
    )
    if done.returncode:
        raise Failed(f"FAILED: {Path(str(command[0])).name} ended with {done.returncode}")
    return done.stdout or ""


def show(outcomes: list[Outcome]) -> None:
    print(f"\n  {'cell':20} {'versions':30}" + "".join(f"{column:>19}" for column in CHECKS))
    for each in outcomes:
        counts = "".join(f"{each.passed[column]:19}" for column in CHECKS)
        print(f"  {each.cell:20} {each.versions:30}" + (f"  {each.problem}" if each.problem else counts))


if __name__ == "__main__":
    sys.exit(main())
