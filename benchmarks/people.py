"""People who do not exist: the lists that the benchmarks send, and what sends them."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COLUMNS = ("phone_number", "callee_name", "policy_number", "plan", "premium", "renewal_date", "city")

_FIRST = ("Rajesh", "Priya", "Asha", "Zoë", "आशा", "Mohammed", "Lakshmi", "Arjun", "Fatima", "John", "Anne Marie")
_LAST = ("Sharma", "Mehta", "Rao", "राव", "Iyer", "Khan", "D'Souza", "Singh", "Gupta", "O'Neil", "Patel", "Das", "Li")
_PLANS = ("Basic Health", "Family Floater", "Term Life", "Motor, comprehensive")
_CITIES = ("Pune", "Chennai", "नई दिल्ली", "Kochi", "Jaipur")


def number(n: int) -> str:
    """:return: the number of the n-th person; another one for each n below 10^9"""
    return f"+919{(n * 387_420_489 + 12_345) % 10**9:09}"


def people(rows: int) -> Iterator[tuple[str, ...]]:
    """
    The rows of a list as lists are: of 1,000 rows 10 repeat a number, 10 are spelled with spaces, 5 have no name and 5
    no number that can be dialled.
    """
    for n in range(rows):
        phone, name = number(n), f"{_FIRST[n % 11]} {_LAST[n % 13]}"
        match n % 200:
            case 17 | 117:
                phone = number(n // 2)
            case 18 | 118:
                phone = f"+91 {phone[3:8]} {phone[8:]}"
            case 19:
                name = ""
            case 20:
                phone = phone[:9]
        yield (
            phone,
            name,
            f"POL-{n:09}",
            _PLANS[n % 4],
            f"{2_000 + n % 90_000}.{n % 100:02}",
            f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}",
            _CITIES[n % 5],
        )


def write_people(path: Path, rows: int) -> Path:
    """Write the people to a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(people(rows))
    return path


def write_numbers(path: Path, numbers: Iterator[str]) -> Path:
    """Write a suppression list: a CSV file of one column."""
    with path.open("w", encoding="utf-8") as file:
        file.write("phone_number\n")
        file.writelines(f"{each}\n" for each in numbers)
    return path


def upload(operator: str, **arguments: Any) -> dict[str, Any]:
    """
    Execute an upload operator as a task does, whole: read, check, remember, send.

    :param operator: ``"module:class"`` below ``airflow_provider_graine.transfers``
    :param arguments: its arguments
    :return: the summary that it leaves as XCom
    """
    from importlib import import_module

    from tests.task import Task

    logging.basicConfig(level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # as in a task's log
    module, _, name = operator.partition(":")
    task = Task()
    task.run(
        getattr(import_module(f"airflow_provider_graine.transfers.{module}"), name)(
            task_id="call", campaign_id="camp_1", on_invalid="skip", **arguments
        )
    )
    return dict(task.xcom["summary"])
