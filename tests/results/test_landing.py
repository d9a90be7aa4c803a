from __future__ import annotations

import errno
import gc
import gzip
import hashlib
import logging
import os
import pickle
import resource
import secrets
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from airflow.sdk import ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from airflow_provider_graine.exceptions import ConfigurationError, LandingError
from airflow_provider_graine.results import landing
from airflow_provider_graine.results.landing import LandedFile, ensure_may_write, land, uri_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTENT = b"name,outcome\n" + b'"Q, ""R""\nS",completed\n' * 1000
OLD = b"what was there before"


class Torn(BaseException):
    """Like KeyboardInterrupt or Airflow's task timeout: no Exception."""


class StagedFile(AbstractBufferedFile):
    """Behaves as adlfs does: blocks are staged, and closing commits their list, whether ``autocommit`` or not."""

    DEFAULT_BLOCK_SIZE = 4096

    def _initiate_upload(self) -> None:
        self.staged: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        self.staged.append(self.buffer.getvalue())
        if final:
            self.fs.pipe_file(self.path, b"".join(self.staged))
        return True


class StagedFileSystem(MemoryFileSystem):
    """A store in memory that behaves as Azure's."""

    protocol = "abfs"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("abfs://"))

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **kwargs: Any) -> Any:
        # `pipe_file` hands in the data of what it writes.
        if mode == "wb" and "data" not in kwargs:
            return StagedFile(self, path, mode, block_size=4096, autocommit=kwargs["autocommit"])
        return super()._open(path, mode, block_size, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        memory = MemoryFileSystem._open(self, path, "wb")
        memory.write(value)


class Store:
    """A folder in a store, and a look at it past the code under test."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder
        self.file = folder / "results" / "calls.csv"

    def put(self, content: bytes) -> None:
        self.folder.fs.makedirs(self.folder.fs._parent(self.file.path), exist_ok=True)
        self.folder.fs.pipe_file(self.file.path, content)

    def files(self) -> dict[str, bytes]:
        """Name and content of all that is there, hidden files too."""
        fs = self.folder.fs
        return {name.rpartition("/")[2]: fs.cat_file(name) for name in fs.find(self.folder.path)}


@pytest.fixture(params=["local", "memory", "staged"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store(ObjectStoragePath(f"file://{tmp_path}"))
    if request.param == "memory":
        return Store(UPath(f"memory:///{secrets.token_hex(8)}"))
    folder = UPath(f"memory:///{secrets.token_hex(8)}")
    return Store(PathIn(StagedFileSystem(), folder.path))


class PathIn:
    """The least that a path has to be."""

    def __init__(self, fs: Any, path: str) -> None:
        self.fs = fs
        self.protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
        self.path = path

    def __truediv__(self, name: str) -> PathIn:
        return PathIn(self.fs, f"{self.path}/{name}")


def in_blocks(content: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def never() -> Iterator[bytes]:
    raise AssertionError("The source was touched.")
    yield b""


def test_a_file_is_landed_whole(store: Store) -> None:
    landed = land(store.file, in_blocks(CONTENT))

    assert store.files() == {"calls.csv": CONTENT}
    assert landed == LandedFile(uri=uri_of(store.file), bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert pickle.loads(pickle.dumps(landed)) == landed


def test_an_empty_file_is_a_file(store: Store) -> None:
    landed = land(store.file, [])

    assert store.files() == {"calls.csv": b""}
    assert (landed.bytes, landed.sha256) == (0, hashlib.sha256(b"").hexdigest())


def test_nothing_is_visible_before_the_end(store: Store) -> None:
    def watching() -> Iterator[bytes]:
        for block in in_blocks(CONTENT):
            yield block
            assert "calls.csv" not in store.files()

    land(store.file, watching())

    assert store.files() == {"calls.csv": CONTENT}


def test_a_file_is_replaced_only_at_the_end(store: Store) -> None:
    store.put(OLD)

    def watching() -> Iterator[bytes]:
        for block in in_blocks(CONTENT):
            yield block
            assert store.files()["calls.csv"] == OLD

    landed = land(store.file, watching(), if_exists="replace")

    assert store.files() == {"calls.csv": CONTENT}
    assert not landed.skipped


@pytest.mark.parametrize("error", [ConnectionError("torn"), Torn(), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("after", [0, 1, 4, 17])
@pytest.mark.parametrize("compress", [None, "gzip"])
@pytest.mark.parametrize("before", [{}, {"calls.csv": OLD}])
def test_a_torn_source_leaves_nothing(
    store: Store, error: BaseException, after: int, compress: Any, before: dict[str, bytes]
) -> None:
    for content in before.values():
        store.put(content)

    def torn() -> Iterator[bytes]:
        for number, block in enumerate(in_blocks(CONTENT)):
            if number == after:
                raise error
            yield block

    with pytest.raises(type(error)) as caught:
        land(store.file, torn(), if_exists="replace", compress=compress)

    assert caught.value is error
    assert store.files() == before


def test_a_second_interrupt_during_the_clean_up_lands_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    def torn() -> Iterator[bytes]:
        yield from in_blocks(CONTENT)
        raise Torn

    monkeypatch.setattr(landing._Upload, "discard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        land(store.file, torn())

    gc.collect()
    assert "calls.csv" not in store.files()


def test_a_source_that_finds_itself_incomplete_prevents_the_file(store: Store) -> None:
    def checked() -> Iterator[bytes]:
        yield from in_blocks(CONTENT[:-1])
        raise ConnectionError("The last line is not whole.")

    with pytest.raises(ConnectionError):
        land(store.file, checked())

    assert store.files() == {}


def test_a_file_that_exists_fails_before_the_source_is_touched(store: Store) -> None:
    store.put(OLD)

    with pytest.raises(LandingError, match="exists already") as caught:
        land(store.file, never())
    with pytest.raises(LandingError, match="exists already"):
        ensure_may_write(store.file)

    assert uri_of(store.file) in str(caught.value)
    assert store.files() == {"calls.csv": OLD}


def test_a_file_that_exists_is_skipped(store: Store) -> None:
    store.put(OLD)
    skipped = LandedFile(uri=uri_of(store.file), bytes=len(OLD), sha256=None, skipped=True)

    assert ensure_may_write(store.file, if_exists="skip") == skipped
    assert land(store.file, never(), if_exists="skip") == skipped
    assert store.files() == {"calls.csv": OLD}


@pytest.mark.parametrize("if_exists", ["fail", "replace", "skip"])
def test_where_nothing_is_there_a_file_may_be_written(store: Store, if_exists: Any) -> None:
    assert ensure_may_write(store.file, if_exists=if_exists) is None
    land(store.file, in_blocks(CONTENT), if_exists=if_exists)
    assert store.files() == {"calls.csv": CONTENT}


def test_a_file_that_appears_meanwhile_is_left_alone(store: Store) -> None:
    def beaten() -> Iterator[bytes]:
        yield CONTENT
        store.put(OLD)

    with pytest.raises(LandingError, match="exists already"):
        land(store.file, beaten())
    assert store.files() == {"calls.csv": OLD}

    store.folder.fs.rm(store.file.path)
    assert land(store.file, beaten(), if_exists="skip").skipped
    assert store.files() == {"calls.csv": OLD}


@pytest.mark.parametrize("if_exists", ["fail", "replace", "skip"])
@pytest.mark.parametrize("name", ["", "calls.csv"])
def test_a_directory_is_no_file(tmp_path: Path, if_exists: Any, name: str) -> None:
    (tmp_path / "calls.csv").mkdir()

    with pytest.raises((ConfigurationError, LandingError), match="directory"):
        land(PathIn(fsspec.filesystem("file"), f"{tmp_path}/{name}"), never(), if_exists=if_exists)

    assert list(tmp_path.rglob("*")) == [tmp_path / "calls.csv"]


@pytest.mark.parametrize("argument", [{"if_exists": "append"}, {"compress": "zip"}])
def test_wrong_choices_are_refused(store: Store, argument: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(argument))):
        land(store.file, never(), **argument)


@given(content=st.binary(max_size=3000).map(lambda part: part * 50), size=st.integers(min_value=1, max_value=70_000))
def test_gzip_of_equal_content_is_equal_wherever_its_blocks_are_cut(content: bytes, size: int) -> None:
    folder = UPath(f"memory:///{secrets.token_hex(8)}")

    cut = land(folder / "cut.csv.gz", in_blocks(content, size), compress="gzip")
    whole = land(folder / "whole.csv.gz", [content], compress="gzip")

    stored = folder.fs.cat_file((folder / "cut.csv.gz").path)
    assert gzip.decompress(stored) == content
    assert stored[3:8] == b"\0\0\0\0\0"  # no flags, so no file name; no time
    assert (cut.bytes, cut.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert (cut.bytes, cut.sha256) == (whole.bytes, whole.sha256)
    folder.fs.rm(folder.path, recursive=True)


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    target = ObjectStoragePath(f"file://{tmp_path}/calls.csv")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(LandingError, match="No partial file was left") as caught:
            land(target, in_blocks(CONTENT * 10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert f"file://{tmp_path}/calls.csv (OSError: File too large)" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_rename_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def swept_away() -> Iterator[bytes]:
        yield CONTENT
        for part in tmp_path.iterdir():
            part.unlink()

    with pytest.raises(LandingError, match="whole or not at all"):
        land(ObjectStoragePath(f"file://{tmp_path}/calls.csv"), swept_away())

    assert list(tmp_path.iterdir()) == []


def test_a_refused_rename_is_not_made_good_by_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over a file that is a mount point, or another user's in a folder like /tmp."""
    (tmp_path / "calls.csv").write_bytes(OLD)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(LandingError, match="Device or resource busy"):
        land(ObjectStoragePath(f"file://{tmp_path}/calls.csv"), in_blocks(CONTENT), if_exists="replace")

    assert (tmp_path / "calls.csv").read_bytes() == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["calls.csv"]


def test_a_path_below_a_file_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LandingError, match="Not a directory"):
        land(ObjectStoragePath(f"file://{tmp_path}/file/calls.csv"), never())


