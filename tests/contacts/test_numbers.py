from __future__ import annotations

import re

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.numbers import ListedNumber, NumberReader
from airflow_provider_graine.exceptions import ConfigurationError

INTERNATIONAL = NumberReader()
INDIA = NumberReader(default_region="in")
RAJESH = 919876543210


@pytest.mark.parametrize(
    "raw",
    [
        "+919876543210",
        "+91 98765 43210",
        "+91-98765-43210",
        "+91 (98765) 43210",
        "+91.98765.43210",
        "tel:+91-98765-43210",
        "TEL: +919876543210",
        "  +919876543210\n",
        "\u202a+91 98765\u00a043210\u202c",
        "+91\u201098765\u201343210",
        "＋９１９８７６５４３２１０",  # noqa: RUF001
        "+٩١٩٨٧٦٥٤٣٢١٠",
        "+9109876543210",
    ],
)
def test_international_forms_need_no_region(raw: str) -> None:
    assert INTERNATIONAL.read(raw) == RAJESH
    assert INDIA.read(raw) == RAJESH


@pytest.mark.parametrize("raw", ["98765 43210", "098765-43210", "(0)98765 43210", "919876543210", "00919876543210"])
def test_national_forms_need_the_region(raw: str) -> None:
    assert INTERNATIONAL.read(raw) is None
    assert INDIA.read(raw) == RAJESH


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "unknown",
        "+",
        "+91",
        "+91 98765",
        "+999 98765 43210",
        "+0 98765 43210",
        "+91 98765 43210 ext. 12",
        "+91 98765 43210x12",
        "+91 98765 43210 #12",
        "+919876543210;ext=12",
        "+91 98765 43210 / +91 98765 43211",
        "+91 98765 43210, +91 98765 43211",
        "+91 98765 43210\n+91 98765 43211",
        "+919876543210.0",
        "9.1987654321E+11",
        "+1 800 FLOWERS",
        "+91 98765 4321¹",
        "+1 253 0000",  # can be dialled from the same town only
        "+49" + "1" * 14,  # possible by the numbering plan, longer than E.164
        "=+919876543210",
        "+919876543210" + "0" * 300,
    ],
)
def test_what_is_not_a_line_of_a_person_is_not_dialled(raw: str) -> None:
    assert INTERNATIONAL.read(raw) is None
    assert INDIA.read(raw) is None


def test_valid_looks_at_the_leading_digits_too() -> None:
    assert INTERNATIONAL.read("+911111111111") == 911111111111
    assert NumberReader(number_check="valid").read("+911111111111") is None
    assert NumberReader(number_check="valid").read("+919876543210") == RAJESH


@pytest.mark.parametrize("region", ["", "XX", "India", "001"])
def test_an_unknown_region_is_refused(region: str) -> None:
    with pytest.raises(ConfigurationError, match="default_region"):
        NumberReader(default_region=region)


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="number_check"):
        NumberReader(number_check="strict")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "listed"),
    [
        ("+91 98765 43210", ListedNumber(RAJESH, is_suffix=False)),
        ("+91 98765 43210 ext. 12", ListedNumber(RAJESH, is_suffix=False)),
        ("+919876543210.0", ListedNumber(RAJESH, is_suffix=False)),
        ("919876543210", ListedNumber(RAJESH, is_suffix=True)),
        ("919876543210.0", ListedNumber(RAJESH, is_suffix=True)),
        ("00919876543210", ListedNumber(RAJESH, is_suffix=True)),
        ("098765 43210", ListedNumber(9876543210, is_suffix=True)),
        ("call 543210!", ListedNumber(543210, is_suffix=True)),
        ("0012345", None),
        ("000000", None),
        ("9.1987654321E+11", None),
        ("1" * 16, None),
        ("unknown", None),
    ],
)
def test_a_listed_number_is_read_with_more_good_will(raw: str, listed: ListedNumber | None) -> None:
    assert INTERNATIONAL.read_listed(raw) == listed


digits_after_plus = st.builds(
    lambda code, rest: f"+{code}{rest}",
    st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)),
    st.text("0123456789", min_size=1, max_size=15),
)


@settings(max_examples=1000)
@given(digits_after_plus)
@example("+4402079460958")
@example("+5491123456789")
@example("+390612345678")
def test_the_check_in_bulk_never_says_more_than_the_library(raw: str) -> None:
    plain, prefixed = INTERNATIONAL.plain_forms or ("", "")
    if re.fullmatch(plain, raw) and not re.match(prefixed, raw):
        assert INTERNATIONAL.read(raw) == int(raw[1:])


def test_the_check_in_bulk_knows_nearly_every_region() -> None:
    plain, prefixed = INTERNATIONAL.plain_forms or ("", "")
    left_to_the_library = set()
    for region in phonenumbers.SUPPORTED_REGIONS:
        number = phonenumbers.example_number(region)
        assert number is not None
        raw = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert INTERNATIONAL.read(raw) == int(raw[1:])
        if not re.fullmatch(plain, raw) or re.match(prefixed, raw):
            left_to_the_library.add(region)
    assert "IN" not in left_to_the_library
    assert len(left_to_the_library) <= 12  # leading zeros, Argentina, regions whose numbers begin like a prefix
