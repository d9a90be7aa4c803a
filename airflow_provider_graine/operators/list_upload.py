"""What all operators share that put a list of people onto batches or campaigns, whatever the service and the source."""

from __future__ import annotations

import logging
import re
import tempfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR

from airflow_provider_graine.exceptions import ConfigurationError, ContactsRejectedError, WaitTimeoutError
from airflow_provider_graine.lineage.telling import TellsLineage
from airflow_provider_graine.operators.calls_wait import UNTIL_SIGKILL, CallsWait
from airflow_provider_graine.operators.links import push_links
from airflow_provider_graine.operators.shard import WHOLE_LIST, own_path, read_shard
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_graine.contacts.contact_list import ContactList
    from airflow_provider_graine.contacts.local_time import LocalTime
    from airflow_provider_graine.contacts.screening import Screening
    from airflow_provider_graine.lineage.data import TaskLineage
    from airflow_provider_graine.uploads.identity import RunIdentity
    from airflow_provider_graine.uploads.protocol import Upload, Uploaded
    from airflow_provider_graine.uploads.record import Memory, Record
    from airflow_provider_graine.uploads.service import BatchService

SUMMARY_KEY: Final = "summary"
_BLOCK: Final = 2**20
_MOST_PARALLEL: Final = 32
_NUMBER: Final = re.compile(r"\s*\+?[\d\s().-]{6,}")


