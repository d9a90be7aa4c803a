"""What an import costs and that none warns: DAG files import these modules again and again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.provider.test_metadata import PUBLIC

IN_DAG_FILES = [f"airflow_provider_graine.{name}" for name in PUBLIC if not name.startswith("hooks")]

#: Imports the modules as a DAG file would; gives what was loaded, and what our modules asked for by name: Airflow has
#: loaded some of that already, but need not do so for ever.
IMPORT_AND_LOOK = """
import builtins, importlib, json, sys
import airflow.sdk, airflow.triggers.base

before, asked, real = set(sys.modules), set(), builtins.__import__

def noting(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0 and (globals or {{}}).get("__name__", "").startswith("airflow_provider_graine"):
        asked.add(name)
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = noting
for module in {modules}:
    importlib.import_module(module)
print(json.dumps([sorted(set(sys.modules) - before), sorted(asked)]))
"""

IMPORT_ALL = """
import pkgutil, importlib, warnings
import airflow.sdk, airflow.triggers.base
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.api_fastapi.app import get_auth_manager  # of itself Airflow 3.1 warns here
from airflow.sdk import task  # and here

warnings.simplefilter("error")
import airflow_provider_graine
found = [each.name for each in pkgutil.walk_packages(airflow_provider_graine.__path__, "airflow_provider_graine.")]
for name in found:
    importlib.import_module(name)
print(*found)
"""

HEAVY = {"boto3", "botocore", "duckdb", "fsspec", "pandas", "numpy", "phonenumbers", "pyarrow", "s3fs", "starlette"}
HEAVY |= {"uvicorn", "upath"}
OWN_HEAVY = ("airflow_provider_graine.http", "airflow_provider_graine.services", "airflow_provider_graine.contacts")


def loads(run: Callable[..., str], modules: list[str]) -> tuple[list[str], list[str]]:
    loaded, asked = json.loads(run("-c", IMPORT_AND_LOOK.format(modules=modules)).splitlines()[-1])
    return loaded, asked


def test_what_dag_files_import_is_cheap(run: Callable[..., str]) -> None:
    loaded, asked = loads(run, IN_DAG_FILES)
    assert set(IN_DAG_FILES) <= set(loaded)
    assert [name for name in loaded if name.partition(".")[0] in HEAVY or name.startswith(OWN_HEAVY)] == []
    assert {name.partition(".")[0] for name in asked} & {*HEAVY, "httpx", "pydantic", "tenacity"} == set()


def test_the_cost_would_be_noticed(run: Callable[..., str]) -> None:
    loaded, asked = loads(run, ["airflow_provider_graine.http", "airflow_provider_graine.sandbox.server"])
    assert "airflow_provider_graine.http" in loaded
    assert {"httpx", "starlette", "tenacity", "uvicorn"} <= {name.partition(".")[0] for name in asked}


def test_the_metadata_import_nothing_but_the_standard_library(run: Callable[..., str]) -> None:
    code = """
import sys
before = set(sys.modules)
from airflow_provider_graine.get_provider_info import get_provider_info
get_provider_info()
print(*sorted(name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names))
"""
    assert run("-c", code).split() == ["airflow_provider_graine", "airflow_provider_graine.get_provider_info"]


def test_no_import_warns(run: Callable[..., str]) -> None:
    found = run("-c", IMPORT_ALL).splitlines()[-1].split()
    assert {f"airflow_provider_graine.{name}" for name in PUBLIC} <= set(found)
    assert "airflow_provider_graine.sandbox.server" in found


def test_http_and_sandbox_do_without_airflow(run: Callable[..., str]) -> None:
    code = """
import sys
import airflow_provider_graine.http, airflow_provider_graine.sandbox.server
print([name for name in sys.modules if name.partition(".")[0] == "airflow"])
"""
    assert run("-c", code).strip() == "[]"


def installed(folder: Path, distribution: str, version: str) -> Path:
    """Have a folder in which a distribution is installed, as far as its metadata tell."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    return folder


IMPORT_BESIDE = """
import sys
sys.path[:0] = {path}
try:
    import airflow_provider_graine
except RuntimeError as error:
    print(error)
else:
    print("imported")
"""


def import_beside(run: Callable[..., str], *path: Path) -> str:
    """Import the package where nothing but these folders is installed."""
    return run("-S", "-c", IMPORT_BESIDE.format(path=[str(each) for each in path])).strip()


@pytest.mark.parametrize(
    ("distribution", "version"),
    [("apache-airflow", "2.11.2"), ("apache-airflow-core", "3.0.6"), ("apache-airflow-core", "3.1.2")],
)
def test_an_older_airflow_is_refused_in_plain_words(
    run: Callable[..., str], tmp_path: Path, distribution: str, version: str
) -> None:
    said = import_beside(run, installed(tmp_path, distribution, version))
    assert f"needs Apache Airflow 3.1.3 or newer; {version} is installed" in said


@pytest.mark.parametrize("version", ["3.1.3", "3.1.10", "3.2.0rc1", "3.10.0b2", "4.0"])
def test_a_newer_airflow_is_taken(run: Callable[..., str], tmp_path: Path, version: str) -> None:
    assert import_beside(run, installed(tmp_path, "apache-airflow-core", version)) == "imported"


def test_none_at_all_is_taken(run: Callable[..., str]) -> None:
    assert import_beside(run) == "imported"
