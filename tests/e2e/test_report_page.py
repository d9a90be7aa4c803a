"""The report in a browser: it draws its charts, in both themes, and asks for nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators.graine import GraineReportOperator
from airflow_provider_graine.sandbox import Sandbox
from tests.service import campaign_id, hook, sandbox, shared_sandbox
from tests.task import Task

__all__ = ["campaign_id", "hook", "sandbox", "shared_sandbox"]

pytestmark = pytest.mark.e2e

#: How many pixels of a canvas have a colour.
PIXELS = """([name, colour]) => {
  const canvas = document.getElementById(name);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    if ([data[i], data[i + 1], data[i + 2], data[i + 3]].join() === colour) found++;
  }
  return found > 500;
}"""
COMPLETED = {"light": "6,99,71,255", "dark": "79,224,189,255"}
FAILED = {"light": "176,16,31,255", "dark": "224,42,51,255"}


def test_the_charts_are_drawn_and_nothing_is_asked_for(
    sandbox: Sandbox, hook: GraineHook, campaign_id: str, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    people = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": f"Asha {i}"}} for i in range(300)]
    batch_id = hook.create_batch(campaign_id=campaign_id, contacts=people).batch_id
    sandbox.run_until_idle()
    summary = {"read": 310, "accepted": 300, "rejected": {"duplicate": 10}}
    path = tmp_path / "report.html"
    Task().run(GraineReportOperator(task_id="report", batch_ids=batch_id, path=path.as_uri(), summary=summary))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        asked: list[str] = []
        wrong: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(path.as_uri())
        for theme in ("light", "dark", "light"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            for name, colour in {
                **dict.fromkeys(("outcomes", "hours", "attempts"), COMPLETED),
                "rejected": FAILED,
            }.items():
                page.wait_for_function(PIXELS, arg=[name, colour[theme]], timeout=10_000)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            # The charts take note of a new width when they come to it.
            page.wait_for_function(
                "width => innerWidth === width && document.documentElement.scrollWidth <= width",
                arg=width,
                timeout=10_000,
            )
        browser.close()
    assert not wrong
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
