from __future__ import annotations

import gzip
import hashlib
import json
import random
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_graine.exceptions import LandingError
from airflow_provider_graine.results.landing import LandedFile, ensure_may_write, land
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

MIB = 2**20
PART = 5 * MIB  # the least that S3 takes
LINE = b'+15550100,"Q, ""R""\nS",completed\n'
OLD = b"what was there before"


class Torn(BaseException):
    """Like KeyboardInterrupt or Airflow's task timeout: no Exception."""


class Target:
    """An object of its own for each test, and a look at the store past the code under test."""

    def __init__(self, server: servers.S3Server) -> None:
        self.bucket = server.bucket
        self.key = f"{secrets.token_hex(8)}/calls.csv"
        self.path = ObjectStoragePath(f"s3://results_store@{self.bucket}/{self.key}")
        self.uri = f"s3://{self.bucket}/{self.key}"
        self._client = server.client()

    def put(self, content: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=self.key, Body=content)

    def get(self) -> bytes:
        body: bytes = self._client.get_object(Bucket=self.bucket, Key=self.key)["Body"].read()
        return body

    def objects(self) -> list[str]:
        prefix = self.key.partition("/")[0]
        return [
            each["Key"] for each in self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        ]

    def unfinished(self) -> list[Any]:
        uploads: list[Any] = self._client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [each for each in uploads if each["Key"] == self.key]


@pytest.fixture
def target(s3_server: servers.S3Server) -> Target:
    return Target(s3_server)


def content_of(size: int) -> bytes:
    return b"number,name,outcome\n" + LINE * (size // len(LINE))


def in_blocks(content: bytes, size: int = 64 * 1024) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("size", [0, 1000, PART - 1, PART, PART + 1, 12 * MIB])
def test_a_file_is_landed_whole(target: Target, size: int) -> None:
    content = content_of(size)[:size] if size else b""

    landed = land(target.path, in_blocks(content), block_size=PART)

    assert target.get() == content
    assert landed == LandedFile(uri=target.uri, bytes=size, sha256=hashlib.sha256(content).hexdigest())
    assert target.objects() == [target.key]
    assert not target.path.fs.transaction.files  # fsspec would keep them for the life of the process
    assert target.unfinished() == []


def test_the_sum_of_a_compressed_file(target: Target) -> None:
    content = content_of(12 * MIB)

    landed = land(target.path, in_blocks(content), compress="gzip")

    stored = target.get()
    assert gzip.decompress(stored) == content
    assert landed == LandedFile(
        uri=target.uri,
        bytes=len(stored),
        sha256=hashlib.sha256(stored).hexdigest(),
    )


@pytest.mark.parametrize("error", [ConnectionError("torn"), Torn(), KeyboardInterrupt()])
@pytest.mark.parametrize("existing", [False, True])
def test_a_source_torn_anywhere_leaves_nothing(target: Target, error: BaseException, existing: bool) -> None:
    content = content_of(16 * MIB)
    if existing:
        target.put(OLD)
    chance = random.Random(f"{error!r}{existing}")
    places = [0, 1, PART, *(chance.randrange(len(content)) for _ in range(3)), len(content)]

    for place in places:

        def torn(place: int = place) -> Iterator[bytes]:
            yield from in_blocks(content[:place])
            assert target.objects() == ([target.key] if existing else [])
            if place > 2 * PART:
                assert len(target.unfinished()) == 1
            raise error

        with pytest.raises(type(error)) as caught:
            land(target.path, torn(), if_exists="replace", block_size=PART)

        assert caught.value is error
        assert target.objects() == ([target.key] if existing else [])
        assert target.unfinished() == []
    if existing:
        assert target.get() == OLD

    landed = land(target.path, in_blocks(content), if_exists="replace", block_size=PART)
    assert landed.sha256 == hashlib.sha256(content).hexdigest() == hashlib.sha256(target.get()).hexdigest()


def test_an_interrupt_while_a_part_is_sent_leaves_nothing(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    send, sent = type(target.path.fs).call_s3, []

    def interrupted(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        answer = send(self, method, *args, **kwargs)
        if method == "upload_part":
            sent.append(method)
            if len(sent) == 2:
                raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(type(target.path.fs), "call_s3", interrupted)
    with pytest.raises(KeyboardInterrupt):
        land(target.path, in_blocks(content_of(16 * MIB)), block_size=PART)

    assert target.objects() == []
    assert target.unfinished() == []


def never() -> Iterator[bytes]:
    raise AssertionError("The source was touched.")
    yield b""


def test_a_file_that_exists(target: Target) -> None:
    assert ensure_may_write(target.path) is None
    target.put(OLD)

    with pytest.raises(LandingError, match="exists already"):
        land(target.path, never())
    assert land(target.path, never(), if_exists="skip") == LandedFile(
        uri=target.uri, bytes=len(OLD), sha256=None, skipped=True
    )
    assert target.get() == OLD

    land(target.path, [b"new"], if_exists="replace")
    assert target.get() == b"new"


def test_a_listing_kept_from_earlier_is_not_believed(target: Target) -> None:
    land(target.path.parent / "sibling.csv", [b"content"])
    assert len(target.path.fs.ls(target.path.parent.path)) == 1
    target.put(OLD)

    with pytest.raises(LandingError, match="exists already"):
        land(target.path, never())


@pytest.mark.parametrize("size", [100, 12 * MIB])
def test_a_file_that_appears_meanwhile_is_left_alone(target: Target, size: int) -> None:
    def beaten() -> Iterator[bytes]:
        yield from in_blocks(content_of(size))
        target.put(OLD)

    with pytest.raises(LandingError, match="exists already"):
        land(target.path, beaten(), block_size=PART)

    assert target.get() == OLD
    assert target.unfinished() == []


@pytest.mark.parametrize("if_exists", ["fail", "replace"])
def test_refused_credentials_are_an_error_without_them(
    target: Target, s3_server: servers.S3Server, monkeypatch: pytest.MonkeyPatch, if_exists: Any
) -> None:
    connection = json.loads(s3_server.airflow_connection) | {"password": "a-wrong-secret"}
    monkeypatch.setenv(f"AIRFLOW_CONN_REFUSED_{if_exists.upper()}", json.dumps(connection))
    path = ObjectStoragePath(f"s3://refused_{if_exists}@{target.bucket}/{target.key}")

    with pytest.raises(LandingError, match="PermissionError") as caught:
        land(path, in_blocks(content_of(6 * MIB)), if_exists=if_exists, block_size=PART)

    assert target.uri in str(caught.value)
    assert "a-wrong-secret" not in f"{caught.value}{caught.value.__cause__}"
    assert s3_server.access_key not in str(caught.value)
    assert target.objects() == []


def test_a_store_that_dies_is_an_error_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as life:
        server = life.enter_context(servers.s3())
        connection = json.loads(server.airflow_connection)
        connection["extra"]["config_kwargs"] = {"retries": {"max_attempts": 1}}
        monkeypatch.setenv("AIRFLOW_CONN_MORTAL_STORE", json.dumps(connection))
        path = ObjectStoragePath(f"s3://mortal_store@{server.bucket}/calls.csv")
        monkeypatch.setattr(path.fs, "retries", 1)

        def outlived() -> Iterator[bytes]:
            yield content_of(2 * PART)
            life.close()
            yield content_of(2 * PART)

        with pytest.raises(LandingError, match="No partial file was left") as caught:
            land(path, outlived(), if_exists="replace", block_size=PART)

    assert f"s3://{server.bucket}/calls.csv" in str(caught.value)
    assert caught.value.__cause__ is not None
