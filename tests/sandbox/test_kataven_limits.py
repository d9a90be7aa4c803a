from __future__ import annotations

import pytest

from airflow_provider_graine.sandbox import KatavenSettings, Sandbox
from tests.sandbox.conftest import KatavenClient


@pytest.fixture
def limited(start):
    """Start a sandbox with limits on requests; gives it and a function that asks and tells the status."""
    clients = []

    def limited(*, speed=0, **settings):
        sandbox, _ = start(speed=speed, kataven=KatavenSettings(**settings))
        client = KatavenClient(sandbox)
        clients.append(client)
        return sandbox, client

    yield limited
    for client in clients:
        client.http.close()


def statuses(client, count, **how):
    return [client.http.get("/campaigns", **how).status_code for _ in range(count)]


def test_sixty_a_minute(limited):
    sandbox, client = limited()
    assert statuses(client, 60) == [200] * 60
    sandbox.advance(12.5)
    answer = client.http.get("/campaigns")
    assert (answer.status_code, answer.text) == (429, "rate_limited: per-minute (60) exceeded")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["retry-after"] == "48"
    sandbox.advance(47)
    assert statuses(client, 1) == [429]
    sandbox.advance(0.5)
    assert statuses(client, 61) == [200] * 60 + [429]


def test_the_minute_begins_with_the_first_request(limited):
    sandbox, client = limited(requests_per_minute=2)
    sandbox.advance(50)
    assert statuses(client, 1) == [200]
    sandbox.advance(59)
    assert statuses(client, 2) == [200, 429]
    sandbox.advance(1)
    assert statuses(client, 2) == [200, 200]


@pytest.mark.parametrize(
    ("field", "seconds", "name"), [("requests_per_hour", 3_600, "hour"), ("requests_per_day", 86_400, "day")]
)
def test_longer_windows(limited, field, seconds, name):
    sandbox, client = limited(**{field: 3})
    assert statuses(client, 3) == [200] * 3
    sandbox.advance(100)
    answer = client.http.get("/campaigns")
    assert (answer.text, answer.headers["retry-after"]) == (
        f"rate_limited: per-{name} (3) exceeded",
        str(seconds - 100),
    )
    sandbox.advance(seconds - 100)
    assert statuses(client, 1) == [200]


def test_a_refused_request_has_no_effect_and_counts(limited):
    sandbox, client = limited(requests_per_minute=1, requests_per_hour=3)
    assert statuses(client, 2) == [200, 429]
    assert client.post().status_code == 429
    assert not sandbox.kataven.campaigns
    fault = sandbox.kataven.fault("GET /campaigns", "status")
    sandbox.advance(60)
    assert client.http.get("/campaigns").text == "rate_limited: per-hour (3) exceeded"
    assert fault.hits == 0


def test_strangers_do_not_count(limited):
    _, client = limited(requests_per_minute=1)
    assert statuses(client, 3, headers={"Authorization": "Bearer wrong"}) == [401] * 3
    assert statuses(client, 1) == [200]


def test_graine_has_no_limits(limited):
    sandbox, client = limited(requests_per_minute=1)
    assert statuses(client, 2) == [200, 429]
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    for _ in range(3):
        assert client.http.get(f"{sandbox.url}/campaigns/", headers=headers).status_code == 200


def test_limits_can_be_switched_off_and_a_reset_begins_anew(limited):
    sandbox, client = limited(requests_per_minute=2)
    sandbox.kataven.settings.rate_limits = False
    assert statuses(client, 5) == [200] * 5
    sandbox.kataven.settings.rate_limits = True
    assert statuses(client, 1) == [429]
    sandbox.reset()
    assert statuses(client, 3) == [200, 200, 429]


def test_retry_after_is_in_real_seconds(limited):
    _, client = limited(speed=20, requests_per_minute=1)
    assert statuses(client, 1) == [200]
    answer = client.http.get("/campaigns")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


def test_settings_are_what_they_were_after_a_reset_and_each_sandboxs_own(limited):
    given = KatavenSettings()
    assert Sandbox(kataven=given).kataven.settings is not given
    sandbox, client = limited(concurrent_max=3, rate_limits=False)
    sandbox.kataven.settings.concurrent_max = 99
    sandbox.kataven.rotate_token("sk_live_sandbox_new")
    sandbox.reset()
    assert client.ok("GET", "/call-limits")["concurrent_max"] == 3
