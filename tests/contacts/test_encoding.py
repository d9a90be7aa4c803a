from __future__ import annotations

import datetime as dt
import json
import math
from collections import OrderedDict
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.contacts.encoding import UnreadableTextError, encode_column, encode_object
from airflow_provider_graine.exceptions import SourceError


class Plan(Enum):
    GOLD = "gold"
    SINCE = dt.date(2026, 7, 1)


class Tier(StrEnum):
    ONE = "one"


class Level(IntEnum):
    TWO = 2


class NumPyLikeScalar:
    """What a NumPy scalar shows of itself."""

    shape = ()

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


IST = dt.timezone(dt.timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("12000", "12000"),
        (12000, 12000),
        (1.5, 1.5),
        (True, True),
        (None, None),
        (dt.date(2026, 7, 1), "2026-07-01"),
        (dt.datetime(2026, 7, 1, 9), "2026-07-01T09:00:00"),
        (dt.datetime(2026, 7, 1, 9, tzinfo=IST), "2026-07-01T09:00:00+05:30"),
        (dt.datetime(2026, 7, 1, 9, 0, 0, 250), "2026-07-01T09:00:00.000250"),
        (dt.time(9, 30), "09:30:00"),
        (Decimal("12000.50"), "12000.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-10"), "0.0000000000"),
        (Decimal("NaN"), None),
        (math.nan, None),
        (-math.inf, None),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Plan.GOLD, "gold"),
        (Plan.SINCE, "2026-07-01"),
        (Tier.ONE, "one"),
        (Level.TWO, 2),
        ((1, "a"), [1, "a"]),
        ({"b": [math.nan, {"c": Decimal("1.10")}]}, {"b": [None, {"c": "1.10"}]}),
        (OrderedDict(b=1, a=Plan.GOLD), {"a": "gold", "b": 1}),
        ({1: "one"}, {"1": "one"}),
        ({None: 1}, {"null": 1}),
        ({None: 1, True: 2, 1.5: Decimal(3)}, {"null": 1, "true": 2, "1.5": "3"}),
        ({1: Decimal(1), "a": 2}, {"1": "1", "a": 2}),
        (NumPyLikeScalar(7), 7),
        (NumPyLikeScalar(math.nan), None),
        ([NumPyLikeScalar(dt.date(2026, 7, 1))], ["2026-07-01"]),
        (2**70, 2**70),
    ],
)
def test_a_value_in_both_shapes(value: object, encoded: object) -> None:
    assert json.loads(encode_object({"v": value})) == {"v": encoded}
    assert [json.loads(text) for text in encode_column([value, "x"], "v")] == [encoded, "x"]
    assert [json.loads(text) for text in encode_column([value], "v")] == [encoded]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"secret", "bytes"),
        (memoryview(b"secret"), "memoryview"),
        (dt.timedelta(seconds=4711), "timedelta"),
        ({"secret"}, "set"),
        (object(), "object"),
        ([{"deep": b"secret"}], "bytes"),
        ({b"secret": 1}, "bytes"),
        ({("secret",): 1}, "tuple"),
    ],
)
def test_a_refused_type_is_named_with_its_column_and_without_its_value(value: object, named: str) -> None:
    for encode in (
        lambda: encode_object({"plan": 1, "photo": value}),
        lambda: encode_column([1, value], "photo"),
    ):
        with pytest.raises(SourceError) as refused:
            encode()
        assert '"photo"' in str(refused.value)
        assert named in str(refused.value)
        assert "secret" not in str(refused.value)
        assert "4711" not in str(refused.value)


def test_keys_are_sorted_at_every_depth() -> None:
    assert encode_object({"b": {"z": 1, "y": 2}, "a": 1}) == '{"a":1,"b":{"y":2,"z":1}}'


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(UnreadableTextError):
        encode_object({"a": "\ud800"})


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes() | st.decimals()
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), values))
def test_every_object_becomes_strict_json_on_one_line(row: dict[str, object]) -> None:
    encoded = encode_object(row)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    decoded = json.loads(encoded, parse_constant=refuse)
    assert set(decoded) == set(row)
    assert "\n" not in encoded
    for key, value in row.items():
        if isinstance(value, (str, int, type(None))):
            assert decoded[key] == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_keeps_every_digit(number: Decimal) -> None:
    text = json.loads(encode_object({"v": number}))["v"]
    assert "e" not in text.lower()
    assert Decimal(text) == number
