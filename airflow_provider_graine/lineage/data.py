"""What a task has read and written, in one form for all who want to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.calling_service import CallingServiceHook

#: So many batches or files are told one by one; of more, what they are part of is told. Airflow's collector keeps 100
#: in all of what a task reads, and as many of what it writes.
MOST: Final = 50
#: So many ids go along with an event.
MOST_IDS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Data:
    """
    Something that a task has read or written.

    :param uri: what it is, without credentials
    :param role: ``"product"``: what the task is for; ``"by-product"``: something else, such as the file of rejected
        contacts; ``"part"``: part of another one, and gone soon, such as a batch of a campaign
    :param rows: how many records or people of it the task has written, where that is known
    :param bytes: how large it is, where that is known
    :param extra: what goes along with its asset event: counts and ids alone
    """

    uri: str
    role: Literal["product", "by-product", "part"] = "product"
    rows: int | None = None
    bytes: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Query:
    """
    A query whose rows a task has read.

    :param sql: the statement
    :param conn_id: the connection of the database
    """

    sql: str
    conn_id: str


@dataclass(frozen=True, kw_only=True)
class TaskLineage:
    """
    What a task has read and written.

    :param hook: the connection of the service
    :param inputs: what was read, the rows of queries not counted
    :param queries: the queries whose rows were read
    :param outputs: what was written
    :param figures: counts, and ids of batches and campaigns
    """

    hook: CallingServiceHook
    inputs: Sequence[Data] = ()
    queries: Sequence[Query] = ()
    outputs: Sequence[Data] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
