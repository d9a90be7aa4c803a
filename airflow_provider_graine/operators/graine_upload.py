"""What all operators share that put people onto Graine batches, wherever the people come from."""

from __future__ import annotations

import logging
import tempfile
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from airflow.providers.common.compat.sdk import conf
from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import ConfigurationError, ContactsRejectedError, WaitError
from airflow_provider_graine.triggers.graine import GraineBatchTrigger
from airflow_provider_graine.triggers.pause import PauseTrigger
from airflow_provider_graine.waiting.decision import Step, Wait
from airflow_provider_graine.waiting.event import read_event

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.contacts.contact_list import ContactList
    from airflow_provider_graine.contacts.screening import Screening
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.uploads.identity import RunIdentity
    from airflow_provider_graine.uploads.protocol import Uploaded
    from airflow_provider_graine.uploads.record import Memory, Record

SUMMARY_KEY: Final = "summary"
_BLOCK: Final = 2**20


class GraineUploadOperator(BaseOperator):
    """
    Screen a list of people and put each of them onto exactly one batch of this run; the service calls them at once.

    Base of the upload operators; these are the arguments they share. Nothing is sent before the whole list is read
    and screened. A retry finds the batches that earlier tries created and sends only the rest.

    :param campaign_id: the campaign (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :param batch_size: most contacts on one batch; default 1,000. What the service takes at most is not documented
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
    :param on_invalid: ``"fail"`` (default): nothing at all is sent when one contact is rejected; ``"skip"``: the
        others are sent
    :param rejects_path: CSV file for the rejected contacts, with reasons (templated); default: only counted
    :param suppress: who must not be called: paths of files (with or without wildcards) and queries (``SELECT …`` or
        ``WITH …``), in their first column or the one called like ``phone_column`` (templated)
    :param suppress_conn_id: connection of the queries in ``suppress`` (templated)
    :param resend_after: seconds for which contacts are not sent again after a send without a clear answer; default
        300. They are sent again only if a complete search of the service has not found them by then
    :param on_rerun: what a clear of this task means: ``"return"`` (default) the same batches again, and nobody is
        dialled; ``"redial"``: everybody on the list is called **again**, in batches of their own. A retry never redials
    :param ledger_path: folder for a record of this upload's own (templated), beside Airflow's task state; survives
        what happens to Airflow's database. Default: none
    :param wait_for_completion: whether to wait until the calls are done; default no
    :param poll_interval: seconds between looks while waiting; default 30
    :param deferrable: whether the triggerer waits; default from ``[operators] default_deferrable``
    :return: the list of batch ids. The XCom ``summary`` has the counts ``read``, ``accepted``, ``rejected`` (by
        reason) and ``batches``, and ``rejects_path`` where there is one
    :raises ContactsRejectedError: when contacts were rejected and ``on_invalid`` is ``"fail"``
    :raises UploadError: when it is not certain that everybody is on exactly one batch
    :raises WaitError: when the calls ended in another way than completed
    """

    template_fields: Sequence[str] = (
        "campaign_id",
        "graine_conn_id",
        "scheduled_start",
        "call_context",
        "metadata",
        "default_region",
        "rejects_path",
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
        resend_after: float = 300.0,
        on_rerun: Literal["return", "redial"] = "return",
        ledger_path: str | None = None,
        wait_for_completion: bool = False,
        poll_interval: float = 30.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.graine_conn_id = graine_conn_id
        self.batch_size = batch_size
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
        self.resend_after = resend_after
        self.on_rerun = on_rerun
        self.ledger_path = ledger_path
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.deferrable = deferrable

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

    @cached_property
    def hook(self) -> GraineHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.graine import GraineHook

        return GraineHook(self.graine_conn_id)

    def execute(self, context: Context) -> list[str]:
        """Read, screen, upload, and wait where asked to."""
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
        with ContactList(
            phone_column=self.phone_column,
            name_column=self.name_column,
            default_region=self.default_region or None,
            number_check=self.number_check,
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
            self._wait(batch_ids)
        return batch_ids

    def execute_complete(self, context: Context, event: Any = None) -> list[str]:
        """
        Take over from the trigger.

        :param event: how the wait ended
        :return: the list of batch ids
        :raises WaitError: when the calls ended in another way than completed
        """
        self.log.info(read_event(event))
        return list(event["batch_ids"])

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
                for uri, file in local_files(entry):
                    contacts.suppress_file(file, format=guess_format(uri), origin=uri)

    def _write_rejects(self, contacts: ContactList) -> None:
        if not self.rejects_path:
            return
        from airflow.sdk import ObjectStoragePath

        from airflow_provider_graine.results.landing import land

        with tempfile.TemporaryFile() as file:
            contacts.write_rejects(file)
            file.seek(0)
            land(ObjectStoragePath(self.rejects_path), iter(lambda: file.read(_BLOCK), b""), if_exists="replace")

    def _tell(self, context: Context, screening: Screening, *, batches: int) -> None:
        summary: dict[str, Any] = {
            "read": screening.read,
            "accepted": screening.accepted,
            "rejected": {str(reason): number for reason, number in screening.rejected.items()},
            "batches": batches,
        }
        if self.rejects_path:
            summary["rejects_path"] = self.rejects_path
        context["ti"].xcom_push(key=SUMMARY_KEY, value=summary)

    def _stop_on_rejects(self, screening: Screening) -> None:
        rejected = sum(screening.rejected.values())
        listed = ", ".join(f"{number} {reason}" for reason, number in screening.rejected.items())
        self.log.info(
            "Read %d contacts: %d accepted, %d rejected%s",
            screening.read,
            screening.accepted,
            rejected,
            f" ({listed})" if listed else "",
        )
        if screening.unreadable_suppressions:
            self.log.warning(
                "%d entries of the suppression lists cannot be read as numbers and stop nobody",
                screening.unreadable_suppressions,
            )
        if rejected and self.on_invalid == "fail":
            where = f"They are listed in {self.rejects_path}" if self.rejects_path else "Set rejects_path to list them"
            raise ContactsRejectedError(
                f"{rejected} of {screening.read} contacts were rejected: {listed}. {where}. Nothing was sent; correct "
                'the source, or set on_invalid="skip" to call the others.'
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
        try_number = context["ti"].try_number
        return Upload(
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
            clock=SuspendingClock() if self.deferrable else WallClock(),
            log=logging.getLogger(self.log.name),
            doubt_ends=doubt_ends,
        ).run()

    def _suspend(self, until: float, memory: Memory) -> NoReturn:
        record = None if memory.is_shared else memory.read()
        self.log.info("Giving the worker slot up for %.0f s, until the doubt is over", until - time.time())
        self.hook.close()
        self.defer(
            trigger=PauseTrigger(
                until, kept={"record": record.as_json() if record is not None else None, "doubt_ends": until}
            ),
            method_name="execute_resumed",
        )
        raise AssertionError("defer() raises")

    def _wait(self, batch_ids: list[str]) -> None:
        from airflow_provider_graine.hooks.graine_watch import BatchWatch, decide

        watch, wait = BatchWatch(batch_ids), Wait()
        while True:
            decision = decide(watch, self.hook, wait)
            if decision.warning:
                self.log.warning(decision.warning)
            self.log.info(decision.message)
            if decision.step is Step.DONE:
                return
            if decision.step is Step.FAILED:
                raise WaitError(decision.message)
            if self.deferrable:
                self.log.info("The triggerer waits, with a look every %g s", self.poll_interval)
                self.hook.close()
                self.defer(
                    trigger=GraineBatchTrigger(
                        batch_ids=batch_ids, graine_conn_id=self.graine_conn_id, poll_interval=self.poll_interval
                    ),
                    method_name="execute_complete",
                )
            time.sleep(self.poll_interval)
