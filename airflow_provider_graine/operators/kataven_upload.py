"""What all operators share that put people onto Kataven campaigns, wherever the people come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.operators.kataven_start import StartsCampaigns
from airflow_provider_graine.operators.kataven_wait import kept_campaign_ids, wait_for_campaigns
from airflow_provider_graine.operators.links import KatavenCallsLink
from airflow_provider_graine.operators.list_upload import ListUpload

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.hooks.kataven_campaigns import KatavenCampaigns
    from airflow_provider_graine.uploads.identity import RunIdentity


class KatavenUploadOperator(ListUpload, StartsCampaigns):
    """
    Screen a list of people, put each of them onto exactly one campaign of this run, and start the campaigns.

    Base of the upload operators; these are the arguments they share. Nothing is sent before the whole list is read
    and screened. Campaigns are drafts first, which call nobody; they are started when everybody is on exactly one of
    them. A retry uses the drafts of earlier tries or deletes them, and starts nothing a second time.

    :param name: what the campaigns are called (templated). Behind it comes the mark by which tries find what they have
        made: of a name that is longer than about 55 characters only the beginning is kept
    :param agent_id: the AI agent that makes the calls (templated)
    :param phone_number_id: id of the registered number that calls come from, not the number itself (templated)
    :param kataven_conn_id: the connection (templated); default ``kataven_default``
    :param batch_size: most contacts on one campaign; default 100,000. A campaign takes 10 MB of contacts, so a list
        with many call variables becomes more campaigns than that
    :param max_parallel_uploads: how many campaigns are created at once, 1 to 32; default 1
    :param max_concurrent_calls: most parallel calls of the whole list, 1 to 100; default 5. A list that becomes several
        campaigns shares them out among these
    :param one_at_a_time: whether each campaign has all the parallel calls instead, and is started only when the one
        before has ended; default no
    :param retries_per_contact: how often a person who was not reached is called again, 0 to 5; default: the service's
        own, 0
    :param retry_delay_seconds: how long before that, at least 60; default: the service's own, 300
    :param start: whether the campaigns are started; default yes. Without, they stay drafts, for
        :class:`.KatavenStartCampaignOperator`
    :param calling_hours: when people may be called: ``{"timezone": "Asia/Kolkata", "working_hours": {"monday":
        {"start": "09:00", "end": "18:00"}, …}}``, both as :class:`.GraineCreateCampaignOperator` has them; weekdays
        left out are days without calls (templated). Kataven keeps no hours itself. Outside of them the task waits for
        the opening before it starts anything. With ``wait_for_completion`` it keeps them to the end; without,
        **nobody keeps them after the start**. Default: any time
    :param start_timeout: seconds, or ``timedelta``, for which each campaign may wait for its start while the account's
        budget of parallel calls is used up. Then the task fails: what was not started stays a draft. Default 21600;
        ``None``: any time
    :param phone_column: column with the phone number; default ``phone_number``
    :param name_column: column with the person's name; default ``callee_name``. Every other column becomes a custom
        field of its name
    :param default_region: ISO 3166 code such as ``IN``, for numbers without a country code (templated); default:
        such numbers are rejected
    :param number_check: ``"possible"`` (default: country code and length are right) or ``"valid"`` (the number lies
        in an assigned range, by the metadata of the phonenumbers library)
    :param on_invalid: ``"fail"`` (default): nothing at all is sent when one contact of the whole list is rejected;
        ``"skip"``: the others are sent
    :param rejects_path: CSV file for the rejected contacts, with reasons (templated); default: only counted
    :param suppress: who must not be called: paths of files (with or without wildcards) and queries (``SELECT …`` or
        ``WITH …``), in their first column or the one called like ``phone_column`` (templated)
    :param suppress_conn_id: connection of the queries in ``suppress`` (templated)
    :param shard: ``[index, of]``: keep only one of ``of`` disjoint parts of the list, counted from 0, so that several
        mapped tasks share the people of the same sources out among themselves (templated); they share
        ``max_concurrent_calls`` too. Default: the whole list
    :param resend_after: seconds for which contacts are not sent again after a send without a clear answer; default 30.
        What comes about later is a draft that calls nobody
    :param on_rerun: what a clear of this task means: ``"return"`` (default) the same campaigns again, and nobody is
        dialled; ``"redial"``: everybody on the list is called **again**, on campaigns of their own. A retry never
        redials
    :param ledger_path: folder for a record of this upload's own (templated), beside Airflow's task state; survives
        what happens to Airflow's database. Default: none
    :param wait_for_completion: whether to wait until the calls are done; default no
    :param poll_interval: seconds between looks while waiting; default 60
    :param wait_timeout: longest time of one try for the start and the calls together, in seconds or as ``timedelta``;
        default: any time. Like ``execution_timeout``, it goes on while the task is deferred
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    :param on_kill: what happens to the campaigns when the task is killed, or a user fails, clears or succeeds it while
        it is at work or deferred: ``"none"``: they go on; ``"pause"``: nobody new is called until somebody resumes
        them; ``"stop"``: they are over for good. Drafts stay drafts. Default: ``"pause"`` with ``calling_hours``, which
        nobody keeps then, else ``"none"``. What was paused so is never resumed by itself
    :param on_timeout: the same when ``start_timeout``, ``wait_timeout`` or ``execution_timeout`` is over; same default
    :param min_completed_share: share of all contacts, 0 to 1, whose call must be completed; else the wait fails;
        default: no rule
    :param max_failed_share: share of all contacts, 0 to 1, whose calls may fail; else the wait fails; default: no rule
    :param stalled_after: seconds without any progress after which the log warns; default 1800; ``None``: never
    :return: the list of campaign ids, in the order of the list. The XCom ``summary`` has the counts ``read``,
        ``accepted``, ``rejected`` (by reason) and ``batches`` (the campaigns), and ``rejects_path`` where there is one;
        with ``shard``, also that and ``elsewhere``, the rows for the other shards
    :raises ContactsRejectedError: when contacts were rejected and ``on_invalid`` is ``"fail"``
    :raises UploadError: when it is not certain that everybody is on exactly one campaign; nothing was started then
    :raises StartTimeoutError: when a campaign could not be started in time
    :raises WaitError: when the calls ended in another way than completed
    :raises WaitTimeoutError: when ``wait_timeout`` was over first
    :raises TaskKilledError: when the task was stopped from outside
    """

    operator_extra_links = (KatavenCallsLink(of_task=True),)
    template_fields: Sequence[str] = (
        "name",
        "agent_id",
        "phone_number_id",
        "kataven_conn_id",
        "calling_hours",
        *ListUpload.template_fields,
    )
    _ids_in_event = "campaign_ids"

    def __init__(
        self,
        *,
        name: str,
        agent_id: str,
        phone_number_id: str,
        batch_size: int = 100_000,
        max_concurrent_calls: int = 5,
        one_at_a_time: bool = False,
        retries_per_contact: int | None = None,
        retry_delay_seconds: int | None = None,
        start: bool = True,
        resend_after: float = 30.0,
        poll_interval: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, resend_after=resend_after, poll_interval=poll_interval, **kwargs)
        self.name = name
        self.agent_id = agent_id
        self.phone_number_id = phone_number_id
        self.max_concurrent_calls = max_concurrent_calls
        self.one_at_a_time = one_at_a_time
        self.retries_per_contact = retries_per_contact
        self.retry_delay_seconds = retry_delay_seconds
        self.start = start

    def _most_bytes(self) -> int:
        from airflow_provider_graine.services.kataven.sent import MOST_CONTACT_BYTES

        return MOST_CONTACT_BYTES

    def _calls(self) -> Mapping[str, str]:
        return StartsCampaigns._calls(self) or ListUpload._calls(self)

    def _check_options(self) -> None:
        from airflow_provider_graine.services.kataven.sent import CreateCampaign
        from airflow_provider_graine.services.validation import checked
        from airflow_provider_graine.uploads.concurrency import share_of
        from airflow_provider_graine.uploads.words import KATAVEN

        checked(CreateCampaign, {"name": self.name, **self._options()}, what="campaign")
        index, of = self._part
        share_of(self.max_concurrent_calls, index=index, of=of, words=KATAVEN)
        self.check_start_arguments()
        if self.wait_for_completion and not self.start:
            raise ConfigurationError(
                "With start=False the campaigns stay drafts, so there is nothing to wait for: leave "
                "wait_for_completion out, and let KatavenStartCampaignOperator wait. Nothing was sent."
            )

    def _options(self) -> dict[str, Any]:
        return {
            "agent_id": self.agent_id,
            "phone_number_id": self.phone_number_id,
            "max_concurrent_calls": self.max_concurrent_calls,
            "retries_per_contact": self.retries_per_contact,
            "retry_delay_seconds": self.retry_delay_seconds,
        }

    def _service(self, identity: RunIdentity) -> KatavenCampaigns:
        from airflow_provider_graine.hooks.kataven_campaigns import KatavenCampaigns

        return KatavenCampaigns(
            self.hook,
            identity=identity,
            name=self.name,
            options=self._options(),
            is_shared_out=not self.one_at_a_time,
        )

    def _go_on(self, ids: list[str], context: Context) -> list[str]:
        if not self.start:
            return ids
        started: list[str] = self.start_campaigns(
            ids,
            context,
            one_at_a_time=self.one_at_a_time,
            until_ended=self.wait_for_completion and self.calling_hours is not None,
        )
        return started

    def campaigns_started(self, campaign_ids: Sequence[str], context: Context, *, have_ended: bool) -> list[str]:
        """Wait for the calls where asked to; of campaigns that have ended, see how."""
        if self.wait_for_completion:
            wait_for_campaigns(self, context, campaign_ids, poll_interval=self.poll_interval)
        return list(campaign_ids)

    def _pause_trigger(self, until: float, kept: dict[str, Any], ids: list[str]) -> BaseTrigger:
        from airflow_provider_graine.triggers.pause import KatavenPauseTrigger

        return KatavenPauseTrigger(
            until, kept=kept, campaign_ids=ids, kataven_conn_id=self.kataven_conn_id, on_kill=self.kill_action
        )

    _has_batches = False

    def _campaigns_of(self, ids: list[str]) -> list[str]:
        return ids

    def _kept_ids(self, context: Context) -> list[str]:
        return kept_campaign_ids(context)
