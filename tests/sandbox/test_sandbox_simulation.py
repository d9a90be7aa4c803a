"""Whatever is done to a campaign, in whatever order: the books balance, and what has ended does not begin again."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from airflow_provider_graine.sandbox.graine.simulation import Simulation, WrongState
from airflow_provider_graine.sandbox.outcomes import OUTCOMES, Outcomes
from airflow_provider_graine.sandbox.timeline import Timeline

TUESDAY = 1778576400.0  # 2026-05-12T09:00:00Z
LIVE = ("dispatched", "in_progress")
FINAL = ("completed", "skipped", "max_retries_reached", "failed", "busy", "no_answer")
CLOSED = ("completed", "cancelled", "expired")
WEEK = {
    day: {"start": "09:00", "end": "11:00", "enabled": True}
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday")
}


class Campaigns(RuleBasedStateMachine):
    batches = Bundle("batches")

    @initialize(
        seed=st.integers(0, 99),
        limit=st.none() | st.integers(1, 5),
        hours=st.booleans(),
        retries=st.integers(0, 3),
        cooldown=st.sampled_from([0, 1, 30]),
        strategy=st.sampled_from(["fixed", "exponential"]),
    )
    def begin(self, seed, limit, hours, retries, cooldown, strategy):
        self.timeline = Timeline(TUESDAY)
        outcomes = Outcomes(seed=seed, shares=dict.fromkeys(OUTCOMES, 1))
        self.simulation = Simulation(timeline=self.timeline, outcomes=outcomes, default_concurrency=4)
        self.retries = retries
        self.campaign = self.simulation.create_campaign(
            {
                "name": "n",
                "agent_id": "a",
                "metadata": {"concurrency_limit": limit},
                "working_hours_enforced": hours,
                "working_hours": WEEK,
                "timezone": "UTC",
                "retry_policy": {
                    "max_retries": retries,
                    "cooldown_minutes": cooldown,
                    "strategy": strategy,
                },
            },
            "org",
        )
        self.contacts = 0
        self.ended = {}

    def attempt(self, action, subject):
        try:
            action(subject)
        except WrongState:
            return

    @rule(
        target=batches,
        size=st.integers(3, 15),
        limit=st.none() | st.integers(1, 6),
        start=st.sampled_from([None, None, -100, 60, 7200]),
        override=st.none() | st.integers(0, 2),
        published=st.sampled_from([True, True, True, False]),
    )
    def upload(self, size, limit, start, override, published):
        numbers = [f"+1415555{self.contacts + index:04d}" for index in range(size)]
        try:
            batch = self.simulation.create_batch(
                self.campaign,
                ((number, {}) for number in numbers),
                scheduled_start=None if start is None else self.timeline.now + start,
                concurrency_limit=limit,
                max_retries_override=override,
                published=published,
            )
        except WrongState:
            assert self.campaign.status == "cancelled"
            return None
        self.contacts += size
        return batch

    @rule(seconds=st.sampled_from([0.3, 1, 3, 7, 45]))
    def wait(self, seconds):
        self.timeline.run_until(self.timeline.now + seconds)

    @rule(seconds=st.sampled_from([60, 200, 1800, 3600, 40_000]))
    def wait_long(self, seconds):
        self.timeline.run_until(self.timeline.now + seconds)

    @rule(batch=batches, verb=st.sampled_from(["pause", "resume", "resume", "dispatch", "cancel", "expire"]))
    def change_batch(self, batch, verb):
        if batch is not None:
            self.attempt(getattr(self.simulation, f"{verb}_batch"), batch)

    @rule(verb=st.sampled_from(["pause", "resume"]))
    def change_campaign(self, verb):
        self.attempt(getattr(self.simulation, f"{verb}_campaign"), self.campaign)

    @rule(sure=st.sampled_from([0, 0, 0, 0, 0, 7]))
    def cancel_campaign(self, sure):
        if sure == 7:
            self.attempt(self.simulation.cancel_campaign, self.campaign)

    @invariant()
    def books_balance(self):
        total = live = open_batches = 0
        for batch in self.campaign.batches:
            counted = Counter(contact.status for contact in batch.contacts)
            assert {status: count for status, count in batch.counts.items() if count} == counted
            assert +batch.retries == Counter(
                contact.retry_count for contact in batch.contacts if contact.status == "retrying"
            )
            assert batch.open == sum(not ended(contact) for contact in batch.contacts)
            assert batch.attempts == sum(len(contact.calls) for contact in batch.contacts)
            under_way = [
                call for contact in batch.contacts for call in contact.calls if call.ends_at > self.timeline.now
            ]
            assert batch.live == len(under_way) <= self.simulation.line_limit(batch)
            assert (batch.open == 0) <= (batch.status != "in_progress")
            total += len(batch.contacts)
            live += batch.live
            open_batches += batch.status not in CLOSED
        assert total == self.contacts == sum(self.simulation.dialled.values())
        assert live == self.campaign.live
        assert self.campaign.concurrency_limit is None or live <= self.campaign.concurrency_limit
        assert open_batches == self.campaign.open_batches

    @invariant()
    def what_has_ended_stays(self):
        for batch in self.campaign.batches:
            if batch.status in CLOSED:
                assert self.ended.setdefault(batch, batch.status) == batch.status
            for contact in batch.contacts:
                if ended(contact):
                    now = (contact.status, len(contact.calls))
                    assert self.ended.setdefault(contact, now) == now

    @invariant()
    def nobody_is_called_more_often_than_the_policy_allows(self):
        for batch in self.campaign.batches:
            override = batch.max_retries_override
            allowed = self.retries if override is None else override
            for contact in batch.contacts:
                assert len(contact.calls) <= 1 + allowed + contact.follow_up_count
                ordered = sorted(contact.calls, key=lambda call: call.dispatched_at)
                for earlier, later in pairwise(ordered):
                    assert earlier.ends_at <= later.dispatched_at

    def teardown(self):
        if not hasattr(self, "campaign"):
            return
        if self.campaign.status == "paused":
            self.simulation.resume_campaign(self.campaign)
        for batch in self.campaign.batches:
            if batch.status == "paused":
                self.simulation.resume_batch(batch)
            elif batch.status == "in_progress":
                self.simulation.dispatch_batch(batch)
        self.timeline.run_until(self.timeline.now + 100 * 86_400)
        for batch in self.campaign.batches:
            if not batch.published and batch.status == "in_progress":
                self.simulation.dispatch_batch(batch)
        self.timeline.run_until(self.timeline.now + 100 * 86_400)
        self.books_balance()
        self.what_has_ended_stays()
        for batch in self.campaign.batches:
            assert batch.status in CLOSED
            if batch.status == "completed":
                assert all(ended(contact) and contact.calls for contact in batch.contacts)


def ended(contact):
    return contact.status in FINAL and contact.next_retry_at is None


TestCampaigns = Campaigns.TestCase
TestCampaigns.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
