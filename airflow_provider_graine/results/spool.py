"""What lies between the service and the store: blocks of bytes, and files on the worker's own disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BLOCK: Final = 2**20  # bytes
_LEAST_BLOCK: Final = 256 * 1024


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


def in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join what comes in small pieces to blocks that are worth handing on."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _LEAST_BLOCK:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """
    Cut a stream into its lines.

    :param blocks: the stream, cut anywhere
    :return: the lines that are not blank, without their ends
    """
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from filter(bytes.strip, lines)
    if rest.strip():
        yield rest
