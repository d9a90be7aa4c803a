"""Result files of several batches: which of them appear, and when, if names are to be redacted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_graine.exceptions import ConfigurationError, LandingError, ServiceUnavailableError
from airflow_provider_graine.results.files import ResultFiles, Results
from airflow_provider_graine.results.landing import LandedFile
from airflow_provider_graine.results.redaction import Redaction

T = TypeVar("T")

WITH = {"id": 1, "plan": "gold", "email": "asha@example.com"}
WITHOUT = {"id": 2, "plan": "gold"}
OTHER = {"id": 3, "e_mail": "ravi@example.com"}


class Batches:
    """A source, of which a batch may break off at first, and then is another."""

    def __init__(self, **batches: list[dict[str, Any]]) -> None:
        self.batches = batches
        self.breaks: dict[str, list[dict[str, Any]]] = {}
        self.taken: list[str] = []
        self.given: Literal["csv", "jsonl"] = "jsonl"

    def take(self, id: str, use: Callable[[Results], T]) -> T:
        self.taken.append(id)
        if first := self.breaks.pop(id, None):
            with pytest.raises(ServiceUnavailableError):
                use(Results(lambda: 0, lambda: 0, self._blocks(first, breaks=True)))
        rows = self.batches[id]
        return use(Results(lambda: len(rows), lambda: len(rows), self._blocks(rows)))

    def _blocks(self, rows: list[dict[str, Any]], *, breaks: bool = False) -> Iterator[bytes]:
        if self.given == "csv":
            yield (",".join(rows[0]) + "\n").encode()
        for row in rows:
            line = json.dumps(row) if self.given == "jsonl" else ",".join(map(str, row.values()))
            yield line.encode() + b"\n"
        if breaks:
            raise ServiceUnavailableError("broken off")


@pytest.fixture(params=["csv", "jsonl"])
def given(request: pytest.FixtureRequest) -> Literal["csv", "jsonl"]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where files wait; empty again, whatever happened."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    yield directory
    assert list(directory.iterdir()) == []


def files_of(source: Batches, given: Literal["csv", "jsonl"], fields: list[str], **how: Any) -> ResultFiles:
    source.given = given
    within = {"call": frozenset({"transcript"})}
    redaction = Redaction(dict.fromkeys(fields, "drop"), within=within)
    return ResultFiles(**{"source": source, "given": given, "format": given, "redaction": redaction, **how})


def land_each(files: ResultFiles, folder: Path, *ids: str) -> dict[str, LandedFile]:
    path = ObjectStoragePath(folder.as_uri())
    with closing(files.land_each({each: path / each for each in ids})) as landed:
        return {share.id: file for file, share in landed}


def content(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.iterdir())) if folder.exists() else ""


@pytest.mark.parametrize("order", ["ab", "ba", "aab", "baa", "aba"])
def test_a_field_may_be_missing_from_some(
    given: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, order: str
) -> None:
    ids = [f"{letter}{number}" for number, letter in enumerate(order)]
    source = Batches(**{each: [WITH if each[0] == "a" else WITHOUT] * 3 for each in ids})
    landed = land_each(files_of(source, given, ["email"]), tmp_path / "out", *ids)
    assert list(landed) == source.taken == ids
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(ids)
    assert "asha" not in content(tmp_path / "out")
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    lacking = [each for each in ids if each[0] == "b"]
    assert said == [f"The results of {each} have no field 'email', which redact names" for each in lacking]


@pytest.mark.parametrize("format", [None, "parquet"])
def test_the_same_in_one_file(given: Any, tmp_path: Path, format: Any) -> None:
    source = Batches(a=[WITHOUT], b=[WITH], c=[WITHOUT])
    target = ObjectStoragePath((tmp_path / "out" / "all").as_uri())
    files = files_of(source, given, ["email"], format=format or given)
    _, shares = files.land(["a", "b", "c"], target)
    assert [share.rows for share in shares] == [1, 1, 1]
    assert b"asha" not in (tmp_path / "out" / "all").read_bytes()
    with pytest.raises(ConfigurationError, match=r"'emial'.*Nothing was landed"):
        files_of(source, given, ["emial"], format=format or given, if_exists="replace").land(["a", "b", "c"], target)


@pytest.mark.parametrize("format", [None, "parquet"])
@pytest.mark.parametrize("ids", ["ac", "abc", "cba", "a"])
def test_a_misspelt_name_lands_nothing_and_the_right_one_does(
    given: Any, tmp_path: Path, format: Any, ids: str
) -> None:
    source = Batches(a=[WITH], b=[WITHOUT], c=[WITH])
    with pytest.raises(ConfigurationError, match=r"'emial'.*Nothing was landed"):
        land_each(files_of(source, given, ["emial", "id"], format=format or given), tmp_path / "out", *ids)
    assert source.taken == list(ids)
    assert content(tmp_path / "out") == ""
    assert list(land_each(files_of(source, given, ["email"], format=format or given), tmp_path / "out", *ids)) == [*ids]


def test_what_an_earlier_try_has_landed_has_the_names(given: Any, tmp_path: Path) -> None:
    source = Batches(a=[WITH], b=[WITHOUT], c=[WITHOUT])
    files = files_of(source, given, ["email"], if_exists="skip")
    land_each(files, tmp_path / "out", "a")
    source.taken.clear()
    landed = land_each(files, tmp_path / "out", "a", "b", "c")
    assert [file.skipped for file in landed.values()] == [True, False, False]
    assert source.taken == ["b", "c", "a"]
    source.taken.clear()
    assert all(file.skipped for file in land_each(files, tmp_path / "out", "a", "b", "c").values())
    assert source.taken == [], "nothing is to be landed"


def test_a_file_in_the_way_keeps_those_before_it_out(given: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").write_text("other")
    source = Batches(a=[WITHOUT], b=[WITH])
    with pytest.raises(LandingError, match="exists already"):
        land_each(files_of(source, given, ["email"]), tmp_path / "out", "a", "b")
    assert content(tmp_path / "out") == "other"


def test_what_broke_off_has_shown_no_name(given: Any, tmp_path: Path) -> None:
    source = Batches(a=[OTHER], b=[OTHER])
    source.breaks = {"a": [WITH]}
    with pytest.raises(ConfigurationError, match=r"'email'.*Nothing was landed"):
        land_each(files_of(source, given, ["email"]), tmp_path / "out", "a", "b")
    assert content(tmp_path / "out") == ""


def test_nothing_appears_while_a_name_may_yet_be_misspelt(tmp_path: Path) -> None:
    never_called, called = {"id": 1, "call": None}, {"id": 2, "call": {"transcription": "hello"}}
    source = Batches(a=[never_called], b=[called], c=[never_called])
    with pytest.raises(ConfigurationError, match=r"'transcript'.*Nothing was landed"):
        land_each(files_of(source, "jsonl", ["transcript"]), tmp_path / "out", "a", "b")
    assert content(tmp_path / "out") == ""
    assert list(land_each(files_of(source, "jsonl", ["transcript"]), tmp_path / "out", "a", "c")) == ["a", "c"]


def test_files_that_wait_are_thrown_away(given: Any, tmp_path: Path, scratch: Path) -> None:
    source = Batches(a=[WITHOUT], b=[WITHOUT], c=[WITH])
    path = ObjectStoragePath((tmp_path / "out").as_uri())
    landing = files_of(source, given, ["email"]).land_each({each: path / each for each in "abc"})
    next(landing)
    (directory,) = scratch.iterdir()
    assert len(list(directory.iterdir())) == 2, "what is landed waits no more"
    landing.close()
    assert list(scratch.iterdir()) == []
