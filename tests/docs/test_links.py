"""Whatever a page links to exists, also the heading; and every page of the site can be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, blocks, links

DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for line, target in links(page):
        path, _, anchor = target.partition("#")
        if "://" in path:
            if not path.startswith("https://") and "://127.0.0.1" not in path and "://localhost" not in path:
                broken.append(f"line {line}: {target} is neither encrypted nor on this machine")
            continue
        found = (page.parent / path).resolve() if path else page
        if not found.is_relative_to(ROOT) or not found.exists():
            broken.append(f"line {line}: no file {path}")
        elif anchor and (found.suffix != ".md" or anchor not in anchors(found)):
            broken.append(f"line {line}: {path or page.name} has no heading #{anchor}")
    assert broken == []


def test_links_are_found_and_anchors_made_as_code_hosts_make_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# What happens when …\n\n## `on_kill`, and *why*\n\n## Twice\n\n## Twice\n\n"
        "See [here](#twice-1) and ![a picture](there.png).\n\n| a |\n| --- |\n| [in a table](x.md) |\n"
    )
    assert anchors(page) == {"what-happens-when-", "on_kill-and-why", "twice", "twice-1"}
    assert list(links(page)) == [(9, "#twice-1"), (9, "there.png"), (13, "x.md")]


def test_every_page_is_in_the_contents_of_the_site() -> None:
    listed: set[Path] = set()
    for index in (DOCS / "index.md", DOCS / "reference" / "index.rst"):
        trees = [each.text for each in blocks(index) if each.language == "{toctree}"] if index.suffix == ".md" else []
        for line in "\n".join(trees or [index.read_text(encoding="utf-8").partition("toctree::")[2]]).split():
            listed |= {path for path in (index.parent / f"{line}.md", index.parent / f"{line}.rst") if path.exists()}
    there = {*DOCS.rglob("*.md"), *DOCS.rglob("*.rst")} - {DOCS / "index.md"}
    assert sorted(there - listed) == []
