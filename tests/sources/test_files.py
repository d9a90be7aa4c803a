from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.exceptions import SourceError
from airflow_provider_graine.sources import files
from airflow_provider_graine.sources.files import local_files


@dataclass
class Bucket:
    """A store that is elsewhere, and what was asked of it."""

    fs: MemoryFileSystem
    gets: list[int] = field(default_factory=list)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    fs = MemoryFileSystem()
    bucket = Bucket(fs)
    get = MemoryFileSystem.get

    def counted(self: MemoryFileSystem, rpath: Any, lpath: Any, **kwargs: Any) -> Any:
        bucket.gets.append(len(rpath))
        return get(self, rpath, lpath, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "get", counted)
    attach("memory", fs=fs)
    fs.store.clear()
    yield bucket
    fs.store.clear()


def put(bucket: Bucket, name: str, content: bytes) -> None:
    bucket.fs.pipe_file(f"/people/{name}", content)


def test_files_elsewhere_are_copied_in_groups_and_removed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_GROUP_FILES", 3)
    for n in range(8):
        put(bucket, f"{n}.csv", f"content {n}".encode())
    seen = []
    paths: list[Path] = []
    for group in local_files("memory://people/*.csv"):
        assert not any(path.exists() for path in paths)
        paths += [path for _, path in group]
        seen.append([(uri.rpartition("/")[2], path.read_text()) for uri, path in group])
    assert seen == [[(f"{n}.csv", f"content {n}") for n in numbers] for numbers in ([0, 1, 2], [3, 4, 5], [6, 7])]
    assert bucket.gets == [3, 3, 2]
    assert not any(path.parent.exists() for path in paths)


def test_large_files_come_alone(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_GROUP_BYTES", 10)
    for name, size in (("a", 4), ("b", 6), ("c", 1), ("d", 50), ("e", 0)):
        put(bucket, f"{name}.csv", b"x" * size)
    assert [len(group) for group in local_files("memory://people/*.csv")] == [2, 1, 1, 1]


def test_one_group_is_copied_ahead_and_no_more(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_GROUP_FILES", 1)
    for n in range(5):
        put(bucket, f"{n}.csv", b"x")
    groups = local_files("memory://people/*.csv")
    next(groups)
    assert len(bucket.gets) <= 2
    groups.close()  # type: ignore[attr-defined]
    assert len(bucket.gets) <= 2


def test_a_name_with_wildcards_in_it_is_taken_as_it_is(bucket: Bucket) -> None:
    put(bucket, "a*.csv", b"star")
    put(bucket, "ab.csv", b"other")
    groups = local_files("memory://people/a*.csv")
    group = next(groups)
    assert [path.read_bytes() for _, path in group] == [b"star", b"other"]


def test_files_here_are_not_copied(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.csv").write_text("x")
    [group] = local_files([f"file://{tmp_path}/1.csv", f"{tmp_path}/*.csv"])
    assert [path for _, path in group] == [tmp_path / name for name in ("1.csv", "0.csv", "1.csv", "2.csv")]
    assert all(path.exists() for _, path in group)


@pytest.mark.parametrize("written", ["file://{}/people.csv", "{}/people.csv", "file://{}/peo*.csv", "people.csv"])
def test_a_file_here_needs_no_library_of_other_stores(tmp_path: Path, written: str) -> None:
    (tmp_path / "people.csv").write_text("phone_number\n")
    program = f"""if True:
        import sys
        from airflow_provider_graine.sources.files import local_files

        [[(uri, path)]] = local_files({written.format(tmp_path)!r})
        print(uri, path)
        assert not [name for name in sys.modules if name.startswith(("s3fs", "boto", "gcsfs"))]
    """
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == f"file://{tmp_path}/people.csv {tmp_path}/people.csv"


def test_two_stores_are_two_groups(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, "a.csv", b"there")
    (tmp_path / "b.csv").write_text("here")
    groups = [
        [path.read_text() for _, path in group] for group in local_files(["memory://people/a.csv", f"{tmp_path}/b.csv"])
    ]
    assert groups == [["there"], ["here"]]


def test_folders_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SourceError, match="No file matches"):
        list(local_files(f"{tmp_path}/*.csv"))
    with pytest.raises(SourceError, match="no file at"):
        list(local_files(f"{tmp_path}/folder.csv"))


def test_a_store_that_fails_is_heard_of(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, "a.csv", b"x")

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("gone")

    monkeypatch.setattr(MemoryFileSystem, "get", fail)
    with pytest.raises(ConnectionResetError):
        list(local_files("memory://people/a.csv"))


def test_thousands_of_small_files_make_one_list(bucket: Bucket, tmp_path: Path) -> None:
    header = "phone_number,callee_name,plan\n"
    for n in range(1_200):
        put(bucket, f"{n:05}.csv", f"{header}+9198765{n:05},Person {n},x\n".encode())
    put(bucket, "00700.csv", f"{header}+919876400001,Other,a,b\n".encode())
    put(bucket, "00701.csv", b"city,phone_number,callee_name\nPune,+919876500701,Person 701\n")
    put(bucket, "00702.csv", b"")
    with ContactList(directory=tmp_path) as contacts:
        for group in local_files("memory://people/*.csv"):
            contacts.add_files(group)
        screening = contacts.screen()
        sent = [number[-5:] for chunk in contacts.chunks(1000) for number in chunk.phone_numbers()]
    assert (screening.read, screening.rejected) == (1_199, {"malformed_row": 1})
    assert sent == [f"{n:05}" for n in range(1_200) if n not in (700, 702)]
