"""
A calling service, its clock and the tries of a task, simulated: deterministic, in memory, thousands of steps a second.

What is assumed of the service, and what the protocol's promise therefore rests on:

* **A send is listed within** ``resend_after``: how long the service takes to store a batch after the client gave up
  (where the client died: after the intent), plus how long its listings lag, is less than that.
* A single read by id shows a batch as soon as it is stored, and lists everybody on it.
* A batch without metadata that has people of this list on it was there before the upload began, or is of this upload.
  One that has none of them on it cannot be known again, is not returned, and its parallel calls are not counted.
* What is written to a memory is seen by the next read, of any try; a memory loses all or nothing.

Of a service with drafts (``has_drafts``) less: an unclear create may come to be whenever it likes, and before anything
is started it was seen in a listing. It shows the identity everywhere, and not how many people are on a draft. Whoever
has uploaded starts what it has been given, one after the other, and may die before each.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from inspect import GEN_SUSPENDED, getgeneratorstate
from itertools import groupby
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_graine.contacts.chunks import Chunk
from airflow_provider_graine.contacts.local_time import LocalTime, Run, Stretch, Zones, in_order, stretches
from airflow_provider_graine.exceptions import (
    AuthenticationError,
    CallingError,
    NotFoundError,
    ServiceUnavailableError,
    UnclearOutcomeError,
)
from airflow_provider_graine.operators.upload_memory import open_memory
from airflow_provider_graine.uploads.identity import RunIdentity
from airflow_provider_graine.uploads.protocol import Upload, Uploaded
from airflow_provider_graine.uploads.record import Memory, OwnMemory, PagedMemory, Record, SeveralMemories
from airflow_provider_graine.uploads.service import PlacedBatch, SuspendedError
from airflow_provider_graine.uploads.words import GRAINE

RESEND_AFTER = 300.0
#: Of a service with drafts: less than it may take a batch to come to be, or to be listed.
DRAFTS_RESEND_AFTER = 30.0
LONGEST_LAG = 150.0
LONGEST_LATE = 100.0
IDENTITY = RunIdentity(dag_id="d", run_id="r", task_id="t")

Person = tuple[str, str]
"""Phone number and name."""


def people(*numbers: int, name: str = "Person") -> list[Person]:
    return [(f"+9198765{number:05}", f"{name} {number}") for number in numbers]


#: Where people are, by the last digit of their numbers. Clocks are put on and back on different days, or never: New
#: York and Lima, London and Accra have the same time for a part of the year; Honolulu and Kiritimati, a day apart,
#: always.
PLACES: list[Zones] = [
    ("Asia/Kolkata",),
    ("Europe/London",),
    ("Africa/Accra",),
    ("America/New_York",),
    ("America/Lima",),
    ("Australia/Perth", "Australia/Sydney"),
    ("Pacific/Kiritimati",),
    ("Pacific/Honolulu",),
    ("America/Chicago", "America/New_York"),
    ("Europe/London",),
]


def zones_of(number: str) -> Zones:
    return PLACES[int(number[-1])]


class Died(BaseException):
    """The process is killed here."""


class PlainList:
    """
    Stands in for the contact list, which takes too long to make for thousands of schedules.

    :param contacts: the people
    :param local_time: when they are called, by the clock where they are
    :param after: when it was screened
    """

    def __init__(self, contacts: Iterable[Person], *, local_time: LocalTime | None = None, after: float = 0.0) -> None:
        self._contacts = list(contacts)
        self._excluded: set[str] = set()
        self._cuts: list[Generator[Chunk]] = []
        self._local_time = local_time
        self._runs: list[Run] = []
        self._stretches: list[Stretch] = []
        if local_time is not None:
            places = {zones_of(number) for number, _ in self._contacts}
            order = in_order(places, local_time, after=datetime.fromtimestamp(after, UTC))
            self._contacts.sort(key=lambda person: order.index(zones_of(person[0])))
            for zones, run in groupby(range(len(self._contacts)), key=lambda row: zones_of(self._contacts[row][0])):
                rows = list(run)
                self._runs.append((rows[0], rows[-1], zones))
            self.schedule(after=after)

    def schedule(self, *, after: float) -> None:
        if self._local_time is not None:
            self._stretches = stretches(self._runs, self._local_time, after=datetime.fromtimestamp(after, UTC))

    def too_late(self, *, after: float) -> int:
        passed = [each for each in self._stretches if each.start.timestamp() <= after]
        return sum(
            number not in self._excluded for each in passed for number, _ in self._contacts[each.first : each.last + 1]
        )

    def exclude_nobody(self) -> None:
        self._excluded.clear()

    def number_of_chunks(self, size: int) -> int:
        return sum(-(-len(rows) // size) for rows, _ in self._parts(everybody=False))

    def remaining(self) -> int:
        self._must_not_be_cut()
        return sum(number not in self._excluded for number, _ in self._contacts)

    def exclude(self, phone_numbers: Iterable[str]) -> int:
        met = {number for number, _ in self._contacts} & set(phone_numbers) - self._excluded
        self._excluded |= met
        return len(met)

    def exclude_chunks(self, spans: Iterable[tuple[int, int]]) -> None:
        self._must_not_be_cut()
        for first, last in spans:
            self._excluded |= {number for number, _ in self._contacts[first : last + 1]}

    def first_row(self, phone_numbers: Iterable[str]) -> int | None:
        known = set(phone_numbers)
        return next((row for row, (number, _) in enumerate(self._contacts) if number in known), None)

    def vanished(self, phone_numbers: Iterable[str]) -> int:
        return len(set(phone_numbers) - {number for number, _ in self._contacts})

    def chunks(self, size: int, *, everybody: bool = False) -> Generator[Chunk]:
        pieces = [
            (rows[begin : begin + size], start)
            for rows, start in self._parts(everybody=everybody)
            for begin in range(0, len(rows), size)
        ]
        cut = (self._chunk(index, rows, start) for index, (rows, start) in enumerate(pieces))
        self._cuts.append(cut)
        return cut

    def _must_not_be_cut(self) -> None:
        """The list itself gets the next chunk of a cut ready, and is not for use by two at once."""
        states = [getgeneratorstate(cut) for cut in self._cuts]
        assert GEN_SUSPENDED not in states, "a cut was neither taken to its end nor closed"

    def _parts(self, *, everybody: bool) -> list[tuple[list[tuple[str, str, int]], datetime | None]]:
        rows = [
            (number, json.dumps(contact(number, name), separators=(",", ":")), row)
            for row, (number, name) in enumerate(self._contacts)
            if everybody or number not in self._excluded
        ]
        if not self._stretches:
            return [(rows, None)]
        return [([row for row in rows if part.first <= row[2] <= part.last], part.start) for part in self._stretches]

    @staticmethod
    def _chunk(index: int, rows: list[tuple[str, str, int]], start: datetime | None) -> Chunk:
        body = ("[" + ",\n".join(text for _, text, _ in rows) + "]").encode()
        return Chunk(index, len(rows), body, hashlib.sha256(body).hexdigest(), (rows[0][2], rows[-1][2]), start)


def contact(number: str, name: str) -> dict[str, Any]:
    return {"phone_number": number, "call_variables": {"callee_name": name}}


@dataclass(frozen=True, kw_only=True)
class Fate:
    """
    What becomes of one create.

    :param what: ``answered``, ``answer lost``, ``not processed``, ``late`` (stored after the client gave up),
        ``refused``, ``unknown`` (404), ``not sent``, ``partial``, ``empty`` (nobody is stored), ``too large`` (413)
    :param late: seconds from giving up to storing
    :param lag: seconds for which listings do not show the batch
    :param takes: seconds until it is answered
    """

    what: str = "answered"
    late: float = 0.0
    lag: float = 0.0
    takes: float = 1.0


@dataclass(kw_only=True)
class Stored:
    batch_id: str
    numbers: list[str]
    at: float
    lag: float = 0.0
    chunk: str | None = None
    limit: int | None = None
    is_ours: bool = True
    is_draft: bool = False
    sent: int = 0


@dataclass(kw_only=True)
class Send:
    """A create that got no clear answer."""

    numbers: set[str]
    at: float
    was_stored: bool = False


@dataclass(kw_only=True)
class Answer:
    """
    What is coming back for a create.

    :param at: when
    :param outcome: the batch, or what is raised
    :param send: the send, which is clear with a batch
    """

    at: float
    outcome: PlacedBatch | CallingError
    send: Send | None = None


@dataclass(kw_only=True)
class World:
    """
    The service, the clock, and what the platform remembers.

    :param fates: what becomes of the creates, in turn; then all are answered
    :param has_metadata: whether the service returns what was stored with a batch
    :param has_drafts: whether a batch is a draft first
    :param hidden_limit: most contacts on a batch; more are answered with 413
    :param author_limit: most parallel calls the author allows
    :param unreadable: numbers of the reads that fail
    :param read_takes: seconds
    :param standstill: seconds for which a process may stand still between its intent and its send
    :param timeout: seconds after which a client gives a create up
    :param local_time: when people are called, by the clock where they are
    """

    fates: list[Fate] = field(default_factory=list)
    has_metadata: bool = True
    has_drafts: bool = False
    hidden_limit: int | None = None
    author_limit: int | None = None
    unreadable: frozenset[int] = frozenset()
    read_takes: float = 0.2
    standstill: float = 0.0
    timeout: float = 30.0
    local_time: LocalTime | None = None
    now: float = 1_000_000.0
    batches: list[Stored] = field(default_factory=list)
    unclear: list[Send] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    creates: int = 0
    reads: int = 0
    was_partial: bool = False
    has_forgotten: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    ledger: dict[str, Any] = field(default_factory=dict)
    on_step: Callable[[str], None] = lambda name: None
    most_at_once: int = 0
    _dead: dict[int, BaseException] = field(default_factory=dict)
    _coming: list[tuple[float, Stored, Send]] = field(default_factory=list)

    def step(self, name: str) -> None:
        """A point at which a process may die or be stopped."""
        self.die_if_dead()
        self.steps.append(name)
        try:
            self.on_step(name)
        except BaseException as end:
            self._dead[threading.get_ident()] = end
            raise

    def begin_process(self) -> None:
        self._dead.pop(threading.get_ident(), None)

    def die_if_dead(self) -> None:
        """Who was killed does nothing more, whatever it tries on its way out."""
        if (end := self._dead.get(threading.get_ident())) is not None:
            raise end

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for entry in sorted(self._coming, key=lambda entry: entry[0]):
            if entry[0] <= self.now:
                self._coming.remove(entry)
                self.store(replace(entry[1], at=entry[0]))
                entry[2].was_stored = True

    def store(self, batch: Stored) -> None:
        batch.is_draft = self.has_drafts
        if not batch.is_draft:
            self.judge(batch)
        self.batches.append(batch)

    def start(self, batch_id: str) -> None:
        """Let a draft call its people; one that has been started or deleted is left as it is."""
        self.step("before a start")
        batch = next((batch for batch in self.batches if batch.batch_id == batch_id), None)
        if batch is not None and batch.is_draft:
            batch.is_draft = False
            self.judge(batch)
        self.step("started")

    def judge(self, batch: Stored) -> None:
        """A batch begins to call its people."""
        ours = [other for other in self.ours if other is not batch]
        if twice := {number for other in ours for number in other.numbers} & set(batch.numbers):
            self.wrong.append(f"{len(twice)} people are on a second batch")
        if self.author_limit is not None and self.has_metadata:
            limits = [other.limit or self.author_limit for other in [*ours, batch]]
            if sum(limits) > self.author_limit:
                self.wrong.append(f"parallel calls: {limits} are more than {self.author_limit}")

    def judge_start(self, chunk: Chunk) -> None:
        """A batch reaches the service: it begins in good time, at the hour, where everybody on it may be."""
        if self.local_time is None:
            if chunk.start is not None:
                self.wrong.append("a start that nobody asked for")
            return
        now = datetime.fromtimestamp(self.now, UTC)
        if chunk.start is None or not now < chunk.start <= now + timedelta(hours=26):
            self.wrong.append(f"at {now} a batch is sent for {chunk.start}")
            return
        for number in chunk.phone_numbers():
            clocks = [chunk.start.astimezone(ZoneInfo(zone)).time() for zone in zones_of(number)]
            if min(clocks) != self.local_time.start:
                self.wrong.append(f"{zones_of(number)}: called from {clocks} on")

    def store_later(self, at: float, batch: Stored, send: Send) -> None:
        self._coming.append((at, batch, send))

    @property
    def ours(self) -> list[Stored]:
        """Those that call their people."""
        return [batch for batch in self.batches if batch.is_ours and not batch.is_draft]

    @property
    def drafts(self) -> list[Stored]:
        return [batch for batch in self.batches if batch.is_draft]

    @property
    def dialled(self) -> list[str]:
        return [number for batch in self.ours for number in batch.numbers]


class Service:
    """The service of a world, as the upload protocol sees it."""

    words = GRAINE

    def __init__(self, world: World) -> None:
        self._world = world
        #: What is on its way back, by the chunk.
        self.answers: dict[str, Answer] = {}

    @property
    def limit_to_share(self) -> int | None:
        return self._world.author_limit

    def check(self) -> None:
        self._world.step("check")

    def find(self) -> list[PlacedBatch]:
        world = self._world
        with _Reading(world, "find"):
            listed = [batch for batch in world.batches if batch.at + batch.lag <= world.now]
        return [
            self._placed(batch)
            for batch in sorted(listed, key=lambda batch: batch.at)
            if batch.is_ours or not world.has_metadata  # a mark of another upload
        ]

    def get(self, batch_id: str) -> PlacedBatch | None:
        with _Reading(self._world, "get"):
            return next((self._placed(batch) for batch in self._world.batches if batch.batch_id == batch_id), None)

    def people(self, batch_id: str) -> Iterable[str]:
        with _Reading(self._world, "people"):
            return next((list(batch.numbers) for batch in self._world.batches if batch.batch_id == batch_id), [])

    def create(self, chunk: Chunk, *, concurrency_limit: int | None) -> PlacedBatch:
        """Give the answer that has come; see :class:`SimulatedFlight`."""
        answer = self.answers.pop(chunk.fingerprint)
        if isinstance(answer.outcome, CallingError):
            raise answer.outcome
        return answer.outcome

    def send(self, chunk: Chunk, *, concurrency_limit: int | None) -> None:
        """Let a request reach the service; its answer is on its way from then on."""
        world = self._world
        numbers = chunk.phone_numbers()
        fate = world.fates[world.creates] if world.creates < len(world.fates) else Fate()
        world.creates += 1
        batch_id = f"btc_{world.creates}"
        for send in world.unclear:
            is_in_doubt = world.now - send.at < RESEND_AFTER - world.standstill and not world.has_drafts
            if not send.was_stored and send.numbers & set(numbers) and is_in_doubt:
                world.wrong.append(f"sent again {world.now - send.at:.0f} s after an unclear send")
        world.step("before the send")
        world.judge_start(chunk)
        outcomes: dict[str, CallingError] = {
            "not sent": ServiceUnavailableError("The service cannot be reached. Nothing was sent."),
            "refused": AuthenticationError("The token is not accepted.", status_code=401),
            "unknown": NotFoundError("There is no such campaign.", status_code=404),
        }
        if fate.what in outcomes:
            self.answers[chunk.fingerprint] = Answer(at=world.now, outcome=outcomes[fate.what])
            return
        is_too_large = len(numbers) > (world.hidden_limit or len(numbers))
        is_too_large |= fate.what == "too large" and len(numbers) > 1
        if fate.what == "partial" and len(numbers) > 1:
            world.was_partial = True
            numbers = numbers[: len(numbers) - 1]
        if fate.what == "empty":
            world.was_partial, numbers = True, []
        batch = Stored(
            batch_id=batch_id,
            numbers=numbers,
            at=world.now,
            lag=fate.lag,
            chunk=chunk.fingerprint,
            limit=concurrency_limit,
            sent=chunk.size,
        )
        send = Send(numbers=set(numbers), at=world.now)
        world.unclear.append(send)
        if not is_too_large:
            if fate.what == "late":
                world.store_later(world.now + world.timeout + fate.late, batch, send)
            elif fate.what != "not processed":
                world.store(batch)
                send.was_stored = True
        placed = replace(self._placed(batch), is_marked=True, chunk=chunk.fingerprint, concurrency_limit=None)
        answer = Answer(at=world.now + fate.takes, outcome=placed, send=send)
        if is_too_large:
            error = UnclearOutcomeError("POST was answered with 413.", status_code=413)
            answer = Answer(at=world.now + fate.takes, outcome=error)
        elif fate.what in ("answer lost", "late", "not processed"):
            error = UnclearOutcomeError("POST got no answer: it may or may not have been carried out.")
            answer = Answer(at=world.now + world.timeout, outcome=error)
        self.answers[chunk.fingerprint] = answer
        world.step("sent")

    def _placed(self, batch: Stored) -> PlacedBatch:
        has_metadata = self._world.has_metadata
        return PlacedBatch(
            batch_id=batch.batch_id,
            total=batch.sent if self._world.has_drafts else len(batch.numbers),
            status="draft" if batch.is_draft else "in_progress",
            is_marked=has_metadata and batch.is_ours,
            chunk=batch.chunk if has_metadata else None,
            concurrency_limit=batch.limit,
            is_draft=batch.is_draft,
            created_at=f"{batch.at:012.1f}",
        )


class DraftService(Service):
    """The same where batches are drafts first."""

    def discard(self, batch_id: str) -> bool:
        self._world.step("before a deletion")
        batch = next((batch for batch in self._world.batches if batch.batch_id == batch_id), None)
        if batch is not None and not batch.is_draft:
            return False
        if batch is not None:
            self._world.batches.remove(batch)
        self._world.step("deleted")
        return True

    def headcount(self, batch_id: str, *, expected: int) -> int:
        return len(list(self.people(batch_id)))


class SimulatedFlight:
    """
    Requests in flight, in the world's time and without threads: the answer that is due first comes first.

    :param service: the service
    :param call: gives the answer to a request
    :param most: how many at once
    """

    def __init__(self, service: Service, world: World, call: Callable[[Any], PlacedBatch], *, most: int) -> None:
        self._service, self._world, self._call, self._most = service, world, call, most
        self._under_way: list[Any] = []

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def free(self) -> int:
        return self._most - len(self._under_way)

    def begin(self, sending: Any) -> None:
        self._under_way.append(sending)
        assert len(self._under_way) <= self._most
        self._world.most_at_once = max(self._world.most_at_once, len(self._under_way))
        self._service.send(sending.chunk, concurrency_limit=sending.limit)

    def ended(self, within: float) -> list[tuple[Any, PlacedBatch | BaseException]]:
        self._world.die_if_dead()
        answers = self._service.answers
        sending = min(self._under_way, key=lambda each: answers[each.chunk.fingerprint].at)
        answer = answers[sending.chunk.fingerprint]
        if answer.at > self._world.now + within:
            self._world.pass_time(within)
            return []
        if answer.send is not None or isinstance(answer.outcome, UnclearOutcomeError):
            self._world.step("before the answer")
        self._world.pass_time(max(0.0, answer.at - self._world.now))
        end: PlacedBatch | BaseException
        try:
            end = self._call(sending)
        except CallingError as error:
            end = error
        self._under_way.remove(sending)
        if answer.send is not None:
            self._world.unclear.remove(answer.send)
            self._world.step("after the answer")
        return [(sending, end)]

    def close(self) -> None:
        """There is nothing to close."""


class _Reading:
    """A read shows what was so when it began; it takes time, and may fail."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def __enter__(self) -> None:
        self._world.reads += 1
        self._world.step(self._name)
        if self._world.reads in self._world.unreadable:
            raise ServiceUnavailableError("The service cannot be reached.")

    def __exit__(self, *error: object) -> None:
        self._world.pass_time(self._world.read_takes)


