"""A notifier that phones a person when a task or a DAG fails, or misses its deadline."""

from __future__ import annotations

import copy
import logging
import re
import traceback
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseHook, BaseNotifier

from airflow_provider_graine.exceptions import CallingError, ConfigurationError
from airflow_provider_graine.notifications.failure import Failure
from airflow_provider_graine.notifications.one_call import OneCall, arun, run

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

log = logging.getLogger(__name__)

#: Seconds that callbacks about one failure need to find each other: two looks, each of some requests.
LEAST_DELAY: Final = 30.0


class GraineCallNotifier(BaseNotifier):
    """
    Phone a person when a task or a DAG fails, or misses its deadline; at most once for each failure.

    For ``on_failure_callback`` and ``on_retry_callback`` of tasks, ``on_failure_callback`` of DAGs, and, as
    ``AsyncCallback(GraineCallNotifier, kwargs={…})``, for a ``DeadlineAlert``. Never fails what it is a callback of:
    the log says what is known of the call, without the number.

    Who is phoned lies in a connection (``callee_conn_id``), or comes from a template: DAG code, serialized DAGs and the
    rows of deadlines are no place for a phone number.

    :param campaign_id: the campaign, whose agent knows what to say (templated); best one of its own, without calling
        hours
    :param callee_conn_id: connection of any type whose password is the phone number of the person, E.164, and whose
        login is the name (templated)
    :param phone_number: the phone number instead, such as ``{{ var.value.on_call_number }}`` (templated)
    :param callee_name: the person's name (templated); default: the login of ``callee_conn_id``
    :param variables: call variables (templated), beside ``failure`` (``task``, ``dag`` or ``deadline``), ``dag_id``,
        ``run_id`` and, of a task, ``task_id``, ``map_index``, ``try_number`` and ``exception_type``. What the exception
        says is not sent: it may be personal
    :param max_retries_override: how often the service calls again by itself; default: as the campaign says
    :param delay: seconds until the call, in which it is noticed that another callback tells of the same failure;
        at least 30, default 60
    :param resend_after: seconds after which a create without a clear answer is sent once more, if a complete search has
        not found it; less than ``delay``; default ``None``: never, it is only searched for
    :param graine_conn_id: the connection to Graine (templated); default ``graine_default``
    :param context: what Airflow tells a callback that runs in the triggerer
    :raises ConfigurationError: when ``delay`` or ``resend_after`` is out of these bounds
    """

    template_fields: Sequence[str] = (
        "campaign_id",
        "callee_conn_id",
        "phone_number",
        "callee_name",
        "variables",
        "graine_conn_id",
    )

    def __init__(
        self,
        *,
        campaign_id: str,
        callee_conn_id: str | None = None,
        phone_number: str | None = None,
        callee_name: str | None = None,
        variables: Mapping[str, Any] | None = None,
        max_retries_override: int | None = None,
        delay: float = 60.0,
        resend_after: float | None = None,
        graine_conn_id: str = "graine_default",
        context: Context | None = None,
    ) -> None:
        super().__init__(context)
        if not delay >= LEAST_DELAY or not 0 <= (resend_after or 0.0) < delay:
            raise ConfigurationError(
                f"delay must be at least {LEAST_DELAY:.0f} seconds, and resend_after at least 0 and less than delay: "
                "callbacks about one failure have to find each other before anybody is dialled."
            )
        self.campaign_id = campaign_id
        self.callee_conn_id = callee_conn_id
        self.phone_number = phone_number
        self.callee_name = callee_name
        self.variables = variables
        self.max_retries_override = max_retries_override
        self.delay = delay
        self.resend_after = resend_after
        self.graine_conn_id = graine_conn_id

    def __call__(self, *args: Any) -> None:
        """
        Tell of a failure; see :meth:`notify`.

        :param args: the context
        """
        self.notify(args[0])

    def __await__(self) -> Generator[Any, Any, None]:
        return self.async_notify(self.context).__await__()

    def notify(self, context: Context) -> None:
        """
        Have the person phoned, unless a callback has seen to that already. Never raises.

        :param context: what Airflow tells the callback
        """
        from airflow_provider_graine.notifications.brief_hook import BriefHook

        try:
            rendered, call = self._prepared(context)
            hook = BriefHook(rendered.graine_conn_id)
            try:
                run(call.conduct(), hook)
            finally:
                hook.close()
        except Exception as error:
            _tell(error)

    async def async_notify(self, context: Context) -> None:
        """
        Have the person phoned from an event loop; see :meth:`notify`.

        :param context: what Airflow tells the callback
        """
        from asgiref.sync import sync_to_async

        from airflow_provider_graine.notifications.brief_hook import BriefHook

        try:
            rendered, call = await sync_to_async(self._prepared)(context)  # templates ask Airflow, and block
            hook = BriefHook(rendered.graine_conn_id)
            try:
                await arun(call.conduct(), hook)
            finally:
                await hook.aclose()
        except Exception as error:
            _tell(error)

    def _prepared(self, context: Context) -> tuple[GraineCallNotifier, OneCall]:
        """Render a copy: the same notifier is the callback of many tasks."""
        failure = Failure.of(context)
        rendered = copy.copy(self)
        dag = context.get("dag")
        # A run of dag.test() brings its DAG as the scheduler has it: without the author's own filters.
        jinja = self.get_template_env(dag if hasattr(dag, "get_template_env") else None)
        rendered.render_template_fields(_with_accessors(context), jinja)
        return rendered, OneCall(
            failure=failure,
            campaign_id=rendered.campaign_id,
            contact=rendered._contact(failure),
            max_retries_override=self.max_retries_override,
            delay=self.delay,
            resend_after=self.resend_after,
            log=log,
        )

    def _contact(self, failure: Failure) -> dict[str, Any]:
        from airflow.sdk.log import mask_secret

        from airflow_provider_graine.services.graine.sent import Contact
        from airflow_provider_graine.services.validation import checked

        number, name = self.phone_number, self.callee_name
        if self.callee_conn_id:
            callee: Connection = BaseHook.get_connection(self.callee_conn_id)
            number, name = number or callee.password, name or callee.login
        if not number:
            raise ConfigurationError(
                "There is no phone number: put it into the password of callee_conn_id, or give phone_number. "
                "Nothing was sent."
            )
        number = re.sub(r"[\s().-]", "", number)
        mask_secret(number)
        variables = failure.facts | dict(self.variables or {}) | ({"callee_name": name} if name else {})
        return checked(Contact, {"phone_number": number, "call_variables": variables}, what="call").model_dump()


def _with_accessors(context: Context) -> Context:
    """Add what templates read variables and connections from: the callbacks of runs and deadlines come without it."""
    from airflow.sdk.execution_time.context import ConnectionAccessor, VariableAccessor

    accessors = {
        "conn": ConnectionAccessor(),
        "var": {"value": VariableAccessor(deserialize_json=False), "json": VariableAccessor(deserialize_json=True)},
    }
    return {**accessors, **context}  # type: ignore[typeddict-item]


def _tell(error: Exception) -> None:
    """Say what went wrong; what others' errors say may be personal, and where they come from is not."""
    if isinstance(error, CallingError):
        log.error("Nobody was phoned: %s", error)
    else:
        where = traceback.extract_tb(error.__traceback__)[-1]
        log.error(
            "To phone somebody failed: look at the campaign (%s in %s, %s:%s)",
            type(error).__name__,
            where.name,
            where.filename,
            where.lineno,
        )
