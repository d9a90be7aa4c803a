from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.services.kataven.headcount import headcount


@given(st.integers(0, 20_000), st.integers(0, 20_000), st.sampled_from([1, 3, 50, 100]))
def test_counts_whatever_is_expected(there: int, expected: int, length: int) -> None:
    asked: list[int] = []

    def rows(page: int) -> int:
        asked.append(page)
        return max(0, min(length, there - page * length))

    assert headcount(rows, expected=expected) == there
    assert len(asked) <= 40
    asked.clear()
    assert headcount(rows, expected=there) == there
    assert len(asked) <= 3
