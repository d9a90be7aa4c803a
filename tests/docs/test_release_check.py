"""The release check refuses what must not be released."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import ROOT

VERSION = "1.2.3"


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The check, of a small repository in which all is well."""
    spec = importlib.util.spec_from_file_location("release_check", ROOT / ".ci" / "release_check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module._run, "__kwdefaults__", {**module._run.__kwdefaults__, "cwd": tmp_path})
    for path, text in {
        "airflow_provider_graine/__init__.py": f'__version__ = "{VERSION}"\n',
        "CHANGELOG.md": f"# Changelog\n\n## {VERSION} (2026-05-10)\n\n## 1.2.2 (2026-05-01)\n",
        "tests/triggers/serialised.json": json.dumps({VERSION: {}}),
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for command in ("init", "add .", "-c user.name=a -c user.email=a@example.com commit -m first"):
        subprocess.run(["git", "-C", tmp_path, *command.split()], check=True, capture_output=True)
    return module


def test_what_agrees_is_released(check: ModuleType, tmp_path: Path) -> None:
    for tag in (None, f"v{VERSION}"):
        assert check.versions(check.Release(tmp_path, tag)) == f"{VERSION} of 2026-05-10"
    assert check.clean_tree(check.Release(tmp_path, None)).endswith("first")


@pytest.mark.parametrize(
    ("path", "text", "tag", "why"),
    [
        ("CHANGELOG.md", f"## {VERSION} (unreleased)\n", f"v{VERSION}", "unreleased"),
        ("CHANGELOG.md", f"## {VERSION} (2999-01-01)\n", None, "still to come"),
        ("CHANGELOG.md", f"## {VERSION} (soon)\n", None, "no date"),
        ("CHANGELOG.md", "## 1.2.2 (2026-05-01)\n", None, "first section"),
        ("CHANGELOG.md", f"## {VERSION} (2026-05-10)\n", "v1.2.4", "the tag is v1.2.4"),
        ("airflow_provider_graine/__init__.py", '__version__ = "1.2.4"\n', None, "the package is 1.2.4"),
        ("tests/triggers/serialised.json", "{}", None, "no triggers"),
    ],
)
def test_what_does_not_agree_is_not(
    check: ModuleType, tmp_path: Path, path: str, text: str, tag: str | None, why: str
) -> None:
    (tmp_path / path).write_text(text)
    with pytest.raises(check.NotSo, match=why):
        check.versions(check.Release(tmp_path, tag))


def test_a_version_that_is_not_released_is_no_fault_without_a_tag(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(f"## {VERSION} (unreleased)\n")
    assert check.versions(check.Release(tmp_path, None)) == f"{VERSION}, unreleased"
    subprocess.run(["git", "-C", tmp_path, "tag", f"v{VERSION}"], check=True)
    with pytest.raises(check.NotSo, match="unreleased"):
        check.versions(check.Release(tmp_path, None))


def test_what_lies_beside_the_commit_is_not_released(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("of mine")
    with pytest.raises(check.NotSo, match=r"1 files are changed or not committed, such as notes\.md"):
        check.clean_tree(check.Release(tmp_path, None))


def test_packages_that_nobody_looked_up_are_not_free_of_holes(
    check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*packages: dict[str, object]) -> None:
        monkeypatch.setattr(check, "_run", lambda *_, **__: json.dumps({"dependencies": packages, "fixes": []}))

    release = check.Release(tmp_path, None)
    said({"name": "a", "version": "1", "vulns": []})
    assert check.vulnerabilities(release) == "none in 2 pins"
    said({"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"})
    with pytest.raises(check.NotSo, match="1 of 2 packages could not be looked up"):
        check.vulnerabilities(release)
    said({"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]})
    with pytest.raises(check.NotSo, match="a PYSEC-1"):
        check.vulnerabilities(release)


def test_a_file_too_many_or_too_few_is_told(check: ModuleType) -> None:
    check._same({"a"}, {"a"}, "the wheel")
    with pytest.raises(check.NotSo, match="the wheel lacks 1 files, such as b"):
        check._same({"a"}, {"a", "b"}, "the wheel")
    with pytest.raises(check.NotSo, match="not committed, such as b"):
        check._same({"a", "b"}, {"a"}, "the wheel")
