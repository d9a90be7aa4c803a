from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_graine.exceptions import (
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    UnclearOutcomeError,
)
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.operators import graine
from airflow_provider_graine.operators.graine import (
    GraineCancelBatchOperator,
    GraineCancelCampaignOperator,
    GraineCreateCampaignOperator,
    GraineDeleteCampaignOperator,
    GraineDispatchBatchOperator,
    GrainePauseBatchOperator,
    GrainePauseCampaignOperator,
    GraineResumeBatchOperator,
    GraineResumeCampaignOperator,
    GraineUpdateCampaignOperator,
)
from airflow_provider_graine.sandbox import Sandbox
from tests.task import Task

CAMPAIGN: dict[str, Any] = {
    "task_id": "create",
    "name": "Q2 Insurance Renewals",
    "agent_id": "agent_abc123",
    "phone_numbers": ["+919876543210", "+919876543211"],
    "phone_number_strategy": "round_robin",
    "timezone": "Asia/Kolkata",
    "working_hours": {"monday": {"start": "09:00", "end": "18:00", "enabled": True}},
    "call_retry_policy": {"max_retries": 3, "strategy": "fixed", "cooldown_minutes": 30},
    "default_call_variables": {"language": "en"},
    "metadata": {"concurrency_limit": 20},
}


def writes(sandbox: Sandbox) -> list[str]:
    return [f"{request.method} {request.path}" for request in sandbox.requests if request.method != "GET"]


