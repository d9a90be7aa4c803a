from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import httpx
import pytest

from airflow_provider_graine.sandbox import Sandbox, __main__


def test_connection_json(sandbox):
    assert json.loads(sandbox.connection_json()) == {
        "conn_type": "graine",
        "host": sandbox.url,
        "password": "gat_sandbox",
    }
    assert sandbox.url == f"{sandbox.root_url}/api/v1"
    assert sandbox.url.startswith("http://127.0.0.1:")


def test_stop_frees_the_port_and_leaves_no_thread():
    before = threading.active_count()
    with Sandbox(speed=0) as sandbox:
        port = int(sandbox.root_url.rpartition(":")[2])
        with pytest.raises(RuntimeError, match="running"):
            sandbox.start()
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(sandbox.root_url)
    with Sandbox(speed=0, port=port) as again:
        assert httpx.get(again.root_url).status_code == 200
    sandbox.stop()


def test_a_sandbox_can_be_prepared_before_it_runs_and_read_after():
    sandbox = Sandbox(speed=0)
    assert (sandbox.requests, len(sandbox.batches)) == ([], 0)
    sandbox.fault("GET /campaigns/", "status", status=500)
    with sandbox:
        assert httpx.get(f"{sandbox.url}/campaigns/").status_code == 500
        assert httpx.get(f"{sandbox.url}/campaigns/").status_code == 401
    assert [request.status for request in sandbox.requests] == [500, 401]


def test_a_taken_port_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            Sandbox(port=taken.getsockname()[1]).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
def test_other_machines_are_kept_out(host):
    with pytest.raises(ValueError, match="not a loopback address"):
        Sandbox(host=host)


