from __future__ import annotations

import pytest

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