def test_created_campaign_is_sent_as_documented(sandbox: Sandbox, task: Task) -> None:
    campaign_id = task.run(GraineCreateCampaignOperator(**CAMPAIGN))

    assert campaign_id in sandbox.campaigns
    (request,) = sandbox.requests
    closed = {"start": "00:00", "end": "00:00", "enabled": False}
    body = request.json()
    marks = body["metadata"]
    assert body == {
        "name": "Q2 Insurance Renewals",
        "agent_id": "agent_abc123",
        "phone_numbers": ["+919876543210", "+919876543211"],
        "phone_number_strategy": "round_robin",
        "working_hours_enforced": True,
        "timezone": "Asia/Kolkata",
        "working_hours": {
            "monday": {"start": "09:00", "end": "18:00", "enabled": True},
            **dict.fromkeys(("tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), closed),
        },
        "retry_policy": {"max_retries": 3, "strategy": "fixed", "cooldown_minutes": 30},
        "default_call_variables": {"language": "en"},
        "metadata": marks,
    }
    assert marks["concurrency_limit"] == 20
    assert (marks["airflow_dag_id"], marks["airflow_task_id"]) == ("calls", "call_people")


def test_retry_returns_the_campaign_of_the_earlier_try(sandbox: Sandbox, task: Task) -> None:
    operator = GraineCreateCampaignOperator(**CAMPAIGN)
    first = task.run(operator)

    assert task.run(GraineCreateCampaignOperator(**CAMPAIGN)) == first
    assert list(sandbox.campaigns) == [first]


def test_another_run_gets_a_campaign_of_its_own(sandbox: Sandbox, task: Task) -> None:
    first = task.run(GraineCreateCampaignOperator(**CAMPAIGN))
    other = Task(run_id="manual__2026-05-11", tries=1)

    assert other.run(GraineCreateCampaignOperator(**CAMPAIGN)) != first
    assert len(sandbox.campaigns) == 2


@pytest.mark.parametrize("fault", [{"what": "drop"}, {"what": "status", "status": 502}, {"what": "html"}])
def test_campaign_created_without_an_answer_is_found(sandbox: Sandbox, task: Task, fault: dict[str, Any]) -> None:
    sandbox.fault("POST /campaigns/", when="after", **fault)

    campaign_id = task.run(GraineCreateCampaignOperator(**CAMPAIGN))

    assert list(sandbox.campaigns) == [campaign_id]
    assert writes(sandbox) == ["POST /api/v1/campaigns/"]


def test_campaign_that_never_appears_is_unclear_and_a_retry_creates_one(
    sandbox: Sandbox, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graine, "_LOOKS", (0.0, 0.0))
    sandbox.fault("POST /campaigns/", "drop", when="before")

    with pytest.raises(UnclearOutcomeError, match="a draft too many"):
        task.run(GraineCreateCampaignOperator(**CAMPAIGN))
    assert not sandbox.campaigns

    assert task.run(GraineCreateCampaignOperator(**CAMPAIGN)) in sandbox.campaigns


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"phone_number_strategy": "best"}, "phone_number_strategy: must be 'round_robin'"),
        ({"timezone": "Mars/Olympus"}, "timezone: must be an IANA time zone"),
        (
            {"working_hours": {"mondy": {"start": "09:00", "end": "18:00"}}},
            "working_hours.mondy: there is no such field",
        ),
        ({"working_hours": {"monday": {"start": "9", "end": "18:00"}}}, "working_hours.monday.start: must be a time"),
        ({"working_hours": {"monday": {"start": "18:00", "end": "09:00"}}}, "start must lie before end"),
        ({"timezone": None}, "working_hours need a timezone"),
        ({"phone_numbers": ["98765"]}, "phone_numbers.0: must be a phone number in E.164 form"),
        ({"phone_numbers": []}, "phone_numbers"),
        ({"call_retry_policy": {"max_retries": -1}}, "retry_policy.max_retries"),
        ({"call_retry_policy": {"strategy": "linear"}}, "retry_policy.strategy"),
        ({"metadata": {"concurrency_limit": "20"}}, "concurrency_limit must be a whole number"),
        ({"default_call_variables": {"callee_name": "x"}}, "callee_name belongs to each contact"),
        ({"name": ""}, "name"),
    ],
)
def test_wrong_argument_fails_in_the_authors_words_before_anything_is_sent(
    sandbox: Sandbox, task: Task, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        task.run(GraineCreateCampaignOperator(**{**CAMPAIGN, **wrong}))

    assert words in str(error.value)
    assert "Nothing was sent" in str(error.value)
    assert not sandbox.requests


def test_update_sends_only_what_changes(sandbox: Sandbox, task: Task, campaign_id: str) -> None:
    task.run(GraineUpdateCampaignOperator(task_id="update", campaign_id=campaign_id, changes={"name": "New name"}))

    request = sandbox.requests[-1]
    assert (request.method, request.path) == ("PATCH", f"/api/v1/campaigns/{campaign_id}")
    assert request.json() == {"name": "New name"}
    assert sandbox.campaigns[campaign_id]["name"] == "New name"


def test_update_of_a_field_that_does_not_exist_sends_nothing(sandbox: Sandbox, task: Task, campaign_id: str) -> None:
    before = len(sandbox.requests)
    with pytest.raises(ConfigurationError, match="no field status"):
        task.run(GraineUpdateCampaignOperator(task_id="u", campaign_id=campaign_id, changes={"status": "active"}))
    assert len(sandbox.requests) == before


def test_delete_and_its_retry(sandbox: Sandbox, task: Task, campaign_id: str) -> None:
    task.run(GraineDeleteCampaignOperator(task_id="delete", campaign_id=campaign_id))
    assert campaign_id not in sandbox.campaigns

    task.run(GraineDeleteCampaignOperator(task_id="delete", campaign_id=campaign_id))
    with pytest.raises(NotFoundError):
        Task().run(GraineDeleteCampaignOperator(task_id="delete", campaign_id=campaign_id))


@pytest.fixture
def batch_id(hook: GraineHook, campaign_id: str) -> str:
    people = [{"phone_number": f"+9198765{i:05}", "call_variables": {"callee_name": "A"}} for i in range(50)]
    return hook.create_batch(campaign_id=campaign_id, contacts=people, concurrency_limit=1).batch_id


def test_campaign_is_paused_resumed_and_cancelled(sandbox: Sandbox, campaign_id: str, batch_id: str) -> None:
    for operator, campaign_status, batch_status in (
        (GrainePauseCampaignOperator, "paused", "paused"),
        (GraineResumeCampaignOperator, "active", "in_progress"),
        (GraineCancelCampaignOperator, "cancelled", "cancelled"),
    ):
        assert Task().run(operator(task_id="t", campaign_id=campaign_id)) == campaign_id
        assert sandbox.campaigns[campaign_id]["status"] == campaign_status
        assert sandbox.batches[batch_id]["status"] == batch_status


def test_batch_is_paused_resumed_and_cancelled(sandbox: Sandbox, batch_id: str) -> None:
    for operator, status in (
        (GrainePauseBatchOperator, "paused"),
        (GraineResumeBatchOperator, "in_progress"),
        (GraineCancelBatchOperator, "cancelled"),
    ):
        assert Task().run(operator(task_id="t", batch_id=batch_id)) == batch_id
        assert sandbox.batches[batch_id]["status"] == status


def test_resuming_what_runs_sends_nothing(sandbox: Sandbox, batch_id: str, campaign_id: str, task: Task) -> None:
    before = writes(sandbox)
    task.run(GraineResumeBatchOperator(task_id="t", batch_id=batch_id))
    task.run(GraineResumeCampaignOperator(task_id="t", campaign_id=campaign_id))
    assert writes(sandbox) == before


def test_unclear_pause_is_settled_by_reading_the_batch(sandbox: Sandbox, batch_id: str, task: Task) -> None:
    sandbox.fault("POST /batches/{batch_id}/pause", "drop", when="after")
    task.run(GrainePauseBatchOperator(task_id="t", batch_id=batch_id))
    assert sandbox.batches[batch_id]["status"] == "paused"


def test_unclear_pause_that_did_not_happen_fails(sandbox: Sandbox, batch_id: str, task: Task) -> None:
    sandbox.fault("POST /batches/{batch_id}/pause", "drop", when="before")
    with pytest.raises(UnclearOutcomeError):
        task.run(GrainePauseBatchOperator(task_id="t", batch_id=batch_id))


def test_cancelled_batch_cannot_be_resumed(sandbox: Sandbox, batch_id: str, task: Task) -> None:
    task.run(GraineCancelBatchOperator(task_id="t", batch_id=batch_id))
    with pytest.raises(RequestRejectedError):
        task.run(GraineResumeBatchOperator(task_id="t", batch_id=batch_id))


def test_dispatch_does_nothing_to_a_batch_that_is_not_stuck(sandbox: Sandbox, batch_id: str, task: Task) -> None:
    assert task.run(GraineDispatchBatchOperator(task_id="t", batch_id=batch_id)) == 0
    assert not any("dispatch" in write for write in writes(sandbox))


def test_dispatch_of_a_stuck_batch_once(sandbox: Sandbox, hook: GraineHook, campaign_id: str, task: Task) -> None:
    sandbox.fault("POST /batches/", "lost_dispatch")
    people = [{"phone_number": "+919876500001", "call_variables": {"callee_name": "A"}}]
    batch_id = hook.create_batch(campaign_id=campaign_id, contacts=people).batch_id
    sandbox.advance(3600)

    assert task.run(GraineDispatchBatchOperator(task_id="t", batch_id=batch_id)) == 1
    with pytest.raises(ConfigurationError, match="could call people twice"):
        task.run(GraineDispatchBatchOperator(task_id="t", batch_id=batch_id))
    assert sum("dispatch" in write for write in writes(sandbox)) == 1
