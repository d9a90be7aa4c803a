"""Parallel calls shared out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.uploads.concurrency import share_of, shared_out


@given(limit=st.integers(1, 200), taken=st.integers(0, 200), batches=st.integers(0, 50))
@settings(derandomize=True, max_examples=300, database=None)
def test_shares_add_up_to_what_is_left_and_nobody_goes_without(limit: int, taken: int, batches: int) -> None:
    if limit - taken < batches:
        with pytest.raises(ConfigurationError, match=f"needs {batches} more batches"):
            shared_out(limit, taken=taken, batches=batches)
        return
    if not batches:
        return
    shares = shared_out(limit, taken=taken, batches=batches)
    assert len(shares) == batches
    assert sum(shares) == limit - taken
    assert min(shares) >= 1
    assert max(shares) - min(shares) <= 1


@given(limit=st.integers(1, 200), of=st.integers(1, 50))
@settings(derandomize=True, max_examples=300, database=None)
def test_the_shards_of_a_list_stay_within_its_limit_together(limit: int, of: int) -> None:
    if limit < of:
        for index in range(of):
            with pytest.raises(ConfigurationError, match=f"cannot be shared out among {of} shards"):
                share_of(limit, index=index, of=of)
        return
    shares = [share_of(limit, index=index, of=of) for index in range(of)]
    assert sum(shares) == limit
    assert min(shares) >= 1
    assert max(shares) - min(shares) <= 1
