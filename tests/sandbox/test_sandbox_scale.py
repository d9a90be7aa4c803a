from __future__ import annotations

import json
import time

from airflow_provider_graine.sandbox.calls import Call
from airflow_provider_graine.sandbox.graine.model import Batch, Contact


def test_a_hundred_thousand_contacts(start):
    sandbox, api = start(record_requests=False)
    campaign_id = api.campaign(metadata={"concurrency_limit": 1000}, retry_policy={"max_retries": 1})
    begin = time.perf_counter()
    slowest = []
    for chunk in range(20):
        contacts = [
            {"phone_number": f"+1415{chunk:03d}{index:04d}", "call_variables": {"callee_name": f"Name {index}"}}
            for index in range(5000)
        ]
        content = json.dumps({"campaign_id": campaign_id, "contacts": contacts}).encode()
        sent = time.perf_counter()
        batch_id = api.ok("POST", "/batches/", content=content)["batch_id"]
        slowest.append(time.perf_counter() - sent)
    assert sorted(slowest)[10] < 0.5  # 5,000 contacts; some 40 ms where nothing else runs
    sandbox.advance(600)
    polls = time.perf_counter()
    for _ in range(20):
        api.get_batch(batch_id)
        stats = api.ok("GET", f"/campaigns/{campaign_id}/stats")
    assert (time.perf_counter() - polls) / 40 < 0.05  # no scan of 100,000 contacts for a poll
    assert sum(stats["contact_counts"].values()) == 100_000
    sandbox.run_until_idle()
    counts = api.counts(campaign_id)
    assert sum(counts.values()) == 100_000
    assert set(counts) == {"completed", "failed", "max_retries_reached"}
    assert time.perf_counter() - begin < 60


def test_what_there_are_many_of_is_lean():
    for kind in (Contact, Call, Batch):
        assert hasattr(kind, "__slots__")
        assert "__dict__" not in dir(kind)
