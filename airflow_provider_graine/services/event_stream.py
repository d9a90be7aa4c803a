"""
Reading ``text/event-stream``, after https://html.spec.whatwg.org/multipage/server-sent-events.html.

The libraries for it keep the comments to themselves with which a server shows that it is alive, and those are half of
what a wait reads such a stream for.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MEDIA_TYPE: Final = "text/event-stream"


@dataclass(frozen=True)
class Event:
    """
    An event of a stream.

    :param name: its name; ``message`` where it has none
    :param data: its data; their lines are joined
    """

    name: str
    data: str


class EventReader:
    """Makes events of the bytes of a stream, however those are cut."""

    def __init__(self) -> None:
        self._text = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("replace"), translate=True)
        self._begun: list[str] = []
        self._name = ""
        self._data: list[str] = []

    def feed(self, block: bytes) -> Iterator[Event | None]:
        """
        Take the next bytes.

        :param block: bytes as they came
        :return: the events that are complete with them, and ``None`` for a comment; an event that the stream breaks
            off in never comes
        """
        first, *others = self._text.decode(block).split("\n")
        self._begun.append(first)
        for following in others:
            line = "".join(self._begun)
            self._begun = [following]
            if line.startswith(":"):
                yield None
            elif line:
                self._take(line)
            elif self._data or self._name:
                yield Event(self._name or "message", "\n".join(self._data))
                self._name, self._data = "", []

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
