"""What is remembered of an upload: what was intended, what was answered, and by which try."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final, Protocol

_NAME: Final = 16
_PAGE: Final = 500


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

    :param intents: short fingerprint of a chunk that may be on its way, to the time of its send
    :param batches: batch id to the short fingerprint of its chunk, for every create that was answered or found
    :param before: unmarked batches that were there before the first send, ``None`` where nobody looked
    :param batch_size: most contacts to put on a batch, ``None`` while the service has not found one too large
    :param removed: drafts that were deleted, or were about to be
    """

    intents: Mapping[str, float] = field(default_factory=dict)
    batches: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] | None = None
    batch_size: int | None = None
    removed: frozenset[str] = frozenset()

    @property
    def is_blank(self) -> bool:
        """Whether it says that nothing was ever sent."""
        return not self.intents and not self.batches

    def intending(self, chunk: str, *, at: float) -> Record:
        """Return the record with one more intent, or with the time of one it has moved."""
        return replace(self, intents={**self.intents, short(chunk): at})

    def settled(self, chunk: str, *, batch_id: str | None) -> Record:
        """Return the record without an intent, and with the batch that came of it, if one did."""
        intents = {name: at for name, at in self.intents.items() if name != short(chunk)}
        batches = self.batches if batch_id is None else {**self.batches, batch_id: short(chunk)}
        return replace(self, intents=intents, batches=batches)

    def without(self, batch_ids: Iterable[str]) -> Record:
        """Return the record without drafts that are to be deleted, whatever other tries remember of them."""
        removed = self.removed | set(batch_ids)
        batches = {batch: chunk for batch, chunk in self.batches.items() if batch not in removed}
        return replace(self, batches=batches, removed=removed)

    def united(self, other: Record) -> Record:
        """Return what either of two memories knows; a batch that one of them knows settles the other's intent."""
        removed = self.removed | other.removed
        batches = {batch: chunk for batch, chunk in {**self.batches, **other.batches}.items() if batch not in removed}
        known = set(batches.values())
        latest = {name: max(at, other.intents.get(name, at)) for name, at in self.intents.items()}
        return Record(
            intents={name: at for name, at in {**other.intents, **latest}.items() if name not in known},
            batches=batches,
            before=self.before if self.before is not None else other.before,
            batch_size=min((size for size in (self.batch_size, other.batch_size) if size), default=None),
            removed=removed,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the record as a JSON document."""
        return {
            "intents": dict(self.intents),
            "batches": dict(self.batches),
            "before": None if self.before is None else list(self.before),
            "batch_size": self.batch_size,
            **({"removed": sorted(self.removed)} if self.removed else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Record:
        """Read what :meth:`as_json` wrote."""
        before = document.get("before")
        return cls(
            intents={str(name): float(at) for name, at in document["intents"].items()},
            batches={str(batch): str(chunk) for batch, chunk in document["batches"].items()},
            before=None if before is None else tuple(before),
            batch_size=document.get("batch_size"),
            removed=frozenset(document.get("removed", ())),
        )


class Memory(Protocol):
    """Remembers from one try to the next what was done, as far as the platform can."""

    @property
    def is_shared(self) -> bool:
        """Whether another try that is alive at the same time sees what is written."""

    def take_over(self) -> None:
        """
        Stop the sending of all earlier tries.

        What they intended before is seen by a :meth:`read` after this, and what they intend from then on they do not
        send: they see :meth:`is_taken_over` first.
        """

    def is_taken_over(self) -> bool:
        """Whether a later try has taken over."""

    def read(self) -> Record | None:
        """Return what this try and all before it have done, or ``None`` where it is not known."""

    def write(self, record: Record) -> None:
        """Remember what this try has done; has taken effect when it returns, or raises."""


class SmallValues(Protocol):
    """A store of small JSON values, such as Airflow's task state store."""

    def get(self, key: str) -> Any:
        """Return a value, or ``None``."""

    def set(self, key: str, value: Any) -> None:
        """Store a value."""


class PagedMemory:
    """
    Keeps records in a store of small values: for each try a head, and the batches in pages, of which only the changed
    are written.

    Each try writes its own values only and marks those before it as closed. So two tries that are alive at once need
    no lock: either the earlier one sees the mark before it sends, or the later one sees what it intended.

    :param values: the store
    :param owner: number of this try, from 1
    :param name: beginning of the keys
    """

    is_shared = True

    def __init__(self, values: SmallValues, *, owner: int, name: str = "upload") -> None:
        self._values = values
        self._owner = owner
        self._name = name
        self._written: dict[str, dict[str, str]] = {}

    def take_over(self) -> None:
        """Mark all earlier tries as closed."""
        for owner in range(1, self._owner):
            if not self._values.get(self._closed(owner)):
                self._values.set(self._closed(owner), True)

    def is_taken_over(self) -> bool:
        """Whether a later try has marked this one as closed."""
        return bool(self._values.get(self._closed(self._owner)))

    def read(self) -> Record | None:
        """Return what all tries up to this one remember."""
        return _united(self._read(owner) for owner in range(1, self._owner + 1))

    def write(self, record: Record) -> None:
        """Write the changed pages, then the head that counts them."""
        batches = list(record.batches.items())
        pages = [dict(batches[start : start + _PAGE]) for start in range(0, len(batches), _PAGE)]
        for number, page in enumerate(pages):
            key = self._page(self._owner, number)
            if self._written.get(key) != page:
                self._values.set(key, page)
                self._written[key] = page
        self._values.set(self._head(self._owner), {**record.as_json(), "batches": None, "pages": len(pages)})

    def _read(self, owner: int) -> Record | None:
        head = self._values.get(self._head(owner))
        if not isinstance(head, dict):
            return None
        batches: dict[str, str] = {}
        for number in range(int(head["pages"])):
            page = self._values.get(self._page(owner, number))
            if page is None:
                return None
            batches.update(page)
        return Record.from_json({**head, "batches": batches})

    def _head(self, owner: int) -> str:
        return f"{self._name}.{owner}"

    def _page(self, owner: int, number: int) -> str:
        return f"{self._name}.{owner}.{number}"

    def _closed(self, owner: int) -> str:
        return f"{self._name}.{owner}.closed"


class SeveralMemories:
    """
    Several memories as one: what one of them knows is known, and all must take what is written.

    :param memories: at least one
    """

    is_shared = True

    def __init__(self, *memories: Memory) -> None:
        self._memories = memories

    def take_over(self) -> None:
        """Take over in all of them."""
        for memory in self._memories:
            memory.take_over()

    def is_taken_over(self) -> bool:
        """Whether any of them says so."""
        return any(memory.is_taken_over() for memory in self._memories)

    def read(self) -> Record | None:
        """Return what any of them remembers."""
        return _united(memory.read() for memory in self._memories)

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

    def take_over(self) -> None:
        """Nothing: other tries cannot be reached."""

    def is_taken_over(self) -> bool:
        """Nobody can tell."""
        return False

    def read(self) -> Record | None:
        """Return what this try did."""
        return self._record

    def write(self, record: Record) -> None:
        """Remember."""
        self._record = record


def _united(records: Iterable[Record | None]) -> Record | None:
    known = [record for record in records if record is not None]
    return reduce(Record.united, known) if known else None
