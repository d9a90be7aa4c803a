"""Where the token goes, when it is read anew, and which redirects are followed."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    AuthenticationError,
    ConfigurationError,
    ServiceUnavailableError,
    UnclearOutcomeError,
    UnexpectedAnswerError,
)
from airflow_provider_graine.http import AsyncSession
from airflow_provider_graine.services.graine import requests
from tests.http.scripted import answer
from tests.http.talking import BATCH, CREATE, EXPORT, NEW_TOKEN, PAUSE, READ, TOKEN, settings, whole_text

ALL = pytest.mark.parametrize("request_", [READ, CREATE, PAUSE], ids=["read", "create", "change"])


def tokens(server: Any) -> list[str]:
    return [received.headers.get("authorization", "").removeprefix("Bearer ") for received in server.requests]


@ALL
def test_after_a_401_the_token_is_read_once_more(talk: Any, serve: Any, request_: Any) -> None:
    server = serve(answer(401), answer(200, BATCH))
    talk.send(settings(server.url), request_, READ, reload=lambda: NEW_TOKEN)
    assert tokens(server) == [TOKEN, NEW_TOKEN, NEW_TOKEN]
    assert server.requests[0].body == server.requests[1].body


@ALL
def test_but_not_in_a_loop(talk: Any, serve: Any, request_: Any) -> None:
    server, reloads = serve(answer(401)), []
    with pytest.raises(AuthenticationError):
        talk.send(settings(server.url), request_, reload=lambda: reloads.append(1) or f"gat_{len(reloads)}")
    assert tokens(server) == [TOKEN, "gat_1"]


@ALL
def test_the_same_token_is_not_tried_twice(talk: Any, serve: Any, request_: Any) -> None:
    server = serve(answer(401))
    with pytest.raises(AuthenticationError):
        talk.send(settings(server.url), request_, reload=lambda: TOKEN)
    assert tokens(server) == [TOKEN]


@ALL
def test_a_connection_that_cannot_be_read_anew_is_an_authentication_error(talk: Any, serve: Any, request_: Any) -> None:
    def lost() -> str:
        raise RuntimeError(f"vault says {NEW_TOKEN}")

    server = serve(answer(401))
    with pytest.raises(AuthenticationError, match="RuntimeError") as caught:
        talk.send(settings(server.url), request_, reload=lost)
    assert NEW_TOKEN not in whole_text(caught.value)
    assert len(server.requests) == 1


def test_a_write_that_is_unclear_after_the_new_token_is_not_repeated(talk: Any, serve: Any) -> None:
    server = serve(answer(401), answer(503), answer(200, BATCH))
    with pytest.raises(UnclearOutcomeError):
        talk.send(settings(server.url), CREATE, reload=lambda: NEW_TOKEN)
    assert len(server.requests) == 2


def test_many_requests_at_once_read_the_token_anew_together(serve: Any) -> None:
    def by_token(connection: Any) -> bool:
        # The newest request is this one's or a later one's; only the token decides, and it changes once.
        status = 200 if tokens(server)[-1] == NEW_TOKEN else 401
        return answer(status, BATCH)(connection)

    server = serve(by_token)
    reloads = []

    async def reload() -> str:
        reloads.append(1)
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        return NEW_TOKEN

    async def talk() -> list[Any]:
        session = AsyncSession(settings(server.url), reload_token=reload)
        try:
            return await asyncio.gather(*(session.send(READ) for _ in range(20)))
        finally:
            await session.close()

    assert [batch.batch_id for batch in asyncio.run(talk())] == ["btc_1"] * 20
    assert reloads == [1]


def test_a_read_follows_a_few_redirects(talk: Any, serve: Any) -> None:
    there = answer(307, headers={"location": "/api/v1/batches/btc_1/"})
    server = serve(there, there, answer(200, BATCH))
    assert talk.send(settings(server.url), READ).batch_id == "btc_1"
    assert [received.target for received in server.requests][1] == "/api/v1/batches/btc_1/"
    assert tokens(server) == [TOKEN] * 3

    endless = serve(there)
    with pytest.raises(UnexpectedAnswerError, match="redirect"):
        talk.send(settings(endless.url), READ)
    assert len(endless.requests) == 6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_write_follows_none(talk: Any, serve: Any, status: int) -> None:
    elsewhere = serve(answer(200, BATCH))
    server = serve(answer(status, headers={"location": elsewhere.url}))
    for request in (CREATE, PAUSE, requests.delete_campaign("cmp_1"), requests.update_campaign("cmp_1", name="x")):
        with pytest.raises(UnclearOutcomeError) as caught:
            talk.send(settings(server.url), request)
        assert caught.value.status_code == status
    assert len(server.requests) == 4
    assert not elsewhere.requests


def test_another_host_never_sees_the_token(talk: Any, serve: Any) -> None:
    files = serve(answer(200, b"a,b\r\n"))
    server = serve(answer(302, headers={"location": f"http://localhost:{files.port}/signed?key=1"}))
    assert talk.download(settings(server.url), EXPORT) == (5, b"a,b\r\n")
    assert tokens(files) == [""]


def test_another_port_is_another_host(talk: Any, serve: Any) -> None:
    other = serve(answer(200, BATCH))
    talk.send(settings(serve(answer(302, headers={"location": other.url})).url), READ)
    assert tokens(other) == [""]


def test_plain_http_is_not_left_for_another_machine(talk: Any, serve: Any) -> None:
    server = serve(answer(302, headers={"location": "http://calls.invalid/api/v1/batches/btc_1"}))
    with pytest.raises(UnexpectedAnswerError, match="redirect"):
        talk.send(settings(server.url), READ)
    with pytest.raises(ServiceUnavailableError):  # followed, and there is no such host
        talk.send(settings(server.url, allow_http=True, retries=0), READ)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "javascript:alert(1)", "file:///etc/passwd", "data:,x"])
def test_other_schemes_are_not_followed(talk: Any, serve: Any, location: str) -> None:
    server = serve(answer(302, headers={"location": location}))
    with pytest.raises((UnexpectedAnswerError, ServiceUnavailableError)) as caught:
        talk.send(settings(server.url, retries=0), READ)
    assert location not in whole_text(caught.value)
    assert len(server.requests) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-made certificate for 127.0.0.1, with its key in the same file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent(
    talk: Any, serve: Any, tls: ssl.SSLContext
) -> None:
    server = serve(answer(200, BATCH), tls=tls)
    with pytest.raises(ServiceUnavailableError, match=r"(?i)certificate verify failed.*nothing was sent"):
        talk.send(settings(server.url, retries=0), CREATE)
    assert not server.requests


def test_ca_bundle_vouches_for_it(talk: Any, serve: Any, tls: ssl.SSLContext, certificate: Path) -> None:
    server = serve(answer(200, BATCH), tls=tls)
    assert talk.send(settings(server.url, ca_bundle=str(certificate)), CREATE).batch_id == "btc_1"
    with pytest.raises(ServiceUnavailableError, match="verify failed"):  # its name is checked all the same
        talk.send(settings(server.url.replace("127.0.0.1", "localhost"), ca_bundle=str(certificate), retries=0), CREATE)


def test_https_is_never_left_for_http(talk: Any, serve: Any, tls: ssl.SSLContext, certificate: Path) -> None:
    plain = serve(answer(200, BATCH))
    server = serve(answer(302, headers={"location": plain.url}), tls=tls)
    with pytest.raises(UnexpectedAnswerError, match="redirect"):
        talk.send(settings(server.url, ca_bundle=str(certificate), allow_http=True), READ)
    assert not plain.requests


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_bundle_that_cannot_be_read(talk: Any, tmp_path: Path, content: bytes | None) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(ConfigurationError, match="ca_bundle"):
        talk.send(settings("https://calls.invalid/api/v1", ca_bundle=str(bundle)), READ)


def test_sessions_share_what_is_costly_to_load() -> None:
    async def reload() -> str:
        return TOKEN

    async def transports() -> set[int]:
        sessions = [AsyncSession(settings("https://calls.invalid/api/v1"), reload_token=reload) for _ in range(3)]
        pools = {id(session.client._transport._pool._ssl_context) for session in sessions}  # type: ignore[attr-defined]
        for session in sessions:
            await session.close()
        return pools

    assert len(asyncio.run(transports())) == 1
