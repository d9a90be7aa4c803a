"""A small insurance company's warehouse in DuckDB, with the flaws that real lists have."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

_FIRST = (
    "Aarav Aditi Amit Ananya Arjun Deepa Farhan Gauri Harish Ishaan Kavya Kiran Lakshmi Manoj Meera Nikhil Pooja Priya "
    "Rahul Rajesh Ravi Rohan Sanjay Shreya Sunita Tara Varun Vikram Yash Zoya"
).split()
_LAST = (
    "Agarwal Bose Chopra Das Desai Gupta Iyer Jain Joshi Kapoor Khan Mehta Nair Patel Rao Reddy Sharma Singh"
).split()
_PLANS = ("Basic Health", "Family Floater", "Senior Care", "Top-up Plus")
_BROKEN = ("12345", "n/a", "+91 98765", "98-76-54", "+0 9876543210", "unknown", "++919876543210", "call office")

PEOPLE = 420


def fill(path: Path, *, seed: int = 7) -> int:
    """
    Make the warehouse.

    :param path: database file, which must not exist
    :param seed: decides who is in it
    :return: number of policies whose renewal is due
    """
    chance = random.Random(seed)
    numbers = [f"9{chance.randrange(10**9):09d}" for _ in range(PEOPLE)]
    rows = []
    for policy_id, number in enumerate(numbers, start=1):
        phone: str | None = chance.choice((f"+91{number}", f"+91 {number[:5]} {number[5:]}", f"0{number}", number))
        name: str | None = f"{chance.choice(_FIRST)} {chance.choice(_LAST)}"
        flaw = chance.random()
        if flaw < 0.03:
            phone = chance.choice(_BROKEN)
        elif flaw < 0.04:
            phone = None
        elif flaw < 0.06:
            name = chance.choice((None, "", "  "))
        elif flaw < 0.09 and rows:
            phone = chance.choice(rows)[1]
        renewal = date(2026, 6, 1) + timedelta(days=chance.randrange(60))
        premium = Decimal(chance.randrange(800_000, 4_000_000)) / 100
        rows.append((policy_id, phone, name, chance.choice(_PLANS), renewal, premium))
    with duckdb.connect(str(path)) as database:
        database.execute(
            "CREATE TABLE policy_holders (policy_id INTEGER PRIMARY KEY, phone_number VARCHAR, callee_name VARCHAR, "
            "current_plan VARCHAR, renewal_date DATE, premium DECIMAL(12, 2))"
        )
        database.executemany("INSERT INTO policy_holders VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.execute("CREATE TABLE do_not_call (phone_number VARCHAR)")
        database.executemany(
            "INSERT INTO do_not_call VALUES (?)", [(f"0{number}",) for number in chance.sample(numbers, 12)]
        )
    return len(rows)
