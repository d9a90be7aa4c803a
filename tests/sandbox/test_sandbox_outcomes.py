from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.sandbox import Sandbox
from airflow_provider_graine.sandbox.outcomes import DEFAULT_SHARES, Outcomes


def number(index):
    return f"+4930{index:07d}"


@given(seed=st.integers(), index=st.integers(0, 9_999_999), attempt=st.integers(0, 9))
def test_an_outcome_depends_on_seed_number_and_attempt_alone(seed, index, attempt):
    once, again = Outcomes(seed=seed), Outcomes(seed=seed)
    for other in range(20):
        again.draw(number(other), 0)
    assert once.draw(number(index), attempt) == again.draw(number(index), attempt)


def test_seeds_differ():
    drawn = {seed: [Outcomes(seed=seed).draw(number(i), 0).outcome.name for i in range(50)] for seed in range(5)}
    assert len({tuple(names) for names in drawn.values()}) == 5


def test_shares_are_kept():
    outcomes = Outcomes(seed=3)
    seen = Counter(outcomes.draw(number(index), 0).outcome.name for index in range(20_000))
    total = sum(DEFAULT_SHARES.values())
    for name, share in DEFAULT_SHARES.items():
        assert seen[name] / 20_000 == pytest.approx(share / total, abs=0.015)


def test_attempts_of_one_number_are_independent():
    outcomes = Outcomes(seed=3, shares={"busy": 1, "completed": 1})
    pairs = Counter(
        (outcomes.draw(number(i), 0).outcome.name, outcomes.draw(number(i), 1).outcome.name) for i in range(4000)
    )
    assert all(count == pytest.approx(1000, abs=120) for count in pairs.values())
    assert len(pairs) == 4


def test_weights_of_any_total_and_zero():
    outcomes = Outcomes(shares={"completed": 30, "busy": 10, "failed": 0})
    seen = Counter(outcomes.draw(number(index), 0).outcome.name for index in range(4000))
    assert set(seen) == {"completed", "busy"}
    assert seen["busy"] == pytest.approx(1000, abs=120)


def test_scripts():
    outcomes = Outcomes(scripts={"+4930": ["busy", "no_answer", "completed"], "+4931": "failed"})
    assert [outcomes.draw("+4930", attempt).outcome.name for attempt in range(5)] == [
        "busy",
        "no_answer",
        "completed",
        "completed",
        "completed",
    ]
    assert outcomes.draw("+4931", 3).outcome.name == "failed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": {"answered": 1}},
        {"shares": {"busy": -1}},
        {"shares": {"busy": 0}},
        {"shares": {}},
        {"scripts": {"+4930": "answered"}},
        {"scripts": {"+4930": []}},
    ],
)
def test_mistakes_are_refused(wrong):
    with pytest.raises(ValueError, match="outcome"):
        Outcomes(**wrong)


def test_two_runs_with_one_seed_end_alike_whatever_the_order(start):
    ends = []
    for backwards in (False, True):
        sandbox, api = start(seed=11)
        numbers = [number(index) for index in range(200)]
        if backwards:
            numbers.reverse()
        campaign_id = api.campaign()
        size = 70 if backwards else 50
        for first in range(0, 200, size):
            api.batch(campaign_id, numbers[first : first + size])
        sandbox.run_until_idle()
        ends.append(
            {
                contact["phone_number"]: (
                    contact["status"],
                    contact["retry_count"],
                    [call["call_status"] for call in contact["call_records"]],
                    [call["sentiment"] for call in contact["call_records"]],
                )
                for batch_id in sandbox.batches
                for contact in sandbox.contacts(batch_id)
            }
        )
    assert ends[0] == ends[1]
    assert len({end[0] for end in ends[0].values()}) > 2


def test_a_sandbox_refuses_unknown_outcomes():
    with pytest.raises(ValueError, match="unknown outcomes"):
        Sandbox(outcomes={"hung_up": 1})