class Values:
    """A store of small values; a process may die on either side of a write."""

    def __init__(self, world: World, values: dict[str, Any]) -> None:
        self._world, self._values = world, values

    def get(self, key: str, default: Any = None) -> Any:
        self._world.step("remembered")
        return json.loads(json.dumps(self._values.get(key, default)))

    def set(self, key: str, value: Any) -> None:
        self._world.step("before remembering")
        self._values[key] = json.loads(json.dumps(value))
        self._world.step("after remembering")


class SimulatedClock:
    """The world's clock; with patience it suspends, as that of deferrable tasks does."""

    def __init__(self, world: World, patience: float | None) -> None:
        self._world, self._patience = world, patience

    def now(self) -> float:
        return self._world.now

    def sleep(self, seconds: float, *, until: float) -> None:
        if self._patience is not None:
            self._patience -= seconds
            if self._patience < 0:
                raise SuspendedError(until)
        self._world.step("asleep")
        self._world.pass_time(seconds)
        self._world.step("awake")


@dataclass(frozen=True, kw_only=True)
class Try:
    """
    One try of the task.

    :param number: from 1
    :param contacts: the source, as it is now
    :param batch_size: most contacts on a batch
    :param memory: ``state`` (Airflow's), ``none``, or ``state and ledger``
    :param patience: seconds before it suspends, or ``None`` where it sleeps
    :param forgets: whether the task state is wiped while it is suspended
    :param max_parallel: how many requests are in flight at once
    :param is_stopped: whether it has been stopped from outside
    """

    number: int
    contacts: list[Person]
    batch_size: int = 3
    memory: str = "state"
    patience: float | None = None
    forgets: bool = False
    max_parallel: int = 1
    is_stopped: Callable[[], bool] = lambda: False

    def run(self, world: World) -> Uploaded:
        """Run it as the operators do, suspended parts and all."""
        world.begin_process()
        record: Record | None = None
        doubt_ends: float | None = None
        has_forgotten = False
        while True:
            memory = self._memory(world, record, is_resumed=doubt_ends is not None)
            service = DraftService(world) if world.has_drafts else Service(world)
            try:
                uploaded = Upload(
                    service=service,
                    contacts=PlainList(  # type: ignore[arg-type]
                        self.contacts, local_time=world.local_time, after=world.now
                    ),
                    batch_size=self.batch_size,
                    resend_after=DRAFTS_RESEND_AFTER if world.has_drafts else RESEND_AFTER,
                    memory=memory,
                    is_first=self.number <= 1,
                    clock=SimulatedClock(world, self.patience),
                    log=_log_of(world),
                    doubt_ends=doubt_ends,
                    max_parallel=self.max_parallel,
                    is_stopped=self.is_stopped,
                    in_flight=partial(SimulatedFlight, service, world),
                ).run()
                for batch in uploaded.batches:
                    world.start(batch.batch_id)
                return uploaded
            except SuspendedError as suspended:
                kept = None if memory.is_shared else memory.read()
                record = None if kept is None else Record.from_json(json.loads(json.dumps(kept.as_json())))
                doubt_ends = suspended.until
                world.step("suspended")
                world.pass_time(max(1.0, doubt_ends - world.now))
                if self.forgets and not has_forgotten:
                    has_forgotten = True
                    world.state.clear()
                    world.has_forgotten |= self.memory == "state"

    def _memory(self, world: World, carried: Record | None, *, is_resumed: bool) -> Memory:
        if self.memory == "state and ledger":
            both = SeveralMemories(
                PagedMemory(Values(world, world.state), owner=self.number),
                PagedMemory(Values(world, world.ledger), owner=self.number),
            )
            if self.number <= 1 and not is_resumed and both.read() is None:
                both.write(Record())
            return both
        store = Values(world, world.state) if self.memory == "state" else None
        context: Any = {"ti": SimpleNamespace(try_number=self.number), "task_state_store": store}
        memory = open_memory(context, IDENTITY, ledger_path=None, is_resumed=is_resumed, carried=carried)
        assert isinstance(memory, OwnMemory if store is None else PagedMemory)
        return memory

    def attempt(self, world: World) -> Uploaded | BaseException:
        """Run it; return how it ended, and note what is wrong about that."""
        said = len(world.said)
        try:
            uploaded = self.run(world)
        except (Died, CallingError) as error:
            self._judge_failure(world, error, world.said[said:])
            return error
        self._judge_success(world, uploaded)
        return uploaded

    def _judge_success(self, world: World, uploaded: Uploaded) -> None:
        returned = [batch.batch_id for batch in uploaded.batches]
        numbers = [number for batch in world.ours if batch.batch_id in returned for number in batch.numbers]
        if lost := {number for number, _ in self.contacts} - set(numbers):
            world.wrong.append(f"{len(lost)} people are on no batch that was returned")
        if foreign := set(returned) - {batch.batch_id for batch in world.ours}:
            world.wrong.append(f"batches of others were returned: {foreign}")
        if len(returned) != len(set(returned)):
            world.wrong.append("a batch was returned twice")
        for batch in world.ours:
            # Without a memory nobody waits for batches that hold only people who are no longer in the source.
            # Without metadata, nothing tells that a batch with none of the people is ours.
            is_listed = batch.at + batch.lag <= world.now - 20 * world.read_takes
            may_be_missed = not set(batch.numbers) & {number for number, _ in self.contacts} and (
                (world.has_forgotten and not is_listed) or not world.has_metadata
            )
            if batch.batch_id not in returned and not may_be_missed:
                world.wrong.append(f"batch {batch.batch_id} was not returned")

    def _judge_failure(self, world: World, error: BaseException, said: list[str]) -> None:
        known = [line for line in said if line.startswith("The upload stopped: ")]
        if not known:
            if not isinstance(error, Died):
                world.wrong.append("nothing was said about who is not sent")
            return
        unsent = int(known[-1].split()[3])
        on_drafts = {number for batch in world.drafts for number in batch.numbers}
        least = len({number for number, _ in self.contacts} - set(world.dialled) - on_drafts)
        if world.has_drafts and world.was_partial:
            least = 0
        if not least <= unsent <= len(self.contacts):
            world.wrong.append(f"{unsent} are said not to be sent, {least} are not")


def _log_of(world: World) -> logging.Logger:
    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            world.said.append(record.getMessage())

    log = logging.Logger("upload")
    log.addHandler(Said())
    return log
