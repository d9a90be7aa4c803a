"""The tutorial as a new user would go through it: every command is copied from the page."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytestmark = pytest.mark.e2e

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")

#: The environment is the one of the tests; make release-check installs into an empty one.
INSTALLED = {'python3 -m venv .venv-first\n. .venv-first/bin/activate\npip install ".[sandbox]"\n'}


def test_the_tutorial_as_it_is_written(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = PAGE.partition("## See it in Airflow")[0].replace(":8600", f":{port}")
    page = page.replace("graine-sandbox ", f"graine-sandbox --port {port} ")
    script = ["set -e", "trap 'kill $(jobs -p)' EXIT"]
    for before, language, text in re.findall(
        r"([^`\n]*(?:`[^`\n]*`[^`\n]*)*)\n\n```(\w+)\n(.*?)```", page, flags=re.DOTALL
    ):
        if language == "console" and text not in INSTALLED:
            script.append(text)
        elif saved := re.search(r"as `(first/[^`]+)`", before):
            script.append(f"cat > {saved[1]} <<'END OF FILE'\n{text}END OF FILE")
    assert sum("cat > first/" in each for each in script) == 2
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**inherited, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    said = re.sub(r"\s+", " ", done.stdout)
    for promised in (
        "Read 5 contacts: 3 accepted, 2 rejected (1 invalid_number, 1 duplicate)",
        "All calls are done. 3 contacts: 3 completed",
        "No answer came to the request to create a batch",
        "was created; nothing is sent again",
    ):
        assert promised in PAGE.replace("\n", " ")
        assert promised in said
    assert said.count("All calls are done") == 2, "one run as it is, and one with the answer that was lost"
    assert len((tmp_path / "first" / "results" / "calls.csv").read_text().splitlines()) == 1 + 3
    assert len((tmp_path / "first" / "results" / "rejected.csv").read_text().splitlines()) == 1 + 2
