"""Files in any object store, as local files one after the other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from airflow.sdk import ObjectStoragePath

from airflow_provider_graine.exceptions import SourceError

_WILDCARDS: Final = frozenset("*[?")
_BLOCK: Final = 4 * 2**20


def local_files(paths: str | Sequence[str], *, conn_id: str | None = None) -> Iterator[tuple[str, Path]]:
    """
    Give each file as a local one, copied where the store is not this machine; one copy exists at a time.

    :param paths: a path or a list of them, each with or without wildcards
    :param conn_id: connection of the store; default: the one in the path
    :return: URI and local path of each, in the order of their names
    :raises SourceError: when a path is missing or wildcards match nothing: that is not an empty list
    """
    for path in [paths] if isinstance(paths, str) else paths:
        for fs, name in _found(path, conn_id):
            uri = str(fs.unstrip_protocol(name))
            if "file" in _protocols(fs):
                yield uri, Path(name)
                continue
            with tempfile.TemporaryDirectory(prefix="graine-") as directory:
                copy = Path(directory) / name.rpartition("/")[2]
                with fs.open(name, "rb") as source, copy.open("wb") as target:
                    shutil.copyfileobj(source, target, _BLOCK)
                yield uri, copy


def _found(path: str, conn_id: str | None) -> list[tuple[Any, str]]:
    wildcard = next((index for index, character in enumerate(path) if character in _WILDCARDS), None)
    if wildcard is None:
        file = ObjectStoragePath(path, conn_id=conn_id)
        if not file.fs.isfile(file.path):
            raise SourceError(f"There is no file at {file.fs.unstrip_protocol(file.path)}. Nothing was sent.")
        return [(file.fs, file.path)]
    cut = path.rfind("/", 0, wildcard) + 1
    base = ObjectStoragePath(path[:cut], conn_id=conn_id)
    pattern = f"{base.path.rstrip('/')}/{path[cut:]}"
    files = sorted(str(match) for match in base.fs.glob(pattern) if base.fs.isfile(match))
    if not files:
        raise SourceError(
            f"No file matches the pattern below {base.fs.unstrip_protocol(base.path)}. "
            "A missing file is not an empty list: nothing was sent."
        )
    return [(base.fs, file) for file in files]


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
