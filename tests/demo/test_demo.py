"""The demo: the same job with either service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from demo import graine, kataven
from tests.kataven_service import AGENT, NUMBER

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_an_unknown_service_is_refused_in_plain_words() -> None:
    refused = run("--service", "carrier-pigeon")
    assert refused.returncode == 2
    assert "invalid choice: 'carrier-pigeon'" in refused.stderr


def test_what_the_demo_shows_of_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(speed=0) as sandbox:
        name, value = kataven.connection(sandbox)
        monkeypatch.setenv(name, value)
        hook = KatavenHook()
        contacts = [{"phone_number": f"+9198765432{number:02}"} for number in range(7)]
        campaign = hook.create_campaign(name="C", agent_id=AGENT, phone_number_id=NUMBER, contacts=contacts)
        assert kataven.contact_states(sandbox) == {"draft": 7}
        hook.start_campaign(campaign.campaign_id)
        hook.close()
        sandbox.run_until_idle()
        states = kataven.contact_states(sandbox)
        assert states.total() == sum(states[each] for each in kataven.FINAL) == 7
        assert len(kataven.dialled(sandbox)) == 7
        assert graine.contact_states(sandbox).total() == 0


@pytest.mark.e2e
@pytest.mark.parametrize("service", ["graine", "kataven"])
def test_it_adds_up(service: str) -> None:
    done = run("--service", service)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "420 read = 365 called + 55 rejected" in done.stdout
    assert "0 of them twice: it adds up" in done.stdout
