"""What is installed: the wheel's contents, its dependencies, and the pins of the set-ups."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from functools import cache
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.provider.conftest import ROOT

PACKAGE = ROOT / "airflow_provider_graine"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: Imported only where the user's own set-up has them: database drivers, what object stores are reached with, and what
#: Airflow 3.1 builds its forms with.
WHERE_THERE = {"MySQLdb", "flask_appbuilder", "psycopg", "psycopg2", "pymysql", "wtforms"}


_distributions = cache(packages_distributions)


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9._-]+", each)[0].lower() for each in requirements}  # type: ignore[index]


CORE = names(PROJECT["dependencies"])
SANDBOX = names(PROJECT["optional-dependencies"]["sandbox"])
LINEAGE = names(PROJECT["optional-dependencies"]["openlineage"])


def imports(code: ast.AST) -> Iterator[str]:
    """All absolute imports but those for type checkers."""
    for node in ast.iter_child_nodes(code):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        yield from imports(node)


def distribution(module: str) -> str:
    """The distribution to depend on for a module."""
    parts = module.split(".")
    if parts[:2] == ["airflow", "providers"]:
        return "apache-airflow-providers-" + "-".join(parts[2:4] if parts[2] == "common" else parts[2:3])
    if parts[0] == "airflow":
        return "apache-airflow"
    return min(_distributions()[parts[0]]).lower().replace("_", "-")


def imported(*, sandbox: bool) -> set[str]:
    found = set()
    for file in PACKAGE.rglob("*.py"):
        if (PACKAGE / "sandbox" in file.parents) == sandbox:
            found.update(imports(ast.parse(file.read_text())))
    ours = {"airflow_provider_graine", *sys.stdlib_module_names, *WHERE_THERE}
    return {distribution(module) for module in found if module.partition(".")[0] not in ours}


def test_the_dependencies_are_what_the_package_imports() -> None:
    assert imported(sandbox=False) == CORE | LINEAGE


def test_the_extra_is_what_the_sandbox_imports_besides() -> None:
    through_uvicorn = {"h11"}  # the protocol that the sandbox's server is built upon
    assert (imported(sandbox=True) | through_uvicorn) - CORE == SANDBOX


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    [built] = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return zipfile.ZipFile(built)


def test_the_wheel_has_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    ours = {str(file.relative_to(ROOT)) for file in PACKAGE.rglob("*") if file.is_file() and file.suffix != ".pyc"}
    assert shipped == ours
    assert {
        "airflow_provider_graine/py.typed",
        "airflow_provider_graine/get_provider_info.py",
        "airflow_provider_graine/sandbox/page/index.html",
    } <= shipped


def test_the_wheels_metadata_are_complete(wheel: zipfile.ZipFile) -> None:
    [folder] = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert metadata["Name"] == "airflow-provider-graine"
    assert metadata["License-Expression"] == "Apache-2.0 AND MIT"
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier", [])
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    assert b"Apache License" in wheel.read(f"{folder}/licenses/LICENSE")
    entry_points = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "[apache_airflow_provider]" in entry_points
    assert "graine-sandbox = airflow_provider_graine.sandbox.__main__:main" in entry_points


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return {
        f"{name}{marker}": version for name, version, marker in re.findall(r"^(\S+?)==(\S+)( ;.*?)? \\$", text, re.M)
    }


@pytest.mark.parametrize("name", sorted(each.name for each in (ROOT / "requirements").glob("*.txt")))
def test_the_pins_have_hashes_and_name_no_place(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    for pinned in re.split(r"\n(?=[a-z0-9])", text)[1:]:
        assert "--hash=sha256:" in pinned, pinned.splitlines()[0]
    assert not re.search(r"://|--(extra-)?index|--find-links|\s/\w", text)


def test_the_development_set_holds_the_demo_set() -> None:
    demo, dev = (
        {(name.partition(" ")[0], version) for name, version in pins(each).items()} for each in ("demo.txt", "dev.txt")
    )
    assert len(demo) > 100
    assert demo <= dev


def test_the_lowest_pins_are_what_the_package_says_it_needs() -> None:
    """So ``make matrix`` runs on the very releases that are said to suffice."""
    lowest = {each.partition(" ")[0]: Version(pin) for each, pin in reversed(pins("lowest.txt").items())}
    wanted = [Requirement(each) for each in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["sandbox"]]
    assert {each.name: lowest[each.name] for each in wanted} == {
        each.name: Version(str(each.specifier).removeprefix(">=")) for each in wanted
    }


def test_the_pins_hold_all_dependencies() -> None:
    pinned = {each.partition(" ")[0] for each in pins("demo.txt")}
    assert pinned >= CORE | SANDBOX


@pytest.mark.parametrize("target", ["demo", "test", "test-privacy", "test-real", "e2e", "crash", "docs", "check"])
def test_the_continuous_integration_runs_every_target(target: str) -> None:
    steps, beside = re.findall(r"^(?:steps|demos)=\((.*)\)$", (ROOT / ".ci" / "run").read_text(), re.M)
    assert target in {each.split()[0] for each in re.findall(r'"([^"]+)"', f"{steps} {beside}")}
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
