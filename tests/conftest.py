"""An Airflow of the tests' own: set up before anything imports Airflow, thrown away at the end."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

assert "airflow" not in sys.modules, "Airflow was imported before its home was set."

for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]  # the developer's own set-up has no say here

EXAMPLE_DAGS = Path(__file__).parents[1] / "example_dags"

_AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _AIRFLOW_HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# Airflow's default bundle: dag.test() runs only what lies in one.
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(EXAMPLE_DAGS)


@pytest.fixture(autouse=True, scope="session")
def nobody_lingers() -> Iterator[None]:
    """Let triggers that have stopped calls end at once: no Airflow reads their logs here."""
    from airflow_provider_graine.triggers import kill

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kill, "_LINGER", 0.0)
        yield


#: Of Airflow's own doing on 3.1 with the newest packages that it takes; no user could mend it.
AIRFLOWS_OWN_WARNINGS = [
    "The `airflow.operators.branch.BaseBranchOperator` attribute is deprecated",  # `from airflow.sdk import task`
    "in a future version of UPath this will be set to None",  # `ObjectStoragePath(…) / "name"`
]


def pytest_configure(config: pytest.Config) -> None:
    for message in AIRFLOWS_OWN_WARNINGS:
        config.addinivalue_line("filterwarnings", f"ignore:{message}")


def pytest_unconfigure() -> None:
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


# A busy machine is no failing test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
