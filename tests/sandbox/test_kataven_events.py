from __future__ import annotations

import json
import time
from contextlib import ExitStack
from itertools import takewhile

import httpx
import pytest

from airflow_provider_graine.sandbox import KatavenSettings
from tests.sandbox.conftest import KatavenClient, number


class Stream:
    """Reads an event stream piece by piece."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def __iter__(self):
        return self

    def __next__(self):
        lines = list(takewhile(bool, self._lines))
        if not lines:
            raise StopIteration
        if lines[0].startswith("data: "):
            assert len(lines) == 1
            return json.loads(lines[0][6:])
        return "\n".join(lines)


@pytest.fixture
def watch(kataven):
    """Open the event stream of a campaign."""
    with ExitStack() as stack:

        def watch(campaign_id, client=kataven, **how):
            answer = stack.enter_context(client.http.stream("GET", f"/campaigns/{campaign_id}/events", **how))
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            return Stream(answer)

        yield watch


def test_a_snapshot_every_two_seconds_by_the_sandboxs_clock(kataven, sandbox, watch):
    campaign_id = kataven.started(8, max_concurrent_calls=2)
    stream = watch(campaign_id)
    sandbox.advance(2)
    assert next(stream) == {
        "campaign_id": campaign_id,
        "status": "running",
        "total": 8,
        "contacts": {"pending": 6, "calling": 2, "completed": 0, "failed": 0, "skipped": 0},
        "active_calls": 2,
        "calls": 2,
    }
    sandbox.advance(1.5)
    sandbox.advance(0.5)
    assert next(stream)["status"] == "running"
    for seconds in (8, 2):  # what was due meanwhile comes once
        sandbox.advance(seconds)
        seen = next(stream)
        assert seen["contacts"]["pending"] + seen["calls"] == 8


def test_nothing_comes_while_time_stands_still(kataven, sandbox, watch):
    stream = watch(kataven.started(), timeout=httpx.Timeout(5, read=0.3))
    with pytest.raises(httpx.ReadTimeout):
        next(stream)


def test_heartbeats_come_whatever_the_status(kataven, sandbox, watch):
    campaign_id = kataven.draft()
    stream = watch(campaign_id)
    for _ in range(2):
        sandbox.advance(15)
        assert next(stream) == ": heartbeat"
    kataven.move(campaign_id, "start")
    sandbox.advance(2)
    assert next(stream)["status"] == "running"
    kataven.move(campaign_id, "pause")
    sandbox.advance(13)
    assert next(stream) == ": heartbeat"


@pytest.mark.parametrize(("data", "last"), [(None, "event: end"), ("{}", "event: end\ndata: {}")])
def test_the_end(kataven, sandbox, watch, data, last):
    sandbox.kataven.settings.end_data = data
    campaign_id = kataven.started()
    stream = watch(campaign_id)
    kataven.move(campaign_id, "stop")
    sandbox.advance(2)
    assert list(stream) == [last]
    assert kataven.statuses(campaign_id) == ["calling"] * 3  # the end of the campaign, not of its calls
    sandbox.advance(600)
    assert list(watch(campaign_id)) == [last]


def test_the_end_of_a_campaign_that_fails(kataven, sandbox, watch):
    campaign_id = kataven.started()
    stream = watch(campaign_id)
    sandbox.kataven.fail_campaign(campaign_id)
    sandbox.advance(2)
    assert list(stream) == ["event: end"]


def test_a_draft_that_is_deleted_and_a_reset_end_the_stream_without_a_word(kataven, sandbox, watch):
    campaign_id, other = kataven.draft(), kataven.draft()
    streams = [watch(campaign_id), watch(other)]
    kataven.ok("DELETE", f"/campaigns/{campaign_id}", status=204)
    sandbox.advance(2)
    assert list(streams[0]) == []
    sandbox.reset()
    assert list(streams[1]) == []


def test_by_a_running_clock(start, watch):
    sandbox, _ = start(speed=200, outcomes={"completed": 1}, kataven=KatavenSettings(rate_limits=False))
    client = KatavenClient(sandbox)
    seen = list(watch(client.started(5), client))
    client.http.close()
    snapshots = [each for each in seen if isinstance(each, dict)]
    assert seen[-1] == "event: end"
    assert 1 <= seen.count(": heartbeat") < len(snapshots)
    assert [each["contacts"]["completed"] for each in snapshots] == sorted(
        each["contacts"]["completed"] for each in snapshots
    )


def test_ten_thousand_events(start, watch):
    settings = KatavenSettings(rate_limits=False, tick_pause=0.0, tick_seconds=0.0001)
    sandbox, _ = start(speed=1, kataven=settings)
    client = KatavenClient(sandbox)
    stream = watch(client.started(), client)
    begin = time.monotonic()
    for _ in range(10_000):
        assert next(stream)
    assert time.monotonic() - begin < 20
    stream.answer.close()
    client.http.close()


def test_streams_that_nobody_reads_any_more_are_let_go(start, watch):
    sandbox, _ = start(kataven=KatavenSettings(requests_in_flight=2, requests_per_minute=500))
    client = KatavenClient(sandbox)
    campaign_id = client.started()
    streams = [watch(campaign_id, client) for _ in range(2)]
    answer = client.http.get("/campaigns")
    assert (answer.status_code, answer.text) == (429, "rate_limited: concurrent (2) exceeded")
    assert answer.headers["retry-after"] == "1"
    for stream in streams:
        stream.answer.close()
    give_up = time.monotonic() + 5
    while client.http.get("/campaigns").status_code == 429:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    client.http.close()


def test_open_streams_do_not_hold_up_the_stop(start, watch):
    sandbox, _ = start(kataven=KatavenSettings(rate_limits=False))
    client = KatavenClient(sandbox)
    campaign_id = client.started()
    sandbox.kataven.fault("GET /campaigns/{campaign_id}/events", "silent", events=0)
    silent, other = watch(campaign_id, client), watch(campaign_id, client)
    sandbox.advance(2)
    assert next(other)
    begin = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - begin < 1.5
    for stream in (silent, other):
        assert list(stream) == []
    client.http.close()


EVENTS = "GET /campaigns/{campaign_id}/events"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("events", [0, 2])
def test_torn_in_the_middle_of_an_event(kataven, sandbox, watch, events, reset):
    campaign_id = kataven.started()
    fault = sandbox.kataven.fault(EVENTS, "tear", events=events, reset=reset)
    stream = watch(campaign_id)
    for _ in range(events):
        sandbox.advance(2)
        assert next(stream)["status"] == "running"
    sandbox.advance(2)
    with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
        next(stream)
    assert fault.hits == 1
    stream = watch(campaign_id)
    sandbox.advance(2)
    assert next(stream)["status"] == "running"


def test_ended_in_the_middle_of_an_event(kataven, sandbox, watch):
    sandbox.kataven.fault(EVENTS, "truncate", fraction=0.3)
    stream = watch(kataven.started())
    sandbox.advance(2)
    assert next(stream)
    sandbox.advance(2)
    with pytest.raises(json.JSONDecodeError):
        next(stream)
    assert list(stream) == []


def test_silence(kataven, sandbox, watch):
    sandbox.kataven.fault(EVENTS, "silent")
    campaign_id = kataven.started()
    stream = watch(campaign_id, timeout=httpx.Timeout(5, read=0.3))
    sandbox.advance(2)
    assert next(stream)
    for _ in range(30):
        sandbox.advance(2)
    with pytest.raises(httpx.ReadTimeout):
        next(stream)


@pytest.mark.parametrize("what", ["drop", "html", "status"])
def test_faults_in_place_of_the_stream(kataven, sandbox, what):
    sandbox.kataven.fault(EVENTS, what)
    path = f"/campaigns/{kataven.started([number(0)])}/events"
    if what == "drop":
        with pytest.raises(httpx.RemoteProtocolError):
            kataven.http.get(path)
    else:
        answer = kataven.http.get(path)
        assert answer.status_code == (503 if what == "status" else 200)
        assert answer.headers["content-type"].startswith("text/plain" if what == "status" else "text/html")
