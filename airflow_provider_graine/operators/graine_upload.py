"""What all operators share that put people onto Graine batches, wherever the people come from."""

from __future__ import annotations

import logging
import math
import random
import tempfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from airflow.providers.common.compat.sdk import conf
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR

from airflow_provider_graine.exceptions import ConfigurationError, ContactsRejectedError, WaitTimeoutError
from airflow_provider_graine.operators.calls_wait import UNTIL_SIGKILL, CallsWait
from airflow_provider_graine.operators.shard import WHOLE_LIST, own_path, read_shard
from airflow_provider_graine.waiting.decision import Wait, jittered
from airflow_provider_graine.watching.clock import clock
from airflow_provider_graine.watching.graine_stop import Action

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.contacts.contact_list import ContactList
    from airflow_provider_graine.contacts.screening import Screening
    from airflow_provider_graine.uploads.identity import RunIdentity
    from airflow_provider_graine.uploads.protocol import Upload, Uploaded
    from airflow_provider_graine.uploads.record import Memory, Record

SUMMARY_KEY: Final = "summary"
#: XCom with the batches that a deferred task waits for: where the trigger never answers, nothing else brings them back.
BATCH_IDS_KEY: Final = "batch_ids"
_BLOCK: Final = 2**20
_MOST_PARALLEL: Final = 32


