"""For tests that open connections: none may be left open, and pauses between attempts are noted, not waited."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.http.talking import note_naps


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited between two attempts: noted, and not waited."""
    return note_naps(monkeypatch)


@pytest.fixture(scope="session")
def little_to_collect() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # or each collection goes through all of Airflow
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_leaks(little_to_collect: None) -> Iterator[None]:
    """An unclosed connection warns when it is collected, and a warning is an error: in the test that left it."""
    yield
    gc.collect()
