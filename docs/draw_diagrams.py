"""
Draw the diagrams of the pages for the site, so that it needs no script to show them.

Code hosts draw the ``mermaid`` blocks themselves. After a change to one (a test says so):

    npm pack mermaid@11 && tar xzf mermaid-*.tgz
    python docs/draw_diagrams.py package/dist/mermaid.min.js
"""

from __future__ import annotations

import re
import shutil
import sys
from hashlib import sha256
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
DIAGRAMS = DOCS / "diagrams"

DRAW = """async ([name, source]) => {
    mermaid.initialize({startOnLoad: false, theme: "neutral", fontFamily: "sans-serif", deterministicIds: true,
                        htmlLabels: false, flowchart: {htmlLabels: false}});
    return (await mermaid.render(name, source)).svg;
}"""


def main(script: str) -> None:
    """
    Draw all of them anew.

    :param script: path of ``mermaid.min.js``
    """
    sources = [
        source
        for page in sorted(DOCS.glob("*.md"))
        for source in re.findall(r"^```mermaid\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    ]
    DIAGRAMS.mkdir(exist_ok=True)
    for old in DIAGRAMS.glob("*.svg"):
        old.unlink()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(path=script)
        for source in sources:
            name = sha256(source.encode()).hexdigest()[:16]
            drawn = page.evaluate(DRAW, [f"d{name}", source])
            (DIAGRAMS / f"{name}.svg").write_text(drawn + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
