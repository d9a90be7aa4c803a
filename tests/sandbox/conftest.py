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
