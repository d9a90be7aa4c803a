"""Imports run one way, as CONTRIBUTING.md has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT

PACKAGE = ROOT / "airflow_provider_graine"

#: What lies beside the floors: the version, and what Airflow reads before anything else.
BESIDE = {"__init__", "get_provider_info"}


def floors() -> list[tuple[list[str], set[str]]]:
    """Give the rows of the table: parts of the package, and what they do not import."""
    chapter = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## The house")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in chapter.splitlines() if line.startswith("| `")]
    return [(re.findall(r"`(\w+)`", row[0]), {word.strip() for word in row[-1].lower().split(",")}) for row in rows]


def imports(code: ast.AST) -> Iterator[str]:
    """Give all imports but those for type checkers, the late ones too."""
    for node in ast.iter_child_nodes(code):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{each.name}" for each in node.names] if node.module == PACKAGE.name else []
            yield from inner or [node.module or ""] if node.level == 0 else []
        yield from imports(node)


def part(path: Path) -> str:
    """Give the part of the package that a module belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def wrong(level: dict[str, int], barred: dict[str, set[str]], here: str, imported: str) -> bool:
    """Tell whether a part may not import something."""
    top, _, rest = imported.partition(".")
    if top != PACKAGE.name:
        return top in barred[here]
    there = rest.partition(".")[0]
    return there not in {here, *BESIDE} and there in level and (here == "sandbox" or level[there] <= level[here])


def test_imports_run_from_the_top_to_the_bottom() -> None:
    level = {name: floor for floor, (names, _) in enumerate(floors()) for name in names}
    barred = {name: words for names, words in floors() for name in names}
    parts = {part(path) for path in PACKAGE.rglob("*.py")} - BESIDE
    assert parts == set(level), "the table in CONTRIBUTING.md has other parts than the package"
    assert [
        f"{path.relative_to(ROOT)}: {imported}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if part(path) in level
        for imported in imports(ast.parse(path.read_text(encoding="utf-8")))
        if wrong(level, barred, part(path), imported)
    ] == []


def test_an_import_upwards_would_be_seen() -> None:
    level = {name: floor for floor, (names, _) in enumerate(floors()) for name in names}
    barred = {name: words for names, words in floors() for name in names}
    late = "from airflow_provider_graine.operators.graine import X; from airflow_provider_graine import hooks"
    found = list(imports(ast.parse(f"def f():\n    {late}\n")))
    assert found == ["airflow_provider_graine.operators.graine", "airflow_provider_graine.hooks"]
    assert [wrong(level, barred, "triggers", each) for each in found] == [True, False]
    assert [wrong(level, barred, "sandbox", each) for each in ("airflow_provider_graine.exceptions", "httpx")] == [
        True
    ] * 2
    assert [wrong(level, barred, "contacts", each) for each in ("airflow.sdk", "duckdb")] == [True, False]
