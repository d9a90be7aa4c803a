"""
What our modules add to the parsing of a DAG file.

``python -m benchmarks.imports [--repeat 15]``
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measuring import Line, airflow_home, medians, report

_MOST_MS = 40

_FOLDERS = ("operators", "sensors", "transfers")
#: Of providers that come with Airflow: as many kinds of modules as ours.
_AIRFLOWS_OWN = (
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.sensors.external_task",
    "airflow.providers.common.sql.operators.sql",
    "airflow.providers.common.sql.sensors.sql",
)


def ours() -> int:
    """Import all modules with operators, sensors and transfers of ours, of both services."""
    return _imported(_modules(*_FOLDERS))


def ours_and_triggers() -> int:
    """Import the triggers too, as the file of a DAG does that batches start by ending."""
    return _imported(_modules(*_FOLDERS, "triggers"))


def airflows_own() -> int:
    """Import some operators and sensors of Airflow's own."""
    return _imported(_AIRFLOWS_OWN)


def _modules(*folders: str) -> list[str]:
    package = Path(__file__).parents[1] / "airflow_provider_graine"
    return [
        f"{package.name}.{path.parent.name}.{path.stem}"
        for each in folders
        for path in package.glob(f"{each}/[!_]*.py")
    ]


def _imported(names: Iterable[str]) -> int:
    before = len(sys.modules)
    for name in names:
        importlib.import_module(name)
    return len(sys.modules) - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    functions = {"ours": ours, "triggers": ours_and_triggers, "own": airflows_own}
    with airflow_home():
        runs = medians(
            options.repeat, **{name: (f"{__spec__.name}:{each.__name__}", {}) for name, each in functions.items()}
        )
    ms = {name: run.wall * 1000 for name, run in runs.items()}
    return report(
        "Import, after `import airflow.sdk`",
        [
            Line(
                "all modules with operators of ours",
                f"{ms['ours']:.0f} ms",
                f"at most {_MOST_MS} ms",
                ms["ours"] <= _MOST_MS,
            ),
            Line("those and the triggers", f"{ms['triggers']:.0f} ms"),
            Line("four modules with operators of Airflow's own", f"{ms['own']:.0f} ms"),
            Line("modules that came in", ", ".join(f"{run.result}" for run in runs.values())),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
