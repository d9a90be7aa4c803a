"""What all operators share that put people onto Graine batches, wherever the people come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow.providers.common.compat.sdk import conf

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.operators.graine_wait import GraineCallsWait
from airflow_provider_graine.operators.links import GraineCallsLink
from airflow_provider_graine.operators.list_upload import SUMMARY_KEY, ListUpload
from airflow_provider_graine.watching.graine_stop import Action

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.contacts.local_time import LocalTime
    from airflow_provider_graine.hooks.graine_batches import GraineBatches
    from airflow_provider_graine.uploads.identity import RunIdentity

__all__ = ["BATCH_IDS_KEY", "SUMMARY_KEY", "GraineUploadOperator"]

#: XCom with the batches that a deferred task waits for: where the trigger never answers, nothing else brings them back.
BATCH_IDS_KEY: Final = "batch_ids"


class GraineUploadOperator(ListUpload, GraineCallsWait):
    """
    Screen a list of people and put each of them onto exactly one batch of this run; the service calls them at once.

    Base of the upload operators; these are the arguments they share. Nothing is sent before the whole list is read
    and screened. A retry finds the batches that earlier tries created and sends only the rest.

    :param campaign_id: the campaign (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :param batch_size: most contacts on one batch; default 1,000. What the service takes at most is not documented
    :param max_parallel_uploads: how many batches are created at once, 1 to 32; default 1. With more, a long list is
        sent sooner; batches then come about, and their calls begin, in any order. The ids are returned in that of the
        list
    :param scheduled_start: when the calls may begin, a datetime or ISO 8601 string (templated). An aware time is sent
        as UTC, a naive one as it is: the service reads it in the campaign's timezone. Default: at once
    :param local_start: time of day at which the calls may begin **where the person is**, ``"09:30"`` (templated): the
        list is split by the callees' own time zones into batches that start at different moments, each person's next
        ``local_start`` that is at least five minutes away. Not together with ``scheduled_start``. Default: all at once
    :param local_date: the day of ``local_start``, by the callee's own calendar, ``"2026-05-12"`` (templated). Where it
        has passed for somebody, the task fails before it sends. Default: the next of each
    :param timezone_column: column with the callee's time zone, an IANA name such as ``Asia/Kolkata`` (templated); it
        stays a call variable. Where it is empty, and by default, the number tells; one that may be in several zones
        is called when it is ``local_start`` in the last of them
    :param default_timezone: IANA name of the zone of those of whom neither tells (templated). Default: they are
        rejected, ``unknown_timezone``
    :param concurrency_limit: most parallel calls of the whole list: it is shared out among its batches, unless the
        campaign's own ``metadata.concurrency_limit`` caps them at least as low. Default: the campaign's
    :param max_retries_override: how often the service itself calls a person again; default: the campaign's
    :param call_context: passed to the telephony layer (templated)
    :param metadata: stored with each batch (templated), beside the names this provider adds, which begin with
        ``airflow_``
    :param phone_column: column with the phone number; default ``phone_number``
    :param name_column: column with the person's name; default ``callee_name``. Every other column becomes a call
        variable of its name
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
        mapped tasks share the people of the same sources out among themselves: ``.expand(shard=[[0, 2], [1, 2]])``
        (templated). The number alone tells which part a person is in. ``rejected.csv`` in ``rejects_path`` becomes
        ``rejected-0-of-2.csv``. Default: the whole list
    :param resend_after: seconds for which contacts are not sent again after a send without a clear answer; default
        300. They are sent again only if a complete search of the service has not found them by then
    :param on_rerun: what a clear of this task means: ``"return"`` (default) the same batches again, and nobody is
        dialled; ``"redial"``: everybody on the list is called **again**, in batches of their own. A retry never redials
    :param ledger_path: folder for a record of this upload's own (templated), beside Airflow's task state; survives
        what happens to Airflow's database. Default: none
    :param wait_for_completion: whether to wait until the calls are done; default no
    :param poll_interval: seconds between looks while waiting; default 30. More while the service is out of reach, and
        outside the campaign's calling hours
    :param wait_timeout: longest wait of one try, in seconds or as ``timedelta``; default: any time. Like
        ``execution_timeout``, which counts from the start of the try, it goes on while the task is deferred
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    :param on_kill: what happens to the calls of this run when the task is killed, or a user fails, clears or succeeds
        it while it is at work or deferred: ``"none"`` (default) they go on; ``"pause"`` live calls end, no new ones
        begin until somebody resumes the batches; ``"cancel"`` the batches are over for good. Nothing is sent again by
        itself: a retry waits for paused batches and fails on cancelled ones
    :param on_timeout: the same when ``wait_timeout`` or ``execution_timeout`` is over; default ``"none"``
    :param min_completed_share: share of all contacts, 0 to 1, whose call must be completed; else the wait fails, as
        soon as that is certain (calls that still run go on); default: no rule
    :param max_failed_share: share of all contacts, 0 to 1, whose calls may fail; else the wait fails; default: no rule
    :param stalled_after: seconds without any progress, inside calling hours, after which the log warns with what the
        service says about it; default 1800; ``None``: never
    :return: the list of batch ids. The XCom ``summary`` has the counts ``read``, ``accepted``, ``rejected`` (by
        reason) and ``batches``, and ``rejects_path`` where there is one; with ``shard``, also that and ``elsewhere``,
        the rows for the other shards: ``accepted``, ``rejected`` and ``elsewhere`` make up ``read``
    :raises ContactsRejectedError: when contacts were rejected and ``on_invalid`` is ``"fail"``
    :raises UploadError: when it is not certain that everybody is on exactly one batch
    :raises WaitError: when the calls ended in another way than completed
    :raises WaitTimeoutError: when ``wait_timeout`` was over first
    :raises TaskKilledError: when the task was stopped from outside
    """

    operator_extra_links = (GraineCallsLink(of_task=True),)
    template_fields: Sequence[str] = (
        "campaign_id",
        "graine_conn_id",
        "scheduled_start",
        "local_start",
        "local_date",
        "timezone_column",
        "default_timezone",
        "call_context",
        "metadata",
        "default_region",
        "rejects_path",
        "shard",
        "ledger_path",
        "suppress",
        "suppress_conn_id",
    )

    def __init__(
        self,
        *,
        campaign_id: str,
        graine_conn_id: str = "graine_default",
        batch_size: int = 1_000,
        max_parallel_uploads: int = 1,
        scheduled_start: Any = None,
        local_start: str | time | None = None,
        local_date: str | date | None = None,
        timezone_column: str | None = None,
        default_timezone: str | None = None,
        concurrency_limit: int | None = None,
        max_retries_override: int | None = None,
        call_context: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        phone_column: str = "phone_number",
        name_column: str = "callee_name",
        default_region: str | None = None,
        number_check: Literal["possible", "valid"] = "possible",
        on_invalid: Literal["fail", "skip"] = "fail",
        rejects_path: str | None = None,
        suppress: str | Sequence[str] | None = None,
        suppress_conn_id: str | None = None,
        shard: Sequence[int | str] | None = None,
        resend_after: float = 300.0,
        on_rerun: Literal["return", "redial"] = "return",
        ledger_path: str | None = None,
        wait_for_completion: bool = False,
        poll_interval: float = 30.0,
        wait_timeout: float | timedelta | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_kill: Action = "none",
        on_timeout: Action = "none",
        min_completed_share: float | None = None,
        max_failed_share: float | None = None,
        stalled_after: float | None = 1800.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            graine_conn_id=graine_conn_id,
            batch_size=batch_size,
            max_parallel_uploads=max_parallel_uploads,
            phone_column=phone_column,
            name_column=name_column,
            default_region=default_region,
            number_check=number_check,
            on_invalid=on_invalid,
            rejects_path=rejects_path,
            suppress=suppress,
            suppress_conn_id=suppress_conn_id,
            shard=shard,
            resend_after=resend_after,
            on_rerun=on_rerun,
            ledger_path=ledger_path,
            wait_for_completion=wait_for_completion,
            poll_interval=poll_interval,
            wait_timeout=wait_timeout,
            deferrable=deferrable,
            on_kill=on_kill,
            on_timeout=on_timeout,
            min_completed_share=min_completed_share,
            max_failed_share=max_failed_share,
            stalled_after=stalled_after,
            **kwargs,
        )
        self.campaign_id = campaign_id
        self.scheduled_start = scheduled_start
        self.local_start = local_start
        self.local_date = local_date
        self.timezone_column = timezone_column
        self.default_timezone = default_timezone
        self.concurrency_limit = concurrency_limit
        self.max_retries_override = max_retries_override
        self.call_context = call_context
        self.metadata = metadata

    def _check_options(self) -> None:
        from airflow_provider_graine.services.graine.sent import BatchOptions
        from airflow_provider_graine.services.validation import checked

        checked(BatchOptions, {"campaign_id": self.campaign_id, **self._options()}, what="batch")
        if self._local_time() is not None and self.scheduled_start:
            raise ConfigurationError(
                "scheduled_start is one moment for everybody, and local_start one for each time zone: only one of them "
                "can be. Nothing was sent."
            )

    def _local_time(self) -> LocalTime | None:
        from airflow_provider_graine.operators.local_start import read_local_start

        return read_local_start(
            local_start=self.local_start,
            local_date=self.local_date,
            timezone_column=self.timezone_column,
            default_timezone=self.default_timezone,
        )

    def _options(self) -> dict[str, Any]:
        return {
            "scheduled_start": self.scheduled_start or None,
            "concurrency_limit": self.concurrency_limit,
            "max_retries_override": self.max_retries_override,
            "call_context": self.call_context,
            "metadata": self.metadata,
        }

    def _service(self, identity: RunIdentity) -> GraineBatches:
        from airflow_provider_graine.hooks.graine_batches import GraineBatches

        if self.resend_after <= self.hook.settings.timeout:
            self.log.warning(
                "resend_after (%g s) is not longer than the connection's timeout (%g s): after a crash, contacts could "
                "be sent again while their first request is still under way",
                self.resend_after,
                self.hook.settings.timeout,
            )
        return GraineBatches(self.hook, identity=identity, campaign_id=self.campaign_id, options=self._options())

    def _go_on(self, ids: list[str], context: Context) -> list[str]:
        if self.wait_for_completion:
            self._wait(ids, context)
        return ids

    def _pause_trigger(self, until: float, kept: dict[str, Any], ids: list[str]) -> BaseTrigger:
        from airflow_provider_graine.triggers.pause import PauseTrigger

        return PauseTrigger(
            until, kept=kept, batch_ids=ids, graine_conn_id=self.graine_conn_id, on_kill=self.kill_action
        )

    def _campaigns_of(self, ids: list[str]) -> list[str]:
        return [self.campaign_id]

    def _kept_ids(self, context: Context) -> list[str]:
        ti = context["ti"]
        return ti.xcom_pull(task_ids=ti.task_id, key=BATCH_IDS_KEY, map_indexes=ti.map_index) or []

    def _wait(self, batch_ids: list[str], context: Context) -> None:
        from airflow_provider_graine.watching.graine_watch import BatchWatch

        def make_trigger(**shared: Any) -> BaseTrigger:
            from airflow_provider_graine.triggers.graine import GraineBatchTrigger

            return GraineBatchTrigger(
                batch_ids=batch_ids, graine_conn_id=self.graine_conn_id, campaign_id=self.campaign_id, **shared
            )

        self._wait_until_done(
            BatchWatch(batch_ids),
            context,
            poll_interval=self.poll_interval,
            make_trigger=make_trigger,
            kept=(BATCH_IDS_KEY, batch_ids),
        )
