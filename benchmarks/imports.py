"""
What our modules add to the parsing of a DAG file.

``python -m benchmarks.imports [--repeat 15]``
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable

from benchmarks.measuring import Line, airflow_home, medians, report

_MOST_MS = 40

#: Of providers that come with Airflow: as many kinds of modules as ours.
_AIRFLOWS_OWN = (
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.sensors.external_task",
    "airflow.providers.common.sql.operators.sql",
    "airflow.providers.common.sql.sensors.sql",
)


def ours() -> int:
    """Import all modules with operators, sensors and transfers of one service."""
    return _imported(_modules("graine"))


def both() -> int:
    """Import those of both services."""
    return _imported([*_modules("graine"), *_modules("kataven")])


def airflows_own() -> int:
    """Import some operators and sensors of Airflow's own."""
    return _imported(_AIRFLOWS_OWN)


def _modules(service: str) -> list[str]:
    names = (
        f"operators.{service}",
        f"sensors.{service}",
        f"transfers.sql_to_{service}",
        f"transfers.object_storage_to_{service}",
        f"transfers.{service}_to_object_storage",
    )
    return [f"airflow_provider_graine.{name}" for name in names]


def _imported(names: Iterable[str]) -> int:
    before = len(sys.modules)
    for name in names:
        importlib.import_module(name)
    return len(sys.modules) - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    functions = {"ours": ours, "both": both, "own": airflows_own}
    with airflow_home():
        runs = medians(
            options.repeat, **{name: (f"{__spec__.name}:{each.__name__}", {}) for name, each in functions.items()}
        )
    ms = {name: run.wall * 1000 for name, run in runs.items()}
    return report(
        "Import, after `import airflow.sdk`",
        [
            Line(
                "all modules with operators of one service",
                f"{ms['ours']:.0f} ms",
                f"at most {_MOST_MS} ms",
                ms["ours"] <= _MOST_MS,
            ),
            Line("those of both services", f"{ms['both']:.0f} ms"),
            Line("four modules with operators of Airflow's own", f"{ms['own']:.0f} ms"),
            Line("modules that came in", ", ".join(f"{run.result}" for run in runs.values())),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