@pytest.mark.parametrize("store", ["local", "memory"], indirect=True)
def test_a_failing_clean_up_is_said_and_does_not_hide_the_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("signature=secret")

    def torn() -> Iterator[bytes]:
        yield CONTENT
        monkeypatch.setattr(type(store.folder.fs), "rm", refuse)
        raise Torn

    with caplog.at_level(logging.WARNING), pytest.raises(Torn):
        land(store.file, torn())

    assert "calls.csv" not in store.files()
    [record] = caplog.records
    assert "Could not clean up" in record.getMessage()
    assert "PermissionError" in record.getMessage()
    assert "secret" not in caplog.text


def test_a_part_is_hidden_and_named_after_its_file(tmp_path: Path) -> None:
    seen: list[str] = []

    def watching() -> Iterator[bytes]:
        yield CONTENT
        seen.extend(part.name for part in tmp_path.iterdir())

    land(ObjectStoragePath(f"file://{tmp_path}/calls.csv"), watching())

    [name] = seen
    assert name.startswith(".calls.csv.")
    assert name.endswith(".part")


@pytest.mark.parametrize(
    ("make", "uri"),
    [
        (lambda: ObjectStoragePath("file:///data/calls.csv"), "file:///data/calls.csv"),
        (lambda: ObjectStoragePath("/data/calls.csv"), "file:///data/calls.csv"),
        (lambda: ObjectStoragePath("file://some_connection@/data/calls.csv"), "file:///data/calls.csv"),
        (lambda: UPath("memory:///data/calls.csv"), "memory:///data/calls.csv"),
    ],
)
def test_a_uri_has_no_connection_id(make: Callable[[], Any], uri: str) -> None:
    assert uri_of(make()) == uri
