"""From bytes, however cut, to events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.services.event_stream import Event, EventReader


def read(*blocks: bytes) -> list[Event | None]:
    reader = EventReader()
    return [event for block in blocks for event in reader.feed(block)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: 1\n\n", [Event("message", "1")]),
        (b"data:1\n\ndata:2\n\n", [Event("message", "1"), Event("message", "2")]),
        (b"data:  two blanks\n\n", [Event("message", " two blanks")]),
        (b"data: a\ndata: b\ndata\n\n", [Event("message", "a\nb\n")]),
        (b"event: end\n\n", [Event("end", "")]),
        (b"event: end\ndata: {}\n\n", [Event("end", "{}")]),
        (b"event: x\ndata: 1\n\ndata: 2\n\n", [Event("x", "1"), Event("message", "2")]),
        (b": heartbeat\n", [None]),
        (b": heartbeat\n\n:\n\n", [None, None]),
        (b"data: 1\n: heartbeat\ndata: 2\n\n", [None, Event("message", "1\n2")]),
        (b"\xef\xbb\xbfdata: 1\n\n", [Event("message", "1")]),
        (b"id: 7\nretry: 10\nother: x\nnothing\n\n", []),
        (b"data: 1\nid: 7\n\n", [Event("message", "1")]),
        (b"data: \xe2\x80\xa8\xc2\x85|\xff\n\n", [Event("message", "\u2028\u0085|\ufffd")]),
        (b"\n\n\n", []),
        (b"data: never finished\n", []),
        (b"data: never finished", []),
        (b"", []),
    ],
)
def test_what_the_standard_says(stream: bytes, events: list[Event | None]) -> None:
    assert read(stream) == events
    assert read(*(bytes([byte]) for byte in stream)) == events
    assert read(stream.replace(b"\n", b"\r\n")) == events


def test_lone_carriage_returns_end_lines_too() -> None:
    assert read(b"data: 1\r\rdata: 2\r\r", b": alive\r") == [Event("message", "1"), Event("message", "2")]


EVENTS = st.lists(
    st.one_of(
        st.none(),
        st.tuples(
            st.sampled_from(["message", "end", "snapshot"]),
            st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=20)), max_size=4),
        ),
    ),
    max_size=8,
)


@given(events=EVENTS, newline=st.sampled_from(["\n", "\r\n", "\r"]), cuts=st.lists(st.integers(1, 40), max_size=40))
def test_wherever_it_is_cut(events: list[Any], newline: str, cuts: list[int]) -> None:
    text = "".join(
        f": alive{newline}"
        if event is None
        else f"event: {event[0]}{newline}data: {json.dumps(event[1], ensure_ascii=False)}{newline * 2}"
        for event in events
    )
    rest, blocks = text.encode(), []
    for cut in cuts:
        blocks.append(rest[:cut])
        rest = rest[cut:]
    found = read(*blocks, rest, b":\n")[: len(events)]
    assert [None if event is None else (event.name, json.loads(event.data)) for event in found] == events
