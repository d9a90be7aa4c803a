"""The check in bulk has the library's own verdict, or none."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import cache

import duckdb
import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from airflow_provider_graine.contacts.e164 import calling_codes, codes_in, is_e164_sql, squeezed_sql
from airflow_provider_graine.contacts.numbers import NumberCheck, NumberReader

DATABASE = duckdb.connect()
CHECKS: tuple[NumberCheck, ...] = ("possible", "valid")


@cache
def reader(check: NumberCheck) -> NumberReader:
    return NumberReader(number_check=check)


def read_in_bulk(raws: list[str], check: NumberCheck) -> list[int | None]:
    """:return: what SQL alone makes of the numbers"""
    DATABASE.execute("CREATE OR REPLACE TABLE written AS SELECT unnest(?::VARCHAR[]) AS raw", [raws])
    codes = codes_in(DATABASE, f"(SELECT {squeezed_sql('raw')} AS number FROM written)", at_least=1)
    rows = DATABASE.execute(
        f"SELECT CASE WHEN {is_e164_sql('number', codes, check)} THEN CAST(substr(number, 2) AS BIGINT) END "
        f"FROM (SELECT rowid AS place, {squeezed_sql('raw')} AS number FROM written) ORDER BY place"
    ).fetchall()
    return [digits for (digits,) in rows]


def assert_the_librarys_verdict(raws: list[str], checks: Iterable[NumberCheck] = CHECKS) -> None:
    for check in checks:
        for raw, digits in zip(raws, read_in_bulk(raws, check), strict=True):
            if digits is not None:
                assert reader(check).read(raw) == digits, (raw, check)


def examples() -> Iterator[str]:
    """A number of each type of each region, and one of each calling code that belongs to no region."""
    kinds = [value for name, value in vars(PhoneNumberType).items() if name.isupper() and isinstance(value, int)]
    numbers = [
        phonenumbers.example_number_for_type(region, kind)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in kinds
    ]
    numbers += map(
        phonenumbers.example_number_for_non_geo_entity, sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
    )
    for number in numbers:
        if number is not None:
            yield phonenumbers.format_number(number, PhoneNumberFormat.E164)


def test_numbers_of_every_type_of_every_region_and_their_neighbours() -> None:
    chance = random.Random(20260510)
    raws = set(examples())
    assert {code for code in calling_codes() if any(raw.startswith(f"+{code}") for raw in raws)} == set(calling_codes())
    for raw in sorted(raws):
        for _ in range(4):
            digits = list(raw)
            digits[chance.randrange(2, len(raw))] = chance.choice("0123456789")
            raws.add("".join(digits))
        raws.add(raw[:-1])
        raws.add(raw + "0")
        code = next(code for code in calling_codes() if raw.startswith(f"+{code}"))
        national = raw[len(code) + 1 :]
        raws.update(f"+{code}{zeros}{national}" for zeros in ("0", "00"))
        raws.update(f"+{code}0{national[cut:]}" for cut in (1, 2))
    for code in calling_codes():
        several = len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]) > 1
        raws.update(f"+{code}{chance.randrange(10 ** chance.randrange(4, 13))}" for _ in range(200 if several else 15))
    ordered = sorted(raws)  # so that few codes come together
    assert_the_librarys_verdict(ordered, ["possible"])
    for start in range(0, len(ordered), 500):
        assert_the_librarys_verdict(ordered[start : start + 500], ["valid"])


digits_after_plus = st.builds(
    lambda code, rest: f"+{code}{rest}", st.sampled_from(calling_codes()), st.text("0123456789", max_size=15)
)
spelled = st.lists(st.sampled_from([*"0123456789", *" ().-", "91", "44 20", "1 2", "+", "\t", ".0"]), max_size=16).map(
    lambda parts: "+" + "".join(parts)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(digits_after_plus | spelled | st.text("+0123456789 .\u0660\uff0b\n", max_size=16), max_size=20))
def test_any_numbers(raws: list[str]) -> None:
    assert_the_librarys_verdict(raws)


@pytest.mark.parametrize(
    "raw",
    [
        *("+91 98765 43210", "+91-98765-43210", "+91.98765.43210", "+91 (98765) 43210", "+919876543210"),
        "+ 91 98765 43210",
    ],
)
@pytest.mark.parametrize("check", CHECKS)
def test_usual_spellings_need_no_library(raw: str, check: NumberCheck) -> None:
    assert read_in_bulk([raw], check) == [919876543210]


@pytest.mark.parametrize(
    "raw",
    ["+4402079460958", "+54011155555555", "+919876543210.0", "+0919876543210", "+91", "+", "", "abc"],
)
def test_what_is_left_to_the_library(raw: str) -> None:
    assert read_in_bulk([raw], "possible") == [None]


@pytest.mark.parametrize("check", CHECKS)
def test_every_region_is_known(check: NumberCheck) -> None:
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    raws = [
        phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for region in regions
        if (number := phonenumbers.example_number(region))
    ]
    unknown = {
        region
        for start in range(0, len(raws), 20)
        for region, digits in zip(regions[start:], read_in_bulk(raws[start : start + 20], check), strict=False)
        if digits is None
    }
    assert not unknown


@pytest.mark.parametrize("check", CHECKS)
def test_numbers_that_belong_to_no_region_are_known(check: NumberCheck) -> None:
    codes = sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
    raws = [
        phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for code in codes
        if (number := phonenumbers.example_number_for_non_geo_entity(code))
    ]
    assert len(raws) == len(codes) >= 9
    assert read_in_bulk(raws, check) == [int(raw[1:]) for raw in raws]
