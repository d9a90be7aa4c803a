"""What every page is drawn with: the library as published, and colours that everybody can tell apart."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import subprocess
import sys

import pytest

from airflow_provider_graine import charts
from airflow_provider_graine.reports import words

#: Of chart.umd.min.js as npm has it, https://www.npmjs.com/package/chart.js/v/4.6.1
PUBLISHED = "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2"

#: Outcomes in the order in which they stand beside each other in a bar.
OUTCOMES = [
    "completed",
    "in_flight",
    "retrying",
    "followup",
    "no_answer",
    "busy",
    "failed",
    "exhausted",
    "skipped",
    "pending",
]

#: How people see who lack a kind of cone: linear RGB to linear RGB. Machado, Oliveira and Fernandes, 2009
SIGHT = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.1523, 1.0526, -0.2049), (0.1145, 0.7863, 0.0992), (-0.0039, -0.0481, 1.0520)),
    "deuteranopia": ((0.3673, 0.8606, -0.2280), (0.2801, 0.6725, 0.0474), (-0.0118, 0.0429, 0.9689)),
    "tritanopia": ((1.2555, -0.0767, -0.1788), (-0.0784, 0.9308, 0.1476), (0.0047, 0.6914, 0.3039)),
}

Colour = tuple[float, float, float]


def themes() -> dict[str, dict[str, Colour]]:
    """Token to colour in linear RGB, of both themes."""
    tokens = re.findall(r"--(\w+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", charts.theme_css())
    return {
        "light": {name: linear(light) for name, light, _ in tokens},
        "dark": {name: linear(dark) for name, _, dark in tokens},
    }


def linear(colour: str) -> Colour:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return decoded(red), decoded(green), decoded(blue)


def decoded(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def contrast(one: Colour, other: Colour) -> float:
    """After WCAG 2."""
    light, dark = sorted((0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05 for r, g, b in (one, other)), reverse=True)
    return light / dark


def oklab(colour: Colour) -> Colour:
    r, g, b = (max(0.0, value) for value in colour)
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    medium = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def seen(colour: Colour, sight: str) -> Colour:
    r, g, b = (sum(part * value for part, value in zip(row, colour, strict=True)) for row in SIGHT[sight])
    return r, g, b


def test_chart_js_is_as_published() -> None:
    from importlib.resources import files

    content = files(charts).joinpath("chart.umd.min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == PUBLISHED
    assert f"Chart.js v{charts.CHART_JS_VERSION}\n" in charts.chart_js()
    assert content.decode().startswith(charts.chart_js())
    assert "MIT" in files(charts).joinpath("chart.js.LICENSE").read_text()


def test_the_texts_can_stand_in_a_page() -> None:
    for text in (charts.chart_js(), charts.charts_js()):
        assert not re.search(r"</script|<!--|\r|sourceMappingURL", text, re.IGNORECASE)
    assert not re.search(r"</style|url\(|@import", charts.theme_css(), re.IGNORECASE)


def test_nothing_is_read_or_imported_with_the_module() -> None:
    code = (
        "import __future__, sys, airflow_provider_graine as a; before = set(sys.modules)\n"
        "import airflow_provider_graine.charts\nprint(*set(sys.modules) - before)"
    )
    added = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert added.split() == ["airflow_provider_graine.charts"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_stands_out_from_its_background(theme: str) -> None:
    colours = themes()[theme]
    for text, background in itertools.product(("text", "muted", "accent", "danger"), ("bg", "card", "soft")):
        assert contrast(colours[text], colours[background]) >= 4.5, (text, background)
    for name in OUTCOMES:
        assert contrast(colours[name], colours["card"]) >= 3, name


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_outcomes_can_be_told_apart(theme: str, sight: str) -> None:
    colours = {name: oklab(seen(themes()[theme][name], sight)) for name in OUTCOMES}
    for one, other in itertools.combinations(OUTCOMES, 2):
        beside = OUTCOMES.index(other) - OUTCOMES.index(one) == 1
        assert 100 * math.dist(colours[one], colours[other]) >= (8 if beside else 5), (one, other)


def test_every_outcome_of_a_report_has_a_colour() -> None:
    used = {words.outcome(status).color for status in (*words.ORDER, "something new")}
    assert used == set(OUTCOMES)
