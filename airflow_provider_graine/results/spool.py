"""Files on the worker's own disk, between the service and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BLOCK: Final = 2**20  # bytes


def spool(path: Path, blocks: Iterable[bytes]) -> None:
    """
    Write a stream of bytes to a file; what a try before left there is overwritten.

    :param path: the file
    :param blocks: the content
    """
    with path.open("wb") as file:
        file.writelines(blocks)


def blocks_of(path: Path, *, start: int = 0) -> Iterator[bytes]:
    """
    Read a file in blocks of 1 MiB.

    :param path: the file
    :param start: number of bytes to pass over
    """
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while block := file.read(_BLOCK):
            yield block
