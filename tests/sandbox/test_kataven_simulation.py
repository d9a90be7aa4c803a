"""Whatever is done to campaigns, in whatever order: the books balance, and what has ended does not begin again."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from airflow_provider_graine.sandbox import KatavenSettings
from airflow_provider_graine.sandbox.errors import WrongState
from airflow_provider_graine.sandbox.kataven import model
from airflow_provider_graine.sandbox.kataven.simulation import Simulation
from airflow_provider_graine.sandbox.outcomes import OUTCOMES, Outcomes
from airflow_provider_graine.sandbox.timeline import Timeline

TUESDAY = 1778576400.0  # 2026-05-12T09:00:00Z
MOST = 6
FINAL = ("completed", "failed", "skipped")


class Campaigns(RuleBasedStateMachine):
    campaigns = Bundle("campaigns")

    @initialize(seed=st.integers(0, 99), stops=st.booleans())
    def begin(self, seed, stops):
        self.timeline = Timeline(TUESDAY)
        self.simulation = Simulation(
            timeline=self.timeline,
            outcomes=Outcomes(seed=seed, shares=dict.fromkeys(OUTCOMES, 1)),
            settings=KatavenSettings(concurrent_max=MOST, stop_from=("running", "paused") if stops else ("running",)),
        )
        self.made = []
        self.ended = {}
        self.paused = {}

    @rule(
        target=campaigns,
        people=st.integers(0, 8),
        lines=st.integers(1, 5),
        retries=st.integers(0, 3),
        delay=st.sampled_from([60, 300]),
        later=st.none() | st.integers(1, 900),
    )
    def create(self, people, lines, retries, delay, later):
        campaign = self.simulation.create(
            [(f"+1415555{len(self.made):02d}{index:02d}", {}) for index in range(people)],
            name="n",
            agent_id="a",
            phone_number_id="p",
            max_concurrent_calls=lines,
            retries_per_contact=retries,
            retry_delay_seconds=delay,
            scheduled_at=None if later is None else self.timeline.now + later,
        )
        self.made.append(campaign)
        return campaign

    @rule(campaign=campaigns, how=st.sampled_from(["start", "pause", "resume", "stop", "fail"]))
    def move(self, campaign, how):
        before = campaign.status
        running = sum(each.max_concurrent_calls for each in self.made if each.status == model.RUNNING)
        try:
            getattr(self.simulation, how)(campaign)
        except WrongState:
            assert campaign.status == before
            return
        if how in ("start", "resume"):
            assert running + campaign.max_concurrent_calls <= MOST
            self.paused.pop(campaign.campaign_id, None)
        if how == "pause":
            self.paused[campaign.campaign_id] = campaign.attempts

    @rule(seconds=st.sampled_from([1, 5, 30, 120, 1000]))
    def wait(self, seconds):
        self.timeline.run_until(self.timeline.now + seconds)

    @invariant()
    def books_balance(self):
        for campaign in getattr(self, "made", ()):
            seen = Counter(contact.status for contact in campaign.contacts)
            assert {status: count for status, count in campaign.counts.items() if count} == dict(seen)
            assert campaign.open == sum(contact.status not in FINAL for contact in campaign.contacts)
            assert campaign.live == seen[model.CALLING] <= campaign.max_concurrent_calls
            assert campaign.attempts == sum(len(contact.calls) for contact in campaign.contacts)
            assert all(len(contact.calls) <= 1 + campaign.retries_per_contact for contact in campaign.contacts)
            assert campaign.attempts == 0 or campaign.started_at is not None

    @invariant()
    def nobody_is_called_during_a_pause_or_after_the_end(self):
        for campaign in getattr(self, "made", ()):
            if campaign.status == model.PAUSED:
                assert campaign.attempts == self.paused[campaign.campaign_id]
            if campaign.status in model.ENDED:
                state = (campaign.status, campaign.attempts)
                assert self.ended.setdefault(campaign.campaign_id, state) == state
            else:
                assert campaign.campaign_id not in self.ended

    def teardown(self):
        if not hasattr(self, "timeline"):
            return
        self.timeline.run_events(until=self.timeline.now + 10 * 86_400)
        for campaign in self.made:
            assert campaign.live == 0
            if campaign.status == model.COMPLETED:
                assert campaign.open == 0
            assert campaign.status in (model.DRAFT, model.PAUSED, *model.ENDED)


Campaigns.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestCampaigns = Campaigns.TestCase