class ListUpload(TellsLineage, CallsWait):
    """
    Screen a list of people and put each of them onto exactly one batch of this run, or campaign, as the service has it.

    Base of the upload operators. Nothing is sent before the whole list is read and screened. A retry finds what earlier
    tries created and sends only the rest. The services' operators document the arguments.
    """

    template_fields: Sequence[str] = (
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
        batch_size: int,
        resend_after: float,
        poll_interval: float,
        max_parallel_uploads: int = 1,
        phone_column: str = "phone_number",
        name_column: str = "callee_name",
        default_region: str | None = None,
        number_check: Literal["possible", "valid"] = "possible",
        on_invalid: Literal["fail", "skip"] = "fail",
        rejects_path: str | None = None,
        suppress: str | Sequence[str] | None = None,
        suppress_conn_id: str | None = None,
        shard: Sequence[int | str] | None = None,
        on_rerun: Literal["return", "redial"] = "return",
        ledger_path: str | None = None,
        wait_for_completion: bool = False,
        wait_timeout: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_size = batch_size
        self.max_parallel_uploads = max_parallel_uploads
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
        self._uploaded_ids: list[str] = []
        self._summary: dict[str, Any] | None = None

    # -- the service's own ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _check_options(self) -> None:
        """
        Fail in the author's words where an argument that goes to the service is wrong.

        :raises ConfigurationError: when one is
        """

    def _most_bytes(self) -> int | None:
        """Return how many bytes the contacts of a batch may have as a CSV file, for a service that takes them so."""
        return None

    def _local_time(self) -> LocalTime | None:
        """Return when people are called by the clock where they are, for a service that can start later."""
        return None

    @abstractmethod
    def _service(self, identity: RunIdentity) -> BatchService:
        """
        Return the service as the upload protocol sees it.

        :param identity: whose upload it is
        """

    @abstractmethod
    def _go_on(self, ids: list[str], context: Context) -> list[str]:
        """
        Do what is to be done once everybody is placed.

        :param ids: the batches, at least one
        :param context: the task's context
        :return: the task's result
        """

    @abstractmethod
    def _pause_trigger(self, until: float, kept: dict[str, Any], ids: list[str]) -> BaseTrigger:
        """
        Return the trigger that lets the task go on at a given time.

        :param until: wall-clock time
        :param kept: what comes back as its event
        :param ids: the batches there are so far
        """

    @abstractmethod
    def _kept_ids(self, context: Context) -> list[str]:
        """Return the batches that this task waited for when it was deferred, where its trigger never answered."""

    # -- the list ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, contacts: ContactList, context: Context) -> None:
        """
        Read the source into the list.

        :param contacts: the empty list
        :param context: the task's context
        """

    def _sources(self) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the paths that the list is read from, and the queries, each with its connection."""
        return [], []

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
        return dict.fromkeys(self._uploaded_ids, "")

    def _too_late(self, message: str) -> WaitTimeoutError:
        return WaitTimeoutError(message)

    def execute(self, context: Context) -> list[str]:
        """Read, screen, upload, and go on as asked to."""
        with self._ending_as_asked():
            return self._execute(context)

    def execute_resumed(self, context: Context, event: Any = None) -> list[str]:
        """
        Go on with an upload that had given its slot up until a doubt was over.

        :param event: what was kept meanwhile
        :return: the task's result
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
        push_links(self, context)
        identity = replace(identity, shard=self._part)
        with ContactList(
            phone_column=self.phone_column,
            name_column=self.name_column,
            default_region=self.default_region or None,
            number_check=self.number_check,
            shard=self._part,
            csv_bytes=self._most_bytes(),
            local_time=self._local_time(),
        ) as contacts:
            self.load(contacts, context)
            self._load_suppressions(contacts)
            screening = contacts.screen(after=clock.wall())
            self._write_rejects(contacts)
            self._tell(context, screening, batches=0)
            self._stop_on_rejects(screening)
            try:
                uploaded = self._upload(context, contacts, screening, identity, memory, doubt_ends)
            except SuspendedError as suspended:
                self._suspend(suspended.until, memory)
        self._tell(context, screening, batches=len(uploaded.batches))
        self._uploaded_ids = ids = [batch.batch_id for batch in uploaded.batches]
        return self._go_on(ids, context) if ids else ids

    def execute_complete(self, context: Context, event: Any = None) -> list[str]:
        """
        Take over from the trigger that waited for the calls.

        :param event: how the wait ended
        :return: the list of ids
        :raises WaitError: when the calls ended in another way than completed
        """
        ids = event.get(self._ids_in_event) if isinstance(event, dict) else None
        self._uploaded_ids = list(ids or [])
        self._read_event(event, context)
        return self._uploaded_ids

    #: What the trigger calls the ids.
    _ids_in_event = "batch_ids"

    def _resume(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        if next_method == TRIGGER_FAIL_REPR:
            self._uploaded_ids = self._kept_ids(context)
        return super()._resume(next_method, next_kwargs, context)

    def _check_arguments(self) -> None:
        """Fail in the author's words before the source is read."""
        self._check_options()
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

    def _load_suppressions(self, contacts: ContactList) -> None:
        from airflow_provider_graine.contacts.files import guess_format
        from airflow_provider_graine.sources.database import query
        from airflow_provider_graine.sources.files import local_files

        for entry in [self.suppress] if isinstance(self.suppress, str) else self.suppress or ():
            if _NUMBER.fullmatch(entry):
                raise ConfigurationError(
                    "suppress takes paths of files and queries, no phone numbers: put them into a file. Nothing was "
                    "sent."
                )
            if _is_query(entry):
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
        self._summary = summary
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

    # -- the upload ----------------------------------------------------------------------------------------------------

    def _upload(
        self,
        context: Context,
        contacts: ContactList,
        screening: Screening,
        identity: RunIdentity,
        memory: Memory,
        doubt_ends: float | None,
    ) -> Uploaded:
        from airflow_provider_graine.operators.upload_memory import SuspendingClock, WallClock
        from airflow_provider_graine.uploads.protocol import Upload

        if not screening.accepted:
            self.log.warning("There is nobody to call")
        self._settings = self.hook.settings
        self._upload_at_work = upload = Upload(
            service=self._service(identity),
            contacts=contacts,
            batch_size=self.batch_size,
            resend_after=self.resend_after,
            memory=memory,
            is_first=context["ti"].try_number <= 1,
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
        record = None if memory.is_shared else memory.read()
        self.log.info("Giving the worker slot up for %.0f s, until the doubt is over", until - clock.wall())
        self.hook.close()
        kept = {"record": record.as_json() if record is not None else None, "doubt_ends": until}
        self.defer(trigger=self._pause_trigger(until, kept, list(self._calls())), method_name="execute_resumed")
        raise AssertionError("defer() raises")

    # -- lineage -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def _campaigns_of(self, ids: list[str]) -> list[str]:
        """
        Return the campaigns that people were put on.

        :param ids: the batches, at least one
        """

    #: Whether what people are put on is part of a campaign.
    _has_batches = True

    def lineage(self, ti: Any) -> TaskLineage:
        """Return what the list was read from and what its people were put on."""
        from airflow_provider_graine.lineage.uploads import upload_lineage

        ids, summary = self._uploaded_ids or list(self._calls()), self._summary
        if summary is None and ids:  # another process has made the upload
            self._summary = summary = ti.xcom_pull(task_ids=ti.task_id, key=SUMMARY_KEY, map_indexes=ti.map_index)
        paths, queries = self._sources()
        suppress = [self.suppress] if isinstance(self.suppress, str) else list(self.suppress or ())
        return upload_lineage(
            self.hook,
            paths=[*paths, *(entry for entry in suppress if not _is_query(entry))],
            queries=[*queries, *((entry, self.suppression_conn_id) for entry in suppress if _is_query(entry))],
            batch_ids=ids if self._has_batches else None,
            campaign_ids=self._campaigns_of(ids) if ids else [],
            summary=summary or {},
        )


def _is_query(entry: str) -> bool:
    """Tell whether an entry of ``suppress`` is a query; else it is a path."""
    return entry.lstrip().upper().startswith(("SELECT", "WITH"))
