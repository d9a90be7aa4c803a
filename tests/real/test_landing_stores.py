"""Landing on SFTP and Google Cloud Storage, each as a real server."""

from __future__ import annotations

import gc
import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_graine.exceptions import LandingError
from airflow_provider_graine.results.landing import land
from tests import stores

# aiohttp warns of parts as these libraries send them.
pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")]

PART = 5 * 2**20
OLD = b"what was there before"


class Torn(BaseException):
    """Like KeyboardInterrupt or Airflow's task timeout: no Exception."""


class Target:
    """A file in a folder of its own, and a look at the folder past the code under test."""

    def __init__(self, fs: Any) -> None:
        self.fs = fs
        self.protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
        self.folder = (
            f"/results/{secrets.token_hex(8)}" if self.protocol == "abstract" else f"results/{secrets.token_hex(8)}"
        )
        self.path = f"{self.folder}/calls.csv"

    def put(self, content: bytes) -> None:
        self.fs.makedirs(self.folder, exist_ok=True)
        self.fs.pipe_file(self.path, content)

    def visible(self) -> dict[str, bytes]:
        """Name and content of all that is there but hidden files."""
        self.fs.invalidate_cache()
        try:
            names = self.fs.find(self.folder)
        except FileNotFoundError:
            return {}
        return {name.rpartition("/")[2]: self.fs.cat_file(name) for name in names if "/." not in name}

    def all(self) -> list[str]:
        self.fs.invalidate_cache()
        try:
            return [name.rpartition("/")[2] for name in self.fs.find(self.folder)]
        except FileNotFoundError:
            return []


@pytest.fixture(scope="module", params=[stores.sftp, stores.gcs], ids=["sftp", "gcs"])
def fs(request: pytest.FixtureRequest) -> Iterator[Any]:
    with request.param() as fs:
        yield fs


@pytest.fixture
def target(fs: Any) -> Target:
    return Target(fs)


def blocks(number: int) -> Iterator[bytes]:
    for each in range(number):
        yield bytes([65 + each]) * 1_000_000


@pytest.mark.parametrize("number", [0, 1, 13])
def test_a_file_is_landed_whole(target: Target, number: int) -> None:
    landed = land(target, blocks(number), block_size=PART)

    content = b"".join(blocks(number))
    assert target.visible() == {"calls.csv": content}
    assert target.all() == ["calls.csv"]
    assert (landed.bytes, landed.sha256) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("number", [0, 1, 7, 13])
def test_a_torn_source_leaves_nothing(target: Target, number: int, existing: bool) -> None:
    before = {"calls.csv": OLD} if existing else {}
    if existing:
        target.put(OLD)

    def torn() -> Iterator[bytes]:
        for each, block in enumerate(blocks(number)):
            yield block
            if each % 6 == 5:
                assert target.visible() == before
        raise Torn

    with pytest.raises(Torn):
        land(target, torn(), if_exists="replace", block_size=PART)

    gc.collect()
    assert target.visible() == before
    assert target.all() == list(before)


def test_a_file_that_exists(target: Target) -> None:
    target.put(OLD)
    with pytest.raises(LandingError, match="exists already"):
        land(target, blocks(1))
    assert land(target, blocks(1), if_exists="skip").skipped
    assert target.visible() == {"calls.csv": OLD}

    land(target, [b"new"], if_exists="replace")
    assert target.visible() == {"calls.csv": b"new"}


def test_an_sftp_server_that_cannot_rename_over_a_file() -> None:
    """It is never helped by a copy, which would be seen while it grows."""
    with stores.sftp(renames_over_files=False) as fs:
        target = Target(fs)
        land(target, [OLD])
        assert target.visible() == {"calls.csv": OLD}

        with pytest.raises(LandingError, match="No partial file was left"):
            land(target, blocks(1), if_exists="replace")
        assert target.all() == ["calls.csv"]
        assert target.visible() == {"calls.csv": OLD}
