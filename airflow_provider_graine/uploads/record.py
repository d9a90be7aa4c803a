"""What is remembered of an upload: what was intended, what was answered, and by which try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

_NAME = 16
_PAGE = 500


def short(fingerprint: str) -> str:
    """
    Shorten a chunk's fingerprint for remembering it: records are small and many.

    :param fingerprint: hexadecimal
    """
    return fingerprint[:_NAME]


@dataclass(frozen=True, kw_only=True)
class Record:
    """
    What one or more tries of an upload have done.

    :param owner: number of the try that wrote last
    :param intents: short fingerprint of a chunk that may be on its way, to the time of its send
    :param batches: batch id to the short fingerprint of its chunk, for every create that was answered or found
    :param before: unmarked batches that were there before the first send, ``None`` where nobody looked
    """

    owner: int = 0
    intents: Mapping[str, float] = field(default_factory=dict)
    batches: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it says that nothing was ever sent."""
        return not self.intents and not self.batches

    def intending(self, chunk: str, *, at: float) -> Record:
        """Return the record with one more intent."""
        return replace(self, intents={**self.intents, short(chunk): at})

    def settled(self, chunk: str, *, batch_id: str | None) -> Record:
        """Return the record without an intent, and with the batch that came of it, if one did."""
        intents = {name: at for name, at in self.intents.items() if name != short(chunk)}
        batches = self.batches if batch_id is None else {**self.batches, batch_id: short(chunk)}
        return replace(self, intents=intents, batches=batches)

    def united(self, other: Record) -> Record:
        """Return what either of two memories knows; a batch that one of them knows settles the other's intent."""
        batches = {**self.batches, **other.batches}
        known = set(batches.values())
        intents = {name: at for name, at in {**self.intents, **other.intents}.items() if name not in known}
        return Record(
            owner=max(self.owner, other.owner),
            intents=intents,
            batches=batches,
            before=self.before if self.before is not None else other.before,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the record as a JSON document."""
        return {
            "owner": self.owner,
            "intents": dict(self.intents),
            "batches": dict(self.batches),
            "before": None if self.before is None else list(self.before),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Record:
        """Read what :meth:`as_json` wrote."""
        before = document.get("before")
        return cls(
            owner=int(document["owner"]),
            intents={str(name): float(at) for name, at in document["intents"].items()},
            batches={str(batch): str(chunk) for batch, chunk in document["batches"].items()},
            before=None if before is None else tuple(before),
        )


class Memory(Protocol):
    """Remembers a record from one try to the next, as far as the platform can."""

    @property
    def is_shared(self) -> bool:
        """Whether another try that is alive at the same time sees what is written."""

    def read(self) -> Record | None:
        """Return what is remembered, or ``None`` where nothing is."""

    def write(self, record: Record) -> None:
        """Remember; has taken effect when it returns, or raises."""


class SmallValues(Protocol):
    """A store of small JSON values, such as Airflow's task state store."""

    def get(self, key: str) -> Any:
        """Return a value, or ``None``."""

    def set(self, key: str, value: Any) -> None:
        """Store a value."""


class PagedMemory:
    """
    Keeps a record in a store of small values: a head, and the batches in pages of which only the changed are written.

    :param values: the store
    :param name: beginning of the keys
    """

    is_shared = True

    def __init__(self, values: SmallValues, *, name: str = "upload") -> None:
        self._values = values
        self._name = name
        self._written: dict[str, Any] = {}

    def read(self) -> Record | None:
        """Return what is remembered; pages that were read or written before and are full cannot have changed."""
        head = self._values.get(self._name)
        if not isinstance(head, dict):
            return None
        batches: dict[str, str] = {}
        for number in range(int(head["pages"])):
            batches.update(self._page(number))
        return Record.from_json({**head, "batches": batches})

    def write(self, record: Record) -> None:
        """Write the changed pages, then the head that counts them."""
        entries = list(record.batches.items())
        pages = [dict(entries[start : start + _PAGE]) for start in range(0, len(entries), _PAGE)]
        for number, page in enumerate(pages):
            key = f"{self._name}.{number}"
            if self._written.get(key) != page:
                self._values.set(key, page)
                self._written[key] = page
        head = {**record.as_json(), "pages": len(pages)}
        del head["batches"]
        self._values.set(self._name, head)

    def _page(self, number: int) -> dict[str, str]:
        key = f"{self._name}.{number}"
        known = self._written.get(key)
        if known is None or len(known) < _PAGE:
            known = self._values.get(key) or {}
            self._written[key] = known
        return dict(known)


class SeveralMemories:
    """
    Several memories as one: what one of them knows is known, and all must take what is written.

    :param memories: at least one
    """

    is_shared = True

    def __init__(self, *memories: Memory) -> None:
        self._memories = memories

    def read(self) -> Record | None:
        """Return what any of them remembers."""
        known = [record for memory in self._memories if (record := memory.read()) is not None]
        united = known[0] if known else None
        for record in known[1:]:
            united = record if united is None else united.united(record)
        return united

    def write(self, record: Record) -> None:
        """Let all remember."""
        for memory in self._memories:
            memory.write(record)


class OwnMemory:
    """
    Remembers within one try only: nothing outlives the process but what the caller carries on.

    :param record: what was carried on
    """

    is_shared = False

    def __init__(self, record: Record | None = None) -> None:
        self._record = record

    def read(self) -> Record | None:
        """Return what this try did."""
        return self._record

    def write(self, record: Record) -> None:
        """Remember."""
        self._record = record
