"""
What a long suppression list adds to an upload.

``python -m benchmarks.suppression [--rows 1000000] [--listed 5000000] [--repeat 3]``
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.answering import answering_server
from benchmarks.measuring import Line, airflow_home, medians, report, took
from benchmarks.people import number, write_numbers, write_people

_MOST_SECONDS = 5.0
_MOST_MB = 150


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--listed", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()

    # One in ten of the people is listed; the rest of the list are strangers.
    known = options.rows // 10
    with tempfile.TemporaryDirectory() as directory, answering_server() as server:
        people = str(write_people(Path(directory) / "people.csv", options.rows))
        listed = (number(n * 10 if n < known else options.rows + n) for n in range(options.listed))
        long = str(write_numbers(Path(directory) / "long.csv", listed))
        with airflow_home(graine_default=server.airflow_connection):
            runs = medians(
                options.repeat,
                without=("benchmarks.people_in:from_csv", {"path": people, "suppressed": None}),
                suppressed=("benchmarks.people_in:from_csv", {"path": people, "suppressed": long}),
            )
    without, suppressed = runs["without"], runs["suppressed"]
    seconds, memory = suppressed.wall - without.wall, suppressed.peak_rss - without.peak_rss
    return report(
        f"{options.rows:,} people, {options.listed:,} numbers that must not be called, median of {options.repeat}",
        [
            took("without the list", without),
            took("with the list", suppressed),
            Line("people stopped by it", f"{suppressed.result['rejected']['suppressed']:,}"),
            Line("adds time", f"{seconds:.2f} s", f"at most {_MOST_SECONDS:.0f} s", seconds <= _MOST_SECONDS),
            Line("adds memory", f"{memory:.0f} MB", f"at most {_MOST_MB} MB", memory <= _MOST_MB),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
