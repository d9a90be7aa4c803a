"""Who an upload and its batches are: the same on every try, found again on the service."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from airflow_provider_graine.exceptions import UploadError

RUN_KEY: Final = "airflow_run_key"
CHUNK_KEY: Final = "airflow_chunk"
GENERATION_KEY: Final = "airflow_generation"
SHARD_KEY: Final = "airflow_shard"
SHARDS_KEY: Final = "airflow_shards"
_MAP_INDEX_KEY: Final = "airflow_map_index"
_WHOLE_LIST: Final = (0, 1)
#: Digits of the hashes in a mark.
_TASK: Final = 12
_CHUNK: Final = 16


@dataclass(frozen=True, kw_only=True)
class Mark:
    """
    The identity of what was created, where a name is all that comes back of it: as short as it can be.

    :param task: hash of DAG, run and task
    :param map_index: index of the mapped task, ``-1`` for others
    :param generation: as in :class:`RunIdentity`
    :param shard: as in :class:`RunIdentity`
    :param chunk: beginning of the fingerprint of the contacts
    :param people: how many were sent
    """

    task: str
    map_index: int
    generation: int
    shard: tuple[int, int]
    chunk: str
    people: int

    _TEXT: ClassVar = re.compile(r"\[af ([0-9a-f]{12})((?:\.-?\d{1,12}){5})\.([0-9a-f]{16})\]")

    def __str__(self) -> str:
        numbers = (self.map_index, self.generation, *self.shard, self.people)
        return f"[af {self.task}.{'.'.join(map(str, numbers))}.{self.chunk}]"

    @classmethod
    def read(cls, text: str | None) -> Mark | None:
        """
        Find a mark.

        :param text: where it may be
        """
        if not (marks := list(cls._TEXT.finditer(text or ""))):
            return None
        found = marks[-1]
        map_index, generation, index, of, people = map(int, found[2].split(".")[1:])
        return cls(
            task=found[1],
            map_index=map_index,
            generation=generation,
            shard=(index, of),
            chunk=found[3],
            people=people,
        )


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """
    One task of one DAG run. The try number is not part of it: a retry is the same upload.

    :param dag_id: the DAG
    :param run_id: the DAG run
    :param task_id: the task
    :param map_index: index of a mapped task, ``-1`` for others
    :param generation: a number that stays the same from one try to the next unless somebody cleared the task
    :param is_for_generation: whether each generation is an upload of its own; otherwise all are one
    :param shard: ``(index, of)``: which of several disjoint parts of the list this upload is for
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    generation: int = 0
    is_for_generation: bool = False
    shard: tuple[int, int] = (0, 1)

    @property
    def key(self) -> str:
        """A short name for the task of the run that no two share."""
        text = json.dumps([self.dag_id, self.run_id, self.task_id, self.map_index])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def upload(self) -> str:
        """What to call this upload among those of the task."""
        return f"upload-{self.generation}" if self.is_for_generation else "upload"

    def marked(self, metadata: Mapping[str, Any] | None, *, chunk: str | None = None) -> dict[str, Any]:
        """
        Add the identity to the metadata of an object that is about to be created.

        :param metadata: the author's own metadata
        :param chunk: fingerprint of the contacts, for a batch
        :return: the metadata to send; the identity wins over equal names
        """
        marks: dict[str, Any] = {
            RUN_KEY: self.key,
            **self._task,
            _MAP_INDEX_KEY: self.map_index,
            GENERATION_KEY: self.generation,
        }
        if self.shard != _WHOLE_LIST:
            marks[SHARD_KEY], marks[SHARDS_KEY] = self.shard
        if chunk is not None:
            marks[CHUNK_KEY] = chunk
        return {**(metadata or {}), **marks}

    @property
    def _task(self) -> dict[str, str]:
        return {"airflow_dag_id": self.dag_id, "airflow_run_id": self.run_id, "airflow_task_id": self.task_id}

    def ensure_same_shards(self, metadata: Mapping[str, Any] | None, *, batch_id: str) -> None:
        """
        Make sure that a batch does not tell of another way to share this run's list out among mapped tasks.

        :param metadata: the batch's, as the service returns it
        :param batch_id: what to call it
        :raises UploadError: when it does: somebody could be in two parts, or in none
        """
        if not metadata or any(metadata.get(key) != value for key, value in self._task.items()):
            return
        shard = metadata.get(SHARD_KEY, _WHOLE_LIST[0]), metadata.get(SHARDS_KEY, _WHOLE_LIST[1])
        self._ensure_same_shards(shard, metadata.get(_MAP_INDEX_KEY, -1), f"Batch {batch_id}")

    def _ensure_same_shards(self, shard: tuple[Any, Any], map_index: Any, what: str) -> None:
        is_same_task, is_same_shard = map_index == self.map_index, shard == self.shard
        if shard[1] == self.shard[1] and (shard == _WHOLE_LIST or is_same_task == is_same_shard):
            return
        raise UploadError(
            f"{what} of this run was made from {_part(shard)} by {_task(map_index)}, and "
            f"{_task(self.map_index)} is now for {_part(self.shard)}: somebody could be called twice, or not at all. "
            "Nothing more was sent. Set shard back to what it was when the run began, or start a new run."
        )

    def made(self, metadata: Mapping[str, Any] | None) -> bool:
        """
        Tell whether an object with this metadata was created for this identity.

        :param metadata: as the service returns it
        """
        if not metadata or metadata.get(RUN_KEY) != self.key:
            return False
        return not self.is_for_generation or metadata.get(GENERATION_KEY) in (None, self.generation)

    def mark(self, *, chunk: str, people: int) -> Mark:
        """
        Return the identity of an object that is about to be created, for its name.

        :param chunk: fingerprint of the contacts
        :param people: how many they are
        """
        return Mark(
            task=self._task_hash,
            map_index=self.map_index,
            generation=self.generation,
            shard=self.shard,
            chunk=chunk[:_CHUNK],
            people=people,
        )

    def made_mark(self, mark: Mark, *, what: str) -> bool:
        """
        Tell whether an object with this mark in its name was created for this identity.

        :param mark: as read from the name
        :param what: what to call the object: ``"Campaign 7"``
        :raises UploadError: when it tells of another way to share this run's list out among mapped tasks
        """
        if mark.task != self._task_hash:
            return False
        self._ensure_same_shards(mark.shard, mark.map_index, what)
        is_same_generation = not self.is_for_generation or mark.generation == self.generation
        return mark.map_index == self.map_index and is_same_generation

    @property
    def _task_hash(self) -> str:
        text = json.dumps([self.dag_id, self.run_id, self.task_id])
        return hashlib.sha256(text.encode()).hexdigest()[:_TASK]


def _part(shard: tuple[int, int]) -> str:
    return "the whole list" if shard == _WHOLE_LIST else f"shard {shard[0]} of {shard[1]}"


def _task(map_index: int) -> str:
    return f"mapped task {map_index}" if map_index >= 0 else "the task"
