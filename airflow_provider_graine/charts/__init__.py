"""The look of every page this package makes (the page in Airflow and the report): design tokens, charts, Chart.js.

``chart.umd.min.js`` is Chart.js as published on npm, byte for byte; its licence lies beside it.
"""

from __future__ import annotations

CHART_JS_VERSION = "4.6.1"


def chart_js() -> str:
    """Chart.js, the whole library for a ``<script>``, without its last line, which names a source map.

    :return: JavaScript text; defines ``window.Chart``.
    """
    return _text("chart.umd.min.js").partition("//# sourceMappingURL=")[0]


def charts_js() -> str:
    """The charts drawn with it, for a ``<script>`` after :func:`chart_js`.

    :return: JavaScript text; defines ``window.graineCharts`` with ``stackedBars``, ``lines`` and ``bars``.
    """
    return _text("charts.js")


def theme_css() -> str:
    """Design tokens for light and dark, for a ``<style>``.

    :return: CSS text: custom properties on ``:root``, one colour for each outcome among them, and the ``.chart`` box.
    """
    return _text("theme.css")


def _text(name: str) -> str:
    from importlib.resources import files

    return files(__name__).joinpath(name).read_text(encoding="utf-8")
