"""What a watcher has told already, kept where Airflow keeps the state of an asset."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, ClassVar, Final, Protocol

_log = logging.getLogger(__name__)

#: Bytes of one stored value; Airflow takes 65,535 where nobody changed that.
_PAGE: Final = 32_000


class StateStore(Protocol):
    """The state of one asset, as ``airflow.sdk.execution_time.context.AssetStateStoreAccessor`` gives it."""

    async def aget(self, key: str, default: Any = None) -> Any:
        """Read a value."""

    async def aset(self, key: str, value: Any) -> None:
        """Write a value."""


class ToldBatches:
    """
    The ended batches that are no news: told, or over before the watch began. They are only ever added to.

    :param stores: where they are kept: in the state of each asset that is watched for
    :param key: what the watch is known by in there
    """

    def __init__(self, stores: Iterable[StateStore], *, key: str) -> None:
        self._stores = list(stores)
        self._key = key
        self._ids: dict[str, None] = {}
        self._written: list[dict[int, int]] = [{} for _ in self._stores]

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, batch_id: str) -> bool:
        return batch_id in self._ids

    def add(self, batch_id: str) -> None:
        """Note a batch; it is not kept yet."""
        self._ids[batch_id] = None

    async def recall(self) -> bool:
        """
        Read what was kept.

        :return: whether anything was: an empty list counts, a first start does not
        """
        found = [pages for store in self._stores if (pages := [page async for page in self._stored_in(store)])]
        for pages in found:
            self._ids.update(dict.fromkeys(batch_id for page in pages for batch_id in page))
        if len(found) == len(self._stores) == 1:
            self._written = [{number: len(page) for number, page in enumerate(found[0])}]
        return bool(found)

    async def _stored_in(self, store: StateStore) -> AsyncIterator[list[str]]:
        number = 0
        while (page := await store.aget(self._page_key(number))) is not None:
            yield page
            number += 1

    async def keep(self, first: int) -> None:
        """
        Write the batches that were added first. A failure is logged; the next call makes up for it.

        :param first: how many
        """
        for number, page in enumerate(_pages(list(self._ids)[:first])):
            for store, written in zip(self._stores, self._written, strict=True):
                if written.get(number, -1) >= len(page):
                    continue
                try:
                    await store.aset(self._page_key(number), page)
                except Exception as error:  # whatever Airflow's storage raises
                    _log.warning(
                        "Airflow could not store which batches were told (%s); were the triggerer to restart now, the "
                        "latest of them would be told again",
                        type(error).__name__,
                    )
                    return
                written[number] = len(page)

    def _page_key(self, number: int) -> str:
        return f"{self._key}/{number}"


def _pages(batch_ids: list[str]) -> Iterator[list[str]]:
    """Cut a list that only grows so that all pages but the last stay as they are; an empty list is one page."""
    page: list[str] = []
    size = 0
    for batch_id in batch_ids:
        needed = len(json.dumps(batch_id)) + 2
        if page and size + needed > _PAGE:
            yield page
            page, size = [], 0
        page.append(batch_id)
        size += needed
    yield page


def stores_of(state: Any) -> list[StateStore]:
    """
    Give the state of each asset a watcher watches for.

    :param state: ``asset_state_store`` of the trigger. Its own methods are for a single asset; one event goes to all
        assets that share a watcher, so what was told is kept with each of them.
    """
    if state is None:
        return []
    return [*state._by_name.values(), *state._by_uri.values()]


class StateOfProcess:
    """
    Stands in for the state of an asset below Airflow 3.3: outlives a trigger that fails, not the triggerer.

    :param trigger_id: whose state it is
    """

    _values: ClassVar[dict[tuple[int | None, str], Any]] = {}

    def __init__(self, trigger_id: int | None) -> None:
        self._trigger_id = trigger_id

    async def aget(self, key: str, default: Any = None) -> Any:
        """Read a value."""
        return self._values.get((self._trigger_id, key), default)

    async def aset(self, key: str, value: Any) -> None:
        """Write a value."""
        self._values[self._trigger_id, key] = value
