"""Operators for Graine campaigns and batches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow.sdk import BaseOperator

from airflow_provider_graine.exceptions import ConfigurationError, NotFoundError, UnclearOutcomeError
from airflow_provider_graine.operators.change_state import ChangesCampaignState, ChangesState
from airflow_provider_graine.operators.given_list import FromContacts
from airflow_provider_graine.operators.graine_report import GraineReportOperator
from airflow_provider_graine.operators.graine_upload import GraineUploadOperator
from airflow_provider_graine.operators.links import GraineCallsLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.uploads.identity import RunIdentity

__all__ = [
    "GraineCancelBatchOperator",
    "GraineCancelCampaignOperator",
    "GraineCreateBatchOperator",
    "GraineCreateCampaignOperator",
    "GraineDeleteCampaignOperator",
    "GraineDispatchBatchOperator",
    "GrainePauseBatchOperator",
    "GrainePauseCampaignOperator",
    "GraineReportOperator",
    "GraineResumeBatchOperator",
    "GraineResumeCampaignOperator",
    "GraineUpdateCampaignOperator",
]

#: Pauses, in seconds, between the searches for a campaign whose creation got no clear answer.
_LOOKS: Final = (0.0, 2.0, 5.0)


class _GraineOperator(BaseOperator):
    """What the small operators share."""

    ui_color = "#e3eaf6"
    operator_extra_links = (GraineCallsLink(),)

    def __init__(self, *, graine_conn_id: str = "graine_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.graine_conn_id = graine_conn_id

    @cached_property
    def hook(self) -> GraineHook:
        """The hook of the connection."""
        from airflow_provider_graine.hooks.graine import GraineHook

        return GraineHook(self.graine_conn_id)


class GraineCreateCampaignOperator(_GraineOperator):
    """
    Create a campaign; it calls nobody until it gets a batch.

    The run's identity travels in the campaign's ``metadata``: a retry finds the campaign that an earlier try made and
    returns it. The arguments are checked before anything is sent. Source of the fields:
    https://graine.mintlify.app/api-reference/campaigns/create

    :param name: human-readable name (templated)
    :param agent_id: the AI agent that makes the calls (templated)
    :param phone_numbers: one or more caller ids, E.164 (templated)
    :param phone_number_strategy: ``round_robin``, ``random`` or ``least_loaded``; default: the service's, which is
        ``round_robin``
    :param timezone: IANA name, for ``working_hours`` and for naive start times of batches (templated)
    :param working_hours: weekday to ``{"start": "HH:MM", "end": "HH:MM", "enabled": bool}``; weekdays left out are
        days without calls (templated)
    :param working_hours_enforced: whether the windows hold; default ``True`` once ``working_hours`` are given
    :param call_retry_policy: the service's ``retry_policy``, how it calls a person again: ``max_retries`` (its default:
        3), ``strategy`` (``fixed`` or ``exponential``), ``cooldown_minutes`` (30) (templated)
    :param default_call_variables: merged into each contact's variables, which win (templated)
    :param metadata: anything (templated); ``concurrency_limit`` caps the parallel calls of all batches together
    :param organization_id: default: the connection's, else the token's (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: the campaign id
    :raises ConfigurationError: when an argument is not as the service takes it; nothing was sent
    """

    template_fields: Sequence[str] = (
        "name",
        "agent_id",
        "phone_numbers",
        "timezone",
        "working_hours",
        "call_retry_policy",
        "default_call_variables",
        "metadata",
        "organization_id",
        "graine_conn_id",
    )

    def __init__(
        self,
        *,
        name: str,
        agent_id: str,
        phone_numbers: Sequence[str],
        phone_number_strategy: Literal["round_robin", "random", "least_loaded"] | None = None,
        timezone: str | None = None,
        working_hours: Mapping[str, Any] | None = None,
        working_hours_enforced: bool | None = None,
        call_retry_policy: Mapping[str, Any] | None = None,
        default_call_variables: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.agent_id = agent_id
        self.phone_numbers = phone_numbers
        self.phone_number_strategy = phone_number_strategy
        self.timezone = timezone
        self.working_hours = working_hours
        self.working_hours_enforced = working_hours_enforced
        self.call_retry_policy = call_retry_policy
        self.default_call_variables = default_call_variables
        self.metadata = metadata
        self.organization_id = organization_id

    def execute(self, context: Context) -> str:
        """Return the campaign of an earlier try, or create it."""
        from airflow_provider_graine.operators.run_identity import run_identity

        identity = run_identity(context)
        if context["ti"].try_number > 1 and (found := self._find(identity)) is not None:
            self.log.info("Campaign %s was created by an earlier try of this task; it is used", found)
            return found
        try:
            campaign = self.hook.create_campaign(
                name=self.name,
                agent_id=self.agent_id,
                phone_numbers=list(self.phone_numbers),
                phone_number_strategy=self.phone_number_strategy,
                timezone=self.timezone,
                working_hours=self.working_hours,
                working_hours_enforced=self.working_hours_enforced,
                retry_policy=self.call_retry_policy,
                default_call_variables=self.default_call_variables,
                metadata=identity.marked(self.metadata),
                organization_id=self.organization_id,
            )
        except UnclearOutcomeError as unclear:
            return self._look_for(identity, unclear)
        self.log.info("Created campaign %s", campaign.campaign_id)
        return campaign.campaign_id

    def _look_for(self, identity: RunIdentity, unclear: UnclearOutcomeError) -> str:
        self.log.warning("%s Searching the service for the campaign", unclear)
        for pause in _LOOKS:
            time.sleep(pause)
            if (found := self._find(identity)) is not None:
                self.log.info("Found it: campaign %s was created", found)
                return found
        raise UnclearOutcomeError(
            "Creating the campaign got no clear answer, and it is not listed. At worst there is a draft too many, "
            "which calls nobody. Retry: the retry searches again and uses it if it has appeared.",
            status_code=unclear.status_code,
        ) from unclear

    def _find(self, identity: RunIdentity) -> str | None:
        for row in self.hook.iter_campaigns():
            if row.name not in (None, self.name):
                continue
            metadata = row.metadata or self.hook.get_campaign(row.campaign_id).metadata
            if identity.made(metadata):
                return row.campaign_id
        return None


class GraineUpdateCampaignOperator(_GraineOperator):
    """
    Change a campaign. New hours hold at once for calls not yet placed; live calls are untouched.

    Whether nested objects are merged or replaced is not documented: give them whole. Source:
    https://graine.mintlify.app/api-reference/campaigns/update

    :param campaign_id: the campaign (templated)
    :param changes: field to new value, with the fields of :class:`GraineCreateCampaignOperator` but the organization
        (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: the campaign id
    :raises ConfigurationError: when a value is not as the service takes it; nothing was sent
    """

    template_fields: Sequence[str] = ("campaign_id", "changes", "graine_conn_id")

    def __init__(self, *, campaign_id: str, changes: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.changes = changes

    def execute(self, context: Context) -> str:
        """Send the changes; sending the same ones again changes nothing, so a retry is safe."""
        if wrong := sorted(set(self.changes) - _CHANGEABLE):
            from airflow_provider_graine.services.validation import field_name

            names = ", ".join(map(field_name, wrong))
            raise ConfigurationError(f"A campaign has no field {names} to change. Nothing was sent.")
        self.hook.update_campaign(self.campaign_id, **self.changes)
        self.log.info("Changed %s of campaign %s", ", ".join(sorted(self.changes)), self.campaign_id)
        return self.campaign_id


_CHANGEABLE: Final = frozenset(
    {
        "name",
        "agent_id",
        "phone_numbers",
        "phone_number_strategy",
        "working_hours_enforced",
        "timezone",
        "working_hours",
        "retry_policy",
        "default_call_variables",
        "metadata",
    }
)


class GraineDeleteCampaignOperator(_GraineOperator):
    """
    Delete a campaign. What this does to its batches and to running calls is not documented: cancel it first.

    :param campaign_id: the campaign (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :raises NotFoundError: when there is no such campaign, unless an earlier try may have deleted it
    """

    template_fields: Sequence[str] = ("campaign_id", "graine_conn_id")

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id

    def execute(self, context: Context) -> None:
        """Delete it; on a later try, one that is gone counts as deleted."""
        try:
            self.hook.delete_campaign(self.campaign_id)
        except NotFoundError:
            if context["ti"].try_number <= 1:
                raise
            self.log.info("Campaign %s is gone: an earlier try deleted it", self.campaign_id)
            return
        self.log.info("Deleted campaign %s", self.campaign_id)


class _CampaignStateOperator(ChangesCampaignState, _GraineOperator):
    template_fields: Sequence[str] = ("campaign_id", "graine_conn_id")

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id


class GrainePauseCampaignOperator(_CampaignStateOperator):
    """
    Hold a campaign: every running batch is paused, live calls end on their own.

    A batch that still waits for its ``scheduled_start`` is not documented to be held: pause or cancel it by itself.
    Source: https://graine.mintlify.app/api-reference/campaigns/lifecycle

    :param campaign_id: the campaign (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: the campaign id
    """

    verb = "pause"
    target = frozenset({"paused"})


class GraineResumeCampaignOperator(_CampaignStateOperator):
    """
    Let a paused campaign go on; **every** paused batch of it goes on, also one that was paused by itself.

    Does nothing where the campaign runs already. Source:
    https://graine.mintlify.app/api-reference/campaigns/lifecycle

    :param campaign_id: the campaign (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: the campaign id
    """

    verb = "resume"
    target = frozenset({"active"})


class GraineCancelCampaignOperator(_CampaignStateOperator):
    """
    Stop a campaign for good; contacts not yet reached become ``skipped``. It cannot be resumed.

    Source: https://graine.mintlify.app/api-reference/campaigns/lifecycle

    :param campaign_id: the campaign (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: the campaign id
    """

    verb = "cancel"
    target = frozenset({"cancelled"})


class _BatchStateOperator(ChangesState, _GraineOperator):
    template_fields: Sequence[str] = ("batch_id", "graine_conn_id")

    def __init__(self, *, batch_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id

    @property
    def _what(self) -> str:
        return f"Batch {self.batch_id}"

    def _status(self) -> str | None:
        return self.hook.get_batch(self.batch_id).status

    def _change(self) -> None:
        getattr(self.hook, f"{self.verb}_batch")(self.batch_id)

    def execute(self, context: Context) -> str:
        """Bring it about and return the batch id."""
        self._bring_about()
        return self.batch_id


class GrainePauseBatchOperator(_BatchStateOperator):
    """
    Hold a batch; live calls end on their own. Whether retries that come due still dial is not documented.

    Source: https://graine.mintlify.app/api-reference/batches/lifecycle

    :param batch_id: the batch (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: the batch id
    """

    verb = "pause"
    target = frozenset({"paused"})


class GraineResumeBatchOperator(_BatchStateOperator):
    """
    Let a paused batch go on. Does nothing where it runs already.

    Source: https://graine.mintlify.app/api-reference/batches/lifecycle

    :param batch_id: the batch (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: the batch id
    """

    verb = "resume"
    target = frozenset({"in_progress"})


class GraineCancelBatchOperator(_BatchStateOperator):
    """
    Stop a batch for good; contacts not yet reached become ``skipped``. It cannot be resumed.

    Calls just being placed may still ring: ``skipped`` is no proof that a phone did not.
    Source: https://graine.mintlify.app/api-reference/batches/lifecycle

    :param batch_id: the batch (templated)
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: the batch id
    """

    verb = "cancel"
    target = frozenset({"cancelled"})


class GraineDispatchBatchOperator(_GraineOperator):
    """
    Publish the pending contacts of a batch again, after an outage of the service's worker.

    **People may be called twice**: contacts that are queued but not yet taken up are still pending, and whether the
    service drops the second message is not documented. So it is done only while the service itself calls the batch
    stuck, and never by a later try, which cannot know whether an earlier one did it.
    Source: https://graine.mintlify.app/api-reference/batches/dispatch

    :param batch_id: the batch (templated)
    :param only_if_stuck: whether to ask ``/debug`` first and do nothing unless it says ``stuck_pending``; default yes
    :param graine_conn_id: the connection (templated); default ``graine_default``
    :return: how many contacts were published, 0 where nothing was done
    """

    template_fields: Sequence[str] = ("batch_id", "graine_conn_id")

    def __init__(self, *, batch_id: str, only_if_stuck: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id
        self.only_if_stuck = only_if_stuck

    def execute(self, context: Context) -> int:
        """Dispatch at most once in this run."""
        if context["ti"].try_number > 1:
            raise ConfigurationError(
                f"An earlier try may have dispatched batch {self.batch_id}; doing it again could call people twice. "
                "Nothing was sent. Look at the batch; if it is still stuck, dispatch it in a new DAG run."
            )
        if self.only_if_stuck and not self.hook.debug_batch(self.batch_id).diagnostics.stuck_pending:
            self.log.info("Batch %s is not stuck; nothing was sent", self.batch_id)
            return 0
        dispatched = self.hook.dispatch_batch(self.batch_id).dispatched_count or 0
        self.log.info("Published %d pending contacts of batch %s again", dispatched, self.batch_id)
        return dispatched


class GraineCreateBatchOperator(FromContacts, GraineUploadOperator):
    """
    Have a short list of people called that stands in the DAG or comes from another task.

    Everything else is as in :class:`~airflow_provider_graine.operators.graine_upload.GraineUploadOperator`, whose
    arguments this operator takes.

    :param contacts: the people, each ``{"phone_number": …, "callee_name": …, <call variable>: …}`` or in the service's
        own form with ``call_variables``. Not templated, since rendered fields are stored and shown; may be the output
        of a task, which is then stored as XCom: for real lists use a query or a file
    """
