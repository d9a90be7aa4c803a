"""The Markdown pages of the repository, read as a reader's program would read them: blocks of code, links, anchors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"])


@dataclass(frozen=True)
class Block:
    """A block of code in a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line} {self.language}"


def blocks(page: Path) -> list[Block]:
    """Give the blocks of code in a page, in their order."""
    return [
        Block(page, _line(token), token.info.split()[0] if token.info.strip() else "", token.content)
        for token in _tokens(page)
        if token.type in ("fence", "code_block")
    ]


def in_language(*languages: str) -> list[Block]:
    """Give the blocks of all pages that are in one of these languages."""
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Give line and target of each link and image in a page."""
    for token in _tokens(page):
        for child in token.children or ():
            if (target := child.attrGet("href") or child.attrGet("src")) is not None:
                yield _line(token), str(target)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Give what can be linked to in a page: the slugs of its headings, as code hosts and MyST make them."""
    seen: Counter[str] = Counter()
    made = set()
    tokens = _tokens(page)
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            title = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
            made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(made)


def _line(token: Token) -> int:
    return (token.map or [0])[0] + 1


@cache
def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
