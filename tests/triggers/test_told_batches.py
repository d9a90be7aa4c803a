"""What was told comes back as it was, however long the list and whichever write is the last."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.triggers.told_batches import ToldBatches

IDS = st.lists(st.text(min_size=1, max_size=40), unique=True, max_size=60)


class Store:
    """The state of one asset; fails at some writes."""

    def __init__(self, failing: set[int] | None = None) -> None:
        self.values: dict[str, str] = {}
        self.writes = 0
        self.failing = failing or set()

    async def aget(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self.writes += 1
        if self.writes in self.failing:
            raise RuntimeError("no")
        self.values[key] = json.dumps(value)


async def recalled(store: Store) -> set[str] | None:
    told = ToldBatches([store], key="k")
    return set(told._ids) if await told.recall() else None


@given(IDS, st.lists(st.integers(0, 60)), st.sets(st.integers(1, 6)))
def test_what_was_kept_last_comes_back(ids: list[str], cuts: list[int], failing: set[int]) -> None:
    async def check() -> None:
        store, kept = Store(failing), None
        told = ToldBatches([store], key="k")
        assert not await told.recall()
        for batch_id in ids:
            told.add(batch_id)
        for cut in sorted(cuts):
            failed_before = store.writes
            await told.keep(cut)
            if not set(range(failed_before + 1, store.writes + 1)) & failing:
                kept = max(kept or 0, min(cut, len(ids)))
        assert await recalled(store) == (None if kept is None else set(ids[:kept]))

    asyncio.run(check())


def test_a_long_list_lies_on_pages_that_airflow_takes_and_only_the_last_is_written_again() -> None:
    ids = [f"btc_{number:032x}" for number in range(5_000)]

    async def check() -> None:
        store = Store()
        told = ToldBatches([store], key="k")
        for batch_id in ids[:-1]:
            told.add(batch_id)
        await told.keep(len(ids) - 1)
        assert store.writes == len(store.values) > 3
        assert max(map(len, store.values.values())) <= 65_535

        again = ToldBatches([store], key="k")
        assert await again.recall()
        assert [batch_id for batch_id in ids if batch_id not in again] == ids[-1:]
        before = store.writes
        await again.keep(len(again))
        assert store.writes == before
        again.add(ids[-1])
        await again.keep(len(again))
        assert store.writes == before + 1
        assert await recalled(store) == set(ids)

    asyncio.run(check())


def test_with_a_second_asset_both_have_all_of_it() -> None:
    async def check() -> None:
        first, second = Store(), Store()
        told = ToldBatches([first], key="k")
        told.add("a")
        await told.keep(1)
        both = ToldBatches([first, second], key="k")
        assert await both.recall()
        both.add("b")
        await both.keep(2)
        assert await recalled(first) == await recalled(second) == {"a", "b"}

    asyncio.run(check())


def test_another_key_is_another_list() -> None:
    async def check() -> None:
        store = Store()
        await ToldBatches([store], key="k").keep(0)
        assert await ToldBatches([store], key="k").recall()
        assert not await ToldBatches([store], key="l").recall()

    asyncio.run(check())
