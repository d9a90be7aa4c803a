"""The plugin: found by Airflow, in its navigation, and of no weight for those who do not serve pages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from airflow_provider_graine.get_provider_info import get_provider_info
from airflow_provider_graine.operators import links
from airflow_provider_graine.ui import plugin
from tests.ui.conftest import Site

#: What the modules that every process of Airflow loads may import; it is there anyway.
LIGHT = re.compile(r"__future__|collections|functools|logging|typing|urllib|airflow\.sdk|airflow\.plugins_manager")


def test_airflow_finds_it_and_shows_the_page(site: Site) -> None:
    from airflow.plugins_manager import get_plugin_info

    [found] = [each for each in get_plugin_info() if each["name"] == "graine"]
    [view] = found["external_views"]
    assert (view["name"], view["url_route"], view["href"]) == ("Calls", "graine-calls", "graine/")
    assert found["fastapi_apps"] == [{"app": "fastapi.applications.FastAPI", "url_prefix": "/graine", "name": "Graine"}]
    assert str(found["source"]).startswith("airflow-provider-graine==")
    with site.client() as viewer:
        assert viewer.get(f"/{view['href']}").text.startswith("<!doctype html>")
        assert viewer.get(f"/{view['icon']}").headers["content-type"] == "image/svg+xml"


def test_a_worker_that_loads_it_loads_nothing_else() -> None:
    for module in (plugin, links):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        at_once = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom | ast.Try)]
        imports = [each for part in at_once for each in ast.walk(part) if isinstance(each, ast.Import | ast.ImportFrom)]
        names = {each.module or "" if isinstance(each, ast.ImportFrom) else each.names[0].name for each in imports}
        assert {name for name in names if not LIGHT.match(name)} <= {links.__name__}


def test_the_links_that_airflow_is_told_of_are_there() -> None:
    told = set(get_provider_info()["extra-links"])
    there = {f"{links.__name__}.{name}" for name in vars(links) if name.endswith("Link") and name[0].isupper()}
    assert told == there - {f"{links.__name__}.BaseOperatorLink"}
