"""The page in a browser: inside a real Airflow's interface, while a real DAG run has people called."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Frame, Page, expect, sync_playwright

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.uploads.identity import RunIdentity
from demo.warehouse import fill
from tests.conftest import EXAMPLE_DAGS
from tests.e2e.conftest import SQL, TOKEN, patient_connection
from tests.e2e.standalone import DagRun, Standalone

pytestmark = pytest.mark.e2e

SCREENSHOTS = Path(__file__).parents[2] / ".work" / "screenshots"
UPLOAD = "call_policy_holders"
BATCHES = 200
_SLOW = 60_000  # milliseconds, for a busy machine


@dataclass
class Stage:
    """A DAG run whose calls are under way, and a browser."""

    airflow: Standalone
    sandbox: Sandbox
    run: DagRun
    browser: Browser
    #: what browsers complained about
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str, *, scheme: Any = "light", width: int = 1400, height: int = 1000) -> Page:
        context = self.browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        context.set_default_timeout(_SLOW)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.goto(f"{self.airflow.url}{path}")
        return page

    def calls_link(self) -> str | None:
        """Give the extra link of the upload, as Airflow's interface gets it."""
        path = f"/dags/{SQL}/dagRuns/{self.run.run_id}/taskInstances/{UPLOAD}/links"
        link: str | None = self.airflow.request("GET", path)["extra_links"]["Calls"]
        return link


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    folder = tmp_path_factory.mktemp("page")
    (folder / "airflow").mkdir()
    fill(folder / "warehouse.duckdb")
    expect.set_options(timeout=_SLOW)
    # Retries come after three minutes: so long the task is deferred, unless a test puts the clock forward.
    with Sandbox(speed=10, seed=3, token=TOKEN) as sandbox, sync_playwright() as playwright:
        environment = {
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "duckdb", "host": f"{folder}/warehouse.duckdb"}),
            "AIRFLOW_CONN_GRAINE_DEFAULT": patient_connection(sandbox.connection_json()),
        }
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with Standalone(folder / "airflow", dags=EXAMPLE_DAGS, environment=environment) as airflow:
            run = airflow.trigger(SQL, {"results": (folder / "results").as_uri()})
            airflow.wait_until(lambda: run.task_states().get(UPLOAD) == "deferred", "the calls are made", timeout=90)
            yield Stage(airflow, sandbox, run, browser)
            browser.close()


def inside(page: Page) -> Frame:
    """Give the page within Airflow's, once it shows calls."""
    expect(page.frame_locator("iframe").locator("#filled")).to_be_visible()
    [frame] = [frame for frame in page.frames if "/graine/" in frame.url and frame != page.main_frame]
    return frame


def number(frame: Frame, place: str) -> int:
    return int(frame.locator(place).inner_text().replace(",", ""))


def test_the_link_is_there_while_the_task_waits_and_leads_to_its_calls(stage: Stage) -> None:
    link = stage.calls_link()
    assert stage.run.task_states()[UPLOAD] == "deferred"
    assert link is not None
    assert parse_qs(urlsplit(link).query) == {
        "conn_id": ["graine_default"],
        "dag_id": [SQL],
        "run_id": [stage.run.run_id],
        "task_id": [UPLOAD],
        "map_index": ["-1"],
    }
    page = stage.open(f"/dags/{SQL}/runs/{stage.run.run_id}/tasks/{UPLOAD}/details")
    button = page.get_by_role("link", name="Calls", exact=True).and_(page.locator(f'[href="{link}"]'))
    expect(button).to_be_visible()
    expect(page.get_by_text("Deferred").first).to_be_visible()
    expect(page.get_by_text("SqlToGraineOperator").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=SCREENSHOTS / "task-with-link.png")
    page.goto(link)
    frame = inside(page)
    ids = stage.run.xcoms(UPLOAD)["batch_ids"]
    expect(frame.locator("#rows tbody tr")).to_have_count(len(ids))
    assert sorted(frame.locator("#rows tbody code").all_inner_texts()) == sorted(ids)
    assert UPLOAD in frame.locator("#chips").inner_text()
    # From the batch to the task instance, out of the frame.
    frame.locator(f'#rows a:text("{UPLOAD}")').first.click()
    page.wait_for_url(f"**/dags/{SQL}/runs/*/tasks/{UPLOAD}")
    page.context.close()


