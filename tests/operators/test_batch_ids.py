from __future__ import annotations

import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.operators.batch_ids import flat


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ("btc_1", ["btc_1"]),
        (["btc_1", "btc_2"], ["btc_1", "btc_2"]),
        ([["btc_1", "btc_2"], [], ["btc_3"]], ["btc_1", "btc_2", "btc_3"]),
        (["btc_2", "btc_1", "btc_2"], ["btc_2", "btc_1"]),
        ((["btc_1"], None, "btc_2"), ["btc_1", "btc_2"]),  # a mapped upload that had nobody to call may push nothing
        (None, []),
        ([], []),
    ],
)
def test_what_may_be_given(given: object, ids: list[str]) -> None:
    assert flat(given) == ids


@pytest.mark.parametrize("given", [7, [7], ["btc_1", ""], "", {"batch_id": "btc_1"}, b"btc_1", [[["btc_1", 7]]]])
def test_what_may_not(given: object) -> None:
    with pytest.raises(ConfigurationError, match="batch_ids must be"):
        flat(given)
