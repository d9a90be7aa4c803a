from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[2]


@pytest.fixture
def info() -> dict[str, Any]:
    return get_provider_info()


@pytest.fixture(params=["graine", "kataven"])
def connection_type(info: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    [found] = [each for each in info["connection-types"] if each["connection-type"] == request.param]
    return found


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Run a command of this interpreter's environment on an empty Airflow home; gives what it prints."""

    def run(*command: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
        environment |= {"AIRFLOW_HOME": str(tmp_path), "COLUMNS": "300"}
        done = subprocess.run(
            [sys.executable, *command], env=environment, cwd=ROOT, text=True, capture_output=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