def test_a_live_campaign(stage: Stage) -> None:
    stage.sandbox.advance(900)
    page = stage.open("/plugin/graine-calls")
    expect(page.get_by_role("link", name="Calls")).to_be_visible()
    frame = inside(page)
    assert number(frame, "#people") == len(stage.sandbox.dialled)
    bars = frame.get_by_role("progressbar").all()
    assert len(bars) == 1 + 1 + len(stage.sandbox.batches)
    assert all(re.search(r"\d+ % settled: ", bar.get_attribute("aria-valuetext") or "") for bar in bars)
    expect(frame.locator("#campaigns")).to_contain_text("Renewals before 2026-08-01")
    assert "1st" in frame.locator("#campaigns").inner_text()  # people wait for a retry
    before = number(frame, "#reached")
    stage.sandbox.advance(3600)
    frame.wait_for_function(
        "before => Number(document.getElementById('reached').textContent.replace(',', '')) > before", arg=before
    )
    expect(frame.locator("#course-box")).to_be_visible()
    page.wait_for_timeout(400)  # bars move
    page.screenshot(path=SCREENSHOTS / "calls-live-light.png")
    # Airflow's own theme is followed, whatever the system's.
    page.evaluate("() => { const c = document.documentElement.classList; c.remove('light'); c.add('dark'); }")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    page.context.close()


def test_two_hundred_batches(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GRAINE_DEFAULT", stage.sandbox.connection_json())
    hook = GraineHook()
    [campaign_id] = stage.sandbox.campaigns
    identity = RunIdentity(dag_id=SQL, run_id=stage.run.run_id, task_id=UPLOAD)
    for batch in range(BATCHES):
        contacts = [{"phone_number": f"+9191{batch:03d}{each:05d}"} for each in range(10 + batch % 40)]
        hook.create_batch(campaign_id=campaign_id, contacts=contacts, metadata=identity.marked(None))
        stage.sandbox.advance(60)
    hook.pause_batch(list(stage.sandbox.batches)[-1])
    hook.close()
    page = stage.open("/plugin/graine-calls", scheme="dark", height=1400)
    frame = inside(page)
    everything = len(stage.sandbox.batches)
    frame.wait_for_function(f"() => document.getElementById('parts').textContent === '{everything}'")
    expect(frame.locator("#rows tbody tr")).to_have_count(50)
    frame.locator("#more").focus()
    page.keyboard.press("Enter")
    expect(frame.locator("#rows tbody tr")).to_have_count(everything)
    frame.locator('[data-view="ended"]').focus()
    page.keyboard.press("Enter")
    expect(frame.locator('[data-view="ended"]')).to_have_attribute("aria-pressed", "true")
    frame.locator('[data-view="all"]').click()
    frame.locator("h1").scroll_into_view_if_needed()
    page.wait_for_timeout(400)
    page.screenshot(path=SCREENSHOTS / "calls-200-dark.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1400, "height": 1401})
    page.wait_for_timeout(800)
    page.screenshot(path=SCREENSHOTS / "calls-200-light.png")
    _is_told_nothing_personal(stage, page)
    page.context.close()
    phone = stage.open("/graine/", width=390, height=1600)
    expect(phone.locator("#filled")).to_be_visible()
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 390
    phone.screenshot(path=SCREENSHOTS / "calls-phone.png")
    phone.context.close()


def _is_told_nothing_personal(stage: Stage, page: Page) -> None:
    shown = page.frame_locator("iframe").locator("html").inner_html()
    asked = page.request.get(f"{stage.airflow.url}/graine/api/calls?conn_id=graine_default").text()
    assert SQL in shown
    assert SQL in asked
    told = shown + asked
    assert TOKEN not in told
    assert not [phone for phone in stage.sandbox.dialled if phone in told or phone[1:] in told]
    names = {contact["call_variables"].get("callee_name") for batch_id in list(stage.sandbox.batches)[:4]
             for contact in stage.sandbox.contacts(batch_id)} - {None}  # fmt: skip
    assert names
    assert not [name for name in names if name in told]


def test_a_service_that_is_away_shows_as_it_was(stage: Stage, request: pytest.FixtureRequest) -> None:
    page = stage.open("/plugin/graine-calls")
    frame = inside(page)
    stage.sandbox.fault("GET *", "status", status=403, detail="canary", times=None)
    request.addfinalizer(stage.sandbox.clear_faults)
    people = number(frame, "#people")
    expect(frame.locator("#error")).to_be_visible()
    expect(frame.locator("#fresh")).to_contain_text("Stale")
    assert "does not accept the connection's token" in frame.locator("#error").inner_text()
    assert number(frame, "#people") == people
    page.screenshot(path=SCREENSHOTS / "calls-stale.png")
    page.context.close()


def test_no_browser_complained(stage: Stage) -> None:
    assert stage.complaints == []
