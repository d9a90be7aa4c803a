"""Connection, token, masking, sessions: what the hook adds to the endpoints."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, redact
from airflow.sdk import BaseOperator

from airflow_provider_graine import http
from airflow_provider_graine.exceptions import (
    AuthenticationError,
    CallingError,
    ConfigurationError,
    NotFoundError,
    ServiceUnavailableError,
    UnclearOutcomeError,
)
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from tests.compat import AIRFLOW_VERSION
from tests.hooks.conftest import TOKEN
from tests.http.scripted import ScriptedServer, answer, silence
from tests.http.talking import whole_text

PEOPLE = [{"phone_number": "+14155550123", "call_variables": {"callee_name": "Ann"}}]
CAMPAIGN = {"name": "One", "agent_id": "agent_1", "phone_numbers": ["+14155550100"]}


# -- token -------------------------------------------------------------------------------------------------------------


def test_a_rotated_token_is_read_anew_for_reads_and_writes(
    hook: GraineHook, sandbox: Sandbox, connect: Callable[..., None], call: Callable[..., Any]
) -> None:
    campaign_id = call(hook, "create_campaign", **CAMPAIGN).campaign_id
    for number, (name, args, kwargs) in enumerate(
        [
            ("get_campaign", (campaign_id,), {}),
            ("create_batch", (), {"campaign_id": campaign_id, "contacts": PEOPLE}),
            ("pause_campaign", (campaign_id,), {}),
        ]
    ):
        new = f"gat_rotated_{number}_{os.getpid()}"
        sandbox.rotate_token(new)
        connect(password=new)
        seen = len(sandbox.requests)
        call(hook, name, *args, **kwargs)
        assert [request.status for request in sandbox.requests[seen:]] == [401, 200]
        assert redact(f"x {new} y") == "x *** y"
    assert sandbox.dialled.total() == 1


def test_a_kept_session_meets_one_401_only(hook: GraineHook, sandbox: Sandbox, connect: Callable[..., None]) -> None:
    async def talk() -> None:
        try:
            await hook.alist_batches()
            sandbox.rotate_token("gat_rotated_for_the_kept")
            connect(password="gat_rotated_for_the_kept")
            await asyncio.gather(*(hook.alist_batches() for _ in range(3)))
            await hook.alist_batches()
        finally:
            await hook.aclose()

    asyncio.run(talk())
    statuses = [request.status for request in sandbox.requests]
    assert statuses[0] == statuses[-1] == 200
    assert statuses.count(200) == 5
    assert 1 <= statuses.count(401) <= 3


def test_a_revoked_token(hook: GraineHook, sandbox: Sandbox, call: Callable[..., Any]) -> None:
    sandbox.rotate_token("gat_nobody_was_told")
    with pytest.raises(AuthenticationError) as caught:
        call(hook, "create_batch", campaign_id="cmp_1", contacts=PEOPLE)
    assert [request.status for request in sandbox.requests] == [401]
    assert TOKEN not in whole_text(caught.value)


def test_the_token_is_masked_everywhere(
    connect: Callable[..., None], sandbox: Sandbox, call: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    token = f"gat_masked_{time.time_ns()}"
    assert token in str(redact(token))
    sandbox.rotate_token(token)
    connect(password=f" {token}\n")
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "airflow"):
        caplog.set_level(logging.DEBUG, logger=name)
    hook = GraineHook()
    errors: list[CallingError] = []
    with pytest.raises(NotFoundError) as missing:
        call(hook, "get_batch", "btc_nobody")
    sandbox.fault("POST /batches/", "drop")
    with pytest.raises(UnclearOutcomeError) as unclear:
        call(hook, "create_batch", campaign_id="cmp_1", contacts=PEOPLE)
    sandbox.rotate_token("gat_another_one_now")
    with pytest.raises(AuthenticationError) as refused:
        call(hook, "list_batches")
    errors += [missing.value, unclear.value, refused.value]

    assert redact(f"Authorization: Bearer {token}") == "Authorization: Bearer ***"
    settings = hook.settings
    for text in (
        repr(hook),
        repr(hook.__dict__),
        repr(settings),
        str(settings),
        repr(hook.session),
        repr(hook.session.client.headers),
        *(whole_text(error) for error in errors),
        *("".join(traceback.format_exception(error)) for error in errors),
    ):
        assert token not in text
    for text in (*(whole_text(error) for error in errors), caplog.text):
        assert "+1415555" not in text
    assert token not in caplog.text
    assert "httpcore" in {record.name.split(".")[0] for record in caplog.records}
    hook.close()


def test_a_password_that_is_no_token_is_not_quoted(connect: Callable[..., None]) -> None:
    for password in ("Bearer gat_with_its_word", "gat_nöt_ascii", "", " "):
        connect(password=password)
        with pytest.raises(ConfigurationError, match=r"token.*Nothing was sent") as caught:
            GraineHook().list_batches()
        assert not password.strip() or password not in whole_text(caught.value)


# -- the connection ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.2, "0.2", " 0.2 "])
def test_the_connections_timeout(connect: Callable[..., None], call: Callable[..., Any], timeout: Any) -> None:
    with ScriptedServer([silence(1.0)]) as server:
        connect(host=server.url, extra={"timeout": timeout, "retries": "0"})
        hook = GraineHook()
        started = time.monotonic()
        with pytest.raises(ServiceUnavailableError, match="ReadTimeout"):
            call(hook, "list_batches")
        assert 0.15 < time.monotonic() - started < 0.9
        assert len(server.requests) == 1
        hook.close()


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": "nan"}, "timeout"),
        ({"timeout": "inf"}, "timeout"),
        ({"timeout": 1e10}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"retries": 1.5}, "retries"),
        ({"allow_http": "perhaps"}, "allow_http"),
        ({"organization_id": ["org"]}, "organization_id"),
    ],
)
def test_wrong_extra(connect: Callable[..., None], call: Callable[..., Any], extra: Any, named: str) -> None:
    connect(extra=extra)
    with pytest.raises(ConfigurationError, match=rf"extra of the connection.*{named}.*Nothing was sent"):
        call(GraineHook(), "list_batches")


def test_extra_that_is_no_mapping(connect: Callable[..., None], call: Callable[..., Any]) -> None:
    connect(extra="[1, 2]")
    # Airflow 3.1 does not even take it for a connection.
    refused = ConfigurationError if AIRFLOW_VERSION >= (3, 2) else AirflowNotFoundException
    with pytest.raises(refused, match=r"mapping.*Nothing was sent|isn't defined"):
        call(GraineHook(), "list_batches")


def test_blank_extra_is_not_given(connect: Callable[..., None]) -> None:
    connect(extra={"timeout": "", "retries": None, "allow_http": " ", "ca_bundle": "", "organization_id": ""})
    hook = GraineHook()
    assert (hook.settings.timeout, hook.settings.retries, hook.settings.allow_http) == (30.0, 4, False)
    assert hook.settings.ca_bundle is None


def test_a_connection_as_uri(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]) -> None:
    address = sandbox.url.removeprefix("http://")
    for uri in (
        f"graine://:{TOKEN}@http%3A%2F%2F{address.replace('/', '%2F').replace(':', '%3A')}?timeout=7",
        f"graine://http://:{TOKEN}@{address}?timeout=7",
    ):
        monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", uri)
        hook = GraineHook()
        assert hook.settings.base_url == sandbox.url
        assert hook.settings.timeout == 7
        assert call(hook, "list_batches") == []
        hook.close()


def test_another_connection_id(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CALLS", sandbox.connection_json())
    hook = GraineHook("calls")
    assert hook.list_batches() == []
    hook.close()


# -- test_connection ---------------------------------------------------------------------------------------------------


def test_connection_reads_and_changes_nothing(hook: GraineHook, sandbox: Sandbox) -> None:
    assert hook.test_connection() == (True, "The service was reached and accepts the token.")
    (request,) = sandbox.requests
    assert (request.method, request.path, request.query) == ("GET", "/api/v1/batches/", "skip=0&limit=1")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": "gat_wrong_token_here"}, "does not accept the token"),
        ({"password": ""}, "has no token"),
        ({"password": "gat_with blank"}, "blanks"),
        ({"host": "http://192.0.2.1/api/v1"}, "plain http"),
        ({"host": "https://gat_secret_in_url@calls.invalid"}, "bare base URL"),
        ({"host": "https://calls.invalid:99999"}, "no base URL"),
        ({"host": "http://127.0.0.1:1/api/v1"}, "no connection to the service came about"),
        ({"extra": {"timeout": "soon"}}, "timeout"),
        ({"extra": {"ca_bundle": "/nowhere.pem"}}, "ca_bundle"),
    ],
)
def test_connection_says_what_is_wrong(
    connect: Callable[..., None], sandbox: Sandbox, fields: Any, said: str, naps: list[float]
) -> None:
    connect(**fields)
    works, message = GraineHook().test_connection()
    assert not works
    assert said in message
    for secret in (TOKEN, fields.get("password"), "gat_secret_in_url"):
        assert not secret or secret not in message
    assert naps == []


def test_connection_never_raises() -> None:
    assert GraineHook("no_such_connection").test_connection() == (
        False,
        "The connection could not be read (AirflowNotFoundException).",
    )


@pytest.mark.parametrize(
    "step",
    [
        answer(503, headers={"retry-after": "100"}),
        answer(200, b"<h1>Sign in</h1>"),
        answer(404, {"detail": f"{TOKEN}"}),
        answer(302, headers={"location": "https://calls.invalid/"}, close=True),
        silence(0.6),
    ],
    ids=["busy", "page", "echo", "elsewhere", "silent"],
)
def test_connection_tries_once(connect: Callable[..., None], naps: list[float], step: Any) -> None:
    with ScriptedServer([step]) as server:
        connect(host=server.url, extra={"timeout": 0.3})
        works, message = GraineHook().test_connection()
        assert not works
        assert TOKEN not in message
        assert len(server.requests) == 1
        assert naps == []


def test_connection_does_not_wait_as_long_as_a_task(
    connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_graine.hooks.calling_service._TEST_TIMEOUT", 0.2)
    with ScriptedServer([silence(1.0)]) as server:
        connect(host=server.url, extra={"timeout": 600})
        started = time.monotonic()
        assert GraineHook().test_connection()[0] is False
        assert time.monotonic() - started < 0.9


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_many_calls_at_once_share_one_session(
    hook: GraineHook, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_MOST_CONNECTIONS", 20)
    monkeypatch.setattr(http, "_KEEP_ALIVE", 60.0)  # a busy machine pauses for longer than they are kept
    batch = {"batch_id": "btc_1", "status": "in_progress"}
    with ScriptedServer([answer(200, batch)]) as server:
        connect(host=server.url)

        async def talk() -> None:
            try:
                for _ in range(2):
                    batches = await asyncio.gather(*(hook.aget_batch("btc_1") for _ in range(50)))
                    assert [batch.batch_id for batch in batches] == ["btc_1"] * 50
            finally:
                await hook.aclose()

        asyncio.run(talk())
        assert len(server.requests) == 100
        assert len({request.connection for request in server.requests}) <= 20


def test_a_hook_goes_from_one_event_loop_to_the_next(hook: GraineHook, sandbox: Sandbox) -> None:
    async def talk() -> None:
        await hook.alist_batches()
        await hook.aclose()
        await hook.alist_batches()  # closing is no end
        await hook.aclose()
        await hook.aclose()

    asyncio.run(talk())
    asyncio.run(talk())
    assert hook.list_batches() == []
    assert len(sandbox.requests) == 5


def test_a_session_left_in_another_loop_is_not_used(hook: GraineHook) -> None:
    first = asyncio.new_event_loop()
    try:
        session = first.run_until_complete(hook.asession())

        async def talk() -> None:
            assert await hook.asession() is not session
            assert await hook.alist_batches() == []
            await hook.aclose()

        asyncio.run(talk())
        first.run_until_complete(session.close())
    finally:
        first.close()


def test_closing_is_no_end(hook: GraineHook) -> None:
    assert hook.list_batches() == []
    hook.close()
    hook.close()
    assert hook.list_batches() == []


def test_a_hook_that_is_forgotten_leaves_no_connection_open(connect: Callable[..., None]) -> None:
    connect()
    GraineHook().list_batches()  # the fixture collects it, and warnings are errors


def test_copies_and_pickles_work_and_carry_no_token(hook: GraineHook) -> None:
    assert hook.list_batches() == []
    pickled = pickle.dumps(hook)
    assert TOKEN.encode() not in pickled
    for other in (copy.copy(hook), copy.deepcopy(hook), pickle.loads(pickled)):
        assert other.graine_conn_id == "graine_default"
        assert TOKEN not in repr(other.__dict__)
        assert other.list_batches() == []
        other.close()
    assert hook.list_batches() == []


def test_an_operator_that_holds_a_used_hook_is_copied(connect: Callable[..., None]) -> None:
    class Operator(BaseOperator):
        @cached_property
        def hook(self) -> GraineHook:
            return GraineHook()

    connect()
    operator = Operator(task_id="call")
    assert operator.hook.list_batches() == []
    other = copy.deepcopy(operator)
    assert other.hook is not operator.hook
    assert other.hook.list_batches() == []
    operator.hook.close()
    other.hook.close()


def test_importing_the_hook_is_cheap() -> None:
    # The hook's module must not need the HTTP library; a DAG file may import it.
    code = "import sys, airflow_provider_graine.hooks.graine; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, check=True, text=True)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert "airflow_provider_graine.http" not in modules
    assert "duckdb" not in modules