class GraineUploadOperator(CallsWait):
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

    template_fields: Sequence[str] = (
        "campaign_id",
        "graine_conn_id",
        "scheduled_start",
        "call_context",
        "metadata",
        "default_region",
        "rejects_path",
        "shard",
        "ledger_path",
        "suppress",
        "suppress_conn_id",
    )
    ui_color = "#d5eadf"

    def __init__(
        self,
        *,
        campaign_id: str,
        graine_conn_id: str = "graine_default",
        batch_size: int = 1_000,
        max_parallel_uploads: int = 1,
        scheduled_start: Any = None,
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
            deferrable=deferrable,
            on_kill=on_kill,
            on_timeout=on_timeout,
            min_completed_share=min_completed_share,
            max_failed_share=max_failed_share,
            stalled_after=stalled_after,
            **kwargs,
        )
        self.campaign_id = campaign_id
        self.batch_size = batch_size
        self.max_parallel_uploads = max_parallel_uploads
        self.scheduled_start = scheduled_start
        self.concurrency_limit = concurrency_limit
        self.max_retries_override = max_retries_override
        self.call_context = call_context
        self.metadata = metadata
        self.phone_column = phone_column
        self.name_column = name_column
        self.default_region = default_region
        self.number_check = number_check
        self.on_invalid = on_invalid
        self.rejects_path = rejects_path
        self.suppress = suppress
        self.suppress_conn_id = suppress_conn_id
        self.shard = shard
        self.resend_after = resend_after
        self.on_rerun = on_rerun
        self.ledger_path = ledger_path
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout
        self._upload_at_work: Upload | None = None
        self._batch_ids: list[str] = []

    @abstractmethod
    def load(self, contacts: ContactList, context: Context) -> None:
        """
        Read the source into the list.

        :param contacts: the empty list
        :param context: the task's context
        """

    @property
    def suppression_conn_id(self) -> str | None:
        """Connection of the queries in ``suppress``."""
        return self.suppress_conn_id

    @property
    def _part(self) -> tuple[int, int]:
        return read_shard(self.shard)

    @property
    def _rejects_path(self) -> str | None:
        return own_path(self.rejects_path, self._part) if self.rejects_path else None

    @property
    def _longest_wait(self) -> float | None:
        return self.wait_timeout.total_seconds() if isinstance(self.wait_timeout, timedelta) else self.wait_timeout

    def _calls(self) -> Mapping[str, str]:
        if self._upload_at_work is not None:
            return self._upload_at_work.known
        return dict.fromkeys(self._batch_ids, "")

    def _too_late(self, message: str) -> WaitTimeoutError:
        return WaitTimeoutError(message)

    def execute(self, context: Context) -> list[str]:
        """Read, screen, upload, and wait where asked to."""
        with self._ending_as_asked():
            return self._execute(context)

    def execute_resumed(self, context: Context, event: Any = None) -> list[str]:
        """
        Go on with an upload that had given its slot up until a doubt was over.

        :param event: what was kept meanwhile
        :return: the list of batch ids
        """
        from airflow_provider_graine.uploads.record import Record

        kept = event if isinstance(event, dict) else {}
        record = Record.from_json(kept["record"]) if kept.get("record") else None
        return self._execute(context, carried=record, doubt_ends=kept.get("doubt_ends"))

    def _execute(
        self, context: Context, *, carried: Record | None = None, doubt_ends: float | None = None
    ) -> list[str]:
        from airflow_provider_graine.contacts.contact_list import ContactList
        from airflow_provider_graine.operators.run_identity import run_identity
        from airflow_provider_graine.operators.upload_memory import open_memory
        from airflow_provider_graine.uploads.service import SuspendedError

        identity = run_identity(context, redial=self.on_rerun == "redial")
        memory = open_memory(
            context, identity, ledger_path=self.ledger_path, is_resumed=doubt_ends is not None, carried=carried
        )
        self._check_arguments()
        identity = replace(identity, shard=self._part)
        with ContactList(
            phone_column=self.phone_column,
            name_column=self.name_column,
            default_region=self.default_region or None,
            number_check=self.number_check,
            shard=self._part,
        ) as contacts:
            self.load(contacts, context)
            self._load_suppressions(contacts)
            screening = contacts.screen()
            self._write_rejects(contacts)
            self._tell(context, screening, batches=0)
            self._stop_on_rejects(screening)
            try:
                uploaded = self._upload(context, contacts, screening, identity, memory, doubt_ends)
            except SuspendedError as suspended:
                self._suspend(suspended.until, memory)
        self._tell(context, screening, batches=len(uploaded.batches))
        batch_ids = [batch.batch_id for batch in uploaded.batches]
        if self.wait_for_completion and batch_ids:
            self._wait(batch_ids, context)
        return batch_ids

    def execute_complete(self, context: Context, event: Any = None) -> list[str]:
        """
        Take over from the trigger.

        :param event: how the wait ended
        :return: the list of batch ids
        :raises WaitError: when the calls ended in another way than completed
        """
        self._batch_ids = list(event["batch_ids"]) if isinstance(event, dict) and "batch_ids" in event else []
        self._read_event(event, context)
        return self._batch_ids

    def _resume(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        if next_method == TRIGGER_FAIL_REPR:
            ti = context["ti"]
            self._batch_ids = ti.xcom_pull(task_ids=ti.task_id, key=BATCH_IDS_KEY, map_indexes=ti.map_index) or []
        return super()._resume(next_method, next_kwargs, context)

    def _check_arguments(self) -> None:
        """Fail in the author's words before the source is read."""
        from airflow_provider_graine.services.graine.sent import BatchOptions
        from airflow_provider_graine.services.validation import checked

        checked(BatchOptions, {"campaign_id": self.campaign_id, **self._options()}, what="batch")
        if self.on_invalid not in ("fail", "skip"):
            raise ConfigurationError('on_invalid must be "fail" or "skip". Nothing was sent.')
        if self.on_rerun not in ("return", "redial"):
            raise ConfigurationError('on_rerun must be "return" or "redial". Nothing was sent.')
        if self.batch_size < 1 or self.resend_after < 0 or self.poll_interval <= 0:
            raise ConfigurationError(
                "batch_size must be at least 1, resend_after at least 0 and poll_interval above 0. Nothing was sent."
            )
        if not 1 <= self.max_parallel_uploads <= _MOST_PARALLEL:
            raise ConfigurationError(
                f"max_parallel_uploads must be between 1 and {_MOST_PARALLEL}, not {self.max_parallel_uploads}. "
                "Nothing was sent."
            )
        if self._longest_wait is not None and self._longest_wait <= 0:
            raise ConfigurationError("wait_timeout must be above 0 seconds, or None. Nothing was sent.")
        read_shard(self.shard)
        self._check_wait_arguments()

    def _options(self) -> dict[str, Any]:
        return {
            "scheduled_start": self.scheduled_start or None,
            "concurrency_limit": self.concurrency_limit,
            "max_retries_override": self.max_retries_override,
            "call_context": self.call_context,
            "metadata": self.metadata,
        }

    def _load_suppressions(self, contacts: ContactList) -> None:
        from airflow_provider_graine.contacts.files import guess_format
        from airflow_provider_graine.sources.database import query
        from airflow_provider_graine.sources.files import local_files

        for entry in [self.suppress] if isinstance(self.suppress, str) else self.suppress or ():
            if entry.lstrip().upper().startswith(("SELECT", "WITH")):
                if not self.suppression_conn_id:
                    raise ConfigurationError("A query in suppress needs suppress_conn_id. Nothing was sent.")
                with query(entry, conn_id=self.suppression_conn_id) as (columns, rows):
                    wanted = columns.index(self.phone_column) if self.phone_column in columns else 0
                    contacts.suppress_rows(row[wanted] for row in rows)
            else:
                for uri, file in chain.from_iterable(local_files(entry)):
                    contacts.suppress_file(file, format=guess_format(uri), origin=uri)

    def _write_rejects(self, contacts: ContactList) -> None:
        if not self._rejects_path:
            return
        from airflow.sdk import ObjectStoragePath

        from airflow_provider_graine.results.landing import land

        with tempfile.TemporaryFile() as file:
            contacts.write_rejects(file)
            file.seek(0)
            land(ObjectStoragePath(self._rejects_path), iter(lambda: file.read(_BLOCK), b""), if_exists="replace")

    def _tell(self, context: Context, screening: Screening, *, batches: int) -> None:
        summary: dict[str, Any] = {
            "read": screening.read,
            "accepted": screening.accepted,
            "rejected": {str(reason): number for reason, number in screening.rejected.items()},
            "batches": batches,
        }
        if self._part != WHOLE_LIST:
            summary |= {"shard": list(self._part), "elsewhere": screening.elsewhere}
        if self._rejects_path:
            summary["rejects_path"] = self._rejects_path
        context["ti"].xcom_push(key=SUMMARY_KEY, value=summary)

    def _stop_on_rejects(self, screening: Screening) -> None:
        rejected = sum(screening.rejected.values())
        listed = ", ".join(f"{number} {reason}" for reason, number in screening.rejected.items())
        shard = "" if self._part == WHOLE_LIST else "shard {} of {}".format(*self._part)
        self.log.info(
            "Read %d contacts%s: %d accepted, %d rejected%s",
            screening.read,
            f", {screening.read - screening.elsewhere} of them for {shard}" if shard else "",
            screening.accepted,
            rejected,
            f" ({listed})" if listed else "",
        )
        if screening.unreadable_suppressions:
            self.log.warning(
                "%d entries of the suppression lists cannot be read as numbers and stop nobody",
                screening.unreadable_suppressions,
            )
        if rejected + screening.rejected_elsewhere and self.on_invalid == "fail":
            path = self._rejects_path
            where = f"{'Those' if shard else 'They'} are listed in {path}" if path else "Set rejects_path to list them"
            raise ContactsRejectedError(
                f"{rejected + screening.rejected_elsewhere} of {screening.read} contacts were rejected"
                f"{f', {rejected} of them in {shard}' if shard else ''}{f': {listed}' if listed else ''}. {where}. "
                'Nothing was sent; correct the source, or set on_invalid="skip" to call the others.'
            )

    def _upload(
        self,
        context: Context,
        contacts: ContactList,
        screening: Screening,
        identity: RunIdentity,
        memory: Memory,
        doubt_ends: float | None,
    ) -> Uploaded:
        from airflow_provider_graine.hooks.graine_batches import GraineBatches
        from airflow_provider_graine.operators.upload_memory import SuspendingClock, WallClock
        from airflow_provider_graine.uploads.protocol import Upload

        if not screening.accepted:
            self.log.warning("There is nobody to call")
        if self.resend_after <= self.hook.settings.timeout:
            self.log.warning(
                "resend_after (%g s) is not longer than the connection's timeout (%g s): after a crash, contacts could "
                "be sent again while their first request is still under way",
                self.resend_after,
                self.hook.settings.timeout,
            )
        self._settings = self.hook.settings
        try_number = context["ti"].try_number
        self._upload_at_work = upload = Upload(
            service=GraineBatches(
                self.hook,
                identity=identity,
                campaign_id=self.campaign_id,
                options=self._options(),
            ),
            contacts=contacts,
            batch_size=self.batch_size,
            resend_after=self.resend_after,
            memory=memory,
            is_first=try_number <= 1,
            clock=SuspendingClock(self._rest) if self.deferrable else WallClock(self._rest),
            log=logging.getLogger(self.log.name),
            doubt_ends=doubt_ends,
            is_stopped=self._is_stopped,
            max_parallel=self.max_parallel_uploads,
        )
        return upload.run()

    def _is_stopped(self) -> bool:
        """Tell whether the task has been killed; batches that came about since are treated as those before."""
        if self._is_killed:
            self._treat_calls(self.kill_action, within=UNTIL_SIGKILL)
        return self._is_killed

    def _suspend(self, until: float, memory: Memory) -> NoReturn:
        from airflow_provider_graine.triggers.pause import PauseTrigger

        record = None if memory.is_shared else memory.read()
        self.log.info("Giving the worker slot up for %.0f s, until the doubt is over", until - clock.wall())
        self.hook.close()
        self.defer(
            trigger=PauseTrigger(
                until,
                kept={"record": record.as_json() if record is not None else None, "doubt_ends": until},
                batch_ids=list(self._calls()),
                graine_conn_id=self.graine_conn_id,
                on_kill=self.kill_action,
            ),
            method_name="execute_resumed",
        )
        raise AssertionError("defer() raises")

    def _wait(self, batch_ids: list[str], context: Context) -> None:
        from airflow_provider_graine.triggers.graine import GraineBatchTrigger
        from airflow_provider_graine.watching.graine_watch import BatchWatch, decide

        deadline = self._deadline(context, start=clock.wall())
        wait = Wait(rules=self._rules, poll_interval=self.poll_interval, deadline=deadline)
        watch = BatchWatch(batch_ids)
        while not self._is_done(decision := decide(watch, self.hook, wait), context):
            if self.deferrable:
                context["ti"].xcom_push(key=BATCH_IDS_KEY, value=batch_ids)
                trigger = GraineBatchTrigger(
                    batch_ids=batch_ids,
                    graine_conn_id=self.graine_conn_id,
                    poll_interval=self.poll_interval,
                    deadline=deadline,
                    campaign_id=self.campaign_id,
                    on_kill=self.kill_action,
                    **self._rules.as_kwargs(),
                )
                self._hand_over(trigger, poll_interval=self.poll_interval, deadline=deadline)
            left = math.inf if deadline is None else deadline - clock.wall()
            spread = jittered(decision.pause, random.random())  # noqa: S311
            self._rest(decision.pause if decision.pause >= left else min(spread, left))
