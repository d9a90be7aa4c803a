from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_graine.sandbox import Sandbox

TUESDAY = "2026-05-12T09:00:00Z"


class Api:
    """A client that speaks to a sandbox like any other program would."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.http = httpx.Client(
            base_url=sandbox.url,
            headers={"Authorization": f"Bearer {sandbox.token}"},
            timeout=10,
            verify=False,  # plain HTTP: no time for reading certificates
        )

    def ok(self, method: str, path: str, **how: Any) -> Any:
        answer = self.http.request(method, path, **how)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    def refused(self, method: str, path: str, status: int, **how: Any) -> Any:
        answer = self.http.request(method, path, **how)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()["detail"]

    def campaign(self, **fields: Any) -> str:
        body = {"name": "Renewals", "agent_id": "agent_1", "phone_numbers": ["+14155550100"], **fields}
        return self.ok("POST", "/campaigns/", json=body)["campaign_id"]

    def batch(self, campaign_id: str, numbers: int | list[str] = 3, **fields: Any) -> str:
        if isinstance(numbers, int):
            numbers = [number(index) for index in range(numbers)]
        contacts = [
            {"phone_number": each, "call_variables": {"callee_name": f"Name {index}"}}
            for index, each in enumerate(numbers)
        ]
        body = {"campaign_id": campaign_id, "contacts": contacts, **fields}
        return self.ok("POST", "/batches/", json=body)["batch_id"]

    def get_batch(self, batch_id: str) -> Any:
        return self.ok("GET", f"/batches/{batch_id}")

    def status(self, batch_id: str) -> str:
        return self.get_batch(batch_id)["status"]

    def statuses(self, batch_id: str) -> list[str]:
        contacts = self.ok("GET", f"/batches/{batch_id}/contacts", params={"limit": 1000})
        return [contact["status"] for contact in contacts]

    def counts(self, campaign_id: str) -> dict[str, int]:
        counts = self.ok("GET", f"/campaigns/{campaign_id}/stats")["contact_counts"]
        return {status: count for status, count in counts.items() if count}


class KatavenClient:
    """The same for the Kataven half."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.http = httpx.Client(
            base_url=sandbox.kataven.url,
            headers={"Authorization": f"Bearer {sandbox.kataven.token}"},
            timeout=10,
            verify=False,
        )

    def ok(self, method: str, path: str, *, status: int = 200, **how: Any) -> Any:
        answer = self.http.request(method, path, **how)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, status: int, **how: Any) -> str:
        answer = self.http.request(method, path, **how)
        assert answer.status_code == status, (answer.status_code, answer.text)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        return answer.text

    def post(self, people: int | list[str] | bytes = 3, **fields: Any) -> httpx.Response:
        if isinstance(people, int):
            people = [number(index) for index in range(people)]
        if isinstance(people, list):
            people = "".join(f"{each}\r\n" for each in ["phone_number", *people]).encode()
        form = {"name": "Renewals", "agent_id": AGENT, "phone_number_id": NUMBER, **fields}
        kept = {name: value for name, value in form.items() if value is not None}
        return self.http.post("/campaigns", data=kept, files={"contacts": ("contacts.csv", people, "text/csv")})

    def draft(self, people: int | list[str] | bytes = 3, **fields: Any) -> str:
        answer = self.post(people, **fields)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return answer.json()["id"]

    def started(self, people: int | list[str] | bytes = 3, **fields: Any) -> str:
        campaign_id = self.draft(people, **fields)
        self.move(campaign_id, "start")
        return campaign_id

    def move(self, campaign_id: str, how: str) -> Any:
        return self.ok("POST", f"/campaigns/{campaign_id}/{how}")

    def status(self, campaign_id: str) -> str:
        return self.ok("GET", f"/campaigns/{campaign_id}")["status"]

    def contacts(self, campaign_id: str, **query: Any) -> list[dict[str, Any]]:
        return self.ok("GET", f"/campaigns/{campaign_id}/contacts", params=query)["contacts"]

    def statuses(self, campaign_id: str) -> list[str]:
        return sorted(each["status"] for each in self.contacts(campaign_id))


AGENT = "5c7a4c1e-63c5-4d0e-9a1c-0d5a4a0f6a11"
NUMBER = "b6f7c7a2-8f60-4a1a-8a0f-1f6f2f8b9c22"


def number(index: int) -> str:
    return f"+1415555{index:04d}"


@pytest.fixture
def start() -> Any:
    """Start sandboxes with other settings; they stop at the end of the test."""
    running = []

    def start(**settings: Any) -> tuple[Sandbox, Api]:
        sandbox = Sandbox(**{"speed": 0, "start": TUESDAY, **settings})
        sandbox.start()
        api = Api(sandbox)
        running.append((sandbox, api))
        return sandbox, api

    yield start
    for sandbox, api in running:
        api.http.close()
        sandbox.stop()


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=0, start=TUESDAY, outcomes={"completed": 1}) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """Where everybody answers, and time stands still until it is moved."""
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    api = Api(sandbox)
    yield api
    api.http.close()


@pytest.fixture
def kataven(sandbox: Sandbox) -> Iterator[KatavenClient]:
    """The Kataven half of the sandbox, as many requests as one likes."""
    sandbox.kataven.settings.rate_limits = False
    client = KatavenClient(sandbox)
    yield client
    client.http.close()
