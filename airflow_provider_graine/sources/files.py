"""Files in any object store, as local files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from airflow.sdk import ObjectStoragePath
from fsspec.core import split_protocol
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_graine.contacts.ahead import one_ahead
from airflow_provider_graine.exceptions import SourceError

_WILDCARDS: Final = frozenset("*[?")
_GROUP_FILES: Final = 500
_GROUP_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class _File:
    """
    A file in a store.

    :param fs: the store
    :param name: the file's name in it
    :param size: bytes
    """

    fs: Any
    name: str
    size: int

    @property
    def uri(self) -> str:
        return str(self.fs.unstrip_protocol(self.name))

    @property
    def is_local(self) -> bool:
        protocols = {self.fs.protocol} if isinstance(self.fs.protocol, str) else set(self.fs.protocol)
        return "file" in protocols


def local_files(paths: str | Sequence[str], *, conn_id: str | None = None) -> Iterator[list[tuple[str, Path]]]:
    """
    Give files as local ones, copied where the store is not this machine.

    Small files come in groups, for to copy or to read many at once takes little longer than to do so with one. While
    the caller is busy with a group, the next one is copied; a group is removed when the next one is asked for.

    :param paths: a path or a list of them, each with or without wildcards
    :param conn_id: connection of the store; default: the one in the path
    :return: groups of URI and local path, in the order of the names
    :raises SourceError: when a path is missing or wildcards match nothing: that is not an empty list
    """
    files = [file for path in ([paths] if isinstance(paths, str) else paths) for file in _found(path, conn_id)]
    with tempfile.TemporaryDirectory(prefix="graine-") as directory:

        def fetch(group: list[_File]) -> list[tuple[str, Path]]:
            return _fetched(group, Path(tempfile.mkdtemp(dir=directory)))

        with closing(one_ahead(fetch, _groups(files))) as groups:
            for group in groups:
                yield group
                for _, path in group:
                    if path.is_relative_to(directory):
                        path.unlink()


def _groups(files: Iterable[_File]) -> Iterator[list[_File]]:
    group: list[_File] = []
    for file in files:
        size = sum(each.size for each in group) + file.size
        if group and (len(group) == _GROUP_FILES or size > _GROUP_BYTES or file.fs is not group[0].fs):
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _fetched(group: list[_File], directory: Path) -> list[tuple[str, Path]]:
    if group[0].is_local:
        return [(file.uri, Path(file.name)) for file in group]
    copies = [directory / f"{number}-{file.name.rpartition('/')[2]}" for number, file in enumerate(group)]
    group[0].fs.get([file.name for file in group], [str(copy) for copy in copies])
    return [(file.uri, copy) for file, copy in zip(group, copies, strict=True)]


def _found(path: str, conn_id: str | None) -> list[_File]:
    wildcard = next((index for index, character in enumerate(path) if character in _WILDCARDS), None)
    if wildcard is None:
        fs, name = _store(path, conn_id)
        if not fs.isfile(name):
            raise SourceError(f"There is no file at {fs.unstrip_protocol(name)}. Nothing was sent.")
        return [_File(fs, name, fs.size(name) or 0)]
    cut = path.rfind("/", 0, wildcard) + 1
    fs, base = _store(path[:cut], conn_id)
    found = fs.glob(f"{base.rstrip('/')}/{path[cut:]}", detail=True)
    files = [
        _File(fs, str(name), info.get("size") or 0) for name, info in sorted(found.items()) if info["type"] == "file"
    ]
    if not files:
        raise SourceError(
            f"No file matches the pattern below {fs.unstrip_protocol(base)}. "
            "A missing file is not an empty list: nothing was sent."
        )
    return files


def _store(path: str, conn_id: str | None) -> tuple[Any, str]:
    """:return: the store of a path, and the path's name in it"""
    if conn_id is None and split_protocol(path)[0] in (None, "file"):
        fs = LocalFileSystem()  # for any path, Airflow loads the libraries of all stores that are installed
        return fs, fs._strip_protocol(path)
    there = ObjectStoragePath(path, conn_id=conn_id)
    return there.fs, there.path
