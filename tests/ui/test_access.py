"""Who gets what: nobody without Airflow's log-in and the right to see the page, and nothing from elsewhere."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import httpx
import pytest
from airflow.api_fastapi.app import get_auth_manager

from airflow_provider_graine.ui.app import _FILES
from tests.ui.conftest import Site

PLACES = {"name": "calls.js", "dag_id": "d", "run_id": "r", "task_id": "t", "map_index": "-1"}


def addresses(site: Site) -> list[str]:
    return [f"/graine{route.path.format(**PLACES)}" for route in site.app.routes]


def test_every_route_asks_for_the_login(site: Site) -> None:
    assert len(addresses(site)) == 5
    with httpx.Client(base_url=site.url, trust_env=False) as nobody:
        for address in addresses(site):
            assert nobody.get(address).status_code == 401, address
            assert nobody.get(address, headers={"Authorization": "Bearer e30.e30.e30"}).status_code == 403, address
        for documentation in ("docs", "redoc", "openapi.json"):
            assert nobody.get(f"/graine/{documentation}").status_code == 404


def test_a_cookie_that_is_none_lets_nobody_in(site: Site) -> None:
    with httpx.Client(base_url=site.url, cookies={"_token": "e30.e30.e30"}, trust_env=False) as browser:
        assert {browser.get(address).status_code for address in addresses(site)} == {403}


def test_every_route_asks_for_the_right_to_see_the_page(site: Site) -> None:
    with site.client(role=None) as stranger:
        assert {stranger.get(address).status_code for address in addresses(site)} == {403}


def test_the_right_to_see_the_page_can_be_one_that_the_auth_manager_knows(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def is_authorized(*, method: str, resource_name: str, user: object) -> bool:
        asked.append(resource_name)
        return resource_name == "DAG Runs"

    monkeypatch.setattr(get_auth_manager(), "is_authorized_custom_view", is_authorized)
    with site.client() as viewer:
        assert viewer.get("/graine/").status_code == 403
        monkeypatch.setenv("AIRFLOW__GRAINE__UI_RESOURCE", "DAG Runs")
        assert viewer.get("/graine/").status_code == 200
    assert asked == ["Graine", "DAG Runs"]


def test_cookie_and_bearer_let_in(site: Site) -> None:
    with site.client() as viewer:
        assert viewer.get("/graine/").status_code == 200
    with httpx.Client(base_url=site.url, cookies={"_token": site.token("viewer")}, trust_env=False) as browser:
        assert browser.get("/graine/").status_code == 200


def test_every_answer_says_what_a_browser_may_do_with_it(site: Site) -> None:
    with site.client() as viewer, httpx.Client(base_url=site.url, trust_env=False) as nobody:
        answers = [who.get(address) for who in (viewer, nobody) for address in addresses(site)]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store" or "/static/" in str(answer.url)
        if "sandbox" not in policy:
            assert "unsafe" not in policy


def test_the_page_needs_nothing_inline_and_nothing_from_elsewhere(site: Site) -> None:
    package = files("airflow_provider_graine")
    html = package.joinpath("ui/page/calls.html").read_text()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", html)
    asked_for = re.findall(r'(?:src|href)="([^"]+)"', html)
    own = [package.joinpath(f"ui/page/{name}").read_text() for name, folder in _FILES.items() if folder == "ui/page"]
    asked_for += [f"static/{name}" for text in own for name in re.findall(r'from "\./([\w.]+)"', text)]
    with site.client() as viewer:
        for name in asked_for:
            answer = viewer.get(f"/graine/{name}")
            assert answer.status_code == 200, name
            assert answer.headers["content-type"].split(";")[0] in (
                {"text/javascript"} if name.endswith(".js") else {"text/css", "image/svg+xml"}
            )
        assert viewer.get("/graine/static/..%2f..%2fhttp.py").status_code == 404
        assert viewer.get("/graine/static/calls.html").status_code == 404
    for text in (html, *own):
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|innerHTML|insertAdjacentHTML|eval\(", text)


def test_only_connections_of_the_services_can_be_looked_at(page: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", json.dumps({"conn_type": "http", "password": "secret-canary"}))
    monkeypatch.setenv("AIRFLOW_CONN_EMEA", json.dumps({"conn_type": "kataven", "password": "sk_live_a_canary"}))
    monkeypatch.setenv("AIRFLOW_CONN_HIDDEN", json.dumps({"conn_type": "graine", "password": "gat_canary"}))
    monkeypatch.setenv("AIRFLOW__GRAINE__UI_CONN_IDS", "elsewhere, emea,not_there")
    offered = page.get("/graine/api/connections")
    assert offered.json() == [
        {"id": "emea", "service": "kataven"},
        {"id": "graine_default", "service": "graine"},
    ]
    assert "canary" not in offered.text
    for conn_id in ("elsewhere", "hidden", "not_there", "../emea"):
        assert page.get("/graine/api/calls", params={"conn_id": conn_id}).status_code == 404


def test_connections_in_the_database_are_offered(page: httpx.Client) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id="stored", conn_type="graine", password="gat_canary"))
        session.add(Connection(conn_id="other", conn_type="postgres", password="canary"))
    try:
        offered = page.get("/graine/api/connections")
        assert [each["id"] for each in offered.json()] == ["graine_default", "stored"]
        assert "canary" not in offered.text
    finally:
        with create_session() as session:
            session.query(Connection).delete()
