"""Counts the records of a file while its blocks pass by, wherever the blocks are cut."""

from __future__ import annotations

import re
from typing import Final

_BLANK_LINES: Final = re.compile(rb"\n[\r\n]*\n")
_NEITHER_ENDS_NOR_FILLS: Final = bytes(set(range(256)) - set(b'\n",;\t|'))
_NEITHER_QUOTE_NOR_END: Final = bytes(set(range(256)) - set(b'"\n'))
_QUOTE_OR_END: Final = bytes.maketrans(b'"\n', b"10")


class LineCounter:
    r"""
    Counts the lines that are not blank: the records of a JSON lines file.

    Lines end with ``\n`` or ``\r\n``; the last one counts with or without its line end.
    """

    def __init__(self) -> None:
        self._ended = 0
        self._at_line_start = True

    @property
    def rows(self) -> int:
        """Records seen so far, an unfinished last one included."""
        return self._ended + (not self.ends_whole)

    @property
    def ends_whole(self) -> bool:
        """Whether the last block ended where a record ends; a file may end otherwise and still be whole."""
        return self._at_line_start

    def feed(self, block: bytes) -> None:
        """
        Count what ends in this block.

        :param block: the next bytes of the stream, cut anywhere
        """
        if self._at_line_start:
            block = block.lstrip(b"\r\n")
        if not (line := block.rstrip(b"\r")):
            return
        self._at_line_start = line.endswith(b"\n")
        self._ended += self._ends(block)

    def _ends(self, block: bytes) -> int:
        # Nearly every line that holds something holds one of these; only where some do not is it worth a look.
        if b"\n\n" in block.translate(None, _NEITHER_ENDS_NOR_FILLS):
            block = _BLANK_LINES.sub(b"\n", block)
        return block.count(b"\n")


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

    @property
    def ends_whole(self) -> bool:
        """Whether the last block ended where a record ends; a file may end otherwise and still be whole."""
        return super().ends_whole and not self._quoted

    def _ends(self, block: bytes) -> int:
        ends, quoted = self._marked(block)
        # Blank lines within quotes do not matter, and texts have many: only then look for others.
        if ends & ends >> 1 and b"\n\n" in block.translate(None, _NEITHER_ENDS_NOR_FILLS):
            ends, quoted = self._marked(_BLANK_LINES.sub(b"\n", block))
        self._quoted = quoted
        return ends.bit_count()

    def _marked(self, block: bytes) -> tuple[int, bool]:
        """
        Mark the line ends that stand outside of quotes, thousands at a time: one bit for each quote or line end.

        :return: the marks, and whether the block ends within quotes
        """
        places = block.translate(_QUOTE_OR_END, _NEITHER_QUOTE_NOR_END)
        if not places:
            return 0, self._quoted
        quotes = within = int(places, 2)
        step = 1
        while step < len(places):  # a place lies within quotes if their number up to it is odd
            within ^= within >> step
            step *= 2
        everywhere = (1 << len(places)) - 1
        if self._quoted:
            within ^= everywhere
        return everywhere & ~(quotes | within), bool(within & 1)
