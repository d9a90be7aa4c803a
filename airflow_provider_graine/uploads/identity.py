"""Who an upload and its batches are: the same on every try, found again on the service."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

RUN_KEY: Final = "airflow_run_key"
CHUNK_KEY: Final = "airflow_chunk"
GENERATION_KEY: Final = "airflow_generation"


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
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    generation: int = 0
    is_for_generation: bool = False

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
            "airflow_dag_id": self.dag_id,
            "airflow_run_id": self.run_id,
            "airflow_task_id": self.task_id,
            "airflow_map_index": self.map_index,
            GENERATION_KEY: self.generation,
        }
        if chunk is not None:
            marks[CHUNK_KEY] = chunk
        return {**(metadata or {}), **marks}

    def made(self, metadata: Mapping[str, Any] | None) -> bool:
        """
        Tell whether an object with this metadata was created for this identity.

        :param metadata: as the service returns it
        """
        if not metadata or metadata.get(RUN_KEY) != self.key:
            return False
        return not self.is_for_generation or metadata.get(GENERATION_KEY) in (None, self.generation)
