"""Counts the records of a file while its blocks pass by, wherever the blocks are cut."""

from __future__ import annotations

import re
from typing import Protocol

_BLANK_LINES = re.compile(rb"\n{2,}")


class RowCounter(Protocol):
    """What :func:`~airflow_provider_graine.results.landing.land` needs to count rows."""

    @property
    def rows(self) -> int:
        """Records seen so far."""

    def feed(self, block: bytes) -> None:
        """Count what ends in this block."""


class LineCounter:
    r"""
    Counts the lines that are not blank: the records of a JSON lines file.

    Lines end with ``\n``, ``\r\n`` or ``\r``; the last one counts with or without its line end.
    """

    def __init__(self) -> None:
        self._ended = 0
        self._at_line_start = True

    @property
    def rows(self) -> int:
        """Records seen so far, an unfinished last one included."""
        return self._ended + (not self._at_line_start)

    @property
    def ends_whole(self) -> bool:
        """Whether the last block ended where a record ends; a file may end otherwise and still be whole."""
        return self._at_line_start

    def feed(self, block: bytes) -> None:
        """
        Count what ends in this block.

        :param block: the next bytes of the stream, cut anywhere
        """
        if not block:
            return
        # A "\r\n" cut in two, or kept as two line ends, is a blank line more, and blank lines do not count.
        lines = block.replace(b"\r", b"\n") if b"\r" in block else block
        if b"\n\n" in lines:
            lines = _BLANK_LINES.sub(b"\n", lines)
        self._ended += lines.count(b"\n") - (self._at_line_start and lines.startswith(b"\n"))
        self._at_line_start = lines.endswith(b"\n")


class CsvRowCounter(LineCounter):
    """
    Counts the records of a CSV file, its header not included.

    Line ends within quotes belong to the value. A quote opens or closes wherever it stands (RFC 4180: a value that
    holds a quote is itself quoted), so the delimiter need not be known.
    """

    def __init__(self) -> None:
        super().__init__()
        self._quoted = False

    @property
    def rows(self) -> int:
        """Records seen so far without the header, an unfinished last one included."""
        return max(super().rows - 1, 0)

    def feed(self, block: bytes) -> None:
        """
        Count what ends in this block.

        :param block: the next bytes of the stream, cut anywhere
        """
        if not self._quoted and b'"' not in block:
            super().feed(block)
            return
        pieces = block.split(b'"')  # every other piece stands outside of quotes
        outside = b'"'.join(pieces[self._quoted :: 2])
        self._quoted ^= len(pieces) % 2 == 0
        super().feed(outside + b'"' if self._quoted else outside)
