from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.waiting.rules import WaitRules


@pytest.mark.parametrize("name", ["min_completed_share", "max_failed_share"])
@pytest.mark.parametrize("share", [-0.01, 1.01, 80, float("nan"), float("inf"), "0.8", True])
def test_a_share_is_between_0_and_1(name: str, share: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} .* Nothing was sent\."):
        WaitRules(**{name: share})


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "600", True])
def test_stalled_after_is_above_0(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"stalled_after .* Nothing was sent\."):
        WaitRules(stalled_after=seconds)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"min_completed_share": None, "max_failed_share": None, "stalled_after": 1800.0},
        {"min_completed_share": 0, "max_failed_share": 1, "stalled_after": None},
        {"min_completed_share": 0.85, "max_failed_share": 0.1, "stalled_after": 60},
    ],
)
def test_rules_go_through_a_trigger_and_back(kwargs: dict[str, Any]) -> None:
    rules = WaitRules(**kwargs)
    assert rules.as_kwargs() == kwargs
    assert WaitRules(**json.loads(json.dumps(rules.as_kwargs()))) == rules


def test_by_default_only_a_stall_is_looked_for() -> None:
    assert WaitRules() == WaitRules(min_completed_share=None, max_failed_share=None, stalled_after=1800.0)
