"""Word of long uploads in the log: how far, how fast."""

from __future__ import annotations

import logging
import time

from airflow_provider_graine.contacts.progress import INTERVAL


class Progress:
    """
    Tells of batches as they are created, every ten seconds; nothing where all are sooner.

    :param log: where to
    :param batches: how many are to be created
    :param contacts: how many people are on them
    """

    def __init__(self, log: logging.Logger, *, batches: int, contacts: int) -> None:
        self._log = log
        self._all_batches = batches
        self._all_contacts = contacts
        self._batches = self._contacts = 0
        self._began = self._told = time.monotonic()

    def add(self, *, contacts: int) -> None:
        """
        Take note of a batch, and tell if it is time.

        :param contacts: how many people are on it
        """
        self._batches += 1
        self._contacts += contacts
        now = time.monotonic()
        if now - self._told >= INTERVAL:
            self._told = now
            self._log.info(
                "Sent %s of %s batches (%s of %s contacts), %.0f a minute",
                f"{self._batches:,}",
                f"{self._all_batches:,}",
                f"{self._contacts:,}",
                f"{self._all_contacts:,}",
                60 * self._batches / (now - self._began),
            )