def test_other_host_names_are_refused_unless_remote_is_allowed(sandbox):
    answer = httpx.get(f"{sandbox.root_url}/_sandbox/overview", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    with Sandbox(speed=0, allow_remote=True) as remote:
        answer = httpx.get(f"{remote.root_url}/_sandbox/overview", headers={"Host": "sandbox"})
        assert answer.status_code == 200
        assert remote.token not in answer.text


def test_rotated_token(api, sandbox):
    sandbox.rotate_token("gat_new")
    try:
        assert api.http.get("/campaigns/").status_code == 401
        assert api.http.get("/campaigns/", headers={"Authorization": "Bearer gat_new"}).status_code == 200
        assert sandbox.token == "gat_new"
    finally:
        sandbox.rotate_token("gat_sandbox")


def test_requests_are_recorded_as_sent(api, sandbox):
    api.http.get("/batches/?limit=5&status=in%20progress", headers={"X-Run": "r1"})
    api.http.post("/campaigns/", content=b'{"name": ', headers={"Authorization": "Bearer wrong"})
    first, second = sandbox.requests
    assert (first.method, first.path, first.query, first.status) == (
        "GET",
        "/api/v1/batches/",
        "limit=5&status=in%20progress",
        200,
    )
    assert first.headers["x-run"] == "r1"
    assert first.body == b""
    assert (second.body, second.status) == (b'{"name": ', 401)
    httpx.get(sandbox.root_url)
    assert len(sandbox.requests) == 2


def test_recording_can_be_switched_off(start):
    sandbox, api = start(record_requests=False)
    api.batch(api.campaign())
    assert sandbox.requests == []


def test_recording_is_bounded(api, sandbox, monkeypatch):
    monkeypatch.setattr("airflow_provider_graine.sandbox.recording.MAX_BYTES", 2000)
    monkeypatch.setattr("airflow_provider_graine.sandbox.recording.MAX_REQUESTS", 5)
    for _ in range(4):
        api.http.post("/campaigns/", content=b"x" * 900)
    assert len(sandbox.requests) == 2
    for _ in range(9):
        api.http.get("/campaigns/")
    assert len(sandbox.requests) == 5


def test_views_are_what_the_api_shows(api, sandbox):
    campaign_id = api.campaign(metadata={"a": 1})
    batch_id = api.batch(campaign_id, 2, metadata={"b": 2})
    assert dict(sandbox.campaigns) == {campaign_id: api.ok("GET", f"/campaigns/{campaign_id}")}
    assert dict(sandbox.batches) == {batch_id: api.get_batch(batch_id)}
    sandbox.batches[batch_id]["status"] = "mine"
    assert sandbox.batches[batch_id]["status"] == "in_progress"
    with pytest.raises(TypeError):
        sandbox.batches["btc_x"] = {}


def test_dialled_counts_contacts_and_attempts_count_calls(api, sandbox):
    campaign_id = api.campaign()
    api.batch(campaign_id, ["+14155550001", "+14155550002", "+14155550001"])
    api.batch(campaign_id, ["+14155550002"], scheduled_start="2027-01-01T00:00:00Z")
    assert sandbox.dialled == Counter({"+14155550001": 2, "+14155550002": 2})
    assert sandbox.attempts == Counter({"+14155550001": 2, "+14155550002": 1})


def test_reset(api, sandbox):
    api.batch(api.campaign())
    sandbox.fault("*", "status", times=None)
    sandbox.advance(500)
    sandbox.reset()
    assert (len(sandbox.campaigns), len(sandbox.batches), sandbox.dialled) == (0, 0, Counter())
    assert (sandbox.faults, sandbox.requests) == ([], [])
    assert api.ok("GET", f"/campaigns/{api.campaign()}")["created_at"] == "2026-05-12T09:00:00Z"


def test_time_passes_by_itself(start):
    _, api = start(speed=5000, outcomes={"completed": 1})
    batch_id = api.batch(api.campaign(), 20, concurrency_limit=20)
    give_up = time.monotonic() + 5
    while api.status(batch_id) != "completed":
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_time_does_not_go_backwards(sandbox):
    with pytest.raises(ValueError, match="backwards"):
        sandbox.advance(-1)
    with pytest.raises(ValueError, match="negative"):
        Sandbox(speed=-1)


def test_run_until_idle_stops_where_it_is_told(api, sandbox):
    batch_id = api.batch(api.campaign(), 1, scheduled_start="2026-05-12T12:00:00Z")
    assert sandbox.run_until_idle(at_most=3600) <= 3600
    assert api.status(batch_id) == "pending"
    sandbox.run_until_idle()
    assert api.status(batch_id) == "completed"


def test_many_threads_at_once(api, sandbox):
    campaign_id = api.campaign()

    def upload(thread):
        with httpx.Client(base_url=sandbox.url, headers=api.http.headers) as http:
            for turn in range(10):
                contacts = [{"phone_number": f"+1415{thread}{turn:02d}{index:04d}"} for index in range(20)]
                http.post("/batches/", json={"campaign_id": campaign_id, "contacts": contacts}).raise_for_status()
                sandbox.advance(10)

    threads = [threading.Thread(target=upload, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sandbox.run_until_idle()
    assert len(sandbox.batches) == 60
    assert api.counts(campaign_id) == {"completed": 1200}
    assert set(sandbox.attempts.values()) == {1}


def test_controls_need_the_token(api, sandbox):
    for method, path in (
        ("GET", "requests"), ("DELETE", "requests"), ("GET", "faults"), ("POST", "faults"), ("DELETE", "faults"),
        ("POST", "advance"), ("POST", "reset"),
    ):  # fmt: skip
        api.refused(method, f"{sandbox.root_url}/_sandbox/{path}", 401, headers={"Authorization": ""})


def test_controls(api, sandbox):
    controls = f"{sandbox.root_url}/_sandbox"
    campaign_id = api.campaign()
    assert api.ok("POST", f"{controls}/advance", json={"seconds": 90}) == {"now": "2026-05-12T09:01:30Z"}
    api.refused("POST", f"{controls}/advance", 422, json={"seconds": -1})
    api.refused("POST", f"{controls}/advance", 422, json={"seconds": "soon"})
    (request,) = api.ok("GET", f"{controls}/requests")
    assert (request["method"], request["path"], request["status"]) == ("POST", "/api/v1/campaigns/", 200)
    assert json.loads(request["body"])["name"] == "Renewals"
    assert sandbox.token not in json.dumps(request)
    assert api.ok("DELETE", f"{controls}/requests") == []
    assert sandbox.requests == []
    api.ok("POST", f"{controls}/reset")
    api.refused("GET", f"/campaigns/{campaign_id}", 404)


def test_overview_has_no_phone_number(start):
    sandbox, api = start()
    assert httpx.get(f"{sandbox.root_url}/_sandbox/overview").json()["campaigns"] == []
    campaign_id = api.campaign(working_hours={}, working_hours_enforced=True)
    for _ in range(3):
        api.batch(campaign_id, 40)
    sandbox.fault("GET /batches/", "drop")
    sandbox.advance(1200)
    answer = httpx.get(f"{sandbox.root_url}/_sandbox/overview")
    seen = answer.json()
    assert "+1415" not in answer.text
    assert not re.search(r"\d{3,}", "".join(call["phone"] for call in seen["recent_calls"]))
    assert "Name" not in answer.text
    assert seen["total_contacts"] == sum(seen["contacts"].values()) == 120
    assert seen["calls"] == sum(sandbox.attempts.values())
    assert len(seen["batches"]) == seen["batch_count"] == 3
    assert seen["campaigns"][0]["contacts"] == seen["contacts"]
    (fault,) = seen["faults"]
    assert fault == {"on": "GET /batches/", "what": "drop", "service": "graine", "hits": 0, "times": 1}
    assert {call["outcome"] for call in seen["recent_calls"]} > {"completed"}


def test_the_page_needs_nothing_from_elsewhere(sandbox):
    page = httpx.get(sandbox.root_url)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page.text)
    assert "/_sandbox/overview" in page.text


@pytest.fixture
def command():
    running = []

    def command(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "airflow_provider_graine.sandbox", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        running.append(process)
        return process

    yield command
    for process in running:
        process.kill()
        process.communicate()


def test_command(command):
    process = command(
        "--port", "0", "--speed", "0", "--token", "gat_mine", "--start", "2026-05-12T09:00:00Z", "--no-rate-limits"
    )
    lines = []
    while not lines or "Ctrl-C" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1] or process.poll() is None, process.stderr.read()
    exported = dict(line.strip().removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    connection, kataven = (
        json.loads(exported[f"AIRFLOW_CONN_{name}_DEFAULT"].strip("'")) for name in ("GRAINE", "KATAVEN")
    )
    headers = {"Authorization": f"Bearer {connection['password']}"}
    assert connection["password"] == "gat_mine"
    assert httpx.get(f"{connection['host']}/api-tokens/validate-token", headers=headers).status_code == 200
    headers = {"Authorization": f"Bearer {kataven['password']}"}
    answers = [httpx.get(f"{kataven['host']}/campaigns", headers=headers) for _ in range(61)]
    assert {answer.status_code for answer in answers} == {200}
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0
    assert process.stderr.read() == ""


def test_command_refuses_other_machines(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["--host", "0.0.0.0"])
    assert "--allow-remote" in capsys.readouterr().err


def test_command_says_when_the_port_is_taken(capsys, sandbox):
    assert __main__.main(["--port", sandbox.root_url.rpartition(":")[2]]) == 1
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err


def test_without_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = None\n"
        "from airflow_provider_graine.sandbox.__main__ import main\n"
        "assert main([]) == 1\n"
        "try:\n    from airflow_provider_graine.sandbox import Sandbox\n"
        "except ModuleNotFoundError as missing:\n    print(missing)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "airflow-provider-graine[sandbox]" in ran.stdout
    assert ran.stderr.startswith("graine-sandbox: ")
    assert "Traceback" not in ran.stderr


def test_it_imports_nothing_else_of_the_package_and_no_airflow():
    code = (
        "import sys, airflow_provider_graine.sandbox.server, airflow_provider_graine.sandbox.__main__\n"
        "print(*(name for name in sys.modules if name.split('.')[0] in ('airflow', 'httpx', 'duckdb')"
        " or name.startswith('airflow_provider_graine.') and not name.startswith('airflow_provider_graine.sandbox')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
