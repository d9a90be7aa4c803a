"""The reference has all that users import."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_graine.get_provider_info import get_provider_info
from tests.docs.pages import ROOT

#: What Airflow finds by the metadata and users do not import.
FOR_AIRFLOW_ALONE = re.compile(r"\.(operators\.links|ui\..+|triggers\.pause|triggers\.kataven_start)$")


def named(info: Any) -> Iterator[str]:
    """Give all dotted paths in the provider's metadata."""
    if isinstance(info, dict):
        info = list(info.values())
    if isinstance(info, list):
        for each in info:
            yield from named(each)
    elif isinstance(info, str) and re.fullmatch(r"airflow_provider_graine\.[\w.]+", info):
        yield info


def module(path: str) -> str:
    """Give the module of what a dotted path names."""
    return path if (ROOT / f"{path.replace('.', '/')}.py").exists() else path.rpartition(".")[0]


def test_every_module_that_the_metadata_names_is_there() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.rst"))
    shown = set(re.findall(r"automodule:: (\S+)", pages))
    modules = {module(path) for path in named(get_provider_info())}
    assert len(modules) > 15
    assert sorted(each for each in modules - shown if not FOR_AIRFLOW_ALONE.search(each)) == []


def test_every_class_of_the_readme_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`((?:Graine|Kataven|Sql|ObjectStorage)\w+)`", readme))
    known = {name for path in (ROOT / "airflow_provider_graine").rglob("*.py") for name in _classes(path.read_text())}
    assert len(names) > 20
    assert sorted(names - known) == []


def _classes(code: str) -> list[str]:
    return re.findall(r"^class (\w+)", code, flags=re.MULTILINE)
