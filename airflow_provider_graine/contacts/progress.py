"""Word of long lists in the log: how far, how fast. Never who."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

#: Seconds between two words.
INTERVAL: Final = 10.0


class Progress:
    """
    Tells of rows as they come in, every ten seconds; nothing of a list that is in sooner.

    :param what: what the rows are
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._told = self._last = time.monotonic()
        self._rows = 0

    def go_on(self) -> None:
        """Leave the time out that has passed since the last rows: it went into something else."""
        pause = time.monotonic() - self._last
        self._began += pause
        self._told += pause

    def add(self, rows: int) -> None:
        """
        Take note of rows, and tell if it is time.

        :param rows: how many more there are
        """
        self._rows += rows
        self._last = now = time.monotonic()
        if rows and now - self._told >= INTERVAL:
            self._told = now
            rate = self._rows / (now - self._began)
            log.info("Read %s %s so far, %s a second", f"{self._rows:,}", self._what, f"{rate:,.0f}")


@contextmanager
def telling(what: str, db: DuckDBPyConnection | None = None) -> Iterator[None]:
    """
    Tell every ten seconds for how long something has been going on.

    :param what: what is being done
    :param db: the database that does it with one statement, for how far it is
    """
    began = time.monotonic()
    is_over = threading.Event()

    def tell() -> None:
        while not is_over.wait(INTERVAL):
            share = -1.0 if db is None else db.query_progress()
            log.info("%s: %.0f s so far%s", what, time.monotonic() - began, f", {share:.0f} %" if share >= 0 else "")

    teller = threading.Thread(target=tell, name="telling", daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_over.set()
        teller.join()
