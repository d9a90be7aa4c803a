"""
Memory of an upload, of a long list and of one ten times as long.

``python -m benchmarks.memory [--rows 1000000] [--times 10] [--source csv|sql]``
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.answering import answering_server
from benchmarks.measuring import Line, airflow_home, measured, report, took
from benchmarks.people import number, write_numbers, write_people
from benchmarks.people_in import SQL, load

_MOST_MB = 400
_MOST_GROWTH = 1.25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--source", choices=["csv", "sql"], default="csv")
    options = parser.parse_args()

    from tests.servers import postgres

    lines = []
    peaks = []
    with tempfile.TemporaryDirectory() as directory, answering_server() as server:
        opted_out = str(write_numbers(Path(directory) / "opted_out.csv", map(number, range(0, options.rows, 100))))
        for rows in (options.rows, options.rows * options.times):
            people = write_people(Path(directory) / "people.csv", rows)
            connections = {"graine_default": server.airflow_connection}
            if options.source == "csv":
                with airflow_home(**connections):
                    run = measured("benchmarks.people_in:from_csv", path=str(people), suppressed=opted_out)
            else:
                with postgres() as database, airflow_home(warehouse=database.airflow_connection, **connections):
                    load(database, people)
                    run = measured("benchmarks.people_in:from_sql", sql=SQL, suppressed=opted_out)
            assert run.result["accepted"] == server.counts()["people"]
            peaks.append(run.peak_rss)
            lines.append(took(f"{rows:,} people", run))
            lines.append(
                Line(
                    f"{rows:,} people, peak RSS",
                    f"{run.peak_rss:.0f} MB",
                    f"at most {_MOST_MB} MB",
                    peaks[-1] <= _MOST_MB,
                )
            )
    growth = peaks[1] / peaks[0]
    lines.append(Line("growth of peak RSS", f"{growth:.2f}", f"at most {_MOST_GROWTH}", growth <= _MOST_GROWTH))
    return report(f"Memory of the whole task, {options.source}, batches of 1,000", lines)


if __name__ == "__main__":
    sys.exit(main())
